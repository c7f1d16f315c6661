"""What an edge serves, at real TLS servers: those that serve, lag behind, refuse, stay silent, or speak no TLS."""

import datetime as dt
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from issuer.edge.handshake import TlsHandshake
from issuer.keys import placeholder_bundle
from issuer.ports import Verdict
from issuer.sandbox import LOOPBACK, free_port
from tests.fakes import NAME
from tests.integration.raw_server import raw_server


@dataclass(frozen=True)
class Pair:
    """An untrusted certificate with its key, in one file."""

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


def serving(certificate: Pair, asked: list[str | None] | None = None, *, refused: str = "") -> ssl.SSLContext:
    """The TLS of an edge that serves one certificate for all names but the one that it refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file)

    def choose(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        if asked is not None:
            asked.append(name)
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if name == refused else None

    context.sni_callback = choose
    return context


def test_the_serial_number_is_compared_and_nothing_else(tmp_path) -> None:
    served, other, asked = pair(tmp_path, "served"), pair(tmp_path, "other"), []
    with raw_server(b"", tls=serving(served, asked)) as server:  # expired, for another name, and signed by nobody
        edge = f"{LOOPBACK}:{server.port}"
        finding = TlsHandshake().serves(edge, NAME, served.serial)
        assert (finding.verdict, finding.summary) == (Verdict.YES, f"{edge} serves serial number {served.serial}")
        finding = TlsHandshake().serves(edge, NAME, other.serial)
        assert (finding.verdict, finding.summary) == (Verdict.NO, f"{edge} still serves serial number {served.serial}")
    assert asked == [NAME, NAME]


def test_an_edge_that_has_none_for_the_name_yet_is_a_clear_no(tmp_path) -> None:
    file = tmp_path / "neutral.pem"
    file.write_text(placeholder_bundle())
    with raw_server(b"", tls=serving(Pair(file, ""))) as server:
        edge = f"{LOOPBACK}:{server.port}"
        finding = TlsHandshake().serves(edge, NAME, "0f")
    assert (finding.verdict, finding.summary) == (Verdict.NO, f"{edge} has no certificate for the name yet")


@pytest.mark.parametrize(("host", "edge"), [(LOOPBACK, "localhost"), ("::1", "[::1]")])
def test_an_edge_by_its_host_name_or_ipv6_address(tmp_path, host: str, edge: str) -> None:
    served = pair(tmp_path, "served")
    with raw_server(b"", host=host, tls=serving(served)) as server:
        assert TlsHandshake().serves(f"{edge}:{server.port}", NAME, served.serial).verdict is Verdict.YES


def test_a_name_that_is_refused_is_a_clear_no(tmp_path) -> None:
    with raw_server(b"", tls=serving(pair(tmp_path, "served"), refused=NAME)) as server:
        edge = f"{LOOPBACK}:{server.port}"
        finding = TlsHandshake().serves(edge, NAME, "0f")
    assert finding.verdict is Verdict.NO
    assert finding.summary.startswith(f"{edge} refuses the name")
    assert "UNRECOGNIZED_NAME" in finding.summary


def test_nobody_there_is_unknown() -> None:
    edge = f"{LOOPBACK}:{free_port()}"
    finding = TlsHandshake().serves(edge, NAME, "0f")
    assert (finding.verdict, finding.summary) == (Verdict.UNKNOWN, f"{edge} does not answer")
    assert TlsHandshake().serves("no-such-host.invalid:443", NAME, "0f").verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("start", [b"", b"\x16\x03\x03\x40\x00"], ids=["silent", "a record that never ends"])
def test_it_is_bounded_in_time(start: bytes) -> None:
    with raw_server(lambda _: server.drip(start, piece=start[-1:])) as server:
        edge, began = f"{LOOPBACK}:{server.port}", time.monotonic()
        finding = TlsHandshake(seconds=0.3).serves(edge, NAME, "0f")
        assert time.monotonic() - began < 1
    assert (finding.verdict, finding.summary) == (Verdict.UNKNOWN, f"{edge} does not answer in time")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["nothing", "plain HTTP"])
def test_what_is_no_tls_is_never_a_yes(answer: bytes) -> None:
    with raw_server(answer) as server:
        finding = TlsHandshake().serves(f"{LOOPBACK}:{server.port}", NAME, "0f")
    assert finding.verdict in {Verdict.UNKNOWN, Verdict.NO}
    assert "serves" not in finding.summary
