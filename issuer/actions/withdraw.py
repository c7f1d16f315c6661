"""Withdraw a name: it is no longer served or renewed, is reserved for its account for a while, and may be revoked.

The record that remains says until when the name is reserved and what must still be revoked. It has a new version and
an issuance with a new id, so that a worker that still has the former record cannot save it.
"""

from dataclasses import replace

import structlog

from issuer import names
from issuer.actions import eligibility, lookup
from issuer.domain import Account, Certificate, Domain, Record, Revocation, withdrawn_issuance
from issuer.events import By, EventType
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

REASONS = {"unspecified": 0, "keyCompromise": 1, "superseded": 4, "cessationOfOperation": 5}
"""The revocation reasons of RFC 5280 §5.3.1 that public CAs accept from the subscriber."""

log = structlog.get_logger(__name__)


def reason_of(text: str) -> int:
    """The number of a revocation reason, from its name or its number. Raises Problem(invalid-request)."""
    reason = next((number for name, number in REASONS.items() if text in {name, str(number)}), None)
    if reason is None:
        reasons = ", ".join(f"{name} ({number})" for name, number in REASONS.items())
        raise Problem(
            ProblemType.INVALID_REQUEST,
            f"{text[:60]!a} is not a revocation reason that CAs accept",
            hint=f"give one of: {reasons}",
        )
    return reason


def withdraw(
    services: Services, account: Account | None, text: str, *, reason: int | None = None
) -> tuple[Domain, Domain]:
    """Withdraw a name that an account holds; with None, as the operator, one that any account holds. Returns the domain
    before and after.

    reason: have the certificate in force revoked for this reason; None: do not revoke it. Raises
    Problem(not-initiated) for any other name; for the operator, Problem(not-found).
    """
    name, now, by = names.known(text), services.clock(), By.ACCOUNT if account else By.OPERATOR
    former: Domain | None = None

    def change(record: Record | None) -> Record:
        nonlocal former
        held = eligibility.require_held(record, account, name) if account else lookup.require_held(record, name)
        former = held.domain
        revocations = (*former.revocations, *_revocation(former.certificate, reason, now))
        domain = former.withdrawn(now + services.settings.hold_seconds, revocations)
        closed = withdrawn_issuance(name, held.issuance, now)
        withdrawn = replace(held, domain=domain, issuance=closed)
        return withdrawn.with_event(now, EventType.DOMAIN_WITHDRAWN, {"revocations": len(revocations)}, by=by)

    record = services.store.update(name, change, now=now, repairs=True)
    assert record
    assert former
    return former, record.domain


def remove(services: Services, name: str) -> None:
    """Remove the record of a withdrawn name whose hold is over. Raises Conflict if it has changed in the meantime."""
    record = services.store.load(name)
    at = record.domain.remove_at if record else None
    if record and at is not None and at <= services.clock():
        services.store.remove(record)
        log.info("removed", domain=name)


def _revocation(certificate: Certificate | None, reason: int | None, now: float) -> list[Revocation]:
    """The revocation to perform at the CA, if a reason is given and the certificate is valid."""
    if reason is None or certificate is None or not certificate.is_valid(now):
        return []
    known = certificate.chain, certificate.serial, certificate.ca
    return [Revocation(*known, reason, certificate.not_after, next_try_at=now)]
