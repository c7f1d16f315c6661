"""What an edge serves, asked of real TLS servers: those that serve, lag behind, refuse, are silent, or are no TLS."""

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from issuer.handshake import TlsHandshake
from issuer.ports import Verdict
from issuer.sandbox import LOOPBACK, free_port
from tests.fakes import NAME


@dataclass(frozen=True)
class Pair:
    """A certificate of nobody's, with its key, in one file."""

    file: Path
    serial: str


def pair(folder: Path, name: str) -> Pair:
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    expired = builder.not_valid_before(now - dt.timedelta(days=2)).not_valid_after(now - dt.timedelta(days=1))
    certificate = expired.sign(key, hashes.SHA256())
    pem = certificate.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / f"{name}.pem"
    file.write_bytes(pem)
    return Pair(file, f"{certificate.serial_number:x}")


@pytest.fixture
def edge() -> Iterator[Callable[..., str]]:
    """Start a server that does this with each connection; gives its address."""
    servers = []

    def start(serve: Callable[[socket.socket], None]) -> str:
        server = socket.create_server((LOOPBACK, 0))
        servers.append(server)

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        return f"{LOOPBACK}:{server.getsockname()[1]}"

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def with_tls(certificate: Pair, asked: list[str | None] | None = None, *, refused: tuple[str, ...] = ()):
    """Serve a certificate for every name but those that are refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file)

    def choose(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        if asked is not None:
            asked.append(name)
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if name in refused else None

    context.sni_callback = choose

    def serve(connection: socket.socket) -> None:
        connection.settimeout(5)
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    return serve


def test_the_serial_number_is_compared_and_nothing_else(tmp_path, edge) -> None:
    served, other, asked = pair(tmp_path, "served"), pair(tmp_path, "other"), []
    address = edge(with_tls(served, asked))  # expired, for another name, and signed by nobody
    found = TlsHandshake().serves(address, NAME, served.serial)
    assert (found.verdict, found.found) == (Verdict.YES, f"{address} serves serial number {served.serial}")
    found = TlsHandshake().serves(address, NAME, other.serial)
    assert (found.verdict, found.found) == (Verdict.NO, f"{address} still serves serial number {served.serial}")
    assert asked == [NAME, NAME]


def test_a_host_name_of_an_edge_is_looked_up(tmp_path, edge) -> None:
    served = pair(tmp_path, "served")
    address = edge(with_tls(served)).replace(LOOPBACK, "localhost")
    assert TlsHandshake().serves(address, NAME, served.serial).verdict is Verdict.YES


def test_a_name_that_is_refused_is_a_clear_no(tmp_path, edge) -> None:
    address = edge(with_tls(pair(tmp_path, "served"), refused=(NAME,)))
    found = TlsHandshake().serves(address, NAME, "0f")
    assert found.verdict is Verdict.NO
    assert found.found.startswith(f"{address} refuses the name")
    assert "UNRECOGNIZED_NAME" in found.found


def test_nobody_there_is_unknown() -> None:
    address = f"{LOOPBACK}:{free_port()}"
    found = TlsHandshake().serves(address, NAME, "0f")
    assert (found.verdict, found.found) == (Verdict.UNKNOWN, f"{address} does not answer")
    assert TlsHandshake().serves("no-such-host.invalid:443", NAME, "0f").verdict is Verdict.UNKNOWN


def silent(connection: socket.socket) -> None:
    connection.recv(65_536)
    time.sleep(1)


def trickling(connection: socket.socket) -> None:
    """A record that never ends, a byte at a time: each read of it is in time, all together are not."""
    for byte in b"\x16\x03\x03\x40\x00" + bytes(200):
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


@pytest.mark.parametrize("behaviour", [silent, trickling])
def test_it_is_bounded_in_time(edge, behaviour) -> None:
    address, began = edge(behaviour), time.monotonic()
    found = TlsHandshake(seconds=0.3).serves(address, NAME, "0f")
    assert time.monotonic() - began < 1
    assert (found.verdict, found.found) == (Verdict.UNKNOWN, f"{address} does not answer in time")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["nothing", "plain HTTP"])
def test_what_is_no_tls_is_never_a_yes(edge, said: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(said)

    found = TlsHandshake().serves(edge(serve), NAME, "0f")
    assert found.verdict in {Verdict.UNKNOWN, Verdict.NO}
    assert "still serves" not in found.found
