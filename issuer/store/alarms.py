"""The alarms on their way, one field of a hash each. One that cannot be read is left out."""

import json
from contextlib import suppress
from dataclasses import asdict
from typing import cast

import redis

from issuer.ports import PendingAlarm
from issuer.store.connection import redis_errors
from issuer.store.keys import ALARMS


class RedisAlarms:
    """The `Alarms` port over one Redis database. The ids of alarms ascend with time."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def keep(self, alarm: PendingAlarm) -> None:
        """See `ports.Alarms`."""
        with redis_errors():
            self._redis.hset(ALARMS, alarm.id, json.dumps(asdict(alarm)))

    def drop(self, alarm: PendingAlarm) -> None:
        """See `ports.Alarms`."""
        with redis_errors():
            self._redis.hdel(ALARMS, alarm.id)

    def pending(self) -> list[PendingAlarm]:
        """See `ports.Alarms`."""
        with redis_errors():
            stored = cast("dict[str, str]", self._redis.hgetall(ALARMS))
        return [alarm for id_, text in sorted(stored.items()) if (alarm := _readable(id_, text))]


def _readable(id_: str, text: str) -> PendingAlarm | None:
    with suppress(ValueError, TypeError, LookupError, RecursionError):
        values = json.loads(text)
        left, next_try_at = tuple(map(str, values["left"])), float(values["next_try_at"])
        return PendingAlarm(id_, dict(values["body"]), left, int(values["tries"]), next_try_at)
    return None
