"""The chain: order → challenge → finalize → install. Start it, resume it, ask for it."""

from dataclasses import replace

import structlog
from celery import Celery, chain
from kombu.exceptions import OperationalError

from issuer import checks
from issuer.domain import ASSUMED_LOST_SECONDS, CHAIN, Domain, Reason, Record, new_issuance
from issuer.ports import Account, Conflict, OverQuota, Services
from issuer.problem import Problem, ProblemType

MAX_CONFLICTS = 5

log = structlog.get_logger(__name__)


def resume(celery: Celery, record: Record) -> None:
    """Queue what is left of an issuance. When the queue is away nothing is lost: `reconcile` finds the record."""
    issuance = record.issuance
    rest = CHAIN[CHAIN.index(issuance.step) :]
    try:
        chain(*(celery.tasks[step.value].si(issuance.id).set(queue=issuance.lane.value) for step in rest)).apply_async()
    except (OperationalError, OSError) as error:
        log.warning("not queued, reconcile will do it", issuance=issuance.id, error=type(error).__name__)


def request(services: Services, celery: Celery, account: Account, text: str, *, must_exist: bool = False) -> Record:
    """Begin an issuance for a name that an account asks for (POST), or has asked for before (PUT: must_exist).

    Raises the Problem that forbids it. Of many callers at once, one gets the record and the others
    Problem(already-initiated).
    """
    name = checks.canonical_name(services, text)
    for _ in range(MAX_CONFLICTS):
        held = checks.may_issue(services, account, name, must_exist=must_exist)
        checks.require_cname(services, account, name)
        try:
            record = _open(services, account, name, held)
        except Conflict:
            continue
        except OverQuota as spent:
            raise checks.over_quota(services, name, held, spent.retry_at) from None
        log.info("issuance begun", domain=name, issuance=record.issuance.id, account=account.id)
        resume(celery, record)
        return record
    raise Problem(ProblemType.STORE_UNAVAILABLE, "too many requests for this name at once")


def _open(services: Services, account: Account, name: str, held: Record | None) -> Record:
    """A new attempt, or the open one woken: its order and key may still be good. Of a domain that was given up nothing
    goes on but the version, and what is still to be revoked. Raises Conflict, OverQuota."""
    now = services.clock()
    version = held.version if held else 0
    domain = Domain(name, account.id, now, revocations=held.domain.revocations if held else ())
    issuance = new_issuance(name, Reason.FIRST, now)
    if held and not held.domain.is_withdrawn:
        domain = held.domain
        is_open = held.issuance.is_open
        issuance = held.issuance.wake(now, Reason.MANUAL) if is_open else new_issuance(name, Reason.MANUAL, now)
    share = checks.quick_share(account)
    is_bulk = not services.limits.use(replace(share, cost=0), now=now)
    record = services.store.open(
        domain,
        replace(issuance, is_bulk=is_bulk),
        version=version,
        look_again_at=now + ASSUMED_LOST_SECONDS,
        now=now,
        quota=checks.quota(services, account, name, held),
    )
    services.limits.use(share, now=now)
    return record
