"""How much of what a CA allows is used: its rate limits, counted here for all workers before the CA is asked."""

from dataclasses import replace

from issuer.authorities.selection import preferred
from issuer.domain import Domain, Due, Issuance, Record, Step
from issuer.names import registered_domain
from issuer.ports import CertificateAuthority, Quota, Rate, Services
from issuer.problem import Problem, ProblemType

KEPT_FROM_BULK = 5
"""One in so many of an account's orders is kept for issuances that are not bulk."""


def spend(services: Services, record: Record, ca: CertificateAuthority, *, is_renewal: bool) -> bool:
    """Use up what a new order takes of the CA's limits; False where that is nothing. Raises Problem(over-budget) where
    there is no room.

    is_renewal: the order says which certificate it replaces. Within the CA's window such an order is exempt from all
    limits, and a same-name renewal without it from those on new names (Let's Encrypt).
    """
    now, domain = services.clock(), record.domain
    if is_renewal and _is_in_window(domain, ca, now):
        return False
    cost = _cost(ca, domain, is_bulk=record.issuance.queue is Due.OPEN_BULK)
    room_at = services.limits.spend(ca.directory_url, domain.name, cost, now=now)
    if room_at:
        raise Problem(ProblemType.OVER_BUDGET, f"at {ca.directory_url}", retry_at=room_at)
    return any(quota.burst for quota in cost)


def refund(services: Services, ca: CertificateAuthority, record: Record, failed: Issuance) -> None:
    """Return what an order took of the limits on certificates, where it came to nothing before its CSR was sent."""
    issuance = record.issuance
    if issuance.is_charged and not failed.is_charged and issuance.step in {Step.ORDER, Step.CHALLENGE}:
        services.limits.refund(ca.directory_url, _certificates(ca, record.domain), now=services.clock())


def record_failure(services: Services, ca: CertificateAuthority, record: Record, problem: Problem) -> None:
    """Count what a problem says about the CA's limits: an order that it refused, or a failed authorization."""
    url, name, now = ca.directory_url, record.domain.name, services.clock()
    if problem.type is ProblemType.RATE_LIMITED and record.issuance.step is Step.ORDER:
        services.limits.record_refusal(url, name, now=now, until=problem.retry_at or now)
    if problem.type is ProblemType.VALIDATION_FAILED:
        services.limits.spend(url, name, [_failures(ca, name)], now=now)


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
