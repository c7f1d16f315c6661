"""Whether a CA is available: a circuit breaker that all workers share (`ports.Limits`).

A CA that fails three times in a row gets a cooldown of half a minute; the next cooldowns are longer, up to ten minutes.
After a cooldown one caller tries the CA, and the others wait for its result. If the CA answers again, `recovery` ends
the cooldown sooner, and wakes the others.
"""

from collections.abc import Callable
from typing import TypeVar

import structlog

from issuer.domain import Record
from issuer.ports import CertificateAuthority, Pause, Services
from issuer.ports.limits import PORT_80
from issuer.problem import Problem, ProblemType

OURS = frozenset({ProblemType.CA_ACCOUNT, ProblemType.CA_SETTINGS})
"""What the operator must mend before the CA can be used."""
UNAVAILABLE = OURS | {ProblemType.CA_UNAVAILABLE}
AVAILABLE = frozenset(
    {
        ProblemType.VALIDATION_FAILED,
        ProblemType.RATE_LIMITED,
        ProblemType.CA_SLOW,
        ProblemType.CA_MISUNDERSTOOD,
        ProblemType.CA_REFUSED,
        ProblemType.ORDER_LOST,
        ProblemType.BAD_CERTIFICATE,
    }
)
"""Problems that only a CA that is available can have reported."""

WAKE_SCAN = "wake_waiting"

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


def pause_of(services: Services, ca: CertificateAuthority) -> Pause | None:
    """None if the CA may be asked now, for one step; else until when it may not, and why."""
    per_second = ca.policy.limits.requests_per_second
    return services.limits.admit(ca.directory_url, now=services.clock(), requests_per_second=per_second)


def require_available(services: Services, ca: CertificateAuthority) -> None:
    """Raise Problem if a CA may not be asked now: what has started its cooldown, or Problem(paced)."""
    if pause := pause_of(services, ca):
        raise paused(pause, ca.directory_url)


def record_success(services: Services, ca: CertificateAuthority) -> None:
    """Record that the CA has answered: its former failures no longer count. If that ends a cooldown, all that wait for
    the CA are woken (`recovery`)."""
    if services.limits.record_success(ca.directory_url, now=services.clock()):
        log.info("the CA is available again", ca=ca.directory_url)
        services.queue.start_scan(WAKE_SCAN)


def record_failure(services: Services, ca: CertificateAuthority, record: Record, problem: Problem) -> Problem:
    """Record what a problem says about the CA's availability. Returns the problem; if it starts a cooldown, a problem
    that has the end of the cooldown and its cause, and does not count as a try."""
    if problem.type in AVAILABLE or problem.is_of_http:
        record_success(services, ca)
    if problem.type not in UNAVAILABLE:
        return problem
    is_known = problem.is_of_one_order and record.issuance.problem is not None
    if is_known and services.limits.cooldown(ca.directory_url) is None:
        return problem  # that the CA refuses the same name again says nothing new about it
    now = services.clock()
    until = services.limits.record_failure(
        ca.directory_url,
        now=now,
        until=problem.retry_at,
        is_repeated=record.issuance.tries > 0,
        is_certain=problem.type in OURS and not problem.is_of_one_order,
        problem=_for_others(problem),
    )
    if until is None:
        return problem
    cooldown = services.limits.cooldown(ca.directory_url)
    if cooldown and cooldown.since == cooldown.failed_at == now:
        report = log.error if problem.type in OURS else log.warning
        report("a CA cannot be used", ca=ca.directory_url, problem=problem.type.value, reason=str(problem))
    return _of_cooldown(problem, until)


def _for_others(problem: Problem) -> Problem:
    """What other names are told of a failure. If it may concern one order alone, theirs may well succeed: so they are
    not taken for names that wait for the operator, and are the first to try the CA again."""
    if not problem.is_of_one_order:
        return problem
    return Problem(
        ProblemType.CA_UNAVAILABLE, problem.detail, cause=problem.cause, hint=problem.hint, actor=problem.actor
    )


def _of_cooldown(problem: Problem, until: float) -> Problem:
    """The problem of names that wait for the end of a cooldown, which another problem has started."""
    if problem.type in OURS:
        return problem.put_off(until)
    cause = f"the CA is unavailable: {problem.cause}"
    return Problem(
        ProblemType.CA_RESTS, problem.detail, cause=cause, hint=problem.hint, retry_at=until, actor=problem.actor
    )


def record_validation(services: Services, record: Record, problem: Problem | None) -> None:
    """Record whether a CA has reached our edges: the failure, or the first success of an issuance that had failed by
    it. Then all that wait are woken (`actions.repairs`)."""
    code, now = ProblemType.CA_CANNOT_CONNECT, services.clock()
    if problem and problem.type is code:
        services.limits.record_failure(PORT_80, now=now, is_certain=True)
    if problem is None and any(event.code == code for event in record.timeline):
        services.limits.record_success(PORT_80, now=now)


def call_outside_orders(
    services: Services, ca: CertificateAuthority, resource: str, call: Callable[[], Answer]
) -> Answer:
    """Call a CA at a resource that no order needs. If the resource has failed recently, it has a cooldown of its own,
    which delays no order. Raises Problem."""
    resource_url, now = f"{ca.directory_url}#{resource}", services.clock()
    per_second = ca.policy.limits.requests_per_second
    if pause := services.limits.admit(resource_url, now=now, requests_per_second=per_second):
        raise paused(pause, resource_url)
    try:
        answer = call()
    except Problem as problem:
        if problem.type in UNAVAILABLE - {ProblemType.CA_ACCOUNT}:
            services.limits.record_failure(resource_url, now=now, until=problem.retry_at, problem=problem)
        raise
    services.limits.record_success(resource_url)
    return answer


def paused(pause: Pause, url: str) -> Problem:
    """Why a CA, or a resource of it, may not be asked now."""
    if not pause.is_cooldown:
        return Problem(ProblemType.PACED, url, retry_at=pause.until)
    if pause.problem:
        return _of_cooldown(pause.problem, pause.until)
    return Problem(ProblemType.CA_RESTS, url, cause=f"the CA {url} is unavailable", retry_at=pause.until)
