"""The edges' feed: the same over fakeredis and a real Redis."""

import threading
import time
from dataclasses import replace

import pytest

from issuer.domain import Hsts, Reason, Record, Step, new_issuance
from issuer.store import RedisFeed, RedisStore
from issuer.store.feed import CHANGES, START
from tests.contracts.test_store import BARE, CERTIFICATE
from tests.fakes import NAME, NOW
from tests.writes import open_issuance, write


@pytest.fixture
def feed(store: RedisStore) -> RedisFeed:
    return RedisFeed(store._redis)


def installed(store: RedisStore, name: str = NAME, serial: str = "0f") -> Record:
    """A record as a worker leaves it."""
    domain, known = replace(BARE, name=name), store.load(name)
    began_at = replace(new_issuance(name, Reason.FIRST, NOW), step=Step.INSTALL)
    version = known.version if known else 0
    opened = open_issuance(store, known.domain if known else domain, began_at, version=version, requeue_at=NOW)
    leased = store.lease(opened.issuance.id, now=NOW, until=NOW + 70)
    return store.save_and_release(leased.install(replace(CERTIFICATE, serial=serial)), requeue_at=None)


def names(feed: RedisFeed, position: str = START) -> list[str]:
    return [one.name for one in feed.changes(position, limit=100, wait_seconds=0.01)]


def test_the_feed_has_what_edges_serve_and_nothing_else(store: RedisStore, feed: RedisFeed) -> None:
    record = installed(store)
    assert names(feed) == [NAME]
    end = feed.position()
    record = write(store, record.with_domain(renew_at=NOW + 9, ask_at=NOW), now=NOW)
    open_issuance(store, record.domain, new_issuance(NAME, Reason.MANUAL, NOW), version=record.version, requeue_at=NOW)
    assert names(feed, end) == []
    installed(store, serial="10")
    assert names(feed, end) == [NAME]


@pytest.mark.parametrize("change", [{"hsts": Hsts(60)}, {"is_expiry_reported": True}, {"certificate": None}], ids=str)
def test_the_feed_has_policies_expiries_and_withdrawals(store: RedisStore, feed: RedisFeed, change) -> None:
    record = installed(store)
    end = feed.position()
    updated = write(store, record.with_domain(**change), now=NOW)
    (entry,) = feed.changes(end, limit=9, wait_seconds=0.01)
    assert (entry.name, entry.edge_version) == (NAME, updated.domain.edge_version)
    assert feed.edge_version(NAME) == updated.domain.edge_version


def test_changes_come_in_order_and_by_pages(store: RedisStore, feed: RedisFeed) -> None:
    for number in range(5):
        installed(store, f"{number}.customer.example")
    first = feed.changes(START, limit=3, wait_seconds=0.01)
    then = feed.changes(first[-1].position, limit=3, wait_seconds=0.01)
    assert [one.name for one in first + then] == [f"{number}.customer.example" for number in range(5)]
    assert feed.changes(then[-1].position, limit=3, wait_seconds=0.01) == []
    assert then[-1].position == feed.position()


def test_a_position_that_is_no_longer_there_has_missed_something(store: RedisStore, feed: RedisFeed) -> None:
    assert not feed.is_complete_after(feed.position())
    for number in range(5):
        installed(store, f"{number}.customer.example")
    (first, *_) = feed.changes(START, limit=9, wait_seconds=0.01)
    assert feed.is_complete_after(first.position)
    assert feed.is_complete_after(feed.position())
    store._redis.xtrim(CHANGES, maxlen=2, approximate=False)
    assert not feed.is_complete_after(first.position)
    assert feed.is_complete_after(feed.position())
    store._redis.delete(CHANGES)
    assert not feed.is_complete_after(first.position)


def test_a_waiting_reader_gets_a_change_at_once(store: RedisStore, feed: RedisFeed) -> None:
    installed(store)
    end, began = feed.position(), time.monotonic()
    timer = threading.Timer(0.1, installed, (store, "late.customer.example"))
    timer.start()
    while not (found := feed.changes(end, limit=9, wait_seconds=0.5)):
        assert time.monotonic() - began < 5
    timer.join()
    assert [one.name for one in found] == ["late.customer.example"]


def test_all_names(store: RedisStore, feed: RedisFeed) -> None:
    expected = {f"{number}.customer.example" for number in range(30)}
    for name in expected:
        installed(store, name)
    assert set(feed.names()) == expected


def test_a_new_issuance_does_not_wait_for_the_lease_of_one_that_is_no_more(store: RedisStore) -> None:
    began_at = open_issuance(store, BARE, new_issuance(NAME, Reason.FIRST, NOW), version=0, requeue_at=NOW)
    leased = store.lease(began_at.issuance.id, now=NOW, until=NOW + 70)
    other = open_issuance(store, BARE, new_issuance(NAME, Reason.FIRST, NOW), version=leased.version, requeue_at=NOW)
    assert store.lease(other.issuance.id, now=NOW, until=NOW + 70)
