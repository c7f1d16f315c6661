"""The counters of the metrics, in one hash for all processes."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

import redis

from issuer.domain import Reason, Record
from issuer.events import Event, EventType
from issuer.metrics import EVENTS, ISSUANCES, STEP_SECONDS, TALLY, MetricValues, added
from issuer.problem import Problem
from issuer.store.connection import redis_errors
from issuer.store.keys import METRICS

RESULTS: dict[str, str] = {
    EventType.ISSUANCE_SUCCEEDED: "succeeded",
    EventType.ISSUANCE_RETRY_PLANNED: "retried",
    EventType.CA_REFUSED: "failed_over",
    EventType.ISSUANCE_FAILED: "failed",
}
"""The events with which an attempt ends, and its result."""


class RedisCounters:
    """The `Counters` port over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(self, *counts: MetricValues) -> None:
        """See `ports.Counters`."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for key, value in added(counts).items():
                pipeline.hincrbyfloat(METRICS, counter_field(key), value)
            pipeline.execute()

    def add_tally(self) -> None:
        """See `ports.Counters`."""
        counts = TALLY.take()
        try:
            if counts:
                self.add(counts)
        except Problem:
            TALLY.add(counts)

    def add_tally_later(self) -> None:
        """See `ports.Counters`."""
        TALLY.later(self.add_tally)

    def values(self) -> MetricValues:
        """See `ports.Counters`."""
        with redis_errors():
            fields = cast("dict[str, str]", self._redis.hgetall(METRICS))
        return dict(filter(None, map(_counter, fields.items())))


def counts_of(record: Record) -> MetricValues:
    """What is counted of the pending events of a record in the same write."""
    return added(EVENTS.once(event.type, event.code) for event in record.pending)


def tally_of(record: Record) -> MetricValues:
    """What else is counted of them, after the write."""
    return added(part for event in record.pending for part in _tally_of(event, record.issuance.reason))


def _tally_of(event: Event, reason: Reason) -> Iterator[MetricValues]:
    if result := RESULTS.get(event.type):
        yield ISSUANCES.once(result, reason.value, event.data.get("ca") or "")
    if event.type == EventType.ISSUANCE_STEP_DONE:
        yield STEP_SECONDS.observed(event.data["seconds"], event.data["step"])


def counter_field(key: tuple[str, ...]) -> str:
    """The field of the hash for a metric with its labels."""
    return json.dumps(key)


def _counter(entry: tuple[str, str]) -> tuple[tuple[str, ...], float] | None:
    """A metric with its labels, and its value; None for a field that is none."""
    with suppress(ValueError, RecursionError):
        key, value = json.loads(entry[0]), float(entry[1])
        if isinstance(key, list) and key and all(isinstance(part, str) for part in key):
            return tuple(key), value
    return None
