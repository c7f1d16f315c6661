"""The servers that keep the records and carry the messages."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Durability:
    """What a Redis server says about keeping its data. role: `records` or `messages`.

    eviction_policy: its `maxmemory-policy`. has_log: whether it has an append-only file. has_snapshots: whether it
    saves snapshots by itself. Each is None where the server does not say.
    """

    role: str
    eviction_policy: str | None
    has_log: bool | None
    has_snapshots: bool | None


class Servers(Protocol):
    """Both methods raise Problem(store-unavailable) when a server does not answer."""

    def require_writable(self) -> None:
        """Return if every server accepts a write, which changes nothing."""

    def durability(self) -> list[Durability]:
        """What every server says about keeping its data."""
