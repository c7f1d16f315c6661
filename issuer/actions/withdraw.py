"""Giving a name up: it is served and renewed no more, held for its account for a while, and perhaps revoked at its CA.

What is left of the record says until when it is held and what is still to be revoked. It has a new version and an
issuance under a new id, so that whoever still works on what was there before can save nothing.
"""

import structlog

from issuer.actions import eligibility
from issuer.domain import Account, Domain, Revocation, withdrawn_issuance
from issuer.ports import Conflict, Services
from issuer.problem import Problem, ProblemType

MAX_CONFLICTS = 20
REASONS = {"unspecified": 0, "keyCompromise": 1, "superseded": 4, "cessationOfOperation": 5}
"""Those of RFC 5280 §5.3.1 that public CAs take from whoever holds a certificate."""

log = structlog.get_logger(__name__)


def reason_of(text: str) -> int:
    """A reason by its name or its number. Raises Problem(invalid-request)."""
    found = next((number for name, number in REASONS.items() if text in {name, str(number)}), None)
    if found is None:
        named = ", ".join(f"{name} ({number})" for name, number in REASONS.items())
        raise Problem(
            ProblemType.INVALID_REQUEST,
            f"{text[:60]!a} is no reason for a revocation that CAs take",
            hint=f"give one of: {named}",
        )
    return found


def withdraw(services: Services, account: Account, text: str, *, reason: int | None = None) -> tuple[Domain, Domain]:
    """Give up a name that an account holds: the domain as it was, and what is left of it.

    reason: have the certificate in force revoked for it. Raises Problem(not-initiated) for any other name.
    """
    for _ in range(MAX_CONFLICTS):
        record, now = eligibility.record_of(services, account, text), services.clock()
        former = record.domain
        revocations = former.revocations
        certificate = former.certificate
        if reason is not None and certificate and certificate.is_valid(now):
            known = certificate.chain, certificate.serial, certificate.ca
            revocations = (*revocations, Revocation(*known, reason, certificate.not_after, next_try_at=now))
        left = former.withdrawn(now + services.hold_seconds, revocations)
        stopped = withdrawn_issuance(former.name, record.issuance, now)
        try:
            services.store.open(left, stopped, version=record.version, requeue_at=now)
        except Conflict:
            continue
        log.info("withdrawn", domain=left.name, account=account.id, revocations=len(revocations))
        return former, left
    raise Problem(ProblemType.BUSY, hint="nothing was changed; try again in a moment")


def remove(services: Services, name: str) -> None:
    """Remove what is left of a name whose hold is over. Raises Conflict where somebody has just asked for it."""
    record = services.store.load(name)
    at = record.domain.forget_at if record else None
    if record and at is not None and at <= services.clock():
        services.store.forget(record)
        log.info("removed", domain=name)
