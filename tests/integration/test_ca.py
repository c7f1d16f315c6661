"""The ACME adapter against Pebble, with faults on the wire between."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer.ca import AcmeAuthority
from issuer.ca.transport import MAX_ANSWER_BYTES
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.fakes import FakeClock
from tests.wire import Answer, Fault, Wire, cut

NAME = "track.customer.example"
DAY = 86400
ACME_JSON = {"Content-Type": "application/problem+json"}


def refusing(
    status: int, type_: str, detail: str = "no", headers: dict[str, str] | None = None
) -> Callable[[], Answer]:
    body = json.dumps({"type": f"urn:ietf:params:acme:error:{type_}", "detail": detail}).encode()
    return lambda: (status, ACME_JSON | (headers or {}), body)


def problem_of(call: Callable[[], object]) -> Problem:
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


def test_c06_eight_workers_at_once_make_one_account(new_ca, wire: Wire, real_store: RedisStore) -> None:
    def order(ca: AcmeAuthority) -> str:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                return ca.new_order(NAME).url
            except Problem as problem:
                assert problem.type is ProblemType.BUSY
                time.sleep(0.05)
        raise AssertionError("busy for ever")

    with ThreadPoolExecutor(8) as pool:
        urls = list(pool.map(order, [new_ca() for _ in range(8)]))
    assert len(urls) == 8
    assert wire.count("/sign-me-up") == 1
    assert real_store.ca_account(wire.directory_url).url


@pytest.mark.parametrize(("kept", "is_found"), [({"Location"}, True), (set(), False)])
def test_c06_a_found_account_needs_its_url_alone(new_ca, wire: Wire, real_store: RedisStore, kept, is_found) -> None:
    new_ca().new_order(NAME)
    known = real_store.ca_account(wire.directory_url)
    lost = real_store.keep_ca_account(wire.directory_url, replace(known, url=None), instead_of=known)

    def bare(answer: Answer) -> Answer:
        status, headers, _ = answer
        assert status == 200
        return status, {name: value for name, value in headers.items() if name in kept | {"Replay-Nonce"}}, b"{}"

    wire.add(Fault("/sign-me-up", after=bare))
    if is_found:
        assert new_ca().new_order(NAME).url
    else:
        assert problem_of(lambda: new_ca().new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    assert real_store.ca_account(wire.directory_url) == (known if is_found else lost)


def test_c06_a_new_account_without_a_status_is_none(new_ca, wire: Wire, real_store: RedisStore) -> None:
    wire.add(Fault("/sign-me-up", after=lambda answer: (*answer[:2], b"{}")))
    assert problem_of(lambda: new_ca().new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    assert real_store.ca_account(wire.directory_url).url is None


def test_c06_a_cut_registration_is_found_again(new_ca, wire: Wire, real_store: RedisStore) -> None:
    wire.add(Fault("/sign-me-up", after=cut))
    assert problem_of(lambda: new_ca().new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    key = real_store.ca_account(wire.directory_url).key
    new_ca().new_order(NAME)
    assert real_store.ca_account(wire.directory_url).key == key
    assert wire.count("/sign-me-up") == 2


def test_c06_a_ca_that_forgot_us_gets_the_same_key_again(
    new_ca, wire: Wire, real_store: RedisStore, module_sandbox, dns, http_port
) -> None:
    first, second = new_ca(), new_ca()
    first.new_order(NAME)
    second.new_order(NAME)
    known = real_store.ca_account(wire.directory_url)
    pebble = module_sandbox.pebble(dns.server, http_port)
    fresh = Wire(pebble.directory_url, pebble.bundle)
    wire._upstream, wire._pool = fresh._upstream, fresh._pool
    assert first.new_order(NAME).url
    assert real_store.ca_account(wire.directory_url).key == known.key
    assert second.new_order(NAME).url
    assert wire.count("/sign-me-up") == 2
    fresh.close()


def test_c06_a_deactivated_account_gets_a_new_key_and_an_alarm(new_ca, wire, real_store, clock: FakeClock) -> None:
    ca, other = new_ca(), new_ca()
    ca.new_order(NAME)
    other.new_order(NAME)
    known = real_store.ca_account(wire.directory_url)
    ca._post(known.url, b'{"status": "deactivated"}')
    clock.forward(2 * DAY)
    with capture_logs() as logs:
        assert ca.new_order(NAME).url
    assert [line["log_level"] for line in logs if line["event"] == "CA account deactivated"] == ["error"]
    now = real_store.ca_account(wire.directory_url)
    assert (now.key != known.key, now.url != known.url) == (True, True)
    assert other.new_order(NAME).url
    assert real_store.ca_account(wire.directory_url) == now


def test_c06_never_a_new_account_per_attempt(new_ca, wire, real_store) -> None:
    ca = new_ca()
    ca.new_order(NAME)
    known = real_store.ca_account(wire.directory_url)
    ca._post(known.url, b'{"status": "deactivated"}')
    for _ in range(3):
        assert problem_of(lambda: ca.new_order(NAME)).type is ProblemType.CA_ACCOUNT
    assert real_store.ca_account(wire.directory_url).key == known.key


def test_c06_unauthorized_for_another_reason_leaves_the_account_alone(new_ca, wire, real_store) -> None:
    ca = new_ca()
    ca.new_order(NAME)
    known = real_store.ca_account(wire.directory_url)
    wire.add(Fault("/order-plz", before=refusing(403, "unauthorized", "not today")))
    problem = problem_of(lambda: ca.new_order(NAME))
    assert "not today" in problem.detail
    assert real_store.ca_account(wire.directory_url) == known


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"Retry-After": "7200"}, 7200), ({}, 3600), ({"Retry-After": "soon"}, 3600)]
)
def test_c03_a_rate_limit_says_until_when(new_ca, wire, clock, headers, seconds) -> None:
    wire.add(Fault("/order-plz", before=refusing(429, "rateLimited", "too many", headers)))
    problem = problem_of(lambda: new_ca().new_order(NAME))
    assert problem.type is ProblemType.RATE_LIMITED
    assert problem.retry_at == pytest.approx(clock.now + seconds)


@pytest.mark.parametrize(
    ("status", "type_", "expected"),
    [
        (400, "rejectedIdentifier", ProblemType.CA_REFUSED),
        (403, "userActionRequired", ProblemType.CA_ACCOUNT),
        (500, "serverInternal", ProblemType.CA_UNAVAILABLE),
        (503, "rateLimited", ProblemType.CA_UNAVAILABLE),
        (409, "alreadyReplaced", ProblemType.CA_MISUNDERSTOOD),
        (400, "caa", ProblemType.CAA),
    ],
)
def test_refusals_are_told_apart_by_type(new_ca, wire, status, type_, expected) -> None:
    wire.add(Fault("/order-plz", before=refusing(status, type_, "because")))
    problem = problem_of(lambda: new_ca().new_order(NAME))
    assert problem.type is expected
    assert "because" in problem.detail


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content-Type": "text/html"}, b"<html>maintenance</html>"),
        (200, {"Content-Type": "application/json"}, b"[]"),
        (200, {"Content-Type": "application/json"}, b'{"status": "new age"}'),
        (200, {"Content-Type": "application/json"}, b"\xff\xfe"),
        (200, {"Content-Type": "application/json"}, b"{" + b" " * (MAX_ANSWER_BYTES + 10)),
        (502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>"),
        (302, {"Location": "http://127.0.0.1:1/"}, b""),
        (201, {}, b"{}"),
    ],
)
@pytest.mark.parametrize("path", ["/dir", "/sign-me-up", "/order-plz", "/authZ/", "/my-order/"])
def test_an_answer_that_is_not_acme_is_a_temporary_problem(new_ca, wire, answer, path) -> None:
    ca = new_ca()
    if path in {"/authZ/", "/my-order/"}:
        order = ca.new_order(NAME)
    wire.add(Fault(path, before=lambda: answer))

    def call() -> object:
        if path == "/authZ/":
            return ca.authorization(order.authorization_urls[0], NAME)
        return ca.order(order.url) if path == "/my-order/" else ca.new_order(NAME)

    assert problem_of(call).type is ProblemType.CA_UNAVAILABLE


@pytest.mark.parametrize("path", ["/dir", "/nonce-plz", "/sign-me-up", "/order-plz"])
def test_a_cut_connection_is_a_temporary_problem_without_loss(new_ca, wire, path) -> None:
    ca = new_ca()
    wire.add(Fault(path, before=cut))
    assert problem_of(lambda: ca.new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    assert ca.new_order(NAME).url


def test_a_silent_ca_is_given_up_in_time(new_ca, wire) -> None:
    wire.add(Fault("/dir", before=lambda: time.sleep(4)))
    began = time.monotonic()
    assert problem_of(lambda: new_ca().new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    assert time.monotonic() - began < 3.5


def test_bad_nonces_without_end_are_given_up(new_ca, wire) -> None:
    ca = new_ca()
    wire.add(Fault("/order-plz", times=1000, before=refusing(400, "badNonce")))
    assert problem_of(lambda: ca.new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    assert wire.count("/order-plz") == 20


def test_nonce_of_a_refusal_is_used_for_the_next_try(new_ca, wire) -> None:
    ca = new_ca()
    ca.new_order(NAME)
    before = wire.count("/nonce-plz")
    nonce = refusing(400, "badNonce", headers={"Replay-Nonce": "bm9uY2U"})
    wire.add(Fault("/order-plz", before=nonce))
    ca.new_order(NAME)
    assert wire.count("/nonce-plz") == before
    assert wire.count("/order-plz") >= 3


def test_html_in_place_of_a_certificate_is_no_chain(new_ca, wire) -> None:
    ca = new_ca()
    ca.new_order(NAME)
    wire.add(Fault("/certZ/", before=lambda: (200, {"Content-Type": "text/html"}, "<html>ü".encode())))
    url = f"https://{wire.host}/certZ/1"
    assert problem_of(lambda: ca.chain(url)).type is ProblemType.CA_UNAVAILABLE
