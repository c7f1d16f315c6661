"""A real Caddy with deploy/Caddyfile, on free ports, and its clients."""

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from issuer.keys import is_placeholder
from issuer.sandbox import LOOPBACK, Part, Sandbox, free_port
from tests.checkout import CHECKOUT
from tests.fakes import EDGE_TOKEN

CADDYFILE = CHECKOUT / "deploy" / "Caddyfile"
ALERT = 0x15
"""The type of a TLS record that refuses a handshake (RFC 8446 §5.1)."""
SERVER_HELLO_DONE = bytes.fromhex("0e000000")
"""The end of the server's first flight (RFC 5246 §7.4.5)."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Caddy:
    """roots: what its clients trust, PEM."""

    http_port: int
    https_port: int
    folder: Path
    part: Part = field(repr=False)
    roots: str = field(repr=False)

    @contextmanager
    def handshake(self, name: str | None, *, is_trusted: bool = True) -> Iterator[ssl.SSLSocket]:
        """A connection whose chain and name have been verified, unless `is_trusted` is False."""
        context = ssl.create_default_context(cadata=self.roots)
        if not is_trusted:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((LOOPBACK, self.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            yield secured

    def serial(self, name: str) -> str:
        """The serial number of the certificate that is served for a name, hexadecimal as in records."""
        with self.handshake(name) as connection:
            return f"{x509.load_der_x509_certificate(connection.getpeercert(binary_form=True)).serial_number:x}"

    def shows_placeholder(self, name: str | None) -> bool:
        """Whether the placeholder certificate is served for a name."""
        with self.handshake(name, is_trusted=False) as connection:
            return is_placeholder(x509.load_der_x509_certificate(connection.getpeercert(binary_form=True)))

    def refuses(self, name: str | None) -> bool:
        """Whether the server refuses a handshake with an alert."""
        try:
            with self.handshake(name, is_trusted=False):
                return False
        except ssl.SSLError as error:
            return "alert" in str(error).lower()

    def first_answer(self, server_name: str) -> bytes:
        """The answer to a name that no library would send: an alert, or (unencrypted before TLS 1.3) a certificate."""
        stand_in = "x" * len(server_name)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        client = context.wrap_bio(incoming, outgoing, server_hostname=stand_in)
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            hello = outgoing.read()
        assert hello.count(stand_in.encode()) == 1
        with socket.create_connection((LOOPBACK, self.https_port), timeout=10) as connection:
            connection.sendall(hello.replace(stand_in.encode(), server_name.encode()))
            answer = connection.recv(1)
            while answer[0] != ALERT and not answer.endswith(SERVER_HELLO_DONE):
                answer += connection.recv(65_536)
            return answer

    def served_within(self, name: str, serial: str, *, seconds: float = 2) -> float:
        """Wait until a serial number is served. Returns the seconds; fails after `seconds`."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            if not self.shows_placeholder(name) and self.serial(name) == serial:
                return passed
            time.sleep(0.02)
        raise AssertionError(f"{serial} is not served for {name} after {seconds} s")

    def https(self, name: str, path: str = "/", *, host: str | None = None, method: str = "GET", body=None) -> Answer:
        """One request on a new connection. host: the header, if it differs from the name."""
        with self.handshake(name, is_trusted=False) as connection:
            return asked(connection, path, host or name, method, body)

    def http(self, name: str, path: str = "/", *, method: str = "GET", body=None) -> Answer:
        """The same on the port for plain HTTP."""
        with socket.create_connection((LOOPBACK, self.http_port), timeout=10) as connection:
            return asked(connection, path, name, method, body)


def asked(connection: socket.socket, path: str, host: str, method: str = "GET", body=None, **headers: str) -> Answer:
    """A request over a connection, which stays open."""
    client = http.client.HTTPConnection(host)
    client.sock = connection
    client.request(
        method, path, body=body, headers={"Host": host, **headers}, encode_chunked=not isinstance(body, bytes)
    )
    with closing(client.getresponse()) as answer:
        result = Answer(answer.status, answer.headers, answer.read())
    client.sock = None
    return result


def started(
    sandbox: Sandbox,
    *,
    web: int,
    platform: int,
    roots: str = "",
    http_port: int = 0,
    config: Path = CADDYFILE,
    **environment: str,
) -> Caddy:
    """Caddy in front of `web` and of a platform, at these ports; EDGE_… of its environment may be changed, and the
    whole configuration."""
    http_port, https_port = http_port or free_port(), free_port()
    folder = sandbox.folder / f"caddy-{https_port}"
    values = variables(folder) | {
        "EDGE_WEB": f"{LOOPBACK}:{web}",
        "EDGE_BACKEND": f"{LOOPBACK}:{platform}",
        "EDGE_HTTP_PORT": str(http_port),
        "EDGE_HTTPS_PORT": str(https_port),
    }
    command = [sandbox._program("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]
    part = sandbox.start(f"caddy-{https_port}", command, values | environment)
    sandbox._ready(part, lambda: _accepts(http_port) and _accepts(https_port))
    return Caddy(http_port, https_port, folder, part, roots)


def variables(folder: Path) -> dict[str, str]:
    """The environment that Caddy needs to start: folders to write to, and the token."""
    return {"ISSUER_EDGE_TOKEN": EDGE_TOKEN} | {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", "DATA")}


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
