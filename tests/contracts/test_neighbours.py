"""Beside a process of the previous release: what it writes, as its own scripts do, and what happens to that.

It knows neither listings nor a timeline, and removes what it does not know from the JSON of a record.
"""

import json

import pytest

from issuer import tasks
from issuer.actions.listing import by_fact
from issuer.domain import Due, Listing, Reason, Step, new_issuance
from issuer.events import EventType
from issuer.ports import Services
from issuer.store import RedisStore
from issuer.store.keys import RECORDS
from tests.api_client import issued, reach, renewing
from tests.fakes import ACCOUNT, NAME, NOW, all_opened, below, fake_services, opened
from tests.indexes import DUE_INDEXES, OPEN_INDEXES

KEY = f"{RECORDS}{NAME}"


@pytest.fixture
def services(store: RedisStore) -> Services:
    store.create_account(ACCOUNT)
    return fake_services(store)


def former_lease(store: RedisStore, now: float, until: float) -> None:
    """A lease of the former release."""
    redis = store._redis
    (open_index,) = [key for key in OPEN_INDEXES if redis.zscore(key, NAME) is not None]
    redis.hset(KEY, "lease_until", until)
    redis.hincrby(KEY, "version", 1)
    redis.hincrby(KEY, "begun", 1)
    redis.zadd(open_index, {NAME: until})


def former_release(store: RedisStore, times: dict[Due, float], **changes: object) -> None:
    """A write of the former release: JSON with all its own members, the due indexes, and nothing else."""
    redis = store._redis
    domain, issuance = (json.loads(redis.hget(KEY, part)) for part in ("domain", "issuance"))
    known = {name: value for name, value in issuance.items() if name != "from_the_future"} | changes
    known |= {"events": [{"at": NOW, "step": "order", "text": "to be asked: https://ca.example/directory"}]}
    redis.hset(KEY, mapping={"domain": json.dumps(domain), "issuance": json.dumps(known), "lease_until": 0, "begun": 0})
    for due, key in zip(Due, DUE_INDEXES, strict=True):
        redis.zadd(key, {NAME: times[due]}) if due in times else redis.zrem(key, NAME)
    redis.hincrby(KEY, "version", 1)


@pytest.mark.parametrize("step", [Step.ORDER, Step.CHALLENGE, Step.FINALIZE, Step.INSTALL])
def test_an_issuance_that_a_former_process_has_leased_ends(services: Services, step: Step) -> None:
    reach(services, step)
    now = services.clock()
    former_lease(services.store, now, now + 70)
    former_release(services.store, {Due.OPEN_INTERACTIVE: now})
    record = services.store.load(NAME)
    assert record.timeline[-1].text == "to be asked: https://ca.example/directory"
    while (record := services.store.load(NAME)).issuance.is_open:
        _, seconds = tasks.attempt(services, record.issuance.step, record.issuance.id)
        services.clock.forward(seconds)
    assert record.domain.certificate


def test_a_lease_of_a_former_process_is_respected_and_ends(services: Services) -> None:
    record = opened(services)
    former_lease(services.store, NOW, NOW + 70)
    assert services.store.lease(record.issuance.id, now=NOW + 69, until=NOW + 99) is None
    leased = services.store.lease(record.issuance.id, now=NOW + 71, until=NOW + 99)
    assert (leased.lease_until, leased.attempts_started) == (NOW + 99, 2)


def test_a_former_process_that_closes_an_issuance_leaves_no_trace_in_the_open_indexes(services: Services) -> None:
    renewing(services)
    now = services.clock()
    former_lease(services.store, now, now + 70)
    former_release(services.store, {Due.EXPIRY: now + 5}, step="done")
    services.store.update(NAME, lambda held: held.with_domain(renew_at=now + 9), now=now)
    redis = services.store._redis
    assert [redis.zscore(key, NAME) for key in OPEN_INDEXES] == [None] * 3
    assert redis.zscore("issuer:agenda:renew", NAME) == now + 9
    assert services.store.names_of(Listing.OPEN, "", after="", limit=9) == []


@pytest.mark.parametrize("times", [{Due.OPEN_INTERACTIVE: NOW + 40}, {Due.OPEN_RENEWAL: NOW + 40}])
def test_an_open_issuance_stays_in_its_due_index_when_a_caller_changes_something(services: Services, times) -> None:
    opened(services)
    former_release(services.store, times)
    services.store.update(NAME, lambda held: held.with_domain(profile="shortlived"), now=NOW)
    redis = services.store._redis
    assert {due: redis.zscore(f"issuer:agenda:{due}", NAME) for due in times} == times
    assert services.store.lease(services.store.load(NAME).issuance.id, now=NOW, until=NOW + 70)


def test_what_a_former_process_drops_is_there_again_after_the_next_write(services: Services) -> None:
    record = issued(services)
    redis, listed = services.store._redis, (Listing.ACCOUNT, ACCOUNT.id)
    redis.hdel(KEY, "indexes", "indexed", "timeline", "schema")
    for key in redis.scan_iter("issuer:index:*"):
        redis.delete(key)
    assert services.store.names_of(*listed, after="", limit=9) == []
    services.store.update(
        NAME, lambda held: held.with_event(NOW, EventType.NOTE, {"text": "seen"}), now=services.clock()
    )
    assert services.store.names_of(*listed, after="", limit=9) == [NAME]
    assert [name for _, name in services.store.names_by_expiry(until=10**11, after=None, limit=9)] == [NAME]
    assert redis.hget(KEY, "schema") == "2"
    assert services.store.load(NAME).domain == record.domain


def without_indexes(services: Services, names: list[str]) -> None:
    """Records as a release before listings left them."""
    redis = services.store._redis
    for name in names:
        redis.hdel(f"{RECORDS}{name}", "indexes", "indexed", "timeline", "schema", "served")
    for key in redis.scan_iter("issuer:index:*"):
        redis.delete(key)


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_reindex_goes_over_all_records_and_goes_on_where_it_was_cut_off(services: Services, limit: int) -> None:
    names = all_opened(services, *below("customer.example", 25))
    without_indexes(services, names)
    services.store._redis.hset(f"{RECORDS}{names[3]}", "issuance", "null")
    steps = 0
    while not (progress := RedisStore(services.store._redis).reindex(now=NOW, limit=limit)).is_done:
        steps += 1
        assert steps < 200
    assert (progress.seen, progress.damaged) == (25, 1)
    listed = services.store.names_of(Listing.ACCOUNT, ACCOUNT.id, after="", limit=99)
    assert listed == sorted(set(names) - {names[3]})
    for name in listed:
        record = services.store.load(name)
        assert services.store.lease(record.issuance.id, now=NOW, until=NOW + 9), "an open one can still be worked on"


def test_reindex_twice_at_once_or_again_changes_nothing_more(services: Services) -> None:
    names = all_opened(services, *below("customer.example", 5))
    without_indexes(services, names)
    while not services.store.reindex(now=NOW, limit=100).is_done:
        pass
    versions = [services.store.load(name).version for name in names]
    progress = services.store.reindex(now=NOW, limit=2, restart=True)
    assert progress.seen <= 5
    while not services.store.reindex(now=NOW, limit=100).is_done:
        pass
    assert services.store.reindex(now=NOW, limit=100).is_done
    assert [services.store.load(name).version for name in names] == versions


@pytest.mark.parametrize("why", ["a day later", "the server has been restarted"])
def test_reindex_begins_again(services: Services, why: str) -> None:
    names = all_opened(services, *below("customer.example", 30))
    while not services.store.reindex(now=NOW, limit=5).is_done:
        pass
    without_indexes(services, names)
    assert services.store.reindex(now=NOW + 3600, limit=5).is_done
    if why != "a day later":
        services.store.reindex(now=NOW, limit=5, restart=True)
        services.store._redis.hset("issuer:reindex", mapping={"server": "another run", "cursor": 12345})
    while not services.store.reindex(now=NOW + 86401, limit=5).is_done:
        pass
    assert services.store.names_of(Listing.ACCOUNT, ACCOUNT.id, after="", limit=99) == sorted(names)


def test_a_name_that_a_former_process_has_removed_is_in_nobody_elses_list(services: Services) -> None:
    opened(services)
    services.store._redis.delete(KEY)
    opened(services, account="other")
    assert by_fact(services, Listing.ACCOUNT, ACCOUNT.id).records == []
    assert [record.domain.name for record in by_fact(services, Listing.ACCOUNT, "other").records] == [NAME]


def test_a_timeline_survives_the_next_issuance(services: Services) -> None:
    record = issued(services)
    again = new_issuance(NAME, Reason.RENEWAL, services.clock())
    services.store.update(NAME, lambda held: held.with_issuance(again), now=services.clock())
    after = services.store.load(NAME)
    assert after.timeline == record.timeline
    assert [event.id for event in after.timeline] == list(range(1, len(after.timeline) + 1))
