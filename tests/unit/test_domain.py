"""The records' legal moves and the one function that computes the API's status."""

from dataclasses import fields, replace

import pytest

from issuer.domain import (
    CHAIN,
    Certificate,
    Domain,
    Issuance,
    Reason,
    Record,
    Status,
    Step,
    domain_of,
    new_issuance,
    status,
)
from issuer.events import EventType, newest
from issuer.problem import TABLE, Problem, ProblemType
from tests.fakes import NAME, NOW

LEGAL = {
    ("order", "challenge"),
    ("challenge", "finalize"),
    ("finalize", "install"),
    ("install", "done"),
    ("challenge", "order"),
    ("finalize", "order"),
    ("install", "order"),
    ("order", "failed"),
    ("challenge", "failed"),
    ("finalize", "failed"),
    ("install", "failed"),
}
BUSY = Problem(ProblemType.CA_UNAVAILABLE, "away")
LOST = Problem(ProblemType.ORDER_LOST, "gone")
FULL = Issuance(
    id=f"{NAME}/1",
    reason=Reason.MANUAL,
    created_at=NOW,
    step=Step.FINALIZE,
    ca="https://ca.example/d",
    key="encrypted",
    csr="CSR",
    is_charged=True,
    order_url="https://ca.example/order/1",
    finalize_url="https://ca.example/order/1/finalize",
    authorization_urls=("https://ca.example/authz/1",),
    is_answered=True,
    certificate_url="https://ca.example/cert/1",
    tries=3,
    waits=7,
    pauses=2,
    next_try_at=NOW + 12,
    problem=BUSY,
)
OF_THE_ORDER = {"ca", "key", "csr", "order_url", "finalize_url", "authorization_urls", "certificate_url", "is_answered"}
OF_THE_ORDER |= {"is_charged"}
OPEN, CLOSED = list(CHAIN), [Step.DONE, Step.FAILED]


def at(step: Step) -> Issuance:
    return replace(FULL, step=step)


def changed(one: Issuance, other: Issuance) -> set[str]:
    return {field.name for field in fields(one) if getattr(one, field.name) != getattr(other, field.name)}


def certificate(not_after: float) -> Certificate:
    return Certificate("CHAIN", "encrypted", "0f", not_after - 90 * 86400, not_after, "https://ca.example/d")


@pytest.mark.parametrize("to", Step)
@pytest.mark.parametrize("step", Step)
def test_a_step_leads_only_where_the_table_says(step: Step, to: Step) -> None:
    if (step, to) in LEGAL:
        moved = at(step).advance(to)
        assert changed(moved, at(step)) == {"step", "waits", "pauses", "next_try_at", "problem"}
        assert (moved.step, moved.waits, moved.pauses) == (to, 0, 0)
        assert (moved.next_try_at, moved.problem) == (None, None)
        assert moved.tries == 3
    else:
        with pytest.raises(ValueError, match=f"no move from {step} to {to}"):
            at(step).advance(to)


def test_advance_keeps_the_results_of_the_step() -> None:
    assert at(Step.FINALIZE).advance(Step.INSTALL, certificate_url="https://x").certificate_url == "https://x"


@pytest.mark.parametrize("step", Step)
def test_open_is_what_has_work_to_do(step: Step) -> None:
    assert at(step).is_open is (step in {"order", "challenge", "finalize", "install"})


@pytest.mark.parametrize("step", OPEN)
def test_wait_stays_at_the_step_and_counts(step: Step) -> None:
    waiting = at(step).wait(NOW + 3, is_answered=False)
    assert changed(waiting, at(step)) == {"waits", "pauses", "next_try_at", "is_answered"}
    assert (waiting.waits, waiting.pauses, waiting.next_try_at) == (8, 0, NOW + 3)


@pytest.mark.parametrize("step", OPEN)
@pytest.mark.parametrize("type_", [one for one in ProblemType if not TABLE[one].is_permanent])
def test_retry_keeps_the_order_unless_the_problem_cost_it(step: Step, type_: ProblemType) -> None:
    problem = Problem(type_)
    again = at(step).retry(problem, NOW + 60)
    tries, waits, pauses = (4, 0, 0) if TABLE[type_].is_counted else (3, 7, 3)
    assert (again.tries, again.pauses, again.next_try_at, again.problem) == (tries, pauses, NOW + 60, problem)
    assert (again.id, again.reason, again.created_at) == (FULL.id, FULL.reason, FULL.created_at)
    if TABLE[type_].drops_order:
        blank = Issuance(FULL.id, FULL.reason, FULL.created_at)
        assert again == replace(blank, tries=tries, pauses=pauses, next_try_at=NOW + 60, problem=problem)
    else:
        assert again.step is step
        counts = {"tries", "waits", "pauses"} if TABLE[type_].is_counted else {"pauses"}
        assert changed(again, at(step)) == counts | {"next_try_at", "problem", "is_answered"}
        assert again.waits == waits
        assert again.is_answered is False


def test_a_retry_without_an_order_chooses_its_ca_anew() -> None:
    unplaced = replace(at(Step.ORDER), order_url=None, passed_over=("https://other.example/d",))
    again = unplaced.retry(BUSY, NOW + 60)
    assert (again.ca, again.is_charged, again.passed_over, again.key) == (None, False, (), "encrypted")


@pytest.mark.parametrize("step", OPEN)
def test_over_to_another_ca_it_goes_with_its_key_and_without_its_order(step: Step) -> None:
    moved = replace(at(step), passed_over=("https://former.example/d",)).failover(BUSY, NOW)
    assert (moved.step, moved.ca, moved.order_url, moved.authorization_urls) == (Step.ORDER, None, None, ())
    assert moved.is_charged is False
    assert moved.passed_over == ("https://former.example/d", "https://ca.example/d")
    assert (moved.key, moved.csr, moved.tries) == (FULL.key, FULL.csr, FULL.tries)
    assert (moved.next_try_at, moved.problem) == (NOW, BUSY)


@pytest.mark.parametrize("issuance", [*(at(step) for step in CLOSED), replace(FULL, ca=None)])
def test_only_an_open_issuance_with_a_ca_fails_over(issuance: Issuance) -> None:
    with pytest.raises(ValueError, match="no move from"):
        issuance.failover(BUSY, NOW)


def test_the_timeline_keeps_its_last_lines_and_no_endless_text() -> None:
    record = Record(Domain(NAME, "platform", NOW), FULL)
    for number in range(80):
        record = record.with_event(NOW + number, EventType.NOTE, {"text": f"{number} " + "x" * 1000})
        record = replace(record, timeline=newest((*record.timeline, *record.pending)), pending=())
    assert [event.at for event in record.timeline] == [NOW + number for number in range(30, 80)]
    assert [event.id for event in record.timeline] == list(range(31, 81))
    assert all(len(event.text) == 300 for event in record.timeline)


def test_failures_refusals_and_withdrawals_leave_the_timeline_last() -> None:
    record = Record(Domain(NAME, "platform", NOW), FULL)
    kept = [EventType.CA_REFUSED, EventType.ISSUANCE_FAILED, EventType.DOMAIN_WITHDRAWN]
    for type_ in kept + [EventType.ISSUANCE_STEP_DONE] * 100:
        record = record.with_event(NOW, type_)
    timeline = newest(record.pending)
    assert [event.type for event in timeline] == kept + [EventType.ISSUANCE_STEP_DONE] * 47


def test_the_newest_events_stay_whatever_the_others_are() -> None:
    record = Record(Domain(NAME, "platform", NOW), FULL)
    for _ in range(100):
        record = record.with_event(NOW, EventType.ISSUANCE_RETRY_PLANNED)
        record = replace(record, timeline=newest((*record.timeline, *record.pending)), pending=())
    record = record.with_event(NOW, EventType.DOMAIN_RETURNED).with_event(NOW, EventType.ISSUANCE_SUCCEEDED)
    timeline = newest((*record.timeline, *record.pending))
    assert [event.type for event in timeline[-2:]] == [EventType.DOMAIN_RETURNED, EventType.ISSUANCE_SUCCEEDED]
    assert [event.id for event in timeline] == list(range(53, 103))


def test_c01_a_retry_that_needs_a_new_order_has_no_old_key() -> None:
    again = at(Step.INSTALL).retry(Problem(ProblemType.BAD_CERTIFICATE), NOW)
    assert changed(again, FULL) >= OF_THE_ORDER
    assert (again.step, again.key, again.csr) == (Step.ORDER, None, None)


@pytest.mark.parametrize("problem", [BUSY, LOST])
@pytest.mark.parametrize("step", CLOSED)
def test_a_closed_issuance_is_not_tried_again(step: Step, problem: Problem) -> None:
    with pytest.raises(ValueError, match="no move from"):
        at(step).retry(problem, NOW)


@pytest.mark.parametrize("step", OPEN)
def test_fail_ends_it_and_forgets_the_key(step: Step) -> None:
    failed = at(step).fail(LOST)
    assert changed(failed, at(step)) == {"step", "tries", "next_try_at", "problem", "key", "csr", "is_charged"}
    assert (failed.step, failed.tries, failed.problem, failed.is_open) == (Step.FAILED, 4, LOST, False)
    assert (failed.key, failed.csr, failed.next_try_at) == (None, None, None)


@pytest.mark.parametrize("step", CLOSED)
def test_a_closed_issuance_does_not_fail(step: Step) -> None:
    with pytest.raises(ValueError, match="no move from"):
        at(step).fail(LOST)


@pytest.mark.parametrize("step", OPEN)
def test_wake_makes_it_due_now_and_keeps_all_it_has(step: Step) -> None:
    waiting = replace(at(step), reason=Reason.RENEWAL)
    woken = waiting.wake(NOW + 1, Reason.MANUAL)
    assert changed(woken, waiting) == {"tries", "waits", "pauses", "next_try_at", "reason"}
    assert (woken.tries, woken.waits, woken.pauses, woken.next_try_at) == (0, 0, 0, NOW + 1)


def test_f01_install_puts_certificate_and_done_into_one_value() -> None:
    old, new = certificate(NOW + 9), certificate(NOW + 99)
    record = Record(
        Domain(NAME, "platform", NOW, old), at(Step.INSTALL), version=4, lease_until=NOW, attempts_started=1
    )
    installed = record.install(new)
    assert installed.domain == replace(record.domain, certificate=new)
    assert (installed.version, installed.lease_until, installed.attempts_started) == (4, NOW, 1)
    assert (installed.issuance.step, installed.issuance.key, installed.issuance.csr) == (Step.DONE, None, None)
    assert record.domain.certificate is old


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.INSTALL])
def test_only_the_last_step_installs(step: Step) -> None:
    with pytest.raises(ValueError, match="no move from"):
        Record(Domain(NAME, "platform", NOW), at(step)).install(certificate(NOW + 9))


@pytest.mark.parametrize(
    ("attempts_started", "next_try_at", "is_first"),
    [(0, None, True), (1, None, True), (2, None, False), (1, NOW, False), (5, NOW, False)],
)
def test_e03_only_a_run_that_was_not_started_before_is_the_first(
    attempts_started: int, next_try_at: float | None, *, is_first: bool
) -> None:
    issuance = replace(FULL, next_try_at=next_try_at)
    assert Record(Domain(NAME, "platform", NOW), issuance, attempts_started=attempts_started).is_first_run is is_first


@pytest.mark.parametrize("name", [NAME, "xn--mnchen-3ya.example", "a.b.c.d.example"])
def test_an_issuance_id_leads_to_its_domain(name: str) -> None:
    issuances = [new_issuance(name, Reason.FIRST, NOW) for _ in range(100)]
    assert {domain_of(one.id) for one in issuances} == {name}
    assert len({one.id for one in issuances}) == 100
    assert issuances[0] == Issuance(issuances[0].id, Reason.FIRST, NOW)
    assert (issuances[0].step, issuances[0].is_open) == (Step.ORDER, True)


@pytest.mark.parametrize("message", ["", "no-slash", "/", "/x", "a/b/c"])
def test_an_id_that_is_none_leads_to_no_fault(message: str) -> None:
    assert domain_of(message) == message.rpartition("/")[0]


@pytest.mark.parametrize(
    ("seconds", "is_valid"), [(-1, True), (0, True), (0.5, True), (0.999, True), (1, False), (2, False)]
)
def test_not_after_is_inclusive(seconds: float, *, is_valid: bool) -> None:
    assert certificate(NOW).is_valid(NOW + seconds) is is_valid


NEVER, VALID, LAST_SECOND, EXPIRED = None, 86400, -0.5, -1
AT_ONCE, SOON, FAR = None, 120, 120.1
FREE, LEASED, JUST_OVER = 0, 0.1, -0.0001


def record(step: Step, due: float | None = AT_ONCE, lease: float = FREE, not_after: float | None = NEVER) -> Record:
    """due, lease and not_after in seconds from NOW."""
    held = None if not_after is None else certificate(NOW + not_after)
    issuance = Issuance(f"{NAME}/1", Reason.FIRST, NOW, step, next_try_at=None if due is None else NOW + due)
    return Record(Domain(NAME, "platform", NOW, held), issuance, lease_until=NOW + lease if lease else 0)


@pytest.mark.parametrize("not_after", [NEVER, VALID, LAST_SECOND, EXPIRED])
@pytest.mark.parametrize("step", OPEN)
@pytest.mark.parametrize(
    ("due", "lease"), [(AT_ONCE, FREE), (-999, FREE), (0, FREE), (SOON, FREE), (AT_ONCE, LEASED), (AT_ONCE, JUST_OVER)]
)
def test_leased_or_due_within_two_minutes_is_processing(
    step: Step, due: float | None, lease: float, not_after: float | None
) -> None:
    word = Status.EXPIRED if not_after == EXPIRED else Status.PROCESSING
    assert status(record(step, due, lease, not_after), NOW) is word


@pytest.mark.parametrize(
    ("not_after", "word"),
    [(NEVER, Status.ERROR), (VALID, Status.ERROR), (LAST_SECOND, Status.ERROR), (EXPIRED, Status.EXPIRED)],
)
@pytest.mark.parametrize("lease", [FREE, LEASED, JUST_OVER])
@pytest.mark.parametrize("step", OPEN)
def test_between_attempts_that_are_further_off_it_is_not_processing(
    step: Step, lease: float, not_after: float | None, word: Status
) -> None:
    assert status(record(step, FAR, lease, not_after), NOW) is word


@pytest.mark.parametrize(
    ("step", "not_after", "word"),
    [
        (Step.DONE, VALID, Status.ACTIVE),
        (Step.DONE, 0, Status.ACTIVE),
        (Step.DONE, LAST_SECOND, Status.ACTIVE),
        (Step.DONE, EXPIRED, Status.EXPIRED),
        (Step.FAILED, NEVER, Status.ERROR),
        (Step.FAILED, VALID, Status.ERROR),
        (Step.FAILED, LAST_SECOND, Status.ERROR),
        (Step.FAILED, EXPIRED, Status.EXPIRED),
    ],
)
@pytest.mark.parametrize("lease", [FREE, LEASED])
@pytest.mark.parametrize("due", [AT_ONCE, SOON, FAR])
def test_closed_it_is_active_expired_or_error(
    step: Step, due: float | None, lease: float, not_after: float | None, word: Status
) -> None:
    assert status(record(step, due, lease, not_after), NOW) is word


@pytest.mark.parametrize("step", [Step.DONE, Step.FAILED])
def test_the_word_changes_with_the_clock_alone(step: Step) -> None:
    held = record(step, not_after=10)
    words = [status(held, NOW + seconds) for seconds in (0, 10, 10.9, 11, 12)]
    before = Status.ACTIVE if step is Step.DONE else Status.ERROR
    assert words == [before, before, before, Status.EXPIRED, Status.EXPIRED]
