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

ALWAYS = frozenset({ProblemType.CAA, ProblemType.CA_REFUSED})
"""A CA that says no to a domain: another one may not."""
BEFORE_CSR = frozenset({ProblemType.CA_RESTS, ProblemType.OVER_BUDGET, ProblemType.CA_ACCOUNT})
BEFORE_ORDER = frozenset({ProblemType.CA_UNAVAILABLE, ProblemType.CA_MISUNDERSTOOD, ProblemType.RATE_LIMITED})
"""Once the CSR is sent there may be a certificate: its CA is waited for, and no second one is bought elsewhere."""
OF_A_CA = ALWAYS | BEFORE_CSR | BEFORE_ORDER
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
        raise Problem(ProblemType.CA_RESTS if pause.is_rest else ProblemType.PACED, asked, retry_at=pause.until)
    try:
        answer = ask()
    except Problem as problem:
        if problem.type is ProblemType.CA_UNAVAILABLE:
            services.limits.failed(asked, now=now, until=problem.retry_at)
        raise
    services.limits.answered(asked)
    return answer


def spend(services: Services, record: Record, ca: CertificateAuthority, *, is_renewal: bool) -> bool:
    """Use up what a new order takes of the CA's limits; False where that is nothing. Raises Problem(over-budget) where
    it is not there.

    is_renewal: the order says which certificate it replaces. Within the CA's window such a one is exempt from all
    limits, and a same-name renewal without it from those on new names (Let's Encrypt).
    """
    now, domain = services.clock(), record.domain
    if is_renewal and _is_in_window(domain, ca, now):
        return False
    cost = _cost(ca, domain, is_bulk=record.issuance.lane is Agenda.BULK)
    at = services.limits.spend(ca.directory_url, domain.name, cost, now=now)
    if at:
        raise Problem(ProblemType.OVER_BUDGET, f"at {ca.directory_url}", retry_at=at)
    return any(quota.burst for quota in cost)


def give_back(services: Services, record: Record, failed: Issuance) -> None:
    """Use up nothing of the CA's limits on certificates for an order that came to nothing before its CSR was sent."""
    issuance, ca = record.issuance, services.ca_at(record.issuance.ca)
    if ca and issuance.is_charged and not failed.is_charged and issuance.step in {Step.ORDER, Step.CHALLENGE}:
        services.limits.give_back(ca.directory_url, _certificates(ca, record.domain), now=services.clock())


def room_at(services: Services, domain: Domain) -> float | None:
    """When there is room for an order for a domain at one of its CAs; None: now."""
    now, times = services.clock(), []
    for ca in preferred(services, domain):
        if _is_in_window(domain, ca, now):
            return None
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
        until = limits.failed(
            url,
            now=now,
            until=problem.retry_at,
            is_repeated=record.issuance.tries > 0,
            is_certain=problem.type is ProblemType.CA_ACCOUNT,
        )
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
    now = services.clock()
    return issuance.go_elsewhere(_kinder(issuance, problem, now), now)


def in_the_end(services: Services, record: Record, problem: Problem) -> Problem:
    """What is to be told of an issuance that no CA could serve: of its CAs' problems the one that passes soonest; and
    always one that is no CA's."""
    return _kinder(record.issuance, problem, services.clock()) if problem.type in OF_A_CA else problem


def _kinder(issuance: Issuance, problem: Problem, now: float) -> Problem:
    former = issuance.problem if issuance.passed_over else None
    found = [one for one in (former, problem) if one]
    return min(found, key=lambda one: (one.is_permanent, _passes_at(one, issuance.tries, now), one.is_counted))


def _passes_at(problem: Problem, tries: int, now: float) -> float:
    """When to try again at the soonest: one that counts as a failed try waits longer each time."""
    longer = 10.0 ** min(tries, 10) if problem.is_counted else 1
    return max(problem.retry_at or 0, now + problem.first_retry_seconds * longer)


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
    taken = [*_certificates(ca, domain), replace(_failures(ca, domain.name), cost=0)]
    orders = _quota("orders", ca.policy.limits.new_orders)
    reserved = replace(orders, reserve=orders.burst // KEPT_FROM_BULK if is_bulk else 0)
    return taken if _is_renewed_at(ca, domain) else [*taken, reserved]


def _certificates(ca: CertificateAuthority, domain: Domain) -> list[Quota]:
    """What the certificate that an order is for takes."""
    limits, name = ca.policy.limits, domain.name
    own = [_quota(f"name:{name}", limits.per_name)]
    below = _quota(f"below:{registered_domain(name)}", limits.per_registered_domain)
    return own if _is_renewed_at(ca, domain) else [*own, below]


def _is_renewed_at(ca: CertificateAuthority, domain: Domain) -> bool:
    return domain.certificate is not None and domain.certificate.ca == ca.directory_url


def _is_in_window(domain: Domain, ca: CertificateAuthority, now: float) -> bool:
    """Whether the CA that issued the certificate in force wants it to be renewed now."""
    window = domain.window
    return _is_renewed_at(ca, domain) and window is not None and window.start <= now <= window.end


def _failures(ca: CertificateAuthority, name: str) -> Quota:
    return _quota(f"failed:{name}", ca.policy.limits.failed_authorizations)


def _quota(of: str, rate: Rate) -> Quota:
    count, seconds = rate or (0, 1.0)
    return Quota(of, seconds / max(count, 1), count)
