"""The alarms on their way, and what was told of certificates that end: one field of a hash each. What cannot be read is
left out."""

import json
from contextlib import suppress
from dataclasses import asdict
from typing import cast

import redis

from issuer.ports import EndingGroup, PendingAlarm
from issuer.problem import Actor
from issuer.store.connection import redis_errors
from issuer.store.keys import ALARMS, ENDINGS


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

    def endings(self) -> list[EndingGroup]:
        """See `ports.Alarms`."""
        with redis_errors():
            stored = cast("dict[str, str]", self._redis.hgetall(ENDINGS))
        return [group for code, text in sorted(stored.items()) if (group := _group(code, text))]

    def keep_ending(self, group: EndingGroup) -> None:
        """See `ports.Alarms`."""
        with redis_errors():
            self._redis.hset(ENDINGS, group.code, json.dumps(asdict(group)))

    def drop_ending(self, code: str) -> None:
        """See `ports.Alarms`."""
        with redis_errors():
            self._redis.hdel(ENDINGS, code)


def _group(code: str, text: str) -> EndingGroup | None:
    with suppress(ValueError, TypeError, LookupError, RecursionError):
        values = json.loads(text)
        return EndingGroup(
            code,
            since=float(values["since"]),
            told_at=float(values["told_at"]),
            days=int(values["days"]),
            untold=int(values["untold"]),
            first_at=float(values["first_at"]),
            names=tuple(map(str, values["names"])),
            cause=str(values["cause"]),
            hint=str(values["hint"]),
            must_act=Actor(values["must_act"]),
        )
    return None


def _readable(id_: str, text: str) -> PendingAlarm | None:
    with suppress(ValueError, TypeError, LookupError, RecursionError):
        values = json.loads(text)
        left, next_try_at = tuple(map(str, values["left"])), float(values["next_try_at"])
        return PendingAlarm(id_, dict(values["body"]), left, int(values["tries"]), next_try_at)
    return None
