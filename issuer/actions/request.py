"""Ask for a certificate: POST for a name, PUT to try again."""

from dataclasses import replace

import structlog

from issuer.actions import eligibility
from issuer.backoff import ASSUMED_LOST
from issuer.domain import Account, Domain, Reason, Record, new_issuance
from issuer.ports import Conflict, OverQuota, Services
from issuer.problem import Problem, ProblemType

MAX_CONFLICTS = 5

log = structlog.get_logger(__name__)


def request(services: Services, account: Account, text: str, *, must_exist: bool = False) -> Record:
    """Start an issuance for a name that an account asks for (POST), or has asked for before (PUT: must_exist).

    Raises the Problem that forbids it. Of many callers at once, one gets the record and the others
    Problem(already-initiated).
    """
    name = eligibility.canonical_name(services, text)
    for _ in range(MAX_CONFLICTS):
        held = eligibility.may_issue(services, account, name, must_exist=must_exist)
        eligibility.require_cname(services, account, name)
        try:
            record = _open(services, account, name, held)
        except Conflict:
            continue
        except OverQuota as spent:
            raise eligibility.over_quota(services, name, held, spent.retry_at) from None
        log.info("issuance started", domain=name, issuance=record.issuance.id, account=account.id)
        services.queue.enqueue(record)
        return record
    raise Problem(ProblemType.STORE_UNAVAILABLE, "too many requests for this name at once")


def _open(services: Services, account: Account, name: str, held: Record | None) -> Record:
    """A new attempt, or the open one woken: its order and key may still be good. Of a domain that was withdrawn nothing
    goes on but the version, and what is still to be revoked. Raises Conflict, OverQuota."""
    now = services.clock()
    version = held.version if held else 0
    domain = Domain(name, account.id, now, revocations=held.domain.revocations if held else ())
    issuance = new_issuance(name, Reason.FIRST, now)
    if held and not held.domain.is_withdrawn:
        domain = held.domain
        is_open = held.issuance.is_open
        issuance = held.issuance.wake(now, Reason.MANUAL) if is_open else new_issuance(name, Reason.MANUAL, now)
    share = eligibility.quick_share(account)
    is_bulk = not services.limits.use(replace(share, cost=0), now=now)
    record = services.store.open(
        domain,
        replace(issuance, is_bulk=is_bulk),
        version=version,
        requeue_at=now + ASSUMED_LOST,
        now=now,
        quota=eligibility.quota(services, account, name, held),
    )
    services.limits.use(share, now=now)
    return record
