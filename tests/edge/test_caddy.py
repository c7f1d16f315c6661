"""Caddy in front of the Procfile's `web`: what it serves for which name, and how soon."""

import datetime as dt
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from issuer.config import child_environment
from issuer.domain import Hsts
from issuer.keys import PLACEHOLDER_NAME
from issuer.ports import Services
from issuer.sandbox import Sandbox
from tests.edge.caddy import ALERT, CADDYFILE, Answer, Caddy, asked, started, variables
from tests.edge.platform import Edge, issue, running
from tests.fakes import EDGE_TOKEN
from tests.integration.raw_server import raw_server
from tests.writes import write

HSTS = "Strict-Transport-Security"
HOUR, DAY = 3600, 86400
STREAMS, RENEWALS = 4, 50


@pytest.fixture(scope="module")
def edge(module_sandbox: Sandbox, module_serve: Callable[..., None]) -> Edge:
    return running(module_sandbox, module_serve)


@pytest.fixture
def own_edge(tmp_path, serve: Callable[..., None]) -> Iterator[Edge]:
    """One whose parts the test stops. It has one web process, as each process caches only what it has served itself."""
    with Sandbox(tmp_path) as sandbox:
        yield running(sandbox, serve, processes=1)


@pytest.mark.parametrize("plain_http", ["redirect", "plain"])
def test_the_whole_configuration_is_valid_as_it_stands(tmp_path, plain_http: str) -> None:
    result = subprocess.run(
        [shutil.which("caddy"), "validate", "--config", str(CADDYFILE), "--adapter", "caddyfile"],
        env=child_environment(variables(tmp_path) | {"EDGE_HTTP": plain_http}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout.strip()) == (0, "Valid configuration"), result.stderr


def test_h02_a_name_that_was_asked_for_before_is_served_within_two_seconds_of_its_issue(edge: Edge) -> None:
    name = "new.customer.example"
    assert [edge.caddy.shows_placeholder(name) for _ in range(3)] == [True] * 3
    record = issue(edge.services, name)
    assert edge.caddy.served_within(name, record.domain.certificate.serial) < 2
    answer = edge.caddy.https(name, "/a?b=1")
    assert (answer.status, answer.body) == (200, f"GET {name} 0".encode())
    assert edge.backend.came("https", name) == ["/a?b=1"]


def test_h02_a_renewed_certificate_is_served_within_two_seconds(edge: Edge) -> None:
    name = "renewed.customer.example"
    first = issue(edge.services, name).domain.certificate.serial
    edge.caddy.served_within(name, first)
    second = issue(edge.services, name).domain.certificate.serial
    assert second != first
    assert edge.caddy.served_within(name, second) < 2
    assert {edge.caddy.serial(name) for _ in range(10)} == {second}


def stream(caddy: Caddy, name: str, is_over: Callable[[], bool]) -> Counter[str]:
    """Requests without a pause, three on each connection; their outcomes."""
    outcomes: Counter[str] = Counter()
    while not is_over():
        try:
            with caddy.handshake(name) as connection:
                for _ in range(3):
                    outcomes[f"{asked(connection, '/', name).status}"] += 1
        except (OSError, ValueError) as error:
            outcomes[repr(error)] += 1
    return outcomes


def test_no_request_fails_while_fifty_renewals_happen(edge: Edge) -> None:
    name, done = "busy.customer.example", []
    issue(edge.services, name)
    with ThreadPoolExecutor(STREAMS) as pool:
        streams = [pool.submit(stream, edge.caddy, name, lambda: len(done) == RENEWALS) for _ in range(STREAMS)]
        while len(done) < RENEWALS:
            serial = issue(edge.services, name).domain.certificate.serial
            edge.caddy.served_within(name, serial)
            done.append(serial)
        outcomes = sum((future.result() for future in streams), Counter())
    assert len(set(done)) == RENEWALS
    assert set(outcomes) == {"200"}, outcomes
    assert outcomes["200"] > 3 * RENEWALS


@pytest.mark.parametrize("host", ["spelled.customer.example", "SPELLED.Customer.Example", "Spelled.customer.example."])
def test_a_name_in_any_case_and_with_a_dot_at_the_end(edge: Edge, host: str) -> None:
    name = "spelled.customer.example"
    if edge.services.store.load(name) is None:
        issue(edge.services, name)
    assert edge.caddy.https(host.removesuffix("."), host=host).status == 200  # no client sends the dot in a handshake
    assert edge.caddy.https(name, host=f"{host}:{edge.caddy.https_port}").status == 200
    assert edge.caddy.http(host, "/x").headers["Location"] == f"https://{host}/x"


def test_h04_without_redis_known_names_are_still_served_and_unknown_ones_are_refused(own_edge: Edge) -> None:
    caddy, known, unknown = own_edge.caddy, "known.customer.example", "unknown.customer.example"
    serial = issue(own_edge.services, known).domain.certificate.serial
    issue(own_edge.services, unknown)
    assert caddy.https(known).status == 200
    own_edge.redis.kill()
    assert {caddy.serial(known) for _ in range(10)} == {serial}
    answer = caddy.https(known)
    assert (answer.status, answer.headers[HSTS]) == (200, "max-age=5184000")
    assert caddy.refuses(unknown)
    assert caddy.http(known).status == 308
    assert (caddy.http(unknown).status, own_edge.backend.came("http", unknown)) == (200, ["/"])


def test_h04_without_web_the_platform_is_still_reached(own_edge: Edge) -> None:
    caddy, name = own_edge.caddy, "reached.customer.example"
    issue(own_edge.services, name)
    with caddy.handshake(name) as connection:
        assert asked(connection, "/", name).status == 200
        own_edge.web.kill()
        assert asked(connection, "/", name, "POST", b"12345").body == f"POST {name} 5".encode()
    assert caddy.http(name, method="POST", body=b"12345").body == f"POST {name} 5".encode()
    assert caddy.refuses(name)
    challenge = caddy.http(name, "/.well-known/acme-challenge/dG9rZW4")
    assert (challenge.status, challenge.body) == (502, b"502 Bad Gateway")
    log = caddy.part.log.read_text()
    assert ("connection refused" in log, EDGE_TOKEN in log) == (True, False)


def test_h05_no_name_an_address_and_a_foreign_name_never_get_another_certificate(edge: Edge) -> None:
    name = "mine.customer.example"
    issue(edge.services, name)
    for foreign in (None, "other.example", f"www.{name}", "customer.example", "localhost"):
        assert edge.caddy.shows_placeholder(foreign), foreign
    for sent in ("127.0.0.1", "192.0.2.1", "*.customer.example", f"{name}.", f"{name}\0", "::1", f"{name}&a=b"):
        answer = edge.caddy.first_answer(sent)
        assert (answer[0] == ALERT) != (PLACEHOLDER_NAME.encode() in answer), sent
        assert name.encode() not in answer
    assert name.encode() in edge.caddy.first_answer(name)


@pytest.mark.parametrize("name", ["young.customer.example", "other.example"])
def test_d01_h03_on_443_a_name_without_a_certificate_has_its_challenge_answered_and_nothing_else(
    edge: Edge, name: str
) -> None:
    neighbour = f"neighbour-of-{name}"
    issue(edge.services, neighbour)
    for path, host, expected in (
        (challenged(edge), name, (200, b"dG9rZW4.thumbprint")),
        ("/", name, (421, b"")),
        ("/", f"{name}.", (421, b"")),
        ("/", neighbour, (421, b"")),
    ):
        answer = edge.caddy.https(name, path, host=host)
        assert (answer.status, answer.body, answer.headers[HSTS]) == (*expected, None)
    assert edge.backend.came("https", name) == []


def test_h05_no_ca_is_ever_asked(edge: Edge) -> None:
    assert edge.caddy.shows_placeholder("www.google.example")
    assert not [path for path in edge.caddy.folder.rglob("*") if {"acme", "certificates"} & set(path.parts)]
    assert "obtain" not in edge.caddy.part.log.read_text()


OWN_CADDYFILE = """
{
	admin off
	http_port {$EDGE_HTTP_PORT}
	https_port {$EDGE_HTTPS_PORT}
	acme_ca https://127.0.0.1:{$CA_PORT}/directory
}
http:// {
	respond "plain"
}
https:// {
	tls {
		get_certificate http http://{$EDGE_WEB}/edge/certificate?token={$ISSUER_EDGE_TOKEN}
	}
	respond "here"
}
"""


def test_n41_an_own_caddyfile_without_ask_never_asks_a_ca_for_a_foreign_name(
    edge: Edge, module_sandbox: Sandbox, tmp_path
) -> None:
    name, config = "own-file.customer.example", tmp_path / "Caddyfile"
    issue(edge.services, name)
    config.write_text(OWN_CADDYFILE)
    with raw_server(b"") as ca:
        ports = {"web": edge.web_port, "platform": edge.backend_port}
        caddy = started(module_sandbox, **ports, roots=edge.caddy.roots, config=config, CA_PORT=str(ca.port))
        serial = edge.services.store.load(name).domain.certificate.serial
        assert (caddy.serial(name), caddy.serial(name.upper())) == (serial, serial)
        for foreign in ("other.customer.example", f"www.{name}", "www.google.example", "x", "127.0.0.1"):
            assert caddy.refuses(foreign), foreign
        assert caddy.serial(name) == serial
        caddy.part.stop()
        assert ca.heads == []
    log = caddy.part.log.read_text()
    assert ("obtain" in log, EDGE_TOKEN in log.replace(str(config), "")) == (False, False)


@pytest.mark.parametrize("host", ["other.customer.example", "sni.customer.example.example", "x", "127.0.0.1"])
def test_h05_a_host_that_is_not_the_name_of_the_handshake_is_misdirected(edge: Edge, host: str) -> None:
    for name in ("sni.customer.example", "other.customer.example"):
        if edge.services.store.load(name) is None:
            issue(edge.services, name)
    assert edge.caddy.https("sni.customer.example", host=host).status == 421
    assert edge.caddy.https("sni.customer.example", "/.well-known/acme-challenge/dG9rZW4", host=host).status == 421


def challenged(edge: Edge, token: str = "dG9rZW4") -> str:
    edge.services.store.put_token(token, f"{token}.thumbprint", seconds=60)
    return f"/.well-known/acme-challenge/{token}"


def test_d01_a_challenge_is_answered_before_any_redirect(edge: Edge) -> None:
    valid, expired, path = "valid.customer.example", "expired.customer.example", challenged(edge)
    issue(edge.services, valid)
    issue_expired(edge.services, expired)
    for name in (valid, expired, "unknown.customer.example", "127.0.0.1"):
        answer = edge.caddy.http(name, path)
        assert (answer.status, answer.body, answer.headers[HSTS]) == (200, b"dG9rZW4.thumbprint", None), name
    for name in (valid, expired):  # a client that was redirected here does not verify our certificate
        assert edge.caddy.https(name, path).body == b"dG9rZW4.thumbprint"
    assert edge.caddy.http(valid, f"{path}/..").status == 404
    assert edge.caddy.http(valid, "/.well-known/acme-challenge/none").status == 404


def test_d04_each_web_process_has_the_answer(edge: Edge) -> None:
    for number in range(20):
        assert edge.caddy.http("any.customer.example", challenged(edge, f"token-{number}")).status == 200


def issue_expired(services: Services, name: str) -> None:
    services.cas[0].lifetime = dt.timedelta(hours=1)
    issue(services, name, ago=2 * HOUR)
    services.cas[0].lifetime = dt.timedelta(days=90)


def test_what_is_withdrawn_is_refused_within_two_seconds(edge: Edge) -> None:
    name = "withdrawn.customer.example"
    record = issue(edge.services, name)
    edge.caddy.served_within(name, record.domain.certificate.serial)
    began = time.monotonic()
    write(edge.services.store, record.with_domain(certificate=None, renew_at=None, ask_at=None), now=time.time())
    while not edge.caddy.shows_placeholder(name):
        assert time.monotonic() - began < 2
    assert edge.caddy.https(name).status == 421
    answer = edge.caddy.http(name)
    assert (answer.status, edge.backend.came("http", name)) == (200, ["/"])


@pytest.mark.parametrize(
    ("number", "policy", "header"),
    [
        (1, None, "max-age=5184000"),
        (2, Hsts(DAY), f"max-age={DAY}"),
        (3, Hsts(DAY, includes_subdomains=True, is_preload=True), f"max-age={DAY}; includeSubDomains; preload"),
        (4, Hsts(0), None),
        (5, Hsts(0, off_until=4e9), "max-age=0"),
    ],
)
def test_h03_hsts_is_the_domains_own_and_never_sent_over_plain_http(
    edge: Edge, number: int, policy: Hsts | None, header: str | None
) -> None:
    name = f"hsts-{number}.customer.example"
    issue(edge.services, name, change=lambda domain: replace(domain, hsts=policy))
    assert edge.caddy.https(name).headers.get_all(HSTS) == ([header] if header else None)
    assert edge.caddy.http(name).headers[HSTS] is None


def test_h03_an_expired_certificate_has_no_hsts_and_is_not_redirected_to(edge: Edge) -> None:
    name = "ended.customer.example"
    issue_expired(edge.services, name)
    answers = [edge.caddy.https(name), edge.caddy.http(name)]
    assert [(answer.status, answer.headers[HSTS]) for answer in answers] == [(200, None)] * 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_plain_http_is_redirected_where_a_certificate_is_there(edge: Edge, method: str) -> None:
    name = f"redirected-{method.lower()}.customer.example"
    before = edge.caddy.http(name, "/a/b?c=d&e", method=method)
    assert (before.status, before.headers["Location"]) == (200, None)
    issue(edge.services, name)
    after = edge.caddy.http(name, "/a/b?c=d&e", method=method)
    assert (after.status, after.headers["Location"]) == (308, f"https://{name}/a/b?c=d&e")
    assert edge.backend.came("http", name) == ["/a/b?c=d&e"]


def test_by_setting_plain_http_is_not_redirected(
    edge: Edge, module_sandbox: Sandbox, module_serve: Callable[..., None]
) -> None:
    name = "plain.customer.example"
    issue(edge.services, name)
    caddy = started(module_sandbox, web=edge.web_port, platform=edge.backend_port, EDGE_HTTP="plain")
    answer = caddy.http(name)
    assert (answer.status, answer.headers[HSTS]) == (200, None)
    assert caddy.http(name, challenged(edge)).body == b"dG9rZW4.thumbprint"
    caddy.part.stop()


def test_what_fails_at_the_platform_is_not_sent_there_again(edge: Edge, module_sandbox: Sandbox) -> None:
    name = "failing.customer.example"
    with raw_server(b"") as platform:
        caddy = started(module_sandbox, web=edge.web_port, platform=platform.port)
        answer = caddy.http(name, method="POST", body=b"12345")
        caddy.part.stop()
    assert (answer.status, len(platform.heads)) == (502, 1)


@pytest.mark.parametrize("send", ["https", "http"])
@pytest.mark.parametrize("body", [b"", b"x" * 300_000, iter([b"12", b"345"])], ids=["none", "long", "chunked"])
def test_what_the_platform_gets_is_what_was_sent(edge: Edge, send: str, body) -> None:
    name = f"{send}.body.customer.example"
    if send == "https" and edge.services.store.load(name) is None:
        issue(edge.services, name)
    size = len(body) if isinstance(body, bytes) else 5
    body = body if isinstance(body, bytes) else iter([b"12", b"345"])
    answer: Answer = getattr(edge.caddy, send)(name, method="POST", body=body)
    assert (answer.status, answer.body) == (200, f"POST {name} {size}".encode())
