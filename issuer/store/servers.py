"""The Redis servers themselves: whether they can be written and keep what they were given, and how they are."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import redis

from issuer.ports import SENT_AT, Durability, QueueState, ServerFacts
from issuer.store import keys
from issuer.store.connection import redis_errors

ROUNDS = 3
"""Of so many answers the fastest counts: a busy machine delays some."""
STATES = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")

MESSAGES = "messages"
"""The role of the server with the queues."""
UNACKNOWLEDGED = "unacked"
"""kombu's hash of the messages that a process has taken and not finished."""


class RedisServers:
    """The `Servers` port. clients: by the role of their server, `records` or `messages`."""

    def __init__(self, clients: Mapping[str, redis.Redis]) -> None:
        self._clients = clients

    def addresses(self) -> dict[str, str]:
        """See `ports.Servers`."""
        options = {role: client.connection_pool.connection_kwargs for role, client in self._clients.items()}
        return {role: f"{each.get('host')}:{each.get('port', 6379)}" for role, each in options.items()}

    def require_writable(self, role: str = "") -> None:
        """See `ports.Servers`. The command costs as little as PING and leaves nothing behind, but a server that is
        full, read-only, or cannot write its files refuses it."""
        for each, client in self._clients.items():
            if role and each != role:
                continue
            with redis_errors(role=each):
                client.setrange(keys.PROBE, 0, "")

    def durability(self) -> list[Durability]:
        """See `ports.Servers`."""
        return [_durability(role, client) for role, client in self._clients.items()]

    def facts(self, role: str, *, now: float) -> ServerFacts:
        """See `ports.Servers`. Its clock is compared at the middle of the fastest answer."""
        client, started = self._clients[role], time.monotonic()
        seconds, ahead = min((_time(client, now - started) for _ in range(ROUNDS)), key=lambda each: each[0])
        info = _info(client)
        most = int(info.get("maxmemory") or info.get("total_system_memory") or 0)
        return ServerFacts(
            _durability(role, client),
            version=info.get("redis_version"),
            used_bytes=info.get("used_memory"),
            most_bytes=most or None,
            failing=", ".join(f"{state}:{info[state]}" for state in STATES if info.get(state, "ok") != "ok"),
            is_replica=info["role"] != "master" if "role" in info else None,
            seconds=seconds,
            ahead_seconds=ahead,
        )

    def queues(self, names: Sequence[str]) -> tuple[list[QueueState], int]:
        """See `ports.Servers`."""
        client = self._clients.get(MESSAGES)
        if client is None:
            return [], 0
        with redis_errors():
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.llen(name)
                pipeline.lindex(name, -1)
            pipeline.hlen(UNACKNOWLEDGED)
            *found, taken = cast("Any", pipeline.execute())
        pairs = zip(names, found[::2], found[1::2], strict=True)
        return [QueueState(name, count, _sent_at(oldest)) for name, count, oldest in pairs], taken


def _sent_at(message: str | None) -> float | None:
    """When a message was sent; None if it does not say."""
    with suppress(ValueError, TypeError, LookupError, RecursionError):
        sent_at = json.loads(message or "")["headers"][SENT_AT]
        return float(sent_at) if isinstance(sent_at, int | float) else None
    return None


def _time(client: redis.Redis, offset: float) -> tuple[float, float]:
    """How long an answer takes, and how far the server's clock is ahead. offset: of our clock to the monotonic one."""
    before = time.monotonic()
    with redis_errors():
        seconds, microseconds = client.time()
    after = time.monotonic()
    return after - before, seconds + microseconds / 1e6 - offset - (before + after) / 2


def _info(client: redis.Redis) -> dict[str, Any]:
    """What INFO says; empty where the server does not say."""
    with redis_errors():
        try:
            return client.info()
        except redis.ResponseError:
            return {}


def _durability(role: str, client: redis.Redis) -> Durability:
    policy, log, snapshots = (_option(client, name) for name in ("maxmemory-policy", "appendonly", "save"))
    return Durability(
        role,
        policy,
        has_log=None if log is None else log == "yes",
        has_snapshots=None if snapshots is None else bool(snapshots),
    )


def _option(client: redis.Redis, name: str) -> str | None:
    """The value of a server's option; None if the server does not say, as most managed ones."""
    with redis_errors():
        try:
            values = cast("dict[str, str]", client.config_get(name))
        except redis.ResponseError:
            return None
    return values.get(name)
