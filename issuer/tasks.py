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

from issuer import renewal, steps
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
        if is_due:
            record = renewal.planned(replace(_run(services, record), begun=0), services.clock())
        else:
            record = replace(record, begun=record.begun - 1)
        services.store.release(record, look_again_at=_look_again_at(record.issuance, services.clock()))
    except Conflict:
        log.warning("left: the lease was lost on the way")
        return Onward.LEAVE, 0
    except Problem as problem:
        log.warning("left: the record could not be written", problem=problem.type, detail=problem.detail)
        return Onward.LEAVE, 0
    return _onward(step, record.issuance, services.clock()) if is_due else (Onward.LEAVE, 0)


def next_try_at(problem: Problem, record: Record, now: float) -> float:
    """When to try again: after ten times as long as the last time, and from two hours on as rarely as
    `renewal.longest_pause` has it; a fifth more or less, so that many do not come back together, and never before the
    problem's retry_at."""
    longest = renewal.longest_pause(record.domain, now)
    pause = problem.first_retry_seconds * 10.0 ** min(record.issuance.tries, MAX_TRIES)
    pause = longest if pause > LONGEST_OF_TEN_SECONDS else min(pause, longest)
    spread = random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
    return max(now + pause * spread, (problem.retry_at or 0) + pause * abs(spread - 1))


def _run(services: Services, record: Record) -> Record:
    """The step, called until it has moved on, waits, or failed; saved between its calls."""
    began = time.perf_counter()
    step = record.issuance.step
    try:
        _require_sound(services, record)
        moved = STEPS[step](services, record)
        while moved.issuance.step is step and moved.issuance.next_try_at == record.issuance.next_try_at:
            record = services.store.save(moved)
            moved = STEPS[step](services, record)
    except Problem as problem:
        return _after(record, problem, services.clock())
    except SoftTimeLimitExceeded:
        return _after(record, Problem(ProblemType.INTERRUPTED), services.clock())
    if moved.issuance.step is not step:
        log.info("step done", seconds=round(time.perf_counter() - began, 4), next_step=moved.issuance.step.value)
    return moved


def _require_sound(services: Services, record: Record) -> None:
    """Raise where the step can not go well: it ends its worker each time, or its order lies at a former CA."""
    if record.begun > MAX_BEGUN:
        raise Problem(ProblemType.CRASHED, hint="the operator finds the reason in the workers' logs")
    if record.issuance.ca not in {None, services.ca.directory_url}:
        raise Problem(ProblemType.ORDER_LOST, "it was placed at a CA that is not used any more")


def _after(record: Record, problem: Problem, now: float) -> Record:
    """The record after a failure: to be tried again, or given up."""
    issuance = record.issuance
    if problem.type is ProblemType.INVALID_CNAME:
        record = renewal.led_away(record, now)
    if problem.is_permanent or (record.domain.certificate is None and issuance.tries + 1 >= MAX_TRIES):
        failed = issuance.fail(problem)
    else:
        failed = issuance.retry(problem, next_try_at(problem, record, now))
    log.warning(
        "step failed",
        problem=problem.type.value,
        reason=str(problem),
        tries=failed.tries,
        again_in_seconds=None if failed.next_try_at is None else round(failed.next_try_at - now, 1),
    )
    return record.with_issuance(failed)


def _look_again_at(issuance: Issuance, now: float) -> float | None:
    """When `reconcile` must bring the issuance back if nothing else does; None: never, it is closed."""
    if not issuance.is_open:
        return None
    due_at = issuance.next_try_at or now
    return due_at + (ASSUMED_LOST_SECONDS if due_at <= now + SOON_SECONDS else 0)


def _onward(step: Step, issuance: Issuance, now: float) -> tuple[Onward, float]:
    if issuance.step is step and issuance.next_try_at is not None:
        seconds = max(issuance.next_try_at - now, 0)
        return (Onward.AGAIN, seconds) if seconds <= SOON_SECONDS else (Onward.LEAVE, 0)
    is_moved_on = issuance.next_try_at is None and issuance.step is not Step.FAILED
    return (Onward.NEXT, 0) if is_moved_on else (Onward.LEAVE, 0)
