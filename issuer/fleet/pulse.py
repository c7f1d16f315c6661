"""What a consumer shows of itself to the whole fleet."""

import mmap
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from issuer.fleet import configuration
from issuer.fleet.ears import Ears
from issuer.ports import Consumer, Services
from issuer.problem import Problem

LOOK_AFTER_SECONDS = 12
"""A consumer that has taken no message for so long asks whether any waits: a little longer than beat needs by default
to send the next ones."""
WRITE_SECONDS = 10
WRITE_AT_BROKER_SECONDS = 20
REFRESH_SECONDS = 60
"""How often a consumer asks which broker and which store it has."""
FORGET_SECONDS = 3600
"""After this time, the entry of a consumer that has ended is removed, unless it was the last one of some queue."""


class Throttle:
    """Says yes at most once in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = -seconds

    def is_due(self, now: float) -> bool:
        """Whether it is time again. If so, the next time is counted from now."""
        if 0 <= now - self._last < self._seconds:  # less than 0: the clock has been set back
            return False
        self._last = now
        return True


class Pulse:
    """A time that a process writes, and that the process that has forked it reads."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    def beat(self, at: float) -> None:
        """Write a time."""
        struct.pack_into("d", self._memory, 0, at)

    def last(self) -> float:
        """The last one; 0 if there is none yet."""
        return float(struct.unpack_from("d", self._memory)[0])


@dataclass(frozen=True, slots=True)
class Working:
    """A consumer at a moment. queues: those that it takes messages from. chosen: those that it was started for.
    taken_at: when it last took a message. in_hand: how many it has. slots: how many it can have."""

    queues: tuple[str, ...]
    chosen: tuple[str, ...]
    taken_at: float | None
    in_hand: int
    slots: int


class Presence:
    """A consumer's own view of itself. It counts as seen when it takes a message, has no free slot, or finds that no
    message waits: so one that takes nothing from a queue that is not empty is not seen."""

    def __init__(self, services: Services, name: str, ears: Ears) -> None:
        self._services, self._name, self._ears = services, name, ears
        self._taken_at: float | None = None
        self._consumer: Consumer | None = None
        self._broker = self._store = ""
        self._write, self._refresh = Throttle(WRITE_SECONDS), Throttle(REFRESH_SECONDS)
        self._write_at_broker = Throttle(WRITE_AT_BROKER_SECONDS)

    def tick(self, now: Working, scans: Mapping[str, float]) -> None:
        """Look, and write what has been seen now and then. scans: when which scan has run here. Raises nothing: if
        Redis is unavailable, nobody sees anything."""
        at, has_taken = self._services.clock(), now.taken_at != self._taken_at
        self._taken_at = now.taken_at
        with suppress(Problem):
            if has_taken or now.in_hand >= now.slots or self._is_idle(now.chosen):
                self._ears.hear()
                self._consumer = Consumer(self._name, now.queues, at, now.taken_at, now.in_hand, now.slots)
            if self._consumer:
                self._show(self._consumer, scans, at)

    def _is_idle(self, queues: tuple[str, ...]) -> bool:
        """Whether no message waits; asked only if none has been taken for longer than beat needs to send one."""
        return (self._consumer is None or self._ears.silent_seconds > LOOK_AFTER_SECONDS) and not self._waiting(queues)

    def _waiting(self, queues: tuple[str, ...]) -> int:
        view = self._services.board.broker(queues)
        self._broker = view.id
        return sum(view.waiting.values())

    def _show(self, consumer: Consumer, scans: Mapping[str, float], now: float) -> None:
        board = self._services.board
        if self._refresh.is_due(now):
            self._waiting(())
            self._store = board.heartbeats(now).store
            forget_former(self._services)
            configuration.show(self._services, self._name.partition(":")[0])
        if self._write.is_due(now):
            board.consumes(replace(consumer, broker=self._broker), {name: at for name, at in scans.items() if at})
        if self._write_at_broker.is_due(now):
            board.consumes_at_broker(replace(consumer, store=self._store))


def forget_former(services: Services) -> None:
    """Remove the entries of consumers that ended long ago, but of each queue the last one. Raises
    Problem(store-unavailable)."""
    now = services.clock()
    known = services.board.heartbeats(now).consumers
    for one in known:
        is_last = any(_is_last(one, queue, known) for queue in one.queues)
        if now - one.seen_at > FORGET_SECONDS and not is_last:
            services.board.leave(one.name)
    for one in services.board.broker(()).consumers:
        if now - one.seen_at > FORGET_SECONDS:
            services.board.leave_broker(one.name)


def _is_last(consumer: Consumer, queue: str, known: tuple[Consumer, ...]) -> bool:
    return all(other.seen_at <= consumer.seen_at for other in known if queue in other.queues)
