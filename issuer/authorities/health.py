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
from issuer.problem import Problem, ProblemType

UNAVAILABLE = frozenset({ProblemType.CA_UNAVAILABLE, ProblemType.CA_ACCOUNT})
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
    """Raise Problem(ca-rests, paced) if a CA may not be asked now."""
    if pause := pause_of(services, ca):
        raise _paused(pause, ca.directory_url)


def record_success(services: Services, ca: CertificateAuthority) -> None:
    """Record that the CA has answered: its former failures no longer count. If that ends a cooldown, all that wait for
    the CA are woken (`recovery`)."""
    if services.limits.record_success(ca.directory_url, now=services.clock()):
        log.info("the CA is available again", ca=ca.directory_url)
        services.queue.start_scan(WAKE_SCAN)


def record_failure(services: Services, ca: CertificateAuthority, record: Record, problem: Problem) -> Problem:
    """Record what a problem says about the CA's availability. Returns the problem; if it starts a cooldown, a problem
    that has the end of the cooldown and does not count as a try."""
    if problem.type in AVAILABLE:
        record_success(services, ca)
    if problem.type not in UNAVAILABLE:
        return problem
    is_known = problem.is_of_one_order and record.issuance.problem is not None
    if is_known and services.limits.cooldown(ca.directory_url) is None:
        return problem  # that the CA refuses the same name again says nothing new about it
    until = services.limits.record_failure(
        ca.directory_url,
        now=services.clock(),
        until=problem.retry_at,
        is_repeated=record.issuance.tries > 0,
        is_certain=problem.type is ProblemType.CA_ACCOUNT and not problem.is_of_one_order,
    )
    if until is None:
        return problem
    if problem.type is ProblemType.CA_ACCOUNT:
        log.error("the account at a CA needs its operator", ca=ca.directory_url, reason=str(problem))
        return problem.put_off(until)
    return Problem(ProblemType.CA_RESTS, problem.detail, hint=problem.hint, retry_at=until)


def call_outside_orders(
    services: Services, ca: CertificateAuthority, resource: str, call: Callable[[], Answer]
) -> Answer:
    """Call a CA at a resource that no order needs. If the resource has failed recently, it has a cooldown of its own,
    which delays no order. Raises Problem."""
    resource_url, now = f"{ca.directory_url}#{resource}", services.clock()
    per_second = ca.policy.limits.requests_per_second
    if pause := services.limits.admit(resource_url, now=now, requests_per_second=per_second):
        raise _paused(pause, resource_url)
    try:
        answer = call()
    except Problem as problem:
        if problem.type is ProblemType.CA_UNAVAILABLE:
            services.limits.record_failure(resource_url, now=now, until=problem.retry_at)
        raise
    services.limits.record_success(resource_url)
    return answer


def _paused(pause: Pause, url: str) -> Problem:
    type_ = ProblemType.CA_RESTS if pause.is_cooldown else ProblemType.PACED
    return Problem(type_, url, retry_at=pause.until)
