"""The servers that keep the records and carry the messages."""

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a Redis server says of itself, and how it answers. Each is None where the server does not say.

    durability: whether it keeps its data.
    version: as it names it, such as `7.0.15`.
    used_bytes: the memory that it uses. most_bytes: the most that it may use: its `maxmemory`, else all of its machine.
    failing: what it fails to write to its disk, in its own words; empty if nothing.
    is_replica: it takes its data from another server.
    seconds: how long the fastest of a few answers took.
    ahead_seconds: how far its clock is ahead of ours; negative: behind. Exact to `seconds`.
    """

    durability: Durability
    version: str | None
    used_bytes: int | None
    most_bytes: int | None
    failing: str
    is_replica: bool | None
    seconds: float
    ahead_seconds: float


@dataclass(frozen=True, slots=True)
class QueueState:
    """The messages that wait in a queue. oldest_at: when the one that has waited for longest was sent (epoch seconds);
    None if there is none, or if it does not say."""

    name: str
    messages: int
    oldest_at: float | None


class Servers(Protocol):
    """All methods that ask a server raise Problem(store-unavailable) when it does not answer."""

    def addresses(self) -> dict[str, str]:
        """The servers: `host:port` by role. Nothing is asked."""

    def require_writable(self, role: str = "") -> None:
        """Return if the server with a role accepts a write, which changes nothing; without a role: every server."""

    def durability(self) -> list[Durability]:
        """What every server says about keeping its data."""

    def facts(self, role: str, *, now: float) -> ServerFacts:
        """What the server with a role says of itself, compared with our clock at `now`."""

    def queues(self, names: Sequence[str]) -> tuple[list[QueueState], int]:
        """What waits in these queues, and how many messages processes have taken and not finished."""
