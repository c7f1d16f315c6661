"""Looks at the records of owners between two tries: who has repaired them need not wait for the next one.

A name that has moved away is looked at by `renewal.recheck`. The others have an open issuance that waits because of
records that forbid the CA, or that cannot be read.
"""

from issuer import backoff, renewal
from issuer.authorities import limits, permission
from issuer.domain import Record
from issuer.edge import ownership
from issuer.ports import Services, Verdict
from issuer.problem import Actor

SOON_SECONDS = 5
"""An issuance that is due within this time is left as it is."""


def recheck(services: Services, name: str) -> Record | None:
    """Look at the records of a name again. Returns its record to enqueue, due now, if they are in order."""
    record, now = services.store.load(name), services.clock()
    if record is None or record.domain.recheck_at is None:
        return None
    if record.domain.moved_away_since is not None:
        return renewal.recheck(services, name)
    is_in_order = _is_waiting(record, now) and _is_in_order(services, record)

    def change(current: Record | None) -> Record | None:
        if current is None or current.domain.moved_away_since is not None:
            return None
        if not _is_waiting(current, now):
            return current.with_domain(recheck_at=None)
        if not is_in_order:
            since = renewal.failing_since(current, now)
            return current.with_domain(recheck_at=backoff.dns_recheck_at(now, since))
        return current.with_domain(recheck_at=None).with_issuance(current.issuance.bring_forward(now))

    updated = services.store.update(name, change, now=now)
    return updated if updated and is_in_order and updated.issuance.next_try_at == now else None


def _is_waiting(record: Record, now: float) -> bool:
    issuance = record.issuance
    problem = issuance.problem
    if not issuance.is_open or problem is None or problem.type not in renewal.RECHECKED:
        return False
    return problem.actor is Actor.OWNER and (issuance.next_try_at or 0) > now + SOON_SECONDS


def _is_in_order(services: Services, record: Record) -> bool:
    """Whether all can be read now, and a CA may issue. A CA may see CAA records that we do not: so there must be room
    for a failed validation."""
    domain = record.domain
    had_certificate = domain.certificate is not None
    pointing = ownership.points_here(services, domain.name, domain.account, had_certificate=had_certificate)
    if pointing.verdict is Verdict.UNKNOWN or not limits.has_room_for_trial(services, domain):
        return False
    looks = [permission.look_without_request(services, domain.name, ca) for ca in services.cas]
    return any(look and look.verdict is not Verdict.NO and not look.is_unanswered for look in looks)
