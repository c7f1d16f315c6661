"""The Celery tasks that run the steps: lease, run, save.

A message carries only the id of an issuance. It may arrive twice, twice at once, late or never: only the record is the
truth. A chain goes on to its next task only if this task has completed its step; otherwise the chain ends, and a short
retry or `reconcile` continues the issuance.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

import structlog
from celery import Celery, Task
from celery.exceptions import Ignore, SoftTimeLimitExceeded

from issuer import backoff, outcomes, steps
from issuer.domain import Record, Step, domain_of
from issuer.logs import TRACING
from issuer.ports import Conflict, Services
from issuer.problem import Problem, ProblemType
from issuer.steps import SaveAndContinue, StepResult

STEPS: dict[Step, Callable[[Services, Record], StepResult]] = {
    Step.ORDER: steps.order,
    Step.CHALLENGE: steps.challenge,
    Step.FINALIZE: steps.finalize,
    Step.INSTALL: steps.install,
}
SOON_SECONDS = 60
"""The longest wait by a countdown in the queue; a longer wait is `next_try_at` in the record, for `reconcile`."""

log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """What the queue must do after an attempt: run the next task of the chain, retry this task, or stop the chain."""

    ADVANCED = "advanced"
    RETRY = "retry"
    STOP = "stop"


def register(app: Celery, services: Callable[[], Services]) -> None:
    """Register a task for every step, with the name of the step."""
    for step in STEPS:
        app.task(_body(step, services), name=step.value, bind=True, shared=False, max_retries=None)


def _body(step: Step, services: Callable[[], Services]) -> Callable[[Task, str], None]:
    def body(task: Task, issuance_id: str) -> None:
        # The context is not unbound at the end, as Celery logs a crash only after this body has returned.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(domain=domain_of(issuance_id), issuance=issuance_id, step=step.value)
        with TRACING.span(step.value, domain=domain_of(issuance_id), issuance=issuance_id) as span:
            outcome, seconds = attempt(services(), step, issuance_id)
            span["outcome"] = outcome.value
        services().counters.add_tally_later()
        if outcome is Outcome.RETRY:
            raise task.retry(countdown=seconds)
        if outcome is Outcome.STOP:
            raise Ignore

    return body


def attempt(services: Services, step: Step, issuance_id: str) -> tuple[Outcome, float]:
    """Run a step of an issuance if it is due and no other worker has a lease. Returns how to go on, and in how many
    seconds."""
    now = services.clock()
    try:
        record = services.store.lease(issuance_id, now=now, until=now + services.settings.lease_seconds)
        if record is None:
            log.info("stopped: stale, closed, or leased by another worker")
            return Outcome.STOP, 0
        if record.issuance.request_id:
            structlog.contextvars.bind_contextvars(request_id=record.issuance.request_id)
        is_early = (record.issuance.next_try_at or 0) > now
        is_due = record.issuance.step is step and not is_early
        outcome: tuple[Outcome, float] = Outcome.STOP, 0
        if is_due:
            record = replace(_run(services, record), attempts_started=0)
            outcome = _outcome(step, record, services.clock())
        else:
            record = replace(record, attempts_started=record.attempts_started - 1)
        # An early message is left over from a former wait: for a later one, there may be none.
        is_queued = outcome[0] is not Outcome.STOP or not (is_due or is_early)
        issuance, requeue_at = record.issuance, None
        if issuance.is_open:
            requeue_at = backoff.requeue_at(issuance.next_try_at, services.clock(), is_queued=is_queued)
        services.store.save_and_release(record, requeue_at=requeue_at)
    except Conflict:
        log.warning("stopped: the lease was lost on the way")
        return Outcome.STOP, 0
    except Problem as problem:
        log.warning("stopped: the record could not be saved", problem=problem.type, detail=problem.detail)
        return Outcome.STOP, 0
    return outcome


def _run(services: Services, record: Record) -> Record:
    """The record after its step. The step is called until it advances, waits, or fails; the record is saved between the
    calls."""
    started, step = time.perf_counter(), record.issuance.step
    try:
        prepared = outcomes.prepare(services, record)
        record = record if prepared is record else services.store.save(prepared)
        result = STEPS[step](services, record)
        while isinstance(result, SaveAndContinue):
            record = result.record
            record = services.store.save(outcomes.select_ca(services, record))
            result = STEPS[step](services, record)
    except Problem as problem:
        return outcomes.failure(services, record, problem)
    except SoftTimeLimitExceeded:
        return outcomes.failure(services, record, Problem(ProblemType.INTERRUPTED))
    return outcomes.success(services, record, result, seconds=time.perf_counter() - started)


def _outcome(step: Step, record: Record, now: float) -> tuple[Outcome, float]:
    issuance = record.issuance
    if issuance.step is step and issuance.next_try_at is not None:
        seconds = max(issuance.next_try_at - now, 0)
        return (Outcome.RETRY, seconds) if seconds <= SOON_SECONDS else (Outcome.STOP, 0)
    has_advanced = issuance.next_try_at is None and issuance.step is not Step.FAILED
    return (Outcome.ADVANCED, 0) if has_advanced else (Outcome.STOP, 0)
