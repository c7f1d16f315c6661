"""Locks of the whole fleet."""

import secrets

import redis

from issuer.store import keys
from issuer.store.connection import redis_errors
from issuer.store.scripts import run


class RedisLocks:
    """The `Locks` port over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def take(self, name: str, *, seconds: int) -> str | None:
        """See `ports.Locks`."""
        holder = secrets.token_hex(16)
        with redis_errors():
            return holder if self._redis.set(keys.lock_key(name), holder, nx=True, ex=seconds) else None

    def extend(self, name: str, holder: str, *, seconds: int) -> bool:
        """See `ports.Locks`."""
        args = {"holder": holder, "seconds": seconds}
        return bool(run(self._redis, "extend", {"lock": keys.lock_key(name)}, args))

    def give_back(self, name: str, holder: str) -> None:
        """See `ports.Locks`."""
        run(self._redis, "unlock", {"lock": keys.lock_key(name)}, {"holder": holder})
