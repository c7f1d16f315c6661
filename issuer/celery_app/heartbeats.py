"""How consumers and beat show themselves to the fleet, from within their own loops: who stands still shows nothing.

A consumer that is deaf, or whose event loop stands still, is started anew in the same process, as Celery does it after
a lost connection.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.signals import worker_process_shutdown
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks

from issuer.celery_app import broker
from issuer.fleet import configuration
from issuer.fleet.ears import DEAF_SECONDS, Ears
from issuer.fleet.pulse import REFRESH_SECONDS, WRITE_SECONDS, Presence, Throttle, Working
from issuer.fleet.queues import QUEUES
from issuer.fleet.watch import Watch
from issuer.metrics import CONSUMER_RESTARTS, TALLY
from issuer.ports import Services
from issuer.problem import Problem
from issuer.schedule import pulses

TICK_SECONDS = 5

log = structlog.get_logger(__name__)


def register(app: Celery, services: Callable[[], Services]) -> None:
    """Let the consumers and the beat of an application show themselves, and watch the others."""
    app.steps["consumer"].add(type("Heart", (Heart,), {"services": staticmethod(services)}))
    worker_process_shutdown.connect(lambda **_: services().counters.add_tally(), weak=False, dispatch_uid=__name__)
    app.conf.beat_scheduler = type("Scheduler", (Scheduler,), {"services": staticmethod(services)})


class Deaf(broker.Transport.connection_errors[0]):
    """Raised in a consumer that hears nothing: to Celery, its connection is lost."""


class Heart(bootsteps.StartStopStep):
    """A part of a Celery consumer, which starts with each connection to the broker."""

    requires = (Tasks,)
    services: Callable[[], Services]

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        """See Celery's `Step`."""
        super().__init__(consumer, **options)
        self._consumer = consumer
        self._chosen = tuple(name for name in QUEUES if name in consumer.app.amqp.queues.consume_from)
        self._timer: Any = None
        self._ears: Ears | None = None

    def start(self, consumer: Consumer) -> None:
        """Begin to tick in the event loop: at once, and then again and again."""
        if self._ears is None:
            name = f"{consumer.hostname}:{os.getpid()}"
            self._ears = Ears(self.services())
            self._presence, self._watch = Presence(self.services(), name, self._ears), Watch(self.services())
        self._ears.hear()
        with suppress(Problem):
            self.services().counters.add_tally()
        consumer.timer.call_after(0, self._tick)
        self._timer = consumer.timer.call_repeatedly(TICK_SECONDS, self._tick)

    def stop(self, _consumer: Consumer) -> None:
        """Tick no more: the connection is gone, or the consumer ends."""
        _expect_nothing()
        if self._timer:
            self._timer.cancel()

    def _tick(self) -> None:
        """Look, in the event loop. Raises Deaf."""
        assert self._ears
        self._expect_a_tick()
        queues = tuple(name for name in QUEUES if name in self._consumer.app.amqp.queues.consume_from)
        taken = max(broker.Transport.taken_at.values(), default=None)
        slots = self._consumer.pool.num_processes
        now = Working(queues, self._chosen, taken, len(state.active_requests), slots)
        self._presence.tick(now, {name: pulse.last() for name, pulse in pulses.items()})
        self._watch.look()
        if self._ears.is_deaf(self._chosen):
            self._restart("deaf consumer: messages wait, and it takes none; it is started anew")

    def _expect_a_tick(self) -> None:
        """Interrupt whatever this process does if the event loop stands still. In a pool without processes of its own,
        a task may take that long."""
        if not getattr(self._consumer.pool, "uses_semaphore", False):
            return
        signal.signal(signal.SIGALRM, self._has_stood_still)
        signal.setitimer(signal.ITIMER_REAL, DEAF_SECONDS)

    def _has_stood_still(self, _number: int, _frame: FrameType | None) -> None:
        self._restart("deaf consumer: its event loop stands still; it is started anew")

    def _restart(self, what: str) -> None:
        assert self._ears
        _expect_nothing()
        queues, seconds = ",".join(self._chosen), round(self._ears.silent_seconds)
        log.error(what, consumer=self._consumer.hostname, queues=queues, seconds=seconds)
        TALLY.add(CONSUMER_RESTARTS.once(self._consumer.hostname.partition("@")[0]))
        self._consumer.app.amqp.queues.select(self._chosen)
        raise Deaf(what)


def _expect_nothing() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)


class Scheduler(broker.Scheduler):
    """Beat's scheduler, which shows that it runs."""

    services: Callable[[], Services]

    def __init__(self, *args: Any, **options: Any) -> None:
        """See Celery's `Scheduler`."""
        self._throttle, self._configured = Throttle(WRITE_SECONDS), Throttle(REFRESH_SECONDS)
        self._watch: Watch | None = None
        super().__init__(*args, **options)

    def show_itself(self) -> None:
        """Write the heartbeat of beat, now and then, and watch the others."""
        if not self._throttle.is_due(time.monotonic()):
            return
        services = self.services()
        with suppress(Problem):  # if Redis is unavailable, nobody sees anything
            services.board.beat(services.clock())
            if self._configured.is_due(time.monotonic()):
                configuration.show(services, f"beat@{socket.gethostname()}")
        self._watch = self._watch or Watch(services)
        self._watch.look()
