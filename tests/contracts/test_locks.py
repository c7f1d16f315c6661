"""Locks of the whole fleet, on fakeredis and on a real Redis."""

import time

import pytest

from issuer.store import RedisLocks, RedisStore


@pytest.fixture
def locks(store: RedisStore) -> RedisLocks:
    return RedisLocks(store._redis)


def test_one_holder_at_a_time(locks: RedisLocks) -> None:
    first = locks.take("lookup", seconds=60)
    assert first
    assert locks.take("lookup", seconds=60) is None
    assert locks.take("other", seconds=60)
    locks.give_back("lookup", first)
    second = locks.take("lookup", seconds=60)
    assert second not in {None, first}


def test_n28_a_lock_ends_if_its_holder_is_killed(locks: RedisLocks) -> None:
    first = locks.take("lookup", seconds=1)
    began = time.monotonic()
    while (second := locks.take("lookup", seconds=60)) is None:
        assert time.monotonic() - began < 5
        time.sleep(0.05)
    assert not locks.extend("lookup", first, seconds=60)
    locks.give_back("lookup", first)
    assert locks.take("lookup", seconds=60) is None
    assert locks.extend("lookup", second, seconds=60)


def test_a_holder_that_lives_keeps_its_lock(locks: RedisLocks, store: RedisStore) -> None:
    holder = locks.take("lookup", seconds=1)
    assert locks.extend("lookup", holder, seconds=60)
    assert store._redis.ttl("issuer:lock:lookup") > 50
    assert not locks.extend("lookup", "somebody else", seconds=600)
    assert store._redis.ttl("issuer:lock:lookup") <= 60
