"""Request a certificate: POST for a name, PUT to try again."""

from dataclasses import replace

from issuer.actions import eligibility
from issuer.domain import Account, Domain, Reason, Record, new_issuance
from issuer.events import By, EventType
from issuer.ports import OverQuota, Quota, Services


def request(
    services: Services,
    account: Account,
    text: str,
    *,
    must_exist: bool = False,
    by: By = By.ACCOUNT,
    request_id: str = "",
) -> Record:
    """Start an issuance for a name that an account requests (POST), or has requested before (PUT: must_exist). by: the
    operator may request it for the account. request_id: of the HTTP request.

    Raises the Problem that forbids it. If many callers request a name at once, one gets the record and the others get
    Problem(already-initiated).
    """
    name = eligibility.canonical_name(services, text, is_held=True)
    now, share = services.clock(), eligibility.quick_share(account)
    held: Record | None = None

    def change(record: Record | None) -> Record:
        nonlocal held
        held = record
        is_held = record is not None and record.domain.account == account.id and not record.domain.is_withdrawn
        eligibility.canonical_name(services, text, is_held=is_held)  # now that it is known who holds it
        eligibility.require_eligible(services, account, name, record, must_exist=must_exist)
        is_bulk = not services.limits.use(replace(share, cost=0), now=now)
        opened = _opened(account, name, record, now, by=by)
        return opened.with_issuance(replace(opened.issuance, is_bulk=is_bulk, request_id=request_id))

    def quota(record: Record | None) -> Quota:
        return eligibility.quota(services, account, name, record)

    try:
        record = services.store.update(name, change, now=now, quota=quota, repairs=True)
    except OverQuota as spent:
        raise eligibility.over_quota(services, name, held, spent.retry_at) from None
    assert record
    services.limits.use(share, now=now)
    services.queue.enqueue(record)
    return record


def _opened(account: Account, name: str, held: Record | None, now: float, *, by: By) -> Record:
    """The record with a new issuance, or with its open issuance due now, whose order and key may still be good. A
    domain that was withdrawn starts anew: only its version, its open revocations and its rejections remain."""
    if held is None or held.domain.is_withdrawn:
        domain = Domain(name, account.id, now)
        record = Record(domain, new_issuance(name, Reason.FIRST, now))
        if held:
            record = record.with_domain(revocations=held.domain.revocations, rejections=held.domain.rejections)
            timeline = held.timeline if held.domain.account == account.id else ()
            record = replace(record, version=held.version, timeline=timeline, schema=held.schema)
    elif held.issuance.is_open:
        record = held.with_issuance(held.issuance.wake(now, Reason.MANUAL))
    else:
        record = held.with_issuance(new_issuance(name, Reason.MANUAL, now))
    return record.with_event(now, EventType.ISSUANCE_STARTED, {"account": account.id}, by=by)
