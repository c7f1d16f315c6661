"""What a success or a failure of a step means for its record.

Each run has three parts: `prepare` decides whether the step may run now, and at which CA; then the step runs; then
`success` or `failure` returns the record to save. No other module checks a CA's health, selects a CA, or sets the time
of a retry.
"""

from dataclasses import replace
from typing import Any

from issuer import backoff, renewal
from issuer.authorities import health, limits, selection
from issuer.domain import Issuance, Record, Step
from issuer.events import EventType
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.steps import StepResult, Wait

MAX_TRIES = 10
"""Of an issuance for a name without a certificate. If the name has a certificate, the tries have no limit."""
MAX_ATTEMPTS_STARTED = 5
"""A step that was started this often and never ended kills its worker, so it is not started again."""


def prepare(services: Services, record: Record) -> Record:
    """The record for the step: with a CA, once it has a key. Raises Problem if the step may not run now."""
    if record.attempts_started > MAX_ATTEMPTS_STARTED:
        raise Problem(ProblemType.CRASHED, hint="the reason is in the log of the workers")
    ca = services.ca_at(record.issuance.ca)
    if ca:
        health.require_available(services, ca)
        return record
    return select_ca(services, record)


def select_ca(services: Services, record: Record) -> Record:
    """The record with a selected CA, if it has a key and no order yet. Raises Problem if no CA may be asked now."""
    issuance = record.issuance
    if issuance.step is not Step.ORDER or issuance.key is None or services.ca_at(issuance.ca):
        return record
    selected = selection.select(services, record)
    with_ca = record.with_issuance(replace(issuance, ca=selected, is_charged=False))
    return with_ca.with_event(services.clock(), EventType.CA_SELECTED, {"ca": selected})


def success(services: Services, record: Record, result: StepResult, *, seconds: float = 0) -> Record:
    """The record after a step without a problem: advanced, or waiting. seconds: how long the step took."""
    after, now = result.record, services.clock()
    if isinstance(result, Wait):
        waits = after.issuance.waits
        if waits >= backoff.MAX_POLLS:
            slow = Problem(ProblemType.CA_SLOW, f"polled {waits} times at the step {after.issuance.step}")
            return failure(services, record, slow)
        at = backoff.poll_at(now, waits=waits, not_before=result.not_before)
        after = after.with_issuance(after.issuance.wait(at))
    else:
        facts = {"step": record.issuance.step.value, "seconds": round(seconds, 4)}
        after = after.with_event(now, EventType.ISSUANCE_STEP_DONE, facts)
    if ca := services.ca_at(record.issuance.ca):
        health.record_success(services, ca)
    return renewal.with_next_renewal(after, now)


def failure(services: Services, record: Record, problem: Problem) -> Record:
    """The record after a problem: moved on to another CA, to be retried, or failed for good."""
    now, ca = services.clock(), services.ca_at(record.issuance.ca)
    if problem.type is ProblemType.INVALID_CNAME:
        record = renewal.moved_away(record, now)
    if ca:
        limits.record_failure(services, ca, record, problem)
        problem = health.record_failure(services, ca, record, problem)
    failed, type_ = selection.failover(services, record, problem), EventType.CA_REFUSED
    if failed is None:
        problem = selection.most_hopeful_problem(services, record, problem)
        failed = _retried_or_failed(record, problem, now)
        type_ = EventType.ISSUANCE_RETRY_PLANNED if failed.is_open else EventType.ISSUANCE_FAILED
    if ca:
        limits.refund(services, ca, record, failed)
    facts: dict[str, Any] = {"step": record.issuance.step.value, "reason": str(problem), "tries": failed.tries}
    facts |= {"at": failed.next_try_at, "ca": record.issuance.ca}
    after = record.with_issuance(failed).with_event(now, type_, facts, code=problem.type.value)
    return renewal.with_next_renewal(after, now)


def _retried_or_failed(record: Record, problem: Problem, now: float) -> Issuance:
    """The issuance with the time of its next try, or failed for good."""
    issuance, certificate = record.issuance, record.domain.certificate
    is_last = certificate is None and issuance.tries + 1 >= MAX_TRIES
    if problem.is_permanent or (is_last and problem.is_counted):
        return issuance.fail(problem)
    at = backoff.retry_at(
        problem,
        now,
        tries=issuance.tries,
        pauses=issuance.pauses,
        longest=renewal.longest_retry_pause(record.domain, now),
        jitter=backoff.random_jitter(),
    )
    return issuance.retry(problem, at)
