"""Certificates that a CA has issued and that cannot be used: one of a CA for a name, and no second.

A CA that issues for another key or another name does so again, and every certificate counts or costs. So the next CA is
asked, and this one not before the operator allows it (`actions.authorities.allow`). What was rejected is saved in the
same write that drops the order.
"""

from issuer.backoff import DAY
from issuer.domain import Domain, Record, Rejection
from issuer.events import EventType
from issuer.problem import Problem, ProblemType


def record_rejection(record: Record, problem: Problem, now: float) -> tuple[Record, Problem]:
    """The record after its CA has issued a certificate that cannot be used, and the Problem to report."""
    ca = record.issuance.ca or ""
    rejection = Rejection(ca, problem.detail, now)
    others = [other for other in record.domain.rejections if other.ca != ca]
    rejected = record.with_domain(rejections=(*others, rejection))
    facts = {"ca": ca, "reason": problem.detail}
    rejected = rejected.with_event(now, EventType.CERTIFICATE_REJECTED, facts, code=problem.type.value)
    return rejected, problem_of(record.domain, [rejection], now)


def problem_of(domain: Domain, rejections: list[Rejection], now: float) -> Problem:
    """Why no certificate is ordered, and how the operator allows it."""
    reasons = [rejection.reason for rejection in rejections]
    if len(rejections) > 1:
        reasons = [f"{rejection.ca}: {rejection.reason}" for rejection in rejections]
    commands = ", ".join(f"'issuer ca allow {rejection.ca} {domain.name}'" for rejection in rejections)
    hint = f"no other is ordered there until the operator has cleared that up with the CA and allows it with {commands}"
    whose = " and ".join(dict.fromkeys(rejection.ca for rejection in rejections))
    cause = f"the CA {whose} has sent a certificate that cannot be used: {'; '.join(reasons)}"
    return Problem(ProblemType.BAD_CERTIFICATE, "; ".join(reasons), cause=cause, hint=hint, retry_at=now + DAY)
