"""The Celery skin over the steps: lease, load, look again, step, save. The one retry policy is here.

A message says only which issuance to look at. It may come twice, at once, late or never; what is true is in the
record. A chain goes on to its next task only when this one's step was done here and now; otherwise it ends, and
either a short retry or `reconcile` brings the issuance back.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

import structlog
from celery import Celery, Task
from celery.exceptions import Ignore, SoftTimeLimitExceeded

from issuer import choice, renewal, steps
from issuer.domain import ASSUMED_LOST_SECONDS, Issuance, Record, Step, domain_of
from issuer.ports import Conflict, Services
from issuer.problem import Problem, ProblemType

STEPS: dict[Step, Callable[[Services, Record], Record]] = {
    Step.ORDER: steps.order,
    Step.CHALLENGE: steps.challenge,
    Step.FINALIZE: steps.finalize,
    Step.INSTALL: steps.install,
}
SOON_SECONDS = 60
"""The longest wait that is left to the queue; a longer one is left to the record and `reconcile`."""
LONGEST_OF_TEN_SECONDS = 7200
LONGEST_OF_TWO_SECONDS = 600
MAX_TRIES = 10
"""Of an issuance for a name without a certificate; one that has had one is never given up."""
MAX_BEGUN = 5
"""A step that was begun this often and never ended kills its worker: it is not begun again."""

log = structlog.get_logger(__name__)


class Onward(StrEnum):
    """What the queue is to do after an attempt."""

    NEXT = "next"
    AGAIN = "again"
    LEAVE = "leave"


def register(app: Celery, services: Callable[[], Services]) -> None:
    """Make a task of every step, named like it."""
    for step in STEPS:
        app.task(_body(step, services), name=step.value, bind=True, shared=False, max_retries=None)


def _body(step: Step, services: Callable[[], Services]) -> Callable[[Task, str], None]:
    def body(task: Task, issuance_id: str) -> None:
        # Bound and not unbound: Celery tells of a crash only after this body has been left.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(domain=domain_of(issuance_id), issuance=issuance_id, step=step.value)
        onward, seconds = attempt(services(), step, issuance_id)
        if onward is Onward.AGAIN:
            raise task.retry(countdown=seconds)
        if onward is Onward.LEAVE:
            raise Ignore

    return body


def attempt(services: Services, step: Step, issuance_id: str) -> tuple[Onward, float]:
    """Run a step of an issuance if it is due and nobody else is at it; say how to go on, and in how many seconds."""
    now = services.clock()
    try:
        record = services.store.take(issuance_id, now=now, until=now + services.lease_seconds)
        if record is None:
            log.info("left: stale, closed, or in other hands")
            return Onward.LEAVE, 0
        is_due = record.issuance.step is step and (record.issuance.next_try_at or 0) <= now
        onward: tuple[Onward, float] = Onward.LEAVE, 0
        if is_due:
            record = renewal.planned(replace(_run(services, record), begun=0), services.clock())
            onward = _onward(step, record.issuance, services.clock())
        else:
            record = replace(record, begun=record.begun - 1)
        is_queued = onward[0] is not Onward.LEAVE or not is_due
        look_again_at = _look_again_at(record.issuance, services.clock(), is_queued=is_queued)
        services.store.release(record, look_again_at=look_again_at)
    except Conflict:
        log.warning("left: the lease was lost on the way")
        return Onward.LEAVE, 0
    except Problem as problem:
        log.warning("left: the record could not be written", problem=problem.type, detail=problem.detail)
        return Onward.LEAVE, 0
    return onward


def next_try_at(problem: Problem, record: Record, now: float) -> float:
    """When to try again: after ten times as long as the last time, and from two hours on as rarely as
    `renewal.longest_pause` has it; a fifth more or less, so that many do not come back together, and never before the
    problem's retry_at. Where nothing was tried, after twice as long, within ten minutes or as it says."""
    issuance, first = record.issuance, problem.first_retry_seconds
    if problem.is_counted:
        longest = renewal.longest_pause(record.domain, now)
        pause = first * 10.0 ** min(issuance.tries, MAX_TRIES)
        pause = longest if pause > LONGEST_OF_TEN_SECONDS else min(pause, longest)
    else:
        pause = min(max((problem.retry_at or 0) - now, first) * 2.0 ** min(issuance.pauses, 5), LONGEST_OF_TWO_SECONDS)
    spread = random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
    return max(now + pause * spread, (problem.retry_at or 0) + pause * abs(spread - 1))


def _run(services: Services, record: Record) -> Record:
    """The step, called until it has moved on, waits, or failed; saved between its calls."""
    began = time.perf_counter()
    step = record.issuance.step
    try:
        _require_sound(record)
        choice.require_awake(services, record.issuance.ca)
        moved = STEPS[step](services, record)
        while moved.issuance.step is step and moved.issuance.next_try_at == record.issuance.next_try_at:
            record = services.store.save(moved)
            moved = STEPS[step](services, record)
    except Problem as problem:
        return _after(services, record, problem)
    except SoftTimeLimitExceeded:
        return _after(services, record, Problem(ProblemType.INTERRUPTED))
    choice.heard(services, record, None)
    if moved.issuance.step is not step:
        log.info("step done", seconds=round(time.perf_counter() - began, 4), next_step=moved.issuance.step.value)
    return moved


def _require_sound(record: Record) -> None:
    """Raise where the step ends its worker each time."""
    if record.begun > MAX_BEGUN:
        raise Problem(ProblemType.CRASHED, hint="the operator finds the reason in the workers' logs")


def _after(services: Services, record: Record, problem: Problem) -> Record:
    """The record after a failure: on its way to another CA, to be tried again, or given up."""
    now, issuance = services.clock(), record.issuance
    if problem.type is ProblemType.INVALID_CNAME:
        record = renewal.led_away(record, now)
    problem = choice.heard(services, record, problem) or problem
    failed = choice.elsewhere(services, record, problem)
    if failed is None:
        problem = choice.in_the_end(services, record, problem)
        is_last = record.domain.certificate is None and issuance.tries + problem.is_counted >= MAX_TRIES
        is_over = problem.is_permanent or (is_last and problem.is_counted)
        failed = issuance.fail(problem) if is_over else issuance.retry(problem, next_try_at(problem, record, now))
    choice.give_back(services, record, failed)
    log.warning(
        "step failed",
        problem=problem.type.value,
        reason=str(problem),
        tries=failed.tries,
        again_in_seconds=None if failed.next_try_at is None else round(failed.next_try_at - now, 1),
    )
    return record.with_issuance(failed.note(now, str(problem)))


def _look_again_at(issuance: Issuance, now: float, *, is_queued: bool) -> float | None:
    """When `reconcile` must bring the issuance back if nothing else does; None: never, it is closed."""
    if not issuance.is_open:
        return None
    return (issuance.next_try_at or now) + (ASSUMED_LOST_SECONDS if is_queued else 0)


def _onward(step: Step, issuance: Issuance, now: float) -> tuple[Onward, float]:
    if issuance.step is step and issuance.next_try_at is not None:
        seconds = max(issuance.next_try_at - now, 0)
        return (Onward.AGAIN, seconds) if seconds <= SOON_SECONDS else (Onward.LEAVE, 0)
    is_moved_on = issuance.next_try_at is None and issuance.step is not Step.FAILED
    return (Onward.NEXT, 0) if is_moved_on else (Onward.LEAVE, 0)
