"""What the running processes of the fleet show of themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Consumer:
    """A Celery worker, as it last wrote about itself.

    name: its node name, such as `worker@host`. queues: those that it takes messages from. seen_at: when it last took a
    message, or found none to take. taken_at: when it last took one; None if it has not yet. in_hand: how many it had.
    slots: how many it can have. broker: the identity of its broker; empty if that is unknown. store: the identity of
    its store, which only its broker is told; empty otherwise.
    """

    name: str
    queues: tuple[str, ...]
    seen_at: float
    taken_at: float | None = None
    in_hand: int = 0
    slots: int = 0
    broker: str = ""
    store: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """Who has written a heartbeat to the store, and when (epoch seconds).

    store: the identity of the store; empty if it has none yet. began_at: since when heartbeats are kept. beat_at: of
    beat. scans: the end of the last run of each scan. consumers: ordered by name.
    """

    store: str
    began_at: float
    beat_at: float | None
    scans: Mapping[str, float]
    consumers: tuple[Consumer, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of a process, as digests by name, without those that have their default. since: since when it has
    run with these. seen_at: when it showed them last."""

    name: str
    digests: Mapping[str, str]
    since: float
    seen_at: float


@dataclass(frozen=True, slots=True)
class BrokerView:
    """What the broker shows. id: its identity, random, made when it is first asked. waiting: how many messages each
    queue has. consumers: those that take messages from it, whichever store they use."""

    id: str
    waiting: Mapping[str, int]
    consumers: tuple[Consumer, ...]


class FleetBoard(Protocol):
    """Where processes write heartbeats. Every method raises Problem(store-unavailable) if its server is unavailable."""

    def heartbeats(self, now: float) -> Heartbeats:
        """All heartbeats. The first call in a new store begins to keep them."""

    def beat(self, now: float) -> None:
        """Beat runs."""

    def consumes(self, consumer: Consumer, scans: Mapping[str, float] | None = None) -> None:
        """A consumer takes messages, and some scans have run in its process, each at a time. `consumer.store` is not
        written."""

    def configured(self, name: str, digests: Mapping[str, str], now: float) -> None:
        """A process runs with these settings."""

    def configurations(self) -> list[Configuration]:
        """The settings that processes have shown of late, ordered by name."""

    def leave(self, name: str) -> None:
        """A consumer has ended, or is forgotten."""

    def broker(self, queues: Sequence[str]) -> BrokerView:
        """What the broker shows."""

    def consumes_at_broker(self, consumer: Consumer) -> None:
        """Tell the broker the same, with `consumer.store`."""

    def leave_broker(self, name: str) -> None:
        """Tell the broker that a consumer has ended, or is forgotten."""
