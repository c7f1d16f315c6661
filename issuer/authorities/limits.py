"""The rate limits of each CA, counted for all workers before the CA is asked."""

import math
from dataclasses import replace

from issuer.authorities.selection import allowed
from issuer.domain import Domain, Due, Issuance, Record, Step
from issuer.names import registered_domain
from issuer.ports import CertificateAuthority, Quota, Rate, Services
from issuer.problem import Problem, ProblemType

KEPT_FROM_BULK = 5
"""One in this many of the orders that a CA allows our account is reserved for issuances that are not bulk."""

ROUNDING = 1e-3
"""What is left is counted in fractions, to so much."""


def spend(services: Services, record: Record, ca: CertificateAuthority, *, is_renewal: bool) -> bool:
    """Count a new order against the CA's limits. Returns False if no limit applies. Raises Problem(over-budget) if
    there is no room.

    is_renewal: the order names the certificate that it replaces (RFC 9773 §5). Within the CA's window such an order is
    exempt from all limits. Any other renewal of the same name is exempt from the limits on new names (Let's Encrypt).
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
    """Give back to the limits on certificates what an order has used, if the order failed before its CSR was sent."""
    issuance = record.issuance
    if issuance.is_charged and not failed.is_charged and issuance.step in {Step.ORDER, Step.CHALLENGE}:
        services.limits.refund(ca.directory_url, _certificates(ca, record.domain), now=services.clock())


def record_failure(services: Services, ca: CertificateAuthority, record: Record, problem: Problem) -> None:
    """Record what a problem says about the CA's limits: a refused order, or a failed authorization."""
    url, name, now = ca.directory_url, record.domain.name, services.clock()
    if problem.type is ProblemType.RATE_LIMITED and record.issuance.step is Step.ORDER:
        services.limits.record_refusal(url, name, now=now, until=problem.retry_at or now)
    if problem.type is ProblemType.VALIDATION_FAILED or problem.is_of_http:
        services.limits.spend(url, name, [_failures(ca, name)], now=now)


def room_at(services: Services, domain: Domain) -> float | None:
    """When one of the domain's CAs has room for an order; None: now."""
    times = []
    for ca in allowed(services, domain):
        at = room_at_ca(services, domain, ca)
        if at is None:
            return None
        times.append(at)
    return min(times, default=None)


def orders_left(services: Services, ca: CertificateAuthority) -> int | None:
    """How many orders a CA allows our account now, as counted here; None if no limit is known."""
    orders = _quota("orders", ca.policy.limits.new_orders)
    if not orders.burst:
        return None
    return math.floor(services.limits.left(ca.directory_url, orders, now=services.clock()) + ROUNDING)


def room_at_ca(services: Services, domain: Domain, ca: CertificateAuthority) -> float | None:
    """When a CA has room for an order of the domain; None: now."""
    now = services.clock()
    if _is_in_window(domain, ca, now):
        return None
    queries = [replace(quota, cost=0) for quota in _cost(ca, domain)]
    return services.limits.spend(ca.directory_url, domain.name, queries, now=now)


def has_room_for_trial(services: Services, domain: Domain) -> bool:
    """Whether one of the domain's CAs has room for a validation that may well fail, and for some more of the owner."""
    now = services.clock()
    for ca in allowed(services, domain):
        failures = _failures(ca, domain.name)
        kept = replace(failures, cost=0, reserve=failures.burst // 2)
        if services.limits.spend(ca.directory_url, domain.name, [kept], now=now) is None:
            return True
    return False


def _cost(ca: CertificateAuthority, domain: Domain, *, is_bulk: bool = False) -> list[Quota]:
    """The cost of an order. There must be room for one failed authorization, which is counted only when it fails. Bulk
    issuances leave a part of the account's orders to others."""
    costs = [*_certificates(ca, domain), replace(_failures(ca, domain.name), cost=0)]
    orders = _quota("orders", ca.policy.limits.new_orders)
    reserved = replace(orders, reserve=orders.burst // KEPT_FROM_BULK if is_bulk else 0)
    return costs if _is_renewed_at(ca, domain) else [*costs, reserved]


def _certificates(ca: CertificateAuthority, domain: Domain) -> list[Quota]:
    """The cost of the certificate that an order is for."""
    limits, name = ca.policy.limits, domain.name
    of_name = _quota(f"name:{name}", limits.per_name)
    of_registered_domain = _quota(f"below:{registered_domain(name)}", limits.per_registered_domain)
    return [of_name] if _is_renewed_at(ca, domain) else [of_name, of_registered_domain]


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
