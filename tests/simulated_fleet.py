"""The product without processes: its real scans and what they queue, at the times of a clock that jumps."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

from kombu.message import Message
from kombu.simple import SimpleQueue

from issuer import tasks
from issuer.actions import doctor
from issuer.celery_app import BULK, HOUSEKEEPING, INTERACTIVE, RENEWAL
from issuer.domain import CHAIN, Domain, Record, Status, domain_of, status
from issuer.ports import Services
from issuer.schedule import SCANS
from issuer.store.keys import READY_INDEX
from issuer.tasks import Outcome
from tests.api_client import issued
from tests.fakes import NAME
from tests.heartbeats import everybody_works
from tests.indexes import DUE_INDEXES

DAY = 86400.0
HOUR = 3600.0
SEEN_SECONDS = 10
LATE = 0.002
"""Messages with a countdown come a little late, and never too early."""


class SimulatedFleet:
    """Time goes on from one due moment to the next."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.clock = services.clock
        self.countdowns: list[tuple[float, str]] = []
        self.seen_at = 0.0
        self.queued()

    def issued(self, *names: str) -> None:
        for name in names:
            issued(self.services, name)

    def domain(self, name: str = NAME) -> Domain:
        return self.services.store.load(name).domain

    def record(self, name: str = NAME) -> Record:
        return self.services.store.load(name)

    def word(self, name: str = NAME) -> Status:
        return status(self.record(name), self.clock())

    def words(self) -> Counter[Status]:
        """The number of names with each status."""
        names = [key.rpartition(":")[2] for key in self.services.store._redis.keys("issuer:domain:*")]
        return Counter(self.word(name) for name in names)

    def queued(self) -> list[tuple[str, str]]:
        """Takes the messages off the queues: queue and issuance of each."""
        queues = (INTERACTIVE, BULK, RENEWAL)
        return [(queue, message.decode()[0][0]) for queue in queues for message in self._messages(queue)]

    def _messages(self, queue: str) -> Iterator[Message]:
        with (
            self.services.queue.celery.connection_for_read() as connection,
            closing(SimpleQueue(connection, queue)) as messages,
        ):
            while True:
                try:
                    message = messages.get(block=False)
                except messages.Empty:
                    return
                message.ack()
                yield message

    def scan(self) -> None:
        """All scans but the doctor's, which looks at a real Redis and at its clock."""
        for scan in SCANS:
            if scan.run is not doctor.watch:
                scan.run(self.services)

    def work(self) -> None:
        """What workers do with what is queued, and with retries whose countdown is over. A scan that they start runs at
        once."""
        now = self.clock.now
        if not now - self.seen_at < SEEN_SECONDS:
            everybody_works(self.services)
            self.seen_at = now
        ready = [issuance for at, issuance in self.countdowns if at <= now]
        self.countdowns = [(at, issuance) for at, issuance in self.countdowns if at > now]
        for issuance_id in [issuance for _, issuance in self.queued()] + ready:
            while (step := self.record(domain_of(issuance_id)).issuance.step) in CHAIN:
                outcome, seconds = tasks.attempt(self.services, step, issuance_id)
                if outcome is Outcome.RETRY:
                    self.countdowns.append((now + seconds + LATE, issuance_id))
                if outcome is not Outcome.ADVANCED:
                    break
        if started := {message.headers["task"] for message in self._messages(HOUSEKEEPING)}:
            for scan in SCANS:
                if scan.name in started:
                    scan.run(self.services)
            self.work()

    def beat(self, seconds: float, every: float = 10) -> None:
        """Let time go by, with all scans every so many seconds, as beat starts them."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.run(min(every, end - self.clock.now))
        self.scan()
        self.work()

    def run(self, seconds: float, *, every: float = 0.01) -> None:
        """Let time go by: scan and work whenever something is due, and no more often than `every` so many seconds."""
        end = self.clock.now + seconds
        while True:
            self.scan()
            self.work()
            due = self.next_due()
            if due is None or due > end:
                break
            self.clock.now = max(due, self.clock.now + every)
        self.clock.now = max(end, self.clock.now)

    def next_due(self) -> float | None:
        """The next time for which a due index has a name that a scan would claim."""
        with self.services.store._redis.pipeline(transaction=False) as asked:
            for key in DUE_INDEXES:
                asked.zrange(key, 0, 0, withscores=True)
            *firsts, ready = asked.zcard(READY_INDEX).execute()
        times = [first[0][1] for first in firsts if first] + [at for at, _ in self.countdowns]
        return self.clock.now + 10 if ready else min(times, default=None)
