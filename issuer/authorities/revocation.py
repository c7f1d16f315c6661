"""The revocation of certificates of withdrawn names at their CAs."""

from dataclasses import replace

import structlog

from issuer import backoff
from issuer.authorities import health
from issuer.domain import Revocation
from issuer.events import EventType
from issuer.ports import Conflict, Services
from issuer.problem import Problem, ProblemType

log = structlog.get_logger(__name__)


def revoke_due(services: Services, name: str) -> None:
    """Ask CAs to perform the due revocations of a name. Raises Conflict if the record has changed in the meantime: then
    a CA is asked again later, and answers that the certificate is already revoked."""
    record, now = services.store.load(name), services.clock()
    if record is None or not record.domain.revocations:
        return
    open_revocations: list[Revocation] = []
    changed = record
    for revocation in record.domain.revocations:
        still_open = _attempt(services, name, revocation) if revocation.next_try_at <= now else revocation
        open_revocations += [still_open] if still_open else []
        if still_open is None and services.clock() < revocation.not_after + 1:
            facts = {"serial": revocation.serial, "ca": revocation.ca, "crl_reason": revocation.reason}
            changed = changed.with_event(now, EventType.CERTIFICATE_REVOKED, facts)
    changed = changed.with_domain(revocations=tuple(open_revocations))
    if record.domain.withdrawn_until is not None:
        # The hold ends now at the earliest, so that the record is kept for a while after its last change.
        changed = changed.with_domain(withdrawn_until=max(record.domain.withdrawn_until, now))
    if services.store.update(name, changed.unless_changed, now=now) is None:
        raise Conflict


def _attempt(services: Services, name: str, revocation: Revocation) -> Revocation | None:
    """Ask the CA to revoke. Returns the revocation with its next try, or None once the CA has revoked the certificate
    or the certificate has expired."""
    now = services.clock()
    if now >= revocation.not_after + 1:
        log.error("not revoked, the certificate has expired", domain=name, serial=revocation.serial, ca=revocation.ca)
        return None
    try:
        _revoke(services, revocation)
    except Problem as problem:
        postponed = _postponed(revocation, problem, now)
        log.warning(
            "not revoked yet",
            domain=name,
            serial=revocation.serial,
            problem=problem.type.value,
            reason=str(problem),
            again_in_seconds=round(postponed.next_try_at - now, 1),
        )
        return postponed
    return None


def _revoke(services: Services, revocation: Revocation) -> None:
    ca = services.ca_at(revocation.ca)
    if ca is None:
        raise Problem(ProblemType.CA_ACCOUNT, f"{revocation.ca} is not one of the CAs in ISSUER_CAS")
    health.call_outside_orders(services, ca, "revokeCert", lambda: ca.revoke(revocation.chain, revocation.reason))


def _postponed(revocation: Revocation, problem: Problem, now: float) -> Revocation:
    at = backoff.revocation_at(
        now,
        tries=revocation.tries,
        not_before=problem.retry_at,
        certificate_end=revocation.not_after + 1,
        jitter=backoff.random_jitter(),
    )
    is_tried = problem.is_counted or problem.retry_at is None
    return replace(revocation, next_try_at=at, tries=revocation.tries + is_tried)
