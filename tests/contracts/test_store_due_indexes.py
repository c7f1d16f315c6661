"""Due indexes, the pace of renewals, and quotas: the same over fakeredis and a real Redis (E16)."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from issuer.domain import Certificate, Domain, Due, Issuance, Reason, Record, RenewalWindow, Step, new_issuance
from issuer.events import EventType
from issuer.ports import Conflict, OverQuota, PlannedRenewal, Quota
from issuer.store import RedisStore
from issuer.store.keys import READY_INDEX
from tests.fakes import NAME, NOW
from tests.indexes import DUE_INDEXES
from tests.writes import open_issuance, write

DAY = 86400.0
CA = "https://ca.example/directory"
LATER = NOW + 300


def held(
    store: RedisStore, name: str = NAME, *, renew_at: float | None = NOW, ends: float = 30 * DAY, **more
) -> Record:
    """A domain with a certificate and its issuance done."""
    certificate = Certificate("CHAIN", "key", "0f", NOW - 60 * DAY, NOW + ends, CA)
    domain = Domain(name, "platform", NOW, certificate, renew_at=renew_at, **more)
    return closed(store, domain)


def closed(store: RedisStore, domain: Domain) -> Record:
    issuance = new_issuance(domain.name, Reason.FIRST, NOW)
    open_issuance(store, domain, issuance, version=0, requeue_at=NOW)
    record = store.lease(issuance.id, now=NOW, until=NOW + 9)
    return store.save_and_release(record.with_issuance(replace(issuance, step=Step.DONE)), requeue_at=None)


def renew(store: RedisStore, record: Record, requeue_at: float = NOW) -> Record:
    issuance = new_issuance(record.domain.name, Reason.RENEWAL, NOW)
    return open_issuance(store, record.domain, issuance, version=record.version, requeue_at=requeue_at)


def due_times(store: RedisStore, name: str = NAME) -> dict[str, float]:
    scores = {key.rpartition(":")[2]: store._redis.zscore(key, name) for key in [*DUE_INDEXES, READY_INDEX]}
    return {due_index: at for due_index, at in scores.items() if at is not None}


def claimed(
    store: RedisStore, now: float = NOW, *, per_second: float = 1000, at_once: int = 1000, limit: int = 1000
) -> list[str]:
    return store.claim_renewals(now=now, limit=limit, requeue_at=now + 300, per_second=per_second, at_once=at_once)


def test_a_record_is_in_the_due_indexes_of_its_times(store: RedisStore) -> None:
    record = held(store, renew_at=NOW + 5, ask_at=NOW + 6, recheck_at=NOW + 7)
    ends = {"expire": NOW + 23 * DAY + 1}
    others = ends | {"renewal_info": NOW + 6, "away": NOW + 7}
    assert due_times(store) == others | {"renew": NOW + 5}
    record = renew(store, record, NOW + 60)
    assert due_times(store) == others | {"renewal": NOW + 60}
    manual = replace(record.issuance, reason=Reason.MANUAL)
    record = open_issuance(store, record.domain, manual, version=record.version, requeue_at=NOW + 61)
    assert due_times(store) == others | {"interactive": NOW + 61}
    record = store.lease(manual.id, now=NOW, until=NOW + 70)
    assert due_times(store) == others | {"interactive": NOW + 70}
    bare = replace(record.domain, ask_at=None, recheck_at=None, is_expiry_reported=True)
    store.save_and_release(replace(record, domain=bare, issuance=replace(manual, step=Step.FAILED)), requeue_at=None)
    assert due_times(store) == {"renew": NOW + 5}


@pytest.mark.parametrize("reason", list(Reason))
def test_a_leased_issuance_is_in_the_due_index_of_its_queue(store: RedisStore, reason: Reason) -> None:
    issuance = new_issuance(NAME, reason, NOW)
    open_issuance(store, Domain(NAME, "platform", NOW), issuance, version=0, requeue_at=NOW + 60)
    store.lease(issuance.id, now=NOW, until=NOW + 70)
    assert due_times(store) == {issuance.queue.value: NOW + 70}


def test_update_writes_domain_and_timeline_and_leaves_an_open_issuance_in_its_queue(store: RedisStore) -> None:
    record = renew(store, held(store), NOW + 60)
    window = RenewalWindow("id", NOW, NOW + 9)
    noted = record.with_event(NOW, EventType.NOTE, {"text": "seen"})
    updated = write(store, noted.with_domain(renew_at=NOW + 99, window=window, ask_at=NOW + 50), now=NOW)
    assert store.load(NAME) == updated
    assert (updated.version, updated.timeline[-1].text) == (record.version + 1, "seen")
    assert due_times(store) == {"renewal": NOW + 60, "renewal_info": NOW + 50, "expire": NOW + 23 * DAY + 1}


def test_e06_an_update_of_an_old_version_is_refused(store: RedisStore) -> None:
    record = held(store)
    renew(store, record)
    before = store.load(NAME), due_times(store)
    with pytest.raises(Conflict):
        write(store, record.with_domain(renew_at=NOW + 99), now=NOW)
    assert (store.load(NAME), due_times(store)) == before


def test_update_is_refused_while_a_worker_has_a_lease(store: RedisStore) -> None:
    record = renew(store, held(store))
    leased = store.lease(record.issuance.id, now=NOW, until=NOW + 70)
    with pytest.raises(Conflict):
        write(store, leased.with_domain(renew_at=NOW + 99), now=NOW + 69)
    assert store.save(leased).version == leased.version + 1
    write(store, store.load(NAME).with_domain(renew_at=NOW + 99), now=NOW + 70)
    with pytest.raises(Conflict):
        store.save_and_release(leased, requeue_at=NOW)


def test_an_update_of_an_unknown_name_is_refused(store: RedisStore) -> None:
    record = Record(Domain(NAME, "platform", NOW), Issuance(f"{NAME}/1", Reason.FIRST, NOW), version=1)
    with pytest.raises(Conflict):
        write(store, record, now=NOW)
    assert store._redis.keys() == []


@pytest.mark.parametrize("due_index", [Due.EXPIRY, Due.RENEWAL_INFO, Due.DNS_RECHECK, Due.EDGE_CONFIRMATION])
def test_claim_takes_from_one_due_index_and_leaves_the_record(store: RedisStore, due_index: Due) -> None:
    record = held(store, renew_at=NOW + DAY, ends=-1, ask_at=NOW, recheck_at=NOW, confirm_at=NOW)
    before = due_times(store)
    assert store.claim(due_index, now=NOW, limit=9, requeue_at=LATER) == [NAME]
    assert due_times(store) == before | {due_index.value: LATER}
    assert store.load(NAME) == record


def test_due_renewals_are_claimed_by_urgency_and_postponed(store: RedisStore) -> None:
    held(store, "ordinary.example")
    held(store, "ends.example", ends=0.2 * DAY)
    held(store, "incident.example", window=RenewalWindow("id", NOW - 9999, NOW - 9000))
    held(store, "window.example", window=RenewalWindow("id", NOW, NOW + DAY))
    held(store, "future.example", renew_at=NOW + 1)
    order = ["ends.example", "incident.example", "ordinary.example", "window.example"]
    assert claimed(store, at_once=2) == order[:2]
    assert claimed(store, limit=0) == []
    assert claimed(store) == order[2:]
    assert claimed(store) == []
    assert claimed(store, NOW + 1) == ["future.example"]
    assert due_times(store, "ends.example")["renew"] == LATER
    assert set(claimed(store, NOW + 299)) == set()
    assert set(claimed(store, NOW + 301)) == {*order, "future.example"}


def test_a_claim_of_nothing_writes_nothing(store: RedisStore) -> None:
    assert claimed(store) == []
    assert store._redis.keys() == []


def test_a_renewal_that_has_started_is_not_claimed_again(store: RedisStore) -> None:
    record = held(store)
    claimed(store)
    renew(store, record, NOW + 60)
    assert claimed(store, NOW + 9999) == []
    assert due_times(store) == {"renewal": NOW + 60, "expire": NOW + 23 * DAY + 1}


def test_a_renewal_leaves_the_ready_index_when_it_is_started_or_planned_again(store: RedisStore) -> None:
    one, other = held(store, "one.example"), held(store, "other.example")
    assert claimed(store, at_once=0) == []
    assert "ready" in due_times(store, "one.example")
    renew(store, one)
    write(store, other.with_domain(renew_at=NOW + DAY), now=NOW)
    assert claimed(store) == []
    assert claimed(store, NOW + DAY) == ["other.example"]


def test_no_more_at_once_than_are_allowed_and_only_those_that_are_due_count(store: RedisStore) -> None:
    records = [held(store, f"{number}.example") for number in range(10)]
    for record in records[:3]:
        renew(store, record, NOW + 60)
    for record in records[3:5]:
        renew(store, record, NOW + 9999)
    assert len(claimed(store, at_once=5)) == 2
    assert len(claimed(store, at_once=3)) == 0
    assert len(claimed(store, at_once=99)) == 3


def test_the_pace_saves_up_a_minute_and_then_gives_what_the_time_has_earned(store: RedisStore) -> None:
    for number in range(300):
        held(store, f"{number}.example", renew_at=NOW - 1000)
    assert len(claimed(store, NOW, per_second=2)) == 120
    assert len(claimed(store, NOW, per_second=2)) == 0
    assert len(claimed(store, NOW + 10, per_second=2)) == 20
    assert len(claimed(store, NOW + 10.4, per_second=2)) == 0
    assert len(claimed(store, NOW + 11, per_second=2)) == 2
    assert len(claimed(store, NOW + 9000, per_second=2)) == 120


def test_the_slowest_pace_gives_one_after_the_other(store: RedisStore) -> None:
    for number in range(3):
        held(store, f"{number}.example", renew_at=NOW - 1000)
    counts = [len(claimed(store, NOW + seconds, per_second=0.001)) for seconds in (0, 0, 999, 1000, 1999, 2000)]
    assert counts == [1, 0, 0, 1, 0, 1]


def test_a_clock_that_was_set_back_slows_the_pace_for_a_minute_and_no_longer(store: RedisStore) -> None:
    for number in range(200):
        held(store, f"{number}.example", renew_at=NOW - 9999)
    assert len(claimed(store, NOW, per_second=1)) == 60
    assert len(claimed(store, NOW - 3600, per_second=1)) == 0
    assert len(claimed(store, NOW - 3590, per_second=1)) == 10
    assert len(claimed(store, NOW - 3500, per_second=1)) == 60


def test_a_domain_that_is_gone_holds_nobody_up(store: RedisStore) -> None:
    held(store, "gone.example")
    held(store, "there.example")
    store._redis.delete("issuer:domain:gone.example")
    assert "there.example" in claimed(store)


def test_e09_of_8_that_claim_renewals_at_once_each_gets_others_and_the_pace_holds(store: RedisStore) -> None:
    for number in range(100):
        held(store, f"{number}.example")
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: claimed(store, per_second=0.5), range(16)))
    counts = Counter(name for names in got for name in names)
    assert (len(counts), set(counts.values())) == (30, {1})


def test_more_than_a_batch_that_is_due_at_once_lines_up_by_urgency(store: RedisStore, monkeypatch) -> None:
    monkeypatch.setattr("issuer.store.records.LINE_UP", 7)
    names = [f"{number:02}.example" for number in range(40)]
    for number, name in enumerate(names):
        held(store, name, renew_at=NOW - number, ends=3600 + number)
    assert claimed(store, at_once=5) == names[:5]


def test_a_quota_is_spent_with_the_write_and_refuses_beyond(store: RedisStore) -> None:
    quota = Quota("names:platform:example", seconds=100, burst=2)

    def opened(name: str, now: float) -> None:
        issuance = new_issuance(name, Reason.FIRST, now)
        open_issuance(store, Domain(name, "platform", now), issuance, version=0, requeue_at=now, now=now, quota=quota)

    opened("a.example", NOW)
    with pytest.raises(Conflict):
        opened("a.example", NOW)
    opened("b.example", NOW)
    with pytest.raises(OverQuota) as refused:
        opened("c.example", NOW)
    assert refused.value.retry_at == pytest.approx(NOW + 100, abs=0.01)
    assert store.load("c.example") is None
    with pytest.raises(OverQuota):
        opened("c.example", NOW + 99)
    opened("c.example", NOW + 100)
    with pytest.raises(OverQuota) as refused:
        opened("d.example", NOW + 100 - 3600)
    assert refused.value.retry_at <= NOW - 3600 + 200 + 0.01 + 100


def test_e10_of_16_that_spend_at_once_as_many_as_allowed_get_through(store: RedisStore) -> None:
    quota = Quota("names:platform:example", seconds=100, burst=5)

    def opened(number: int) -> bool:
        issuance = new_issuance(f"{number}.example", Reason.FIRST, NOW)
        domain = Domain(f"{number}.example", "platform", NOW)
        try:
            open_issuance(store, domain, issuance, version=0, requeue_at=NOW, now=NOW, quota=quota)
        except OverQuota:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(opened, range(16))) == 5


def test_planned_renewals_come_with_their_ca(store: RedisStore) -> None:
    held(store, "due.example", renew_at=NOW - 1)
    held(store, "later.example", renew_at=NOW + DAY)
    renew(store, held(store, "open.example", renew_at=NOW - 1), NOW + 60)
    closed(store, Domain("none.example", "platform", NOW))
    claimed(store, at_once=1)
    found = sorted(store.planned_renewals(), key=lambda one: one.name)
    assert found == [PlannedRenewal("due.example", 0, CA), PlannedRenewal("later.example", NOW + DAY, CA)]
    assert store.names(Due.OPEN_RENEWAL, limit=5) == (1, ["open.example"])
    assert store.names(Due.DNS_RECHECK, limit=5) == (0, [])
