"""A CA that cannot be used at all: what was found is said in one sentence, and the setting that mends it is named."""

import datetime as dt
import errno
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from issuer.ca.directory import Directory
from issuer.ca.faults import Site, first_words
from issuer.ca.transport import Transport
from issuer.problem import Actor, Problem, ProblemType
from issuer.sandbox import LOOPBACK, free_port
from tests.fakes import FakeClock
from tests.integration.answers import problem_of
from tests.wire import Answer, Listener, Request, cut

SETTING = "ISSUER_CAS[1].directory"
OURS, ITS = (ProblemType.CA_SETTINGS, Actor.PLATFORM), (ProblemType.CA_UNAVAILABLE, Actor.NOBODY)
URN = "urn:ietf:params:acme:error:"


class Server(Listener):
    """Answers every request with `says`."""

    says: Callable[[], Answer]

    def answer(self, request: Request) -> Answer:
        return self.says()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def found(url: str, bundle: str = "", setting: str = SETTING, seconds: float = 0.5) -> Problem:
    transport = Transport(url, ca_bundle=bundle, timeout_seconds=seconds, directory_setting=setting)
    return problem_of(Directory(url, transport, FakeClock()).meta)


def html(text: str, status: int = 200) -> Answer:
    return status, {"Content-Type": "text/html"}, text.encode()


def document(status: int, **members: object) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(members).encode()


ESCAPED = "<html><script>alert(1)</script><p>A\x1b[31m page\n\u202e " + "very " * 100
PARTIAL = {"newNonce": "https://ca.example/n", "newAccount": 7}
ANSWERS = {
    "404": (html("<h1>Not Found</h1>", 404), OURS, "status 404: «Not Found»"),
    "404 of an ACME server": (
        document(404, type=f"{URN}malformed", detail="no page"),
        OURS,
        "404: «no page (malformed)»",
    ),
    "401": (html("", 401), OURS, "status 401"),
    "403": (html("Forbidden", 403), OURS, "status 403: «Forbidden»"),
    "405": (html("", 405), OURS, "status 405"),
    "410": (html("", 410), OURS, "status 410"),
    "204": ((204, {}, b""), OURS, "status 204"),
    "a redirect": ((302, {"Location": "/new/directory"}, b""), OURS, "redirects to http"),
    "a redirect to nowhere": ((301, {}, b""), OURS, "redirect (301)"),
    "a web page": (html("<html><title>Welcome to nginx!</title>"), OURS, "a web page: «Welcome to nginx!»"),
    "a page with markup": (html(ESCAPED), OURS, "a web page: «A [31m page"),
    "nothing": (html(""), OURS, "answers with nothing"),
    "text": ((200, {"Content-Type": "text/plain"}, b"ok"), OURS, "something else than JSON: «ok»"),
    "a list": ((200, {}, b"[]"), OURS, "something else than JSON: «[]»"),
    "JSON without members": (document(200), OURS, "JSON that has no newNonce, no newAccount, no newOrder"),
    "JSON with some": (document(200, **PARTIAL), OURS, "JSON that has no newAccount, no newOrder"),
    "500": (html("<h1>Oops</h1>", 500), ITS, "answers directory with status 500: Oops"),
    "503": (document(503, type=f"{URN}serverInternal", detail="down for a while"), ITS, "503: down for a while"),
    "408": (html("", 408), ITS, "status 408"),
    "429": (html("", 429), (ProblemType.RATE_LIMITED, Actor.NOBODY), "limits directory"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_no_directory_is_named_with_the_setting_and_the_url(server: Server, name: str) -> None:
    answer, meant, words = ANSWERS[name]
    server.says = lambda: answer
    url = f"{server.origin}/directory"
    problem = found(url)
    assert (problem.type, problem.actor) == meant
    assert words in problem.cause
    assert url in problem.cause
    assert len(problem.cause) < 400
    assert problem.cause.isprintable()
    assert "<" not in problem.cause
    assert ((SETTING in problem.cause) and (SETTING in problem.hint)) is (meant is OURS)
    assert not (problem.is_counted and meant is OURS)


def test_a_single_ca_has_its_own_setting(server: Server) -> None:
    server.says = lambda: html("", 404)
    assert "ISSUER_ACME_DIRECTORY" in found(server.origin, setting="ISSUER_ACME_DIRECTORY").hint


def test_a_ca_that_is_down_is_named() -> None:
    url = f"http://{LOOPBACK}:{free_port()}/directory"
    problem = found(url)
    assert (problem.type, problem.actor) == ITS
    assert problem.cause == f"the CA {url} refuses connections (connection refused)"
    assert "Connection refused" in problem.detail


def test_a_ca_that_hangs_up_is_named(server: Server) -> None:
    server.says = cut
    problem = found(server.origin)
    assert (problem.type, problem.actor, problem.cause) == (
        *ITS,
        f"the CA {server.origin} ends connections without a complete answer",
    )


@pytest.mark.parametrize(
    ("error", "meant", "words"),
    [
        (
            OSError(errno.ENETUNREACH, "Network is unreachable"),
            (ProblemType.CA_UNAVAILABLE, Actor.PLATFORM),
            "unreachable",
        ),
        (TimeoutError("timed out"), ITS, "does not answer in time"),
    ],
)
def test_whose_network_it_is(error: Exception, meant: tuple[ProblemType, Actor], words: str) -> None:
    problem = Site("https://ca.example/dir").unreachable(error, "GET x")
    assert (problem.type, problem.actor) == meant
    assert words in problem.cause


@pytest.mark.parametrize("host", ["no-such-ca.invalid"])
def test_a_host_that_does_not_exist_is_a_mistyped_url(host: str) -> None:
    problem = found(f"https://{host}/directory", seconds=5)
    assert "cannot be resolved" in problem.cause
    assert problem.actor is Actor.PLATFORM
    assert host in problem.cause


def test_a_port_without_tls_is_a_mistyped_url(server: Server) -> None:
    server.says = lambda: html("", 400)
    problem = found(server.origin.replace("http:", "https:"))
    assert (problem.type, problem.actor) == OURS
    assert "does not speak TLS" in problem.cause
    assert SETTING in problem.hint


NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


class Tls:
    """A certificate for a server, signed by a root of its own or by itself."""

    def __init__(self, folder: Path, *, is_self_signed: bool = False, host: str = LOOPBACK, days: float = 1) -> None:
        key, root_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root = certificate("root", root_key, "root", root_key, None, 2)
        leaf = certificate("leaf", key, *(("leaf", key) if is_self_signed else ("root", root_key)), host, days)
        self.root, self.file = folder / "root.pem", folder / "leaf.pem"
        self.root.write_bytes(root.public_bytes(Encoding.PEM))
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.file.write_bytes(leaf.public_bytes(Encoding.PEM) + secret)

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.file)
        return context


def certificate(subject: str, key, issuer: str, by, host: str | None, days: float) -> x509.Certificate:
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (subject, issuer)]
    builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW - 9 * DAY)
    builder = builder.not_valid_after(NOW + days * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    if host:
        address = x509.IPAddress(ipaddress.ip_address(host))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(by, hashes.SHA256())


TLS = {
    "of an unknown CA": (
        {},
        False,
        "unable to get local issuer certificate",
        "set ISSUER_ACME_CA_BUNDLE to a PEM file",
    ),
    "self-signed": (
        {"is_self_signed": True},
        False,
        "self-signed certificate",
        "set ISSUER_ACME_CA_BUNDLE to a PEM file",
    ),
    "of another host": ({"host": "192.0.2.1"}, True, "IP address mismatch", f"correct the host in {SETTING}"),
    "expired": ({"days": -1}, True, "certificate has expired", "clock of this machine"),
}


@pytest.mark.parametrize("name", TLS)
def test_a_certificate_that_cannot_be_verified_is_named_with_the_setting(tmp_path: Path, name: str) -> None:
    options, is_trusted, words, hint = TLS[name]
    tls = Tls(tmp_path, **options)
    server = Server(tls.context())
    try:
        problem = found(f"{server.origin}/directory", str(tls.root) if is_trusted else "")
    finally:
        server.close()
    assert (problem.type, problem.actor) == OURS
    assert f"{server.origin}/directory" in problem.cause
    assert f"certificate verify failed ({words}" in problem.cause
    assert hint in problem.hint
    assert "ISSUER_ACME_CA_BUNDLE" in problem.hint


def test_a_file_of_roots_that_was_corrected_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tls, other = Tls(tmp_path), Tls(tmp_path / "other")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(other.root.read_bytes())
    server = Server(tls.context())
    server.says = lambda: document(200, newNonce="/n", newAccount="/a", newOrder="/o", meta={"x": 1})
    try:
        directory = Directory(server.origin, Transport(server.origin, ca_bundle=str(bundle)), FakeClock())
        assert problem_of(directory.meta).type is ProblemType.CA_SETTINGS
        bundle.write_text("broken")
        assert problem_of(directory.meta).type is ProblemType.CA_SETTINGS
        bundle.write_bytes(tls.root.read_bytes())
        assert directory.meta() == {"x": 1}
    finally:
        server.close()


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b"<title> Sign\n in </title><body>x", "Sign in"),
        (b"<style>p {}</style>  <p>Hello <b>you</b>", "Hello you"),
        (b"\xff\xfe\x00", "�� "[:2]),
        (b"<p>" + b"a" * 500, "a" * 100 + "…"),
        (b"", ""),
        (b"<script" * 150_000, ("script " * 15)[:100] + "…"),
    ],
)
@pytest.mark.timeout(5)
def test_the_first_words_of_a_page(page: bytes, words: str) -> None:
    assert first_words(page) == words
