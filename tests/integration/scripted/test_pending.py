"""What a CA says while it is not done: it is shown at once, and asked for again before long (N01, N02)."""

import datetime as dt
import json
from email.utils import formatdate
from itertools import pairwise

import pytest

from issuer.domain import Step
from issuer.ports import Services
from issuer.problem import Actor, ProblemType
from tests.fakes import NAME, FakeClock
from tests.real import opened
from tests.scripted import ScriptedCa
from tests.scripted.answers import Refused, problem
from tests.time_travel import DAY, HOUR, is_active, lived, shown
from tests.wire import FOR_GOOD, Answer, Fault

MINUTE = 60
TWO_MINUTES = 2 * MINUTE


def times_of(ca: ScriptedCa, clock: FakeClock, path: str) -> list[float]:
    """The times of the requests to a path."""
    times: list[float] = []
    ca.add(Fault(path, FOR_GOOD, before=lambda: times.append(clock())))
    return times


def tomorrow(clock: FakeClock) -> str:
    return formatdate(clock() + DAY, usegmt=True)


@pytest.mark.parametrize("asked_for", ["86400", "tomorrow", "9999999999", "300"])
def test_n01_a_pending_challenge_is_looked_at_within_minutes_whatever_the_ca_asks_for(
    services: Services, ca: ScriptedCa, clock: FakeClock, asked_for: str
) -> None:
    ca.may_validate.clear()
    ca.retry_after = tomorrow(clock) if asked_for == "tomorrow" else asked_for
    looks = times_of(ca, clock, "/authorization/")
    opened(services, NAME)
    lived(services, 20 * MINUTE)
    pauses = [late - early for early, late in pairwise(looks)]
    assert pauses[0] < 1  # after the answer
    assert pauses[1] == pytest.approx(10, abs=0.1)
    assert max(pauses) <= TWO_MINUTES
    body = shown(services)
    assert (body["status"], body["code"], body["must_act"]) == ("processing", "ca-slow", Actor.NOBODY)
    assert "asks to wait until" in body["message"]
    at = dt.datetime.fromisoformat(body["next_attempt_at"]).timestamp()
    assert clock() <= at + 1 <= clock() + TWO_MINUTES + 1
    assert [event.type for event in services.store.load(NAME).timeline].count("issuance.waiting") == 1
    ca.authorizations.go_on()
    assert is_active(services, lived(services, 5 * MINUTE))
    assert (len(ca.orders.made), ca.count("/challenge/")) == (1, 1)


@pytest.mark.parametrize("asked_for", ["86400", "tomorrow", "3000000"])
def test_n01_a_processing_order_is_looked_at_within_minutes_too(
    services: Services, ca: ScriptedCa, clock: FakeClock, asked_for: str
) -> None:
    ca.looks_until_ready, ca.looks_until_valid = 2, 3
    opened(services, NAME)
    lived(services, until=Step.FINALIZE)
    ca.retry_after = tomorrow(clock) if asked_for == "tomorrow" else asked_for
    assert is_active(services, lived(services, 15 * MINUTE))
    assert (len(ca.orders.made), len(ca.certificates.log)) == (1, 1)


@pytest.mark.parametrize("asked_for", ["86400", "tomorrow", "100"])
def test_n01_what_was_said_before_the_answer_delays_nothing(
    services: Services, ca: ScriptedCa, clock: FakeClock, asked_for: str
) -> None:
    header = {"Retry-After": tomorrow(clock) if asked_for == "tomorrow" else asked_for}
    ca.add(Fault("/authorization/", after=lambda answer: (answer[0], answer[1] | header, answer[2])))
    opened(services, NAME)
    assert is_active(services, lived(services, 10))


@pytest.mark.parametrize(
    ("path", "code", "type_"),
    [
        ("/authorization/", 429, "rateLimited"),
        ("/authorization/", 503, "serverInternal"),
        ("/finalize/", 503, "rateLimited"),
        ("/newOrder", 429, "rateLimited"),
    ],
)
def test_n01_a_limits_own_retry_after_is_honoured(
    services: Services, ca: ScriptedCa, clock: FakeClock, path: str, code: int, type_: str
) -> None:
    refused = Refused(code, type_, "slow down", {"Retry-After": "1500"})
    ca.add(Fault(path, before=lambda: refused.answer))
    times = times_of(ca, clock, path)
    began_at = clock()
    opened(services, NAME)
    assert is_active(services, lived(services))
    assert times[0] >= began_at + 1500


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("pending", "connection"),
        ("pending", "serverInternal"),
        ("pending", "fromTheFuture"),
        ("processing", "unauthorized"),
        ("processing", "dns"),
    ],
)
def test_n02_an_error_of_a_pending_challenge_is_told_at_once_and_it_is_answered_again(
    services: Services, ca: ScriptedCa, state: str, error: str
) -> None:
    ca.soft_failure, ca.authorization_error = state, problem(error, "Connection refused")
    opened(services, NAME)
    lived(services, 5)
    body = shown(services)
    assert body["status"] == "processing"
    assert f"Connection refused ({error})" in body["message"]
    codes = {"serverInternal": "order-lost", "dns": "validation-failed"}
    assert body["code"] == codes.get(error, "ca-cannot-connect"), "the name leads to us"
    waiting = [event for event in services.store.load(NAME).timeline if event.type == "issuance.waiting"]
    assert ["Connection refused" in event.text for event in waiting] == [True]
    ca.authorization_error = None
    record = lived(services, 4 * MINUTE)
    assert is_active(services, record)
    assert (record.issuance.tries, len(ca.orders.made), ca.count("/challenge/")) == (0, 1, 2)


@pytest.mark.parametrize(
    ("state", "error", "code"),
    [
        ("pending", "connection", "ca-cannot-connect"),
        ("pending", "caa", "caa"),
        ("processing", "dns", "validation-failed"),
        ("invalid", "caa", "caa"),
    ],
)
def test_n02_an_order_whose_challenge_only_fails_is_given_up_within_the_hour(
    services: Services, ca: ScriptedCa, state: str, error: str, code: str
) -> None:
    ca.soft_failure, ca.authorization_error = state, problem(error, "as always")
    opened(services, NAME)
    record = lived(services, HOUR - 30)
    given_up = [event for event in record.timeline if event.type == "issuance.retry_planned"]
    assert given_up[0].code == code
    assert "as always" in given_up[0].text
    assert ca.count("/challenge/") <= 45
    ca.authorization_error = None
    assert is_active(services, lived(services, DAY))
    assert len(ca.orders.made) >= 2


def test_n02_an_invalid_challenge_in_a_pending_authorization_costs_the_order_at_once(
    services: Services, ca: ScriptedCa
) -> None:
    ca.soft_failure, ca.authorization_error = "invalid", problem("connection", "no route to host")
    opened(services, NAME)
    record = lived(services, 10)
    assert (record.issuance.step, record.issuance.problem.type) == (Step.ORDER, ProblemType.CA_CANNOT_CONNECT)
    assert "no route to host" in shown(services)["message"]


def with_error_above(answer: Answer) -> Answer:
    """An authorization that has the error itself."""
    code, headers, body = answer
    return code, headers, json.dumps(json.loads(body) | {"error": problem("dns", "SERVFAIL for A")}).encode()


def test_n02_an_error_of_the_authorization_itself_is_told(services: Services, ca: ScriptedCa) -> None:
    ca.takes_answers = False
    ca.add(Fault("/authorization/", FOR_GOOD, after=with_error_above))
    opened(services, NAME)
    lived(services, 5)
    assert "SERVFAIL for A (dns)" in shown(services)["message"]


@pytest.mark.parametrize(
    ("note", "code"),
    [
        (problem("serverInternal", "the HSM is busy"), "order-lost"),
        (problem("caa", "CAA forbids"), "caa"),
        ({"detail": "only words"}, "order-lost"),
    ],
)
@pytest.mark.parametrize("is_ended", [True, False])
def test_n02_an_error_of_an_order_that_goes_on_is_told(
    services: Services, ca: ScriptedCa, note: dict[str, str], code: str, *, is_ended: bool
) -> None:
    ca.looks_until_valid, ca.order_note = 10**6, note
    opened(services, NAME)
    lived(services, 10)
    body = shown(services)
    assert (body["status"], body["code"]) == ("processing", code)
    assert note["detail"] in body["message"]
    assert len(ca.certificates.log) == 1
    if is_ended:
        ca.orders.made["1"].until_valid = 0
        assert is_active(services, lived(services, 3 * MINUTE))
        assert len(ca.orders.made) == 1
    else:
        record = lived(services, HOUR)
        assert note["detail"] in str(record.issuance.problem)
        assert any(event.type == "issuance.retry_planned" for event in record.timeline)


@pytest.mark.parametrize("error", [problem("caa", "CAA forbids"), problem("serverInternal", "gone"), {}])
def test_n02_an_order_that_fails_while_its_authorization_is_pending_is_seen(
    services: Services, ca: ScriptedCa, error: dict[str, str]
) -> None:
    ca.takes_answers = False
    opened(services, NAME)
    lived(services, 5)
    order = ca.orders.made["1"]
    order.is_finalized = order.is_failed = True
    ca.order_error, ca.takes_answers = error, True
    record = lived(services, 110)
    assert (record.issuance.step, record.issuance.tries) == (Step.ORDER, 1)
    assert error.get("detail", "the CA gave no reason") in str(record.issuance.problem)


@pytest.mark.parametrize(
    ("error", "code"),
    [(problem("caa", "CAA forbids"), "caa"), (problem("dns", "SERVFAIL"), "validation-failed"), ({}, "order-lost")],
)
def test_n02_a_new_order_that_is_invalid_at_once_is_told(
    services: Services, ca: ScriptedCa, error: dict[str, str], code: str
) -> None:
    def invalid(answer: Answer) -> Answer:
        document = json.loads(answer[2]) | {"status": "invalid", "error": error}
        return answer[0], answer[1], json.dumps(document).encode()

    ca.add(Fault("/newOrder", after=invalid))
    opened(services, NAME)
    record = lived(services, 10)
    assert (record.issuance.step, record.issuance.problem.type.value, ca.count("/challenge/")) == (Step.ORDER, code, 0)
    assert error.get("detail", "the CA gave no reason") in str(record.issuance.problem)
    assert is_active(services, lived(services))


@pytest.mark.parametrize("word", ["expired", "deactivated", "revoked", "canceled"])
@pytest.mark.parametrize("path", ["/order/", "/finalize/"])
def test_n02_an_order_that_has_ended_by_another_word_is_placed_again(
    services: Services, ca: ScriptedCa, path: str, word: str
) -> None:
    def ended(answer: Answer) -> Answer:
        return answer[0], answer[1], json.dumps(json.loads(answer[2]) | {"status": word}).encode()

    ca.looks_until_valid = 1
    ca.add(Fault(path, after=ended))
    opened(services, NAME)
    record = lived(services, 10)
    assert (record.issuance.step, record.issuance.problem.type) == (Step.ORDER, ProblemType.ORDER_LOST)
    assert f"could not complete the order: the order is {word}" in str(record.issuance.problem)
    assert is_active(services, lived(services))
    assert len(ca.orders.made) == 2


@pytest.mark.parametrize("refused", [Refused(400, "malformed", "not pending"), Refused(409, "conflict", "busy")])
def test_n02_an_answer_that_is_refused_does_not_hide_what_has_failed(
    services: Services, ca: ScriptedCa, refused: Refused
) -> None:
    ca.soft_failure, ca.authorization_error = "processing", problem("connection", "no route to host")
    opened(services, NAME)
    lived(services, 5)
    ca.add(Fault("/challenge/", FOR_GOOD, before=lambda: refused.answer))
    lived(services, 10 * MINUTE)
    body = shown(services)
    assert (body["code"], body["must_act"]) == ("ca-cannot-connect", "platform")
    assert "no route to host" in body["message"]
