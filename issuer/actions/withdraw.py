"""Giving a name up: it is served and renewed no more, held for its account for a while, and perhaps revoked at its CA.

What is left of the record says until when it is held and what is still to be revoked. It has a new version and an
issuance under a new id, so that whoever still works on what was there before can save nothing.
"""

from dataclasses import replace

import structlog

from issuer.actions import eligibility
from issuer.domain import Account, Certificate, Domain, Record, Revocation, withdrawn_issuance
from issuer.events import By, EventType
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

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
    name, now = eligibility.known_name(text), services.clock()
    former: Domain | None = None

    def change(record: Record | None) -> Record:
        nonlocal former
        held = eligibility.require_held(record, account, name)
        former = held.domain
        revocations = (*former.revocations, *_revocation(former.certificate, reason, now))
        left = former.withdrawn(now + services.hold_seconds, revocations)
        stopped = withdrawn_issuance(name, held.issuance, now)
        withdrawn = replace(held, domain=left, issuance=stopped)
        return withdrawn.with_event(now, EventType.DOMAIN_WITHDRAWN, {"revocations": len(revocations)}, by=By.ACCOUNT)

    record = services.store.update(name, change, now=now)
    assert record
    assert former
    return former, record.domain


def remove(services: Services, name: str) -> None:
    """Remove what is left of a name whose hold is over. Raises Conflict where somebody has just asked for it."""
    record = services.store.load(name)
    at = record.domain.remove_at if record else None
    if record and at is not None and at <= services.clock():
        services.store.remove(record)
        log.info("removed", domain=name)


def _revocation(certificate: Certificate | None, reason: int | None, now: float) -> list[Revocation]:
    """What is to be done at the CA, where the certificate is valid and is to be revoked for a reason."""
    if reason is None or certificate is None or not certificate.is_valid(now):
        return []
    known = certificate.chain, certificate.serial, certificate.ca
    return [Revocation(*known, reason, certificate.not_after, next_try_at=now)]
