"""Challenges that the CA has not been told about, or is validating unseen: they are answered again (N03, N05)."""

import json
from collections.abc import Callable

import pytest

from issuer.domain import Step
from issuer.ports import Services
from issuer.problem import ProblemType
from tests.fakes import NAME
from tests.real import opened
from tests.scripted import ScriptedCa
from tests.scripted.answers import Refused
from tests.time_travel import DAY, HOUR, is_active, lived, shown
from tests.wire import FOR_GOOD, Answer, Fault, cut

MINUTE = 60
PAGE = (200, {"Content-Type": "text/html"}, b"<html>Sign in</html>")


def with_body(body: bytes, code: int = 200, content_type: str = "application/json") -> Callable[[], Answer]:
    return lambda: (code, {"Content-Type": content_type}, body)


@pytest.mark.parametrize(
    ("answer", "times"),
    [
        (lambda: PAGE, 1),
        (lambda: PAGE, 3),
        (with_body(b"{}"), 1),
        (with_body(b'{"status": "ok"}', 202), 1),
        (with_body(b'{"type": "urn:ietf:params:acme:error:serverInternal", "detail": "try again"}'), 1),
    ],
)
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


def test_n03_after_an_outage_the_ca_has_its_time_again(services: Services, ca: ScriptedCa) -> None:
    ca.hides_processing = True
    ca.may_validate.clear()
    opened(services, NAME)
    lived(services, 30)
    away = ca.add(Fault("/", FOR_GOOD, before=cut))
    assert lived(services, 3 * HOUR).issuance.problem.type is ProblemType.CA_RESTS
    away.times = 0
    answers = ca.count("/challenge/")
    record = lived(services, 25 * MINUTE)
    assert ca.count("/challenge/") >= answers + 3
    assert (record.issuance.step, len(ca.orders.made)) == (Step.CHALLENGE, 1)
    ca.authorizations.go_on()
    assert is_active(services, lived(services, 3 * MINUTE))
    assert len(ca.orders.made) == 1


def test_n03_a_challenge_that_is_being_validated_is_not_answered_again(services: Services, ca: ScriptedCa) -> None:
    ca.may_validate.clear()
    opened(services, NAME)
    lived(services, 5 * HOUR)
    assert (ca.count("/challenge/"), len(ca.orders.made)) == (1, 1)
    ca.authorizations.go_on()
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
    ca.authorizations.go_on()
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
    ca.authorizations.go_on()
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
