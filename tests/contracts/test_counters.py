"""The counters of the metrics: the same over fakeredis and a real Redis."""

import time

import pytest

from issuer.metrics import TALLY, Counter, Histogram, tally
from issuer.problem import Problem, ProblemType
from issuer.store import RedisCounters, RedisStore
from tests.threads import at_once

LOOKS = Counter("looks_total", "", ("edge", "serves"))
WAITS = Histogram("waits_seconds", "", (1, 10))


@pytest.fixture
def counters(store: RedisStore) -> RedisCounters:
    return RedisCounters(store._redis)


def test_what_is_added_is_counted_and_words_are_kept_as_they_are(counters: RedisCounters) -> None:
    assert counters.values() == {}
    for edge in ("a:443", 'b"\\\n:443', "[::1]:443"):
        for _ in range(2):
            counters.add(LOOKS.once(edge, "yes"), WAITS.observed(0.5), WAITS.observed(20))
    assert counters.values() == {
        ("looks_total", "a:443", "yes"): 2,
        ("looks_total", 'b"\\\n:443', "yes"): 2,
        ("looks_total", "[::1]:443", "yes"): 2,
        ("waits_seconds", "1"): 6,
        ("waits_seconds", "+Inf"): 6,
        ("waits_seconds", "sum"): 123,
    }


def test_of_many_who_count_at_once_none_is_lost(counters: RedisCounters) -> None:
    at_once(8, lambda _: [counters.add(LOOKS.once("a", "yes")) for _ in range(25)])
    assert counters.values() == {("looks_total", "a", "yes"): 200}


def test_an_unavailable_store_is_reported(counters: RedisCounters, store: RedisStore) -> None:
    store._redis.connection_pool.disconnect()
    kwargs = store._redis.connection_pool.connection_kwargs
    if "server" in kwargs:
        kwargs["server"].connected = False
    else:
        kwargs["port"] = 1
    for use in (counters.values, lambda: counters.add(LOOKS.once("a", "yes"))):
        with pytest.raises(Problem) as found:
            use()
        assert found.value.type is ProblemType.STORE_UNAVAILABLE
    TALLY.take()
    TALLY.add(LOOKS.once("a", "yes"))
    counters.add_tally()
    assert TALLY.take() == LOOKS.once("a", "yes")


def test_what_a_process_has_counted_aside_is_added_once(counters: RedisCounters) -> None:
    TALLY.take()
    TALLY.add(LOOKS.once("a", "yes"), WAITS.observed(0.5))
    TALLY.add(LOOKS.once("a", "yes"))
    counters.add_tally()
    counters.add_tally()
    assert counters.values()["looks_total", "a", "yes"] == 2


def test_what_many_tasks_have_counted_is_added_together_a_little_later(
    counters: RedisCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "SECONDS", 0.1)
    TALLY.take()
    calls = []
    for _ in range(3):
        TALLY.later(lambda: calls.append("nothing to add"))
        TALLY.add(LOOKS.once("a", "yes"))
        counters.add_tally_later()
    assert (counters.values(), calls) == ({}, [])
    end = time.monotonic() + 5
    while not counters.values():
        assert time.monotonic() < end, "it is never added"
    assert counters.values() == {("looks_total", "a", "yes"): 3}
