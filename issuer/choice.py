"""Which CA a certificate comes from: the first choice, or the next one where that is down, has no room, or refuses.

The choice is made before an order is placed and stands in the issuance; an order stays with its CA. What is known of a
CA's health and of its limits, all workers know together (`ports.Limits`).
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import structlog

from issuer.domain import Agenda, Domain, Issuance, Record, Step
from issuer.names import registered_domain
from issuer.ports import CertificateAuthority, Pause, Quota, Rate, Services
from issuer.problem import Problem, ProblemType

ALWAYS = frozenset({ProblemType.CAA, ProblemType.CA_REFUSED, ProblemType.CA_ACCOUNT})
"""A CA that says no to a domain, or to us: another one may not."""
BEFORE_CSR = frozenset({ProblemType.CA_RESTS, ProblemType.OVER_BUDGET})
BEFORE_ORDER = frozenset({ProblemType.CA_UNAVAILABLE, ProblemType.CA_MISUNDERSTOOD, ProblemType.RATE_LIMITED})
"""Once the CSR is sent there may be a certificate: its CA is waited for, and no second one is bought elsewhere."""
OF_NO_USE = frozenset({ProblemType.CA_UNAVAILABLE, ProblemType.CA_ACCOUNT})
ANSWERS = frozenset(
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
"""Problems that only a CA that works can have told us of."""
KEPT_FROM_BULK = 5
"""Of an account's orders, one of so many is for those who do not begin many at once."""

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


def preferred(services: Services, domain: Domain) -> list[CertificateAuthority]:
    """The CAs for a domain, the first choice first: the operator's one for this domain, and no other; else by weight,
    where CAs have one, each name always the same way; else in the order of the settings."""
    if domain.ca:
        return [ca for ca in services.cas if ca.directory_url == domain.ca]
    return sorted(services.cas, key=lambda ca: _drawn(ca, domain.name))


def choose(services: Services, record: Record) -> str:
    """The directory URL of the CA to place an order at. Raises Problem where none may be asked now."""
    rests: list[Pause] = []
    for ca in _left(services, record.domain, record.issuance.passed_over):
        pause = _pause(services, ca)
        if pause is None:
            return ca.directory_url
        if not pause.is_rest:
            raise Problem(ProblemType.PACED, ca.directory_url, retry_at=pause.until)
        rests.append(pause)
    if not rests:
        raise Problem(ProblemType.CA_ACCOUNT, f"{record.domain.ca} is none of the CAs in ISSUER_CAS")
    raise Problem(ProblemType.CA_RESTS, retry_at=min(pause.until for pause in rests))


def require_awake(services: Services, directory_url: str | None) -> None:
    """Raise Problem(ca-rests, paced) where the CA of an order may not be asked now."""
    ca = services.ca_at(directory_url)
    pause = _pause(services, ca) if ca else None
    if pause:
        raise Problem(
            ProblemType.CA_RESTS if pause.is_rest else ProblemType.PACED, directory_url or "", retry_at=pause.until
        )


def aside(services: Services, ca: CertificateAuthority, resource: str, ask: Callable[[], Answer]) -> Answer:
    """What a CA answers at a resource that no order needs; where it has not answered of late, it is left alone with
    such requests, and with no others."""
    asked, now = f"{ca.directory_url}#{resource}", services.clock()
    if pause := services.limits.ask(asked, now=now, requests_per_second=ca.policy.limits.requests_per_second):
        raise Problem(ProblemType.CA_RESTS, asked, retry_at=pause.until)
    try:
        answer = ask()
    except Problem as problem:
        if problem.type is ProblemType.CA_UNAVAILABLE:
            services.limits.failed(asked, now=now, until=problem.retry_at)
        raise
    services.limits.answered(asked)
    return answer


def spend(services: Services, record: Record, ca: CertificateAuthority, *, is_renewal: bool) -> None:
    """Use up what a new order takes of the CA's limits. Raises Problem(over-budget) where that is not there.

    is_renewal: the order says which certificate it replaces. Within the CA's window such a one is exempt from all
    limits, and a same-name renewal without it from those on new names (Let's Encrypt).
    """
    now, domain = services.clock(), record.domain
    if is_renewal and domain.window is not None and domain.window.start <= now:
        return
    cost = _cost(ca, domain, is_bulk=record.issuance.lane is Agenda.BULK)
    at = services.limits.spend(ca.directory_url, domain.name, cost, now=now)
    if at:
        raise Problem(ProblemType.OVER_BUDGET, f"at {ca.directory_url}", retry_at=at)


def room_at(services: Services, domain: Domain) -> float | None:
    """When there is room for an order for a domain at one of its CAs; None: now."""
    now, times = services.clock(), []
    for ca in preferred(services, domain):
        looks = [replace(quota, cost=0) for quota in _cost(ca, domain)]
        at = services.limits.spend(ca.directory_url, domain.name, looks, now=now)
        if at is None:
            return None
        times.append(at)
    return min(times, default=None)


def heard(services: Services, record: Record, problem: Problem | None) -> Problem | None:
    """Keep for all what an attempt has shown of its CA. Gives the problem back: one that makes the CA rest says until
    when that is, and counts no more."""
    ca, now = services.ca_at(record.issuance.ca), services.clock()
    if ca is None:
        return problem
    url, name, limits = ca.directory_url, record.domain.name, services.limits
    if problem and problem.type in OF_NO_USE:
        is_certain = problem.type is ProblemType.CA_ACCOUNT
        until = limits.failed(url, now=now, until=problem.retry_at, is_certain=is_certain)
        return _resting(problem, url, until) if until else problem
    if problem is None or problem.type in ANSWERS:
        limits.answered(url)
    if problem and problem.type is ProblemType.RATE_LIMITED and record.issuance.step is Step.ORDER:
        limits.refused(url, name, now=now, until=problem.retry_at or now)
    if problem and problem.type is ProblemType.VALIDATION_FAILED:
        limits.spend(url, name, [_failures(ca, name)], now=now)
    return problem


def elsewhere(services: Services, record: Record, problem: Problem) -> Issuance | None:
    """The issuance on its way to the next CA, where that may help with a problem; else None."""
    issuance = record.issuance
    reasons = {Step.ORDER: ALWAYS | BEFORE_CSR | BEFORE_ORDER, Step.CHALLENGE: ALWAYS | BEFORE_CSR}
    if issuance.ca is None or problem.type not in reasons.get(issuance.step, ALWAYS):
        return None
    passed_over = (*issuance.passed_over, issuance.ca)
    if not _left(services, record.domain, passed_over):
        return None
    log.info("over to another CA", ca=issuance.ca, reason=str(problem))
    return issuance.go_elsewhere(_kinder(issuance, problem), services.clock())


def in_the_end(record: Record, problem: Problem) -> Problem:
    """What is to be told of an issuance that no CA could serve: of its CAs' problems the one that passes soonest."""
    return _kinder(record.issuance, problem)


def _kinder(issuance: Issuance, problem: Problem) -> Problem:
    former = issuance.problem if issuance.passed_over else None
    return min((one for one in (former, problem) if one), key=lambda one: (one.is_permanent, one.retry_at or 0))


def _left(services: Services, domain: Domain, passed_over: tuple[str, ...]) -> list[CertificateAuthority]:
    return [ca for ca in preferred(services, domain) if ca.directory_url not in passed_over]


def _drawn(ca: CertificateAuthority, name: str) -> float:
    """Rendezvous hashing: of two CAs with weights 3 and 1 the first comes first for three names of four."""
    if not ca.policy.weight:
        return math.inf
    digest = hashlib.sha256(f"{ca.directory_url} {name}".encode()).digest()
    return -math.log((int.from_bytes(digest[:8]) + 1) / (2**64 + 1)) / ca.policy.weight


def _pause(services: Services, ca: CertificateAuthority) -> Pause | None:
    per_second = ca.policy.limits.requests_per_second
    return services.limits.ask(ca.directory_url, now=services.clock(), requests_per_second=per_second)


def _resting(problem: Problem, ca: str, until: float) -> Problem:
    if problem.type is ProblemType.CA_ACCOUNT:
        log.error("the account at a CA needs its operator", ca=ca, reason=str(problem))
        return Problem(problem.type, problem.detail, hint=problem.hint, retry_at=until)
    return Problem(ProblemType.CA_RESTS, problem.detail, hint=problem.hint, retry_at=until)


def _cost(ca: CertificateAuthority, domain: Domain, *, is_bulk: bool = False) -> list[Quota]:
    """What an order takes. A failed authorization is taken off when it fails; there must be room for one. Bulk leaves a
    part of the account's orders to others."""
    limits, name = ca.policy.limits, domain.name
    own = [_quota(f"name:{name}", limits.per_name), replace(_failures(ca, name), cost=0)]
    if domain.certificate and domain.certificate.ca == ca.directory_url:
        return own
    below = _quota(f"below:{registered_domain(name)}", limits.per_registered_domain)
    orders = _quota("orders", limits.new_orders)
    return [*own, below, replace(orders, reserve=orders.burst // KEPT_FROM_BULK if is_bulk else 0)]


def _failures(ca: CertificateAuthority, name: str) -> Quota:
    return _quota(f"failed:{name}", ca.policy.limits.failed_authorizations)


def _quota(of: str, rate: Rate) -> Quota:
    count, seconds = rate or (0, 1.0)
    return Quota(of, seconds / max(count, 1), count)
