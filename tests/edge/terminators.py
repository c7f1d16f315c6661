"""nginx and HAProxy with the configurations of deploy/, on free ports of the loopback address."""

import grp
import http.client
import os
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from issuer.config import Settings
from issuer.keys import is_placeholder
from issuer.sandbox import LOOPBACK, Part, Sandbox, free_port
from tests.checkout import CHECKOUT

COMMAND = [sys.executable, "-c", "from issuer.cli import main; main()", "edge", "sync"]
READY_SECONDS = 10.0
PATH = ":".join([*os.get_exec_path(), "/usr/sbin", "/sbin"])
"""Debian has both in sbin, which is not in every PATH."""
GROUP = "www-data" if os.geteuid() == 0 else grp.getgrgid(os.getegid()).gr_name
"""The group that may read the files: that of nginx's workers if the tests run as root."""


def until(is_done: Callable[[], object], seconds: float) -> None:
    """Wait until a condition is true, at most `seconds`."""
    end = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's, with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="edge-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@dataclass
class Terminator:
    """nginx or HAProxy, and `issuer edge sync` for it. root: what its clients trust, PEM."""

    kind: str
    sandbox: Sandbox
    settings: Settings
    web_ports: list[int]
    platform_port: int
    http_port: int = field(default_factory=free_port)
    https_port: int = field(default_factory=free_port)
    root: str = ""
    part: Part | None = None
    sync: Part | None = None

    @property
    def folder(self) -> Path:
        return self.sandbox.folder / "edge"

    @property
    def config(self) -> Path:
        return self.sandbox.folder / ("nginx.conf" if self.kind == "nginx" else "haproxy.cfg")

    @property
    def options(self) -> list[str]:
        if self.kind == "nginx":
            return ["--dir", str(self.folder), "--group", GROUP]
        return ["--dir", str(self.folder), "--haproxy", str(self.sandbox.folder / "haproxy.sock")]

    def start_sync(self) -> None:
        self.sync = self.sandbox.start("sync", [*COMMAND, *self.options], self.settings.as_environment())
        until((self.folder / "state.json").exists, READY_SECONDS)

    def start(self) -> None:
        """Start the terminator, and wait until it accepts connections."""
        getattr(self, f"_write_{self.kind}")()
        program = shutil.which(self.kind, path=PATH)
        assert program, f"{self.kind} is not installed; sh deploy/debian.sh installs what Debian has"
        how = ["-c", str(self.config), "-g", "daemon off;"] if self.kind == "nginx" else ["-f", str(self.config)]
        self.part = self.sandbox.start(self.kind, [program, *how])
        until(lambda: _accepts(self.http_port) and _accepts(self.https_port), READY_SECONDS)

    def stop(self) -> None:
        self.part.stop()

    def sync_output(self) -> str:
        return self.sync.log.read_text()

    def _write_nginx(self) -> None:
        own = self.sandbox.folder
        temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        web = " ".join(f"server {LOOPBACK}:{port};" for port in self.web_ports)
        self._write(
            {
                "/var/lib/issuer/edge": str(self.folder),
                "/run/nginx.pid": str(own / "nginx.pid"),
                "/var/log/nginx": str(own),
                "listen 80 ": f"listen {LOOPBACK}:{self.http_port} ",
                "listen 443 ": f"listen {LOOPBACK}:{self.https_port} ",
                "server 127.0.0.1:8000;": web,
                "127.0.0.1:8080": f"{LOOPBACK}:{self.platform_port}",
                "http {": "http {" + "".join(f"{kind}_temp_path {own}/temp-{kind};" for kind in temporary),
            },
            without="[::]",
        )

    def _write_haproxy(self) -> None:
        web = "\n".join(f"    server issuer{port} {LOOPBACK}:{port}" for port in self.web_ports)
        user = "    user haproxy\n    group haproxy\n"
        self._write(
            {
                "/var/lib/issuer/edge": str(self.folder),
                "/run/haproxy/issuer.sock": str(self.sandbox.folder / "haproxy.sock"),
                "bind :80": f"bind {LOOPBACK}:{self.http_port}",
                "bind :443": f"bind {LOOPBACK}:{self.https_port}",
                "    server issuer1 127.0.0.1:8000": web,
                "127.0.0.1:8080": f"{LOOPBACK}:{self.platform_port}",
                user: user if os.geteuid() == 0 else "",
            },
            without="bind :::",
        )

    def _write(self, lines: dict[str, str], without: str) -> None:
        """The delivered configuration, with other values in the lines that an operator sets."""
        text = (CHECKOUT / "deploy" / self.config.name).read_text()
        for old, new in lines.items():
            assert old in text, old
            text = text.replace(old, new)
        self.config.write_text("".join(f"{line}\n" for line in text.splitlines() if without not in line))

    def context(self, *, is_checked: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.root)
        context.set_alpn_protocols(["http/1.1"])
        if not is_checked:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def connect(self, name: str | bytes | None, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A verified handshake for a name. Raises ssl.SSLError if it is refused."""
        plain = socket.create_connection((LOOPBACK, self.https_port), timeout=5)
        return (context or self.context(is_checked=name is not None)).wrap_socket(plain, server_hostname=name)

    def serial(self, name: str) -> str | None:
        """The serial number of the certificate that is served for a name, verified; None for the placeholder."""
        if self.shows_placeholder(name):
            return None
        try:
            with self.connect(name) as connection:
                return f"{int(connection.getpeercert()['serialNumber'], 16):x}"
        except ssl.SSLCertVerificationError:
            assert self.shows_placeholder(name), "neither the placeholder nor a trusted certificate"
            return None

    def shows_placeholder(self, name: str | bytes | None) -> bool:
        """Whether the placeholder certificate is served for a name."""
        with self.connect(name, self.context(is_checked=False)) as connection:
            return is_placeholder(x509.load_der_x509_certificate(connection.getpeercert(binary_form=True)))

    def https(self, name: str, host: str | None = None, path: str = "/") -> http.client.HTTPResponse:
        with self.connect(name) as connection:
            return ask(connection, host or name, path)

    def http(self, host: str, path: str = "/") -> http.client.HTTPResponse:
        with socket.create_connection((LOOPBACK, self.http_port), timeout=5) as connection:
            return ask(connection, host, path)


def ask(connection: socket.socket, host: str, path: str) -> http.client.HTTPResponse:
    """One request, and its answer with its `body`."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.body = answer.read()
    return answer


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
