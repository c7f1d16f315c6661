"""Random interleavings of all who write a record, with a process of the release before among them.

What the record holds must be what the ledger says: no write undone, none made twice, none under a lease that was lost.
"""

import json
from dataclasses import replace

import pytest

from issuer.domain import Due, Hsts, Reason, Record, Step
from issuer.events import MAX_EVENTS
from issuer.ports import Conflict
from issuer.store import RedisStore
from issuer.store.keys import READY_INDEX, RECORDS, index_key
from tests.crowd import LEASE, SCAN, Crowd
from tests.fakes import NAME, NOW, fake_services, opened
from tests.indexes import DUE_INDEXES, OPEN_INDEXES

KEY, RUNS, STEPS = f"{RECORDS}{NAME}", 6, 150


@pytest.fixture
def store(real_store: RedisStore) -> RedisStore:
    """A real Redis alone: what differs at fakeredis, the other contracts find in a tenth of the time."""
    return real_store


class MixedCrowd(Crowd):
    """With a process of the release before, which knows neither listings, nor a timeline, nor callers' changes."""

    def __init__(self, store: RedisStore, seed: int) -> None:
        super().__init__(store, seed)
        self.more, self.formers = [self.former_amend, self.former_take, self.former_end], ("", 0)

    def read(self) -> Record:
        """The record, with nobody in between."""
        return RedisStore.load(RedisStore(self._redis), NAME)

    def former_write(self, values: dict[str, object], times: dict[Due, float], indexes: list[str], **fields) -> None:
        """What each of the former scripts does: JSON without what it does not know, and the due indexes."""
        if "domain" in fields:
            for key, due in ((key, due) for due, key in zip(Due, DUE_INDEXES, strict=True) if key in indexes):
                self._redis.zadd(key, {NAME: times[due]}) if due in times else self._redis.zrem(key, NAME)
            self._redis.zrem(READY_INDEX, NAME)
        self._redis.hset(KEY, mapping=fields)
        self.wrote("former", self._redis.hincrby(KEY, "version", 1), values)

    def former_read(self) -> tuple[Record, dict, dict, dict[Due, float]]:
        record = self.read()
        domain, issuance = (json.loads(self._redis.hget(KEY, part)) for part in ("domain", "issuance"))
        times = {due: at for (due, _), at in record.indexes(self.now + 60).items() if isinstance(due, Due)}
        return record, domain, issuance, times

    def former_amend(self) -> None:
        record, domain, issuance, times = self.former_read()
        if record.lease_until > self.now or record.domain.is_withdrawn:
            return
        self.number += 1
        ask_at = self.now + self.number
        written = {"domain": json.dumps(domain | {"ask_at": ask_at}), "issuance": json.dumps(issuance)}
        self.former_write({"ask_at": ask_at}, times | {Due.RENEWAL_INFO: ask_at}, DUE_INDEXES[3:], **written)

    def former_take(self) -> None:
        record, *_ = self.former_read()
        places = [key for key in OPEN_INDEXES if self._redis.zscore(key, NAME) is not None]
        if places and record.lease_until <= self.now:
            self._redis.zadd(places[-1], {NAME: self.now + LEASE})
            self.former_write({}, {}, [], lease_until=self.now + LEASE)
            self.formers = record.issuance.id, record.version + 1

    def former_end(self) -> None:
        record, domain, issuance, times = self.former_read()
        if self.formers != (record.issuance.id, record.version):
            return
        if self.random.random() < 0.3:
            done = record.with_issuance(replace(record.issuance, step=Step.DONE))
            times = {due: at for (due, _), at in done.indexes(None).items() if isinstance(due, Due)}
            issuance |= {"step": "done"}
        issuance |= {"csr": "former", "events": []}
        written = {"domain": json.dumps(domain), "issuance": json.dumps(issuance), "lease_until": 0, "begun": 0}
        self.former_write({"csr": "former"}, times, DUE_INDEXES, **written)

    def check(self) -> None:
        """Everything is as the ledger has it."""
        redis, record = self._redis, self.read()
        expected: dict[str, object] = {}
        for _, (_, values) in sorted(self.ledger.items()):
            expected |= values
        found = {"hsts": record.domain.hsts, "ask_at": record.domain.ask_at, "csr": record.issuance.csr}
        assert found == {name: expected.get(name) for name in found}
        ids = [event.id for event in record.timeline]
        assert ids == sorted(set(ids))
        assert sorted(event.data["text"] for event in record.timeline) == sorted(self.texts[-MAX_EVENTS:])
        places = [key for key in OPEN_INDEXES if redis.zscore(key, NAME) is not None]
        assert len(places) == record.issuance.is_open, (places, record.issuance.step)
        planned = redis.zscore("issuer:agenda:renew", NAME) is not None, redis.zscore(READY_INDEX, NAME) is not None
        assert sum(planned) == (record.domain.renew_at is not None and not record.issuance.is_open)
        if redis.hget(KEY, "indexed") == redis.hget(KEY, "version"):
            belongs = {index_key(index) for index in record.indexes(self.now)}
            stands = set(redis.scan_iter("issuer:index:*")) | {*DUE_INDEXES}
            stands = {key for key in stands if redis.zscore(key, NAME) is not None}
            assert stands - {"issuer:agenda:renew"} == belongs - {"issuer:agenda:renew"}


@pytest.mark.parametrize("seed", range(RUNS))
def test_whoever_comes_between_whom_nothing_is_lost_or_undone(store: RedisStore, seed: int) -> None:
    opened(fake_services(store))
    crowd = MixedCrowd(store, seed)
    crowd.ledger[1] = (SCAN, {})
    for _ in range(STEPS):
        crowd.act()
        crowd.check()
    record = store.load(NAME)
    if record.issuance.is_open:
        names = [name for due in list(Due)[:3] for name in store.claim(due, now=1e12, limit=9, requeue_at=1e12)]
        assert names == [NAME]
        assert store.lease(record.issuance.id, now=1e12, until=1e12 + LEASE), "whatever happens, it can be worked on"


def test_a_lease_that_ended_while_a_callers_change_is_taken_over_saves_nothing(store: RedisStore) -> None:
    record = opened(fake_services(store))
    held = store.lease(record.issuance.id, now=NOW, until=NOW + LEASE)
    store.update(NAME, lambda current: current.with_domain(hsts=Hsts(60)), now=NOW + 1)

    class Slow(RedisStore):
        def load(self, name: str) -> Record | None:
            store.update(name, lambda current: current.with_domain(ask_at=NOW + 5), now=NOW + LEASE + 1)
            return super().load(name)

    with pytest.raises(Conflict):
        Slow(store._redis).save(held.with_issuance(replace(held.issuance, csr="too late")))
    assert store.load(NAME).domain.ask_at == NOW + 5


def test_an_issuance_woken_at_its_own_moment_changes_its_queue(store: RedisStore) -> None:
    opened(fake_services(store))
    for reason in (Reason.RENEWAL, Reason.MANUAL):
        store.update(NAME, lambda held, why=reason: held.with_issuance(held.issuance.wake(NOW, why)), now=NOW)
    assert [store._redis.zscore(key, NAME) is not None for key in OPEN_INDEXES] == [True, False, False]
