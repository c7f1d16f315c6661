"""The keys and sessions of operators."""

import json
from contextlib import suppress
from dataclasses import asdict
from typing import Any, cast

import redis

from issuer.ports import OperatorKey, OperatorSession
from issuer.store import keys
from issuer.store.connection import redis_errors

NOT_READABLE = (ValueError, TypeError, RecursionError, OverflowError)
LATEST = 253_402_300_799
"""The last second of the year 9999."""
SESSION = ("name", "key_hash", "form_token")


class RedisOperators:
    """The `Operators` port over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def keys(self) -> list[OperatorKey]:
        """See `ports.Operators`."""
        with redis_errors():
            stored = cast("dict[str, str]", self._redis.hgetall(keys.OPERATOR_KEYS))
            used = cast("dict[str, str]", self._redis.hgetall(keys.OPERATOR_KEYS_USED))
        found = [_key(text, used.get(name)) for name, text in sorted(stored.items())]
        return [key for key in found if key]

    def key(self, name: str) -> OperatorKey | None:
        """See `ports.Operators`."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hget(keys.OPERATOR_KEYS, name)
            pipeline.hget(keys.OPERATOR_KEYS_USED, name)
            text, used = cast("list[str | None]", pipeline.execute())
        return _key(text, used)

    def has_keys(self) -> bool:
        """See `ports.Operators`."""
        with redis_errors():
            return self._redis.hlen(keys.OPERATOR_KEYS) > 0

    def create_key(self, key: OperatorKey) -> bool:
        """See `ports.Operators`."""
        values = {"name": key.name, "key_hash": key.key_hash, "created_at": key.created_at}
        with redis_errors():
            is_new = bool(self._redis.hsetnx(keys.OPERATOR_KEYS, key.name, json.dumps(values)))
            if is_new:  # a former key of this name may have been used in the moment of its end
                self._redis.hdel(keys.OPERATOR_KEYS_USED, key.name)
        return is_new

    def revoke_key(self, name: str) -> bool:
        """See `ports.Operators`."""
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.hdel(keys.OPERATOR_KEYS, name)
            pipeline.hdel(keys.OPERATOR_KEYS_USED, name)
            return bool(pipeline.execute()[0])

    def record_use(self, name: str, at: float) -> None:
        """See `ports.Operators`."""
        with redis_errors():
            self._redis.hset(keys.OPERATOR_KEYS_USED, name, at)

    def begin_session(self, token_hash: str, session: OperatorSession, *, seconds: int) -> None:
        """See `ports.Operators`."""
        with redis_errors():
            self._redis.set(keys.operator_session_key(token_hash), json.dumps(asdict(session)), ex=seconds)

    def session(self, token_hash: str) -> OperatorSession | None:
        """See `ports.Operators`."""
        with redis_errors():
            text = cast("str | None", self._redis.get(keys.operator_session_key(token_hash)))
        values = _texts(text, *SESSION)
        return OperatorSession(*(values[name] for name in SESSION)) if values else None

    def end_session(self, token_hash: str) -> None:
        """See `ports.Operators`."""
        with redis_errors():
            self._redis.delete(keys.operator_session_key(token_hash))


def _key(text: str | None, used: str | None) -> OperatorKey | None:
    values = _texts(text, "name", "key_hash")
    created_at = _time(values.get("created_at"))
    if created_at is None:
        return None
    return OperatorKey(values["name"], values["key_hash"], created_at, last_used_at=_time(used))


def _texts(text: str | None, *names: str) -> dict[str, Any]:
    """The members of a JSON object; empty if it is damaged, or if one of `names` is no text."""
    with suppress(*NOT_READABLE):
        values = json.loads(text or "")
        if isinstance(values, dict) and all(isinstance(values.get(name), str) for name in names):
            return values
    return {}


def _time(value: Any) -> float | None:
    """Epoch seconds; None for what is no time that a calendar has."""
    with suppress(*NOT_READABLE):
        at = float(value)
        return at if 0 <= at <= LATEST else None
    return None
