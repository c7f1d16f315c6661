"""The counters of the metrics, in one hash for all processes."""

import json
from contextlib import suppress
from typing import cast

import redis

from issuer.metrics import CounterValues
from issuer.store.connection import redis_errors
from issuer.store.keys import METRICS


class RedisCounters:
    """The `Counters` port over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(self, *counts: CounterValues) -> None:
        """See `ports.Counters`."""
        with redis_errors(), self._redis.pipeline() as pipeline:
            for key, value in [entry for values in counts for entry in values.items()]:
                pipeline.hincrbyfloat(METRICS, counter_field(key), value)
            pipeline.execute()

    def values(self) -> CounterValues:
        """See `ports.Counters`."""
        with redis_errors():
            fields = cast("dict[str, str]", self._redis.hgetall(METRICS))
        return dict(filter(None, map(_counter, fields.items())))


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
