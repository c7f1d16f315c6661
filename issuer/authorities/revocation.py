"""Certificates of withdrawn names, revoked at their CA."""

from dataclasses import replace

import structlog

from issuer import backoff
from issuer.authorities import health
from issuer.domain import Record, Revocation
from issuer.events import EventType
from issuer.ports import Conflict, Services
from issuer.problem import Problem, ProblemType

log = structlog.get_logger(__name__)


def revoke_due(services: Services, name: str) -> None:
    """Have the certificates of a name revoked whose time has come. Raises Conflict where the record has changed
    meanwhile: then a CA is asked once more later, and says that it has done it."""
    record, now = services.store.load(name), services.clock()
    if record is None or not record.domain.revocations:
        return
    left: list[Revocation] = []
    changed = record
    for revocation in record.domain.revocations:
        again = _asked(services, name, revocation) if revocation.next_try_at <= now else revocation
        left += [again] if again else []
        if again is None and now < revocation.not_after + 1:
            facts = {"serial": revocation.serial, "ca": revocation.ca, "crl_reason": revocation.reason}
            changed = changed.with_event(now, EventType.CERTIFICATE_REVOKED, facts)
    changed = changed.with_domain(revocations=tuple(left))
    if record.domain.withdrawn_until is not None:
        # Held until now, so that the record stays a while after its last change.
        changed = changed.with_domain(withdrawn_until=max(record.domain.withdrawn_until, now))

    def change(current: Record | None) -> Record | None:
        return changed if current and current.version == record.version else None

    if services.store.update(name, change, now=now) is None:
        raise Conflict


def _asked(services: Services, name: str, revocation: Revocation) -> Revocation | None:
    """What is left to do of a revocation: nothing once the CA has done it, or the certificate has expired."""
    now = services.clock()
    if now >= revocation.not_after + 1:
        log.error("not revoked, the certificate has expired", domain=name, serial=revocation.serial, ca=revocation.ca)
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
    return None


def _revoke(services: Services, revocation: Revocation) -> None:
    ca = services.ca_at(revocation.ca)
    if ca is None:
        raise Problem(ProblemType.CA_ACCOUNT, f"{revocation.ca} is none of the CAs in ISSUER_CAS")
    health.call_outside_orders(services, ca, "revokeCert", lambda: ca.revoke(revocation.chain, revocation.reason))


def _later(revocation: Revocation, problem: Problem, now: float) -> Revocation:
    at = backoff.revocation_at(
        now,
        tries=revocation.tries,
        not_before=problem.retry_at,
        certificate_end=revocation.not_after + 1,
        jitter=backoff.random_jitter(),
    )
    is_tried = problem.is_counted or problem.retry_at is None
    return replace(revocation, next_try_at=at, tries=revocation.tries + is_tried)
