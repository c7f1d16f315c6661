"""What all processes have written of themselves, read at once: who works, and since when somebody does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from issuer.fleet.queues import QUEUES
from issuer.ports import BrokerView, Consumer, Heartbeats, Services
from issuer.problem import Problem

SILENT_SECONDS = 40
"""A process that has not shown itself for so long counts as not running. A restart takes less, and within a minute
everybody knows."""
MISSED_BEATS = 4
RECONCILE = "reconcile"
"""The scan without which nothing that waits goes on."""
BROKER = "broker"
"""The code of the check that the broker answers."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet at a moment. patience: how long nothing may be seen of something that should happen at the interval of
    beat. broker: what the broker shows; None if it is unavailable, which `broker_reason` then explains.
    broker_away_since: since when it has been, as far as anybody has noticed."""

    now: float
    patience: float
    heartbeats: Heartbeats
    broker: BrokerView | None
    broker_reason: str = ""
    broker_away_since: float | None = None

    @property
    def beat_missing_since(self) -> float | None:
        """Since when beat has not been running; None if it runs."""
        return self._missing_since(self.heartbeats.beat_at)

    @property
    def scans_missing_since(self) -> float | None:
        """Since when nothing has looked for due work; None if something does."""
        return self._missing_since(self.heartbeats.scans.get(RECONCILE))

    def unread_since(self, queue: str) -> float | None:
        """Since when no process has taken messages from a queue, though it could have; None if one does."""
        seen = [consumer.seen_at for consumer in self.readers(queue)]
        return self._missing_since(max(seen, default=None), SILENT_SECONDS)

    def readers(self, queue: str) -> list[Consumer]:
        """The consumers of a queue, also former ones. Those of another broker do not read our queue."""
        return [one for one in self.heartbeats.consumers if queue in one.queues and not self.is_elsewhere(one)]

    def is_alive(self, consumer: Consumer) -> bool:
        """Whether a consumer has been seen of late."""
        return self.now - consumer.seen_at <= SILENT_SECONDS

    def is_elsewhere(self, consumer: Consumer) -> bool:
        """Whether a consumer takes its messages from another broker."""
        return bool(self.broker and consumer.broker) and consumer.broker != (self.broker and self.broker.id)

    def strangers(self) -> list[Consumer]:
        """The living consumers of our broker that keep their records in another store."""
        own, found = self.heartbeats.store, self.broker.consumers if self.broker else ()
        return [one for one in found if own and one.store and one.store != own and self.is_alive(one)]

    def _missing_since(self, at: float | None, patience: float | None = None) -> float | None:
        last = self.heartbeats.began_at if at is None else at
        return last if self.now - last > (patience or self.patience) else None


def seen(services: Services, queues: Sequence[str] = QUEUES) -> Fleet:
    """The fleet now. Raises Problem(store-unavailable) if the store of the records is unavailable."""
    now = services.clock()
    heartbeats = services.board.heartbeats(now)
    patience = max(SILENT_SECONDS, MISSED_BEATS * services.settings.reconcile_seconds)
    try:
        services.servers.require_writable("messages")  # a broker that can only be read takes no messages
        return Fleet(now, patience, heartbeats, services.board.broker(queues))
    except Problem as problem:
        known = [fault.since for fault in services.faults.open() if fault.code == BROKER]
        return Fleet(now, patience, heartbeats, None, problem.cause, next(filter(None, known), now))


def instant(at: float) -> str:
    """A time as people read it, to the second, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
