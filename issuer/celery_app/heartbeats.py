"""How consumers and beat show themselves to the fleet, from within their own loops: who stands still shows nothing."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import Celery, bootsteps
from celery.signals import worker_process_init
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks

from issuer.celery_app import broker
from issuer.fleet.pulse import WRITE_SECONDS, Presence, Throttle
from issuer.fleet.queues import QUEUES
from issuer.fleet.watch import Watch
from issuer.fleet.supervisor import end_with_parent
from issuer.ports import Services
from issuer.problem import Problem
from issuer.schedule import pulses

TICK_SECONDS = 5


def register(app: Celery, services: Callable[[], Services]) -> None:
    """Let the consumers and the beat of an application show themselves, and watch the others."""
    app.steps["consumer"].add(type("Heart", (Heart,), {"services": staticmethod(services)}))
    app.conf.beat_scheduler = type("Scheduler", (Scheduler,), {"services": staticmethod(services)})


class Heart(bootsteps.StartStopStep):  # type: ignore[misc]
    """A part of a Celery consumer, which starts with each connection to the broker."""

    requires = (Tasks,)
    services: Callable[[], Services]

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        """See Celery's `Step`."""
        super().__init__(consumer, **options)
        self._presence: Presence | None = None
        self._watch: Watch | None = None
        self._timer: Any = None

    def start(self, consumer: Consumer) -> None:
        """Begin to tick in the event loop: at once, and then again and again."""
        consumer.timer.call_after(0, self._tick, (consumer,))
        self._timer = consumer.timer.call_repeatedly(TICK_SECONDS, self._tick, (consumer,))

    def stop(self, _consumer: Consumer) -> None:
        """Tick no more: the connection is gone."""
        if self._timer:
            self._timer.cancel()

    def _tick(self, consumer: Consumer) -> None:
        if self._presence is None or self._watch is None:
            queues = tuple(name for name in QUEUES if name in consumer.app.amqp.queues.consume_from)
            self._presence = Presence(self.services(), f"{consumer.hostname}:{os.getpid()}", queues)
            self._watch = Watch(self.services())
        taken = max(broker.Transport.taken_at.values(), default=None)
        slots = consumer.pool.num_processes
        scans = {name: pulse.last() for name, pulse in pulses.items()}
        self._presence.tick(taken_at=taken, in_hand=len(state.active_requests), slots=slots, scans=scans)
        self._watch.look()


class Scheduler(broker.Scheduler):
    """Beat's scheduler, which shows that it runs."""

    services: Callable[[], Services]

    def __init__(self, *args: Any, **options: Any) -> None:
        """See Celery's `Scheduler`."""
        self._throttle = Throttle(WRITE_SECONDS)
        self._watch: Watch | None = None
        super().__init__(*args, **options)

    def show_itself(self) -> None:
        """Write the heartbeat of beat, now and then, and watch the others."""
        if not self._throttle.is_due(time.monotonic()):
            return
        services = self.services()
        with suppress(Problem):  # if Redis is unavailable, nobody sees anything
            services.board.beat(services.clock())
        self._watch = self._watch or Watch(services)
        self._watch.look()


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _end_with_the_consumer(**_: object) -> None:
    """A process of the pool does not outlive its consumer."""
    end_with_parent()
