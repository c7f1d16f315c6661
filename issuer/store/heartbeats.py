"""The heartbeats of the fleet: one hash beside the records, and one at the broker.

Fields beside the records: `began`, `beat` and `scan:{name}` have a time, `consumer:{name}` has JSON. At the
broker: `id`, and `consumer:{name}`.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, cast

import redis

from issuer.ports import BrokerView, Configuration, Consumer, Heartbeats
from issuer.store.connection import redis_errors
from issuer.store.keys import BROKER, CONFIGURATIONS, FLEET, IDENTITY

MESSAGES = "messages"
"""The role of the server of the broker."""
BEGAN, BEAT, ID = "began", "beat", "id"
KEPT_SECONDS = 7 * 86400
SCAN, CONSUMER = "scan:", "consumer:"


class RedisFleetBoard:
    """The `FleetBoard` port over the Redis database of the records and the one of the messages."""

    def __init__(self, records: redis.Redis, messages: redis.Redis) -> None:
        self._records = records
        self._messages = messages

    def heartbeats(self, now: float) -> Heartbeats:
        """See `ports.FleetBoard`."""
        with redis_errors():
            pipeline = self._records.pipeline(transaction=False)
            pipeline.hgetall(FLEET)
            pipeline.hget(IDENTITY, "id")
            fields, store = cast("Any", pipeline.execute())
            if BEGAN not in fields:
                self._records.hsetnx(FLEET, BEGAN, str(now))
        times = {name: at for name, text in fields.items() if (at := _time(text)) is not None}
        return Heartbeats(
            store=store or "",
            began_at=times.get(BEGAN, now),
            beat_at=times.get(BEAT),
            scans={name.removeprefix(SCAN): at for name, at in sorted(times.items()) if name.startswith(SCAN)},
            consumers=_consumers(fields),
        )

    def beat(self, now: float) -> None:
        """See `ports.FleetBoard`."""
        with redis_errors():
            self._records.hset(FLEET, BEAT, str(now))

    def consumes(self, consumer: Consumer, scans: Mapping[str, float] | None = None) -> None:
        """See `ports.FleetBoard`."""
        fields: dict[Any, Any] = {f"{SCAN}{scan}": str(at) for scan, at in (scans or {}).items()}
        fields[f"{CONSUMER}{consumer.name}"] = _text(consumer, leaves_out="store")
        with redis_errors():
            self._records.hset(FLEET, mapping=fields)

    def configured(self, name: str, digests: Mapping[str, str], now: float) -> None:
        """See `ports.FleetBoard`."""
        with redis_errors():
            known = _configuration(name, cast("str | None", self._records.hget(CONFIGURATIONS, name)))
            since = known.since if known and known.digests == digests else now
            text = json.dumps({"digests": dict(digests), "since": since, "seen_at": now})
            self._records.hset(CONFIGURATIONS, name, text)
            self._records.expire(CONFIGURATIONS, KEPT_SECONDS)

    def configurations(self) -> list[Configuration]:
        """See `ports.FleetBoard`."""
        with redis_errors():
            stored = cast("dict[str, str]", self._records.hgetall(CONFIGURATIONS))
        return [found for name, text in sorted(stored.items()) if (found := _configuration(name, text))]

    def leave(self, name: str) -> None:
        """See `ports.FleetBoard`."""
        with redis_errors():
            self._records.hdel(FLEET, f"{CONSUMER}{name}")

    def broker(self, queues: Sequence[str]) -> BrokerView:
        """See `ports.FleetBoard`."""
        with redis_errors(role=MESSAGES):
            pipeline = self._messages.pipeline(transaction=False)
            pipeline.hgetall(BROKER)
            for queue in queues:
                pipeline.llen(queue)
            fields, *lengths = cast("Any", pipeline.execute())
            id_ = fields.get(ID) or self._new_id()
        return BrokerView(id_, dict(zip(queues, lengths, strict=True)), _consumers(fields))

    def consumes_at_broker(self, consumer: Consumer) -> None:
        """See `ports.FleetBoard`."""
        with redis_errors(role=MESSAGES):
            self._messages.hset(BROKER, f"{CONSUMER}{consumer.name}", _text(consumer, leaves_out="broker"))

    def leave_broker(self, name: str) -> None:
        """See `ports.FleetBoard`."""
        with redis_errors(role=MESSAGES):
            self._messages.hdel(BROKER, f"{CONSUMER}{name}")

    def _new_id(self) -> str:
        self._messages.hsetnx(BROKER, ID, secrets.token_hex(16))
        return cast("str", self._messages.hget(BROKER, ID))


def _configuration(name: str, text: str | None) -> Configuration | None:
    with suppress(ValueError, TypeError, LookupError, AttributeError):
        values = json.loads(text or "")
        return Configuration(name, dict(values["digests"]), float(values["since"]), float(values["seen_at"]))
    return None


def _time(text: str) -> float | None:
    with suppress(ValueError):
        return float(text)
    return None


def _text(consumer: Consumer, *, leaves_out: str) -> str:
    return json.dumps({name: value for name, value in asdict(consumer).items() if name not in {"name", leaves_out}})


def _consumers(fields: Mapping[str, str]) -> tuple[Consumer, ...]:
    """Those that can be read: a newer release may write more of itself, an older one nothing."""
    found = []
    for field, text in sorted(fields.items()):
        if field.startswith(CONSUMER):
            with suppress(ValueError, TypeError, KeyError, AttributeError):
                found.append(_consumer(field.removeprefix(CONSUMER), json.loads(text)))
    return tuple(found)


def _consumer(name: str, values: Mapping[str, Any]) -> Consumer:
    taken_at = values.get("taken_at")
    return Consumer(
        name=name,
        queues=tuple(map(str, values["queues"])),
        seen_at=float(values["seen_at"]),
        taken_at=None if taken_at is None else float(taken_at),
        in_hand=int(values.get("in_hand", 0)),
        slots=int(values.get("slots", 0)),
        broker=str(values.get("broker", "")),
        store=str(values.get("store", "")),
    )
