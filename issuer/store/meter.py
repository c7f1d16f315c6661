"""What is counted for the metrics, in one hash for all processes."""

import json
from typing import cast

import redis

from issuer.metrics import Counts
from issuer.store.connection import redis_errors

METRICS = "issuer:metrics"


class RedisMeter:
    """The `Meter` port over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(self, *counts: Counts) -> None:
        """See `ports.Meter`."""
        with redis_errors(), self._redis.pipeline() as pipeline:
            for key, value in [one for each in counts for one in each.items()]:
                pipeline.hincrbyfloat(METRICS, json.dumps(key), value)
            pipeline.execute()

    def counted(self) -> Counts:
        """See `ports.Meter`."""
        with redis_errors():
            found = cast("dict[str, str]", self._redis.hgetall(METRICS))
        return {tuple(json.loads(key)): float(value) for key, value in found.items()}
