"""The fixtures for all contracts of the store: each test runs on fakeredis and on a real Redis (E16)."""

from collections.abc import Iterator

import pytest

from issuer.store import RedisLimits, RedisStore
from tests.fakes import fake_store


@pytest.fixture(params=["fakeredis", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[RedisStore]:
    if request.param == "redis":
        yield request.getfixturevalue("real_store")
        return
    store = fake_store()
    yield store
    store._redis.close()


@pytest.fixture
def limits(store: RedisStore) -> RedisLimits:
    """What is known of CAs, beside the records."""
    return RedisLimits(store._redis)
