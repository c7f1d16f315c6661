"""Giving a name up: it is served and renewed no more, held for its account for a while, and perhaps revoked at its CA.

What is left of the record says until when it is held and what is still to be revoked. It has a new version and an
issuance under a new id, so that whoever still works on what was there before can save nothing.
"""

import random
from dataclasses import replace

import structlog

from issuer import checks, choice
from issuer.domain import DAY_SECONDS, Domain, Revocation, withdrawn_issuance
from issuer.ports import Account, Conflict, Services
from issuer.problem import Problem, ProblemType

MAX_CONFLICTS = 20
REASONS = {"unspecified": 0, "keyCompromise": 1, "superseded": 4, "cessationOfOperation": 5}
"""Those of RFC 5280 §5.3.1 that public CAs take from whoever holds a certificate."""
FIRST_RETRY_SECONDS = 60
LONGEST_RETRY_SECONDS = DAY_SECONDS / 4

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
        record, now = checks.record_of(services, account, text), services.clock()
        former = record.domain
        revocations = former.revocations
        certificate = former.certificate
        if reason is not None and certificate and certificate.is_valid(now):
            known = certificate.chain, certificate.serial, certificate.ca
            revocations = (*revocations, Revocation(*known, reason, certificate.not_after, next_try_at=now))
        left = former.withdrawn(now + services.hold_seconds, revocations)
        stopped = withdrawn_issuance(former.name, record.issuance, now)
        try:
            services.store.open(left, stopped, version=record.version, look_again_at=now)
        except Conflict:
            continue
        log.info("withdrawn", domain=left.name, account=account.id, revocations=len(revocations))
        return former, left
    raise Problem(ProblemType.BUSY, hint="nothing was changed; try again in a moment")


def revoke_due(services: Services, name: str) -> None:
    """Have the certificates of a name revoked whose time has come. Raises Conflict where the record is in other hands:
    then a CA is asked once more later, and says that it has done it."""
    record, now = services.store.load(name), services.clock()
    if record is None or not record.domain.revocations:
        return
    domain = record.domain
    left = [_asked(services, name, one) if one.next_try_at <= now else one for one in domain.revocations]
    changes: dict[str, object] = {"revocations": tuple(one for one in left if one)}
    if domain.withdrawn_until is not None:
        # Held until now, so that the record stays a while after its last change.
        changes["withdrawn_until"] = max(domain.withdrawn_until, now)
    services.store.amend(record.with_domain(**changes), now=now)


def forget(services: Services, name: str) -> None:
    """Remove what is left of a name whose hold is over. Raises Conflict where somebody has just asked for it."""
    record = services.store.load(name)
    at = record.domain.forget_at if record else None
    if record and at is not None and at <= services.clock():
        services.store.forget(record)
        log.info("forgotten", domain=name)


def _asked(services: Services, name: str, revocation: Revocation) -> Revocation | None:
    """What is left to do of a revocation: nothing once the CA has done it, or the certificate has ended."""
    now = services.clock()
    if now >= revocation.not_after + 1:
        log.error("not revoked, the certificate has ended", domain=name, serial=revocation.serial, ca=revocation.ca)
        return None
    try:
        _revoke(services, revocation)
    except Problem as problem:
        again = _later(revocation, problem, now)
        log.warning(
            "not revoked yet",
            domain=name,
            serial=revocation.serial,
            problem=problem.type.value,
            reason=str(problem),
            again_in_seconds=round(again.next_try_at - now, 1),
        )
        return again
    log.info("revoked", domain=name, serial=revocation.serial, ca=revocation.ca, crl_reason=revocation.reason)
    return None


def _revoke(services: Services, revocation: Revocation) -> None:
    ca = services.ca_at(revocation.ca)
    if ca is None:
        raise Problem(ProblemType.CA_ACCOUNT, f"{revocation.ca} is none of the CAs in ISSUER_CAS")
    choice.aside(services, ca, "revokeCert", lambda: ca.revoke(revocation.chain, revocation.reason))


def _later(revocation: Revocation, problem: Problem, now: float) -> Revocation:
    """Ten times as long as the last time, up to a few hours, and never before the CA said; but at the certificate's end
    at the latest."""
    pause = min(FIRST_RETRY_SECONDS * 10.0 ** min(revocation.tries, 5), LONGEST_RETRY_SECONDS)
    pause *= random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
    at = min(max(now + pause, problem.retry_at or 0), revocation.not_after + 1)
    is_tried = problem.is_counted or problem.retry_at is None
    return replace(revocation, next_try_at=at, tries=revocation.tries + is_tried)
