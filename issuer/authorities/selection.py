"""Which CA issues a certificate: the first choice, or the next one if that is unavailable, has no room, or refuses.

A CA is selected before the order is placed and is saved in the issuance. An order never moves to another CA.
"""

import hashlib
import math

from issuer import backoff
from issuer.authorities.health import OURS, pause_of, paused
from issuer.authorities.rejections import problem_of
from issuer.domain import Domain, Issuance, Record, Step
from issuer.ports import CertificateAuthority, Services
from issuer.problem import Problem, ProblemType

REFUSALS = frozenset({ProblemType.CAA, ProblemType.CA_REFUSED, ProblemType.BAD_CERTIFICATE})
"""A CA refuses the domain, at whatever step, or its certificate cannot be used; another CA may do better."""
BEFORE_CSR = frozenset({ProblemType.CA_RESTS, ProblemType.OVER_BUDGET}) | OURS
BEFORE_ORDER = frozenset({ProblemType.CA_UNAVAILABLE, ProblemType.CA_MISUNDERSTOOD, ProblemType.RATE_LIMITED})
"""Once the CSR has been sent, there may be a certificate: so we wait for its CA and order none at another CA."""
OF_A_CA = REFUSALS | BEFORE_CSR | BEFORE_ORDER


def preferred(services: Services, domain: Domain) -> list[CertificateAuthority]:
    """The CAs for a domain, the first choice first. If the operator has chosen a CA for this domain: only that one.
    Else by weight, if CAs have one, with the same result for a name each time; else in the order of the settings."""
    if domain.ca:
        return [ca for ca in services.cas if ca.directory_url == domain.ca]
    return sorted(services.cas, key=lambda ca: _rank(ca, domain.name))


def allowed(services: Services, domain: Domain) -> list[CertificateAuthority]:
    """The preferred CAs at which a certificate for a domain may be ordered: none of them has issued one that cannot be
    used."""
    return [ca for ca in preferred(services, domain) if not domain.rejected_at(ca.directory_url)]


def select(services: Services, record: Record) -> str:
    """The directory URL of the CA for a new order. Raises Problem if no CA may be asked now."""
    domain, issuance, cooldowns = record.domain, record.issuance, list[Problem]()
    remaining = _remaining(services, domain, (*issuance.passed_over, *issuance.refused_by))
    for ca in remaining or _remaining(services, domain, issuance.passed_over):
        pause = pause_of(services, ca)
        if pause is None:
            return ca.directory_url
        if not pause.is_cooldown:
            raise paused(pause, ca.directory_url)
        cooldowns.append(paused(pause, ca.directory_url))
    rejections = [domain.rejected_at(ca.directory_url) for ca in preferred(services, domain)]
    if not cooldowns and any(rejections):
        raise problem_of(domain, [each for each in rejections if each], services.clock())
    if not cooldowns:
        raise _unknown_ca(domain)
    problem = min(cooldowns, key=lambda each: each.retry_at or 0)
    raise problem.changed(cause="; ".join(dict.fromkeys([problem.cause, *(each.cause for each in cooldowns)])))


def _unknown_ca(domain: Domain) -> Problem:
    cause = f"the CA {domain.ca}, which 'issuer prefer' has chosen for the domain, is not in ISSUER_CAS"
    hint = f"the operator must add it to ISSUER_CAS, or take the choice back: issuer prefer {domain.name} --ca ''"
    return Problem(ProblemType.CA_SETTINGS, f"{domain.ca} is not one of the CAs in ISSUER_CAS", cause=cause, hint=hint)


def failover(services: Services, record: Record, problem: Problem) -> Issuance | None:
    """The issuance moved on to another CA, if there is one and it may not have the problem; else None."""
    issuance = record.issuance
    reasons = {Step.ORDER: OF_A_CA, Step.CHALLENGE: REFUSALS | BEFORE_CSR}
    leads_on = problem.leaves_ca or problem.type in reasons.get(issuance.step, REFUSALS)
    if issuance.ca is None or not leads_on:
        return None
    if not _remaining(services, record.domain, (*issuance.passed_over, *issuance.refused_by, issuance.ca)):
        return None
    now = services.clock()
    return issuance.failover(_most_hopeful(issuance, problem, now), now)


def most_hopeful_problem(services: Services, record: Record, problem: Problem) -> Problem:
    """The problem to report for an issuance that failed at every CA: of the CAs' problems the one that may pass
    soonest; but a problem that does not depend on the CA is always reported itself."""
    return _most_hopeful(record.issuance, problem, services.clock()) if problem.type in OF_A_CA else problem


def _most_hopeful(issuance: Issuance, problem: Problem, now: float) -> Problem:
    # A release before failover_problem has only the last problem.
    former = issuance.failover_problem or issuance.problem if issuance.passed_over else None
    problems = [candidate for candidate in (former, problem) if candidate]
    return min(
        problems,
        key=lambda each: (each.is_permanent, backoff.passes_at(each, issuance.tries, now), each.is_counted),
    )


def _remaining(services: Services, domain: Domain, passed_over: tuple[str, ...]) -> list[CertificateAuthority]:
    return [ca for ca in allowed(services, domain) if ca.directory_url not in passed_over]


def _rank(ca: CertificateAuthority, name: str) -> float:
    """Rendezvous hashing: of two CAs with weights 3 and 1, the former comes first for three names of four."""
    if not ca.policy.weight:
        return math.inf
    digest = hashlib.sha256(f"{ca.directory_url} {name}".encode()).digest()
    return -math.log((int.from_bytes(digest[:8]) + 1) / (2**64 + 1)) / ca.policy.weight
