"""The ACME adapter against Pebble, with faults on the wire between."""

import time

import pytest

from issuer.ca.transport import BAD_NONCE_TRIES, MAX_ANSWER_BYTES
from issuer.problem import ProblemType
from tests.integration.answers import NAME, problem_of, refusing
from tests.wire import Fault, cut


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
        (403, "userActionRequired", ProblemType.CA_SETTINGS),
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


BAD_GATEWAY = 502


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
    wire.add(Fault(path, times=2, before=lambda: answer))  # a POST with such a 502 is sent once more

    def call() -> object:
        if path == "/authZ/":
            return ca.authorization(order.authorization_urls[0], NAME)
        return ca.order(order.url) if path == "/my-order/" else ca.new_order(NAME)

    problem = problem_of(call)
    is_setting = path == "/dir" and answer[0] != BAD_GATEWAY and len(answer[2]) < MAX_ANSWER_BYTES
    assert problem.type is (ProblemType.CA_SETTINGS if is_setting else ProblemType.CA_UNAVAILABLE)
    assert not problem.is_permanent


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
    assert wire.count("/order-plz") == BAD_NONCE_TRIES


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
