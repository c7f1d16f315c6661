"""Certificates of withdrawn names, revoked at their CA."""

from dataclasses import replace

import structlog

from issuer import backoff
from issuer.authorities import health
from issuer.domain import Revocation
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

log = structlog.get_logger(__name__)


def revoke_due(services: Services, name: str) -> None:
    """Have the certificates of a name revoked whose time has come. Raises Conflict where another worker has changed the
    record: then a CA is asked once more later, and says that it has done it."""
    record, now = services.store.load(name), services.clock()
    if record is None or not record.domain.revocations:
        return
    domain = record.domain
    left = [_revoked(services, name, one) if one.next_try_at <= now else one for one in domain.revocations]
    changes: dict[str, object] = {"revocations": tuple(one for one in left if one)}
    if domain.withdrawn_until is not None:
        # Held until now, so that the record stays a while after its last change.
        changes["withdrawn_until"] = max(domain.withdrawn_until, now)
    services.store.amend(record.with_domain(**changes), now=now)


def _revoked(services: Services, name: str, revocation: Revocation) -> Revocation | None:
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
    log.info("revoked", domain=name, serial=revocation.serial, ca=revocation.ca, crl_reason=revocation.reason)
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
