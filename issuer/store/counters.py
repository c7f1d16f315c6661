"""What is counted for the metrics, in one hash for all processes."""

import json
from typing import cast

import redis

from issuer.metrics import CounterValues
from issuer.store.connection import redis_errors

METRICS = "issuer:metrics"


class RedisCounters:
    """The `Counters` port over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(self, *counts: CounterValues) -> None:
        """See `ports.Counters`."""
        with redis_errors(), self._redis.pipeline() as pipeline:
            for key, value in [one for each in counts for one in each.items()]:
                pipeline.hincrbyfloat(METRICS, json.dumps(key), value)
            pipeline.execute()

    def values(self) -> CounterValues:
        """See `ports.Counters`."""
        with redis_errors():
            found = cast("dict[str, str]", self._redis.hgetall(METRICS))
        return {tuple(json.loads(key)): float(value) for key, value in found.items()}
