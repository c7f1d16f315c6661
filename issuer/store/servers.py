"""The Redis servers themselves: whether they can be written, and whether they keep what they were given."""

from collections.abc import Mapping
from typing import cast

import redis

from issuer.ports import Durability
from issuer.store import keys
from issuer.store.connection import redis_errors


class RedisServers:
    """The `Servers` port. clients: by the role of their server, `records` or `messages`."""

    def __init__(self, clients: Mapping[str, redis.Redis]) -> None:
        self._clients = clients

    def require_writable(self) -> None:
        """See `ports.Servers`. The command costs as little as PING and leaves nothing behind, but a server that is
        full, read-only, or cannot write its files refuses it."""
        for client in self._clients.values():
            with redis_errors():
                client.setrange(keys.PROBE, 0, "")

    def durability(self) -> list[Durability]:
        """See `ports.Servers`."""
        return [_durability(role, client) for role, client in self._clients.items()]


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
