"""What a success or a failure of a step means for its record.

Each run has three parts: `prepare` decides whether the step may run now, and at which CA; then the step runs; then
`success` or `failure` returns the record to save. No other module checks a CA's health, selects a CA, or sets the time
of a retry.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from issuer import backoff, renewal
from issuer.authorities import health, limits, rejections, selection
from issuer.domain import PROCESSING_WITHIN_SECONDS, Issuance, Record, Step
from issuer.events import EventType
from issuer.ports import Services
from issuer.problem import Actor, Problem, ProblemType
from issuer.steps import StepResult, Wait

MAX_TRIES = 10
"""Of an issuance for a name without a certificate. If the name has a certificate, the tries have no limit."""
SLOW = "no action is needed: the CA is asked again automatically, also before the time that it may name"
SLOW_STILL = "the CA is asked again automatically meanwhile"
SOON = PROCESSING_WITHIN_SECONDS
OF_NO_ANSWER = health.UNAVAILABLE | {ProblemType.CA_RESTS}
"""Problems that are over when the CA has answered; a record that still shows one would be taken for one that waits for
the CA's return."""
OF_AN_ANSWER = {
    ProblemType.CA_UNAVAILABLE: "does not answer as it should",
    ProblemType.CA_MISUNDERSTOOD: "does not accept the request",
    ProblemType.CA_REFUSED: "refuses to issue for the name",
}
"""What a CA has done, before the detail of a problem that does not say it."""
MAX_ATTEMPTS_STARTED = 5
"""A step that was started this often and never ended kills its worker, so it is not started again."""

log = structlog.get_logger(__name__)

log = structlog.get_logger(__name__)


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
            detail = f"polled {waits} times at the step {after.issuance.step}"
            return failure(services, record, slow(after.issuance, after.issuance.problem, now, detail=detail))
        after = _waiting(after, result, now)
    else:
        if record.issuance.step is Step.CHALLENGE:
            health.record_validation(services, record, None)
        facts = {"step": record.issuance.step.value, "seconds": round(seconds, 4)}
        after = after.with_event(now, EventType.ISSUANCE_STEP_DONE, facts)
    has_asked_ca = not isinstance(result, Wait) or result.has_asked_ca
    if has_asked_ca and (ca := services.ca_at(record.issuance.ca)):
        health.record_success(services, ca)
    return renewal.with_next_renewal(after, now)


def _waiting(record: Record, result: Wait, now: float) -> Record:
    """The record that waits for its CA. What the CA shows of the reason is added to the timeline, once."""
    issuance, asked_for = record.issuance, result.not_before or 0
    at = backoff.poll_at(now, waits=issuance.waits, not_before=asked_for)
    former = None if _is_over(issuance) else issuance.problem
    problem = result.problem
    if problem is None and (backoff.is_slow(issuance.waiting_since, now) or max(asked_for, at) > now + SOON):
        was_slow = former.detail if former and former.type is ProblemType.CA_SLOW else f"at {issuance.step}"
        detail = f"it asks to wait until {_to_the_minute(asked_for)}" if asked_for > at else was_slow
        problem = slow(issuance, former, now, detail=detail)
    waiting = record.with_issuance(issuance.wait(at, problem=problem or former))
    if problem is None or (former and _is_same(former, problem)):
        log.debug("waits for the CA", step=issuance.step.value, waits=waiting.issuance.waits, again_at=at)
        return waiting
    facts = {"step": issuance.step.value, "reason": str(problem), "at": at, "ca": issuance.ca}
    if problem.type is ProblemType.CA_SLOW and problem.actor is Actor.PLATFORM:
        log.error("a CA has not finished an order", domain=record.domain.name, reason=str(problem), ca=issuance.ca)
    return waiting.with_event(now, EventType.ISSUANCE_WAITING, facts, code=problem.type.value)


def slow(issuance: Issuance, former: Problem | None, now: float, *, detail: str) -> Problem:
    """The problem of a CA that has not finished an order. Nobody needs to act within an hour; then the operator can ask
    the CA about it. former: what the issuance shows now."""
    since = _to_the_minute(issuance.ordered_at or issuance.waiting_since or now)
    what = "validated the domain" if issuance.step is Step.CHALLENGE else "finished it"
    cause = f"the CA {issuance.ca} has had the order since {since} and has not {what}"
    was_told = former is not None and former.type is ProblemType.CA_SLOW and former.actor is Actor.PLATFORM
    if not was_told and not backoff.is_long(issuance.waiting_since, now):
        return Problem(ProblemType.CA_SLOW, detail, cause=cause, hint=SLOW)
    hint = f"the operator must ask the CA about the order {issuance.order_url}, or may set another CA for the domain"
    return Problem(ProblemType.CA_SLOW, detail, cause=cause, hint=f"{hint}; {SLOW_STILL}", actor=Actor.PLATFORM)


def _to_the_minute(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _is_over(issuance: Issuance) -> bool:
    """Whether its problem ends with an answer of the CA, as a failure does. What was found while it waits goes on: a
    challenge whose answer a proxy has taken, say, although the CA answers all else."""
    problem = issuance.problem
    is_found_waiting = issuance.waits > 0 and problem is not None and problem.type is ProblemType.CA_UNAVAILABLE
    return problem is not None and problem.type in OF_NO_ANSWER and not is_found_waiting


def _is_same(former: Problem, problem: Problem) -> bool:
    """Whether a waiting record shows this problem already; of a slow CA, the time that it names may change."""
    is_alike = (former.type, former.actor) == (problem.type, problem.actor)
    return is_alike and (former.detail == problem.detail or problem.type is ProblemType.CA_SLOW)


def failure(services: Services, record: Record, problem: Problem) -> Record:
    """The record after a problem: moved on to another CA, to be retried, or failed for good."""
    now, ca = services.clock(), services.ca_at(record.issuance.ca)
    if ca and problem.type is ProblemType.CA_REFUSED:
        record = record.with_issuance(record.issuance.refused(ca.directory_url))
    if problem.type is ProblemType.INVALID_CNAME:
        record = renewal.moved_away(record, now)
    health.record_validation(services, record, problem)
    if ca:
        problem = _at(ca.directory_url, problem)
        limits.record_failure(services, ca, record, problem)
        problem = health.record_failure(services, ca, record, problem)
        if problem.type is ProblemType.BAD_CERTIFICATE:
            record, problem = rejections.record_rejection(record, problem, now)
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
    return renewal.with_next_renewal(renewal.with_recheck(after, now), now)


def _at(ca: str, problem: Problem) -> Problem:
    """The same problem; if a CA has it, and it does not say what was found, with a sentence that names the CA."""
    if problem.type not in OF_AN_ANSWER or problem.cause != problem.message:
        return problem
    found = problem.detail or problem.message
    return problem.changed(cause=f"the CA {ca} {OF_AN_ANSWER[problem.type]}: {found}")


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
