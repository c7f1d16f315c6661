"""Which of Pebble's chains is used: the preferred one is a preference, and never costs the certificate."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from issuer import keys
from issuer.ca import AcmeAuthority
from issuer.ca.certificates import MAX_ALTERNATES
from issuer.ports import CaPolicy
from issuer.sandbox import LOOPBACK, Dns, Pebble, Sandbox
from tests.integration.answers import KEY, NAME, certificate, problem_of, refusing, with_headers
from tests.integration.raw_server import raw_server
from tests.wire import Fault, Wire, cut

ROOTS = 4
WHERE = "/certZ/"
NO_WISH = {"event": "no chain to the preferred issuer", "log_level": "warning"}


@pytest.fixture(scope="module")
def pebble(module_sandbox: Sandbox, dns: Dns, http_port: int) -> Pebble:
    environment = {
        "PEBBLE_WFE_NONCEREJECT": "0",
        "PEBBLE_VA_ALWAYS_VALID": "1",
        "PEBBLE_ALTERNATE_ROOTS": str(ROOTS - 1),
        "PEBBLE_CHAIN_LENGTH": "2",
    }
    return module_sandbox.pebble(dns.server, http_port, environment)


@pytest.fixture
def roots(pebble: Pebble) -> list[str]:
    """The common names of its roots; the first is that of the default chain."""
    with urllib3.PoolManager(ca_certs=str(pebble.bundle)) as pool:
        answers = [pool.request("GET", f"{pebble.management}/roots/{number}", retries=False) for number in range(ROOTS)]
    certificates = [x509.load_pem_x509_certificate(answer.data) for answer in answers]
    return [root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value for root in certificates]


@pytest.fixture
def url(new_ca: Callable[..., AcmeAuthority]) -> str:
    return certificate(new_ca())


@pytest.fixture
def wishing(new_ca: Callable[..., AcmeAuthority], url: str) -> Callable[[str], str]:
    return lambda name: new_ca(CaPolicy(preferred_chain=name)).chain(url)


def unfulfilled(logs: list[dict[str, object]]) -> list[dict[str, object]]:
    return [line for line in logs if NO_WISH.items() <= line.items()]


def test_without_a_wish_the_default_is_taken_by_one_request(new_ca, wire: Wire, url: str, roots: list[str]) -> None:
    with capture_logs() as logs:
        text = new_ca().chain(url)
    assert keys.top_issuer(text) == roots[0]
    assert text.count("BEGIN CERTIFICATE") == 3
    assert wire.count(WHERE) == 1
    assert logs == []


def test_a_domains_own_wish_goes_before_the_policys(new_ca, url: str, roots: list[str]) -> None:
    ca = new_ca(CaPolicy(preferred_chain=roots[1]))
    assert keys.top_issuer(ca.chain(url, roots[2])) == roots[2]
    assert keys.top_issuer(ca.chain(url)) == roots[1]


@pytest.mark.parametrize("number", range(ROOTS))
def test_a_wish_for_any_root_is_met(wishing, wire: Wire, clock, roots: list[str], number: int) -> None:
    with capture_logs() as logs:
        text, leaf = keys.read_chain(wishing(roots[number]), key=KEY, name=NAME, now=clock())
    assert keys.top_issuer(text) == roots[number]
    assert wire.count(WHERE) == 1 + number
    assert leaf == x509.load_pem_x509_certificate(text.encode())
    assert unfulfilled(logs) == []


@pytest.mark.parametrize("change", ["No Such Root".format, "{} ".format, str.lower])
def test_a_wish_that_no_chain_meets_is_logged_and_the_default_taken(wishing, wire: Wire, roots, change) -> None:
    preferred = change(roots[1])
    with capture_logs() as logs:
        assert keys.top_issuer(wishing(preferred)) == roots[0]
    assert [line["preferred"] for line in unfulfilled(logs)] == [preferred]
    assert wire.count(WHERE) == ROOTS


def test_an_intermediate_is_no_root(wishing, new_ca, url: str, roots: list[str]) -> None:
    above_the_leaf = keys.issuer_name(new_ca().chain(url))
    assert keys.top_issuer(wishing(above_the_leaf)) == roots[0]


@pytest.mark.parametrize(
    "answer",
    [
        cut,
        lambda: (200, {"Content-Type": "text/html"}, "<html>ü".encode()),
        lambda: (200, {}, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        lambda: (200, {}, b"-----BEGIN CERTIFICATE-----"),
        lambda: (200, {}, b"\xff" * 2_000_000),
        lambda: (302, {"Location": "/another-path"}, b""),
        lambda: (404, {}, b""),
        refusing(429, "rateLimited", headers={"Retry-After": "9999"}),
        refusing(500, "serverInternal"),
        refusing(403, "unauthorized"),
    ],
)
def test_an_alternate_that_cannot_be_had_costs_no_certificate(wishing, wire: Wire, roots, answer) -> None:
    wire.add(Fault("/alternate/", times=99, before=answer))
    with capture_logs() as logs:
        assert keys.top_issuer(wishing(roots[3])) == roots[0]
    assert len(unfulfilled(logs)) == 1
    assert wire.count(WHERE) <= ROOTS


def test_an_alternate_for_another_certificate_is_not_taken(wishing, new_ca, wire: Wire, clock, roots) -> None:
    other = new_ca(CaPolicy(preferred_chain=roots[1])).chain(certificate(new_ca(), "other.customer.example"))
    assert keys.top_issuer(other) == roots[1]
    wire.add(Fault("/alternate/", times=99, before=lambda: (200, {}, other.encode())))
    assert keys.read_chain(wishing(roots[1]), key=KEY, name=NAME, now=clock())
    assert wire.count("/alternate/") > 1


def test_an_alternate_that_hangs_together_by_names_alone_is_not_taken(wishing, new_ca, wire: Wire, url, roots) -> None:
    whole = x509.load_pem_x509_certificates(new_ca(CaPolicy(preferred_chain=roots[1])).chain(url).encode())
    torn = "".join(one.public_bytes(Encoding.PEM).decode() for one in (whole[0], whole[2]))
    wire.add(Fault("/alternate/", times=99, before=lambda: (200, {}, torn.encode())))
    assert keys.top_issuer(wishing(roots[1])) == roots[0]


@pytest.mark.parametrize(
    "form", ["{path}/alternate/2", "{last}/alternate/2", "./{last}/alternate/2", "//{host}{path}/alternate/2"]
)
def test_a_relative_link_is_followed(wishing, wire: Wire, url: str, roots: list[str], form: str) -> None:
    path = urlsplit(url).path
    target = form.format(path=path, last=path.rpartition("/")[2], host=wire.host)
    wire.add(Fault(path, after=with_headers(Link=f'</dir>; rel="index", <{target}>; title="x"; rel="alternate"')))
    assert keys.top_issuer(wishing(roots[2])) == roots[2]
    assert wire.count(WHERE) == 2


@pytest.mark.parametrize("relation", ["up", "alternates", "index"])
def test_a_link_of_another_relation_is_not(wishing, wire: Wire, url: str, roots: list[str], relation: str) -> None:
    wire.add(Fault(WHERE, after=with_headers(Link=f'<{url}/alternate/2>; rel="{relation}"')))
    assert keys.top_issuer(wishing(roots[2])) == roots[0]
    assert wire.count(WHERE) == 1


@pytest.mark.parametrize(
    "target",
    [
        "https://{there}/certZ/1",
        "http://{there}/",
        "https://[/",
        "https://[::1",
        "https://{here}@{there}/",
        "data:,x",
        "",
    ],
)
def test_a_link_to_another_host_is_not_followed_and_the_default_taken(
    wishing, wire: Wire, url: str, roots: list[str], target: str
) -> None:
    with raw_server(b"") as server:
        link = target.format(here=wire.host, there=f"{LOOPBACK}:{server.port}")
        wire.add(Fault(WHERE, after=with_headers(Link=f'<{link}>; rel="alternate"')))
        with capture_logs() as logs:
            assert keys.top_issuer(wishing(roots[2])) == roots[0]
    assert server.connections == 0
    assert len(unfulfilled(logs)) == 1


def test_of_hundreds_of_links_a_few_are_asked(wishing, wire: Wire, url: str, roots: list[str]) -> None:
    links = ", ".join([f'<{url}/alternate/1>;rel="alternate"'] * 400 + [f'<{url}/alternate/2>;rel="alternate"'])
    wire.add(Fault(WHERE, after=with_headers(Link=links)))
    assert keys.top_issuer(wishing(roots[2])) == roots[0]
    assert wire.count(WHERE) == 1 + MAX_ALTERNATES


def test_the_certificate_itself_is_no_wish(new_ca, wire: Wire, url: str) -> None:
    wire.add(Fault(WHERE, before=lambda: (200, {}, b"<html>")))
    assert "not PEM" in problem_of(lambda: new_ca(CaPolicy(preferred_chain="x")).chain(url)).detail
