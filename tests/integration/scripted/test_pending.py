"""What a CA says while it is not done: it is shown at once, and asked for again before long (N01, N02, N03, N05)."""

import datetime as dt
import json
from collections.abc import Callable
from email.utils import formatdate
from itertools import pairwise

import pytest

from issuer.domain import Record, Status, Step, status
from issuer.ports import Services
from issuer.problem import Actor, ProblemType
from tests.fakes import NAME, FakeClock
from tests.real import opened
from tests.scripted import ScriptedCa
from tests.scripted.answers import Refused, problem
from tests.time_travel import DAY, HOUR, lived, shown
from tests.wire import FOR_GOOD, Answer, Fault, cut

MINUTE = 60
TWO_MINUTES = 2 * MINUTE
PAGE = (200, {"Content-Type": "text/html"}, b"<html>Sign in</html>")


def is_active(services: Services, record: Record) -> bool:
    return status(record, services.clock()) is Status.ACTIVE


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
    ca.may_validate.set()
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


@pytest.mark.parametrize("path", ["/authorization/", "/finalize/", "/newOrder"])
@pytest.mark.parametrize(("code", "type_"), [(429, "rateLimited"), (503, "serverInternal"), (503, "rateLimited")])
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


@pytest.mark.parametrize("error", ["connection", "unauthorized", "dns", "serverInternal", "fromTheFuture"])
@pytest.mark.parametrize("state", ["pending", "processing"])
def test_n02_an_error_of_a_pending_challenge_is_told_at_once_and_it_is_answered_again(
    services: Services, ca: ScriptedCa, state: str, error: str
) -> None:
    ca.soft_failure, ca.authorization_error = state, problem(error, "Connection refused")
    opened(services, NAME)
    lived(services, 5)
    body = shown(services)
    assert body["status"] == "processing"
    assert f"Connection refused ({error})" in body["message"]
    assert body["code"] == ("order-lost" if error == "serverInternal" else "validation-failed")
    waiting = [event for event in services.store.load(NAME).timeline if event.type == "issuance.waiting"]
    assert ["Connection refused" in event.text for event in waiting] == [True]
    ca.authorization_error = None
    record = lived(services, 4 * MINUTE)
    assert is_active(services, record)
    assert (record.issuance.tries, len(ca.orders.made), ca.count("/challenge/")) == (0, 1, 2)


@pytest.mark.parametrize("state", ["pending", "processing", "invalid"])
@pytest.mark.parametrize(("error", "code"), [("connection", "validation-failed"), ("caa", "caa")])
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
    assert (record.issuance.step, record.issuance.problem.type) == (Step.ORDER, ProblemType.VALIDATION_FAILED)
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


def with_body(body: bytes, code: int = 200, content_type: str = "application/json") -> Callable[[], Answer]:
    return lambda: (code, {"Content-Type": content_type}, body)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: PAGE,
        with_body(b"{}"),
        with_body(b"[]"),
        with_body(b'{"status": "ok"}', 202),
        with_body(b'{"type": "urn:ietf:params:acme:error:serverInternal", "detail": "try again"}'),
        with_body(b'"pending"'),
        with_body(b"\xff\xfe{"),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_n03_what_is_no_challenge_is_no_delivery(services: Services, ca: ScriptedCa, answer, times: int) -> None:
    ca.add(Fault("/challenge/", times, before=answer))
    opened(services, NAME)
    lived(services, 5)
    body = shown(services)
    assert (body["status"], body["code"]) == ("processing", "ca-unavailable")
    assert "its answer to a challenge" in body["message"]
    record = lived(services, (2 * times + 2) * MINUTE)
    assert is_active(services, record)
    assert (record.issuance.tries, len(ca.orders.made), ca.count("/challenge/")) == (0, 1, times + 1)


def changed(**members: object) -> Callable[[Answer], Answer]:
    return lambda answer: (answer[0], {}, json.dumps(json.loads(answer[2]) | members).encode())


@pytest.mark.parametrize(
    "change",
    [
        changed(),  # no Link
        changed(url="https://ca.example/another"),
        changed(status="valid"),
        lambda _: (204, {}, b""),
        lambda _: (200, {}, b" \n"),
        lambda answer: (202, *answer[1:]),
    ],
)
def test_n03_what_may_be_a_cas_is_a_delivery(services: Services, ca: ScriptedCa, change) -> None:
    ca.add(Fault("/challenge/", after=change))
    opened(services, NAME)
    assert is_active(services, lived(services, 20))
    assert ca.count("/challenge/") == 1
    assert "issuance.waiting" not in {event.type for event in services.store.load(NAME).timeline}


@pytest.mark.parametrize("swallow", ["page", "challenge"])
def test_n03_a_ca_that_never_begins_is_told_again_and_then_given_up(
    services: Services, ca: ScriptedCa, swallow: str
) -> None:
    ca.takes_answers = False
    if swallow == "page":
        ca.add(Fault("/challenge/", FOR_GOOD, before=lambda: PAGE))
    opened(services, NAME)
    lived(services, 3 * MINUTE)
    expected = "its answer to a challenge" if swallow == "page" else "has not begun to validate"
    assert expected in shown(services)["message"]
    record = lived(services, HOUR - 3 * MINUTE)
    given_up = [event for event in record.timeline if event.type == "issuance.retry_planned"]
    assert "the CA has not begun to validate the domain" in given_up[0].text
    assert len(ca.orders.made) == 2
    ca.takes_answers, ca.faults = True, []
    assert is_active(services, lived(services, HOUR))


def test_n03_a_challenge_that_is_being_validated_is_not_answered_again(services: Services, ca: ScriptedCa) -> None:
    ca.may_validate.clear()
    opened(services, NAME)
    lived(services, 5 * HOUR)
    assert (ca.count("/challenge/"), len(ca.orders.made)) == (1, 1)
    ca.may_validate.set()
    assert is_active(services, lived(services, 21 * MINUTE))


def test_n05_a_challenge_that_is_being_validated_unseen_is_in_conflict_with_a_second_answer(
    services: Services, ca: ScriptedCa
) -> None:
    ca.hides_processing = True
    ca.may_validate.clear()
    opened(services, NAME)
    record = lived(services, 6 * MINUTE)
    assert ca.count("/challenge/") >= 3
    assert (record.issuance.step, record.issuance.tries) == (Step.CHALLENGE, 0)
    ca.may_validate.set()
    assert is_active(services, lived(services, 2 * MINUTE))
    assert len(ca.orders.made) == 1


@pytest.mark.parametrize(
    "refused",
    [
        Refused(409, "conflict", "being validated").answer,
        Refused(400, "conflict", "being validated").answer,
        Refused(409, "malformed", "not pending").answer,
        Refused(400, "malformed", "not pending").answer,
        Refused(409, "fromTheFuture", "later").answer,
        (409, {"Content-Type": "text/html"}, b"<html>Conflict</html>"),
        Refused(403, "connection", "validated at once").answer,
    ],
    ids=lambda answer: f"{answer[0]} {answer[2][:60]!r}",
)
def test_n05_after_an_answer_that_was_cut_off_the_second_is_no_failure(
    services: Services, ca: ScriptedCa, refused: Answer
) -> None:
    """The CA has taken the first answer, shows its challenge as pending, and refuses the second answer."""
    ca.hides_processing = True
    ca.may_validate.clear()
    ca.add(Fault("/challenge/", after=cut))
    ca.add(Fault("/challenge/", before=lambda: refused))
    opened(services, NAME)
    record = lived(services, 90)
    assert (ca.count("/challenge/"), record.issuance.tries, record.issuance.step) == (2, 1, Step.CHALLENGE)
    ca.may_validate.set()
    record = lived(services, 2 * MINUTE)
    assert is_active(services, record)
    assert (record.issuance.tries, len(ca.orders.made)) == (1, 1)


@pytest.mark.parametrize("code", [429, 500, 503])
def test_n05_a_ca_that_is_down_has_not_taken_the_answer(services: Services, ca: ScriptedCa, code: int) -> None:
    refused = Refused(code, "conflict", "not now", {"Retry-After": "300"})
    ca.add(Fault("/challenge/", 2, before=lambda: refused.answer))
    opened(services, NAME)
    record = lived(services, 10)
    assert record.issuance.problem.type in {ProblemType.RATE_LIMITED, ProblemType.CA_UNAVAILABLE}
    assert is_active(services, lived(services, DAY))
