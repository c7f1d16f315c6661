"""Celery's connection to Redis, and its beat, which go on when Redis does.

Celery and kombu 5.7 end a worker when Redis restarts while a task runs, or when it answers with an error for a moment
(read-only, full, cannot save), and beat loses a SIGTERM that comes while it publishes. All remedies are here;
`tests/integration/test_broker.py` says when a newer release makes one of them needless.
"""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar

import celery
from celery import beat
from celery.app.amqp import AMQP
from celery.signals import beat_init
from kombu.connection import Connection as KombuConnection
from kombu.exceptions import OperationalError
from kombu.transport import redis, virtual

from issuer.logs import Outage
from issuer.ports import SENT_AT

MAX_PAUSE_SECONDS = 3
"""Between two attempts to reconnect. kombu's own goes up to 30 seconds."""

outage = Outage("the broker")


class QoS(redis.QoS):
    """The messages in hand. One that cannot be acknowledged is not in hand any more: it comes again when its visibility
    timeout is over, and finds nothing to do. kombu would count it until the worker takes no more messages."""

    def ack(self, delivery_tag: str) -> None:
        """The message has been processed."""
        try:
            super().ack(delivery_tag)
        except Transport.connection_errors as error:
            self._leave(delivery_tag, error)
        else:
            outage.end()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """The message is not for this worker."""
        try:
            super().reject(delivery_tag, requeue=requeue)
        except Transport.connection_errors as error:
            self._leave(delivery_tag, error)

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        """What sends several commands at once. kombu makes a transaction of two that may as well be cut apart: whatever
        is left of a message then, it has been lost already, or comes again. An idle fleet so asks for a quarter less.
        """
        if pipe:
            yield pipe
        else:
            with self.channel.conn_or_acquire(client) as acquired:
                yield acquired.pipeline(transaction=False)

    def _leave(self, delivery_tag: str, error: Exception) -> None:
        if not self.channel.closed:  # else a new channel tells how Redis is
            outage.begin(error)
        virtual.QoS.ack(self, delivery_tag)


class Channel(redis.Channel):
    """A channel that exists only while Redis can be written, and that can be closed when Redis is gone."""

    QoS = QoS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Connect. kombu sends a PING, which Redis answers also when it refuses all else: a consumer would then start,
        fail and start again without a pause. Writing nothing changes nothing, and kombu waits if it is refused."""
        try:
            super().__init__(*args, **kwargs)
            try:
                self.client.setrange(self.unacked_mutex_key, 0, "")
            except Exception:
                self.close()
                raise
        except redis.Transport.connection_errors + redis.Transport.channel_errors as error:
            outage.begin(error)
            raise
        outage.end()

    def _connparams(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Refuse to connect again once the connection is gone. If Redis goes away while kombu waits for messages, kombu
        closes the channel twice; the second time it reads the address from None, which ends the worker."""
        if self.connection is None or self.connection.client is None:
            raise redis.get_redis_ConnectionError()("the channel is closed")
        return super()._connparams(*args, **kwargs)


class Transport(redis.Transport):
    """kombu's transport, for which an error that Redis answers is like a lost connection: it passes. Celery ends a
    worker at errors of the other kind, kombu's channel errors."""

    Channel = Channel
    taken_at: ClassVar[dict[str, float]] = {}
    """When this process last took a message from each queue."""
    connection_errors = redis.Transport.connection_errors + redis.Transport.channel_errors

    def _deliver(self, message: Any, queue: str) -> None:
        self.taken_at[queue] = time.time()
        super()._deliver(message, queue)


class Connection(KombuConnection):
    """A connection with the transport of this module, where the broker is Redis."""

    def get_transport_cls(self) -> type:
        """The class for the URL of this connection."""
        found = super().get_transport_cls()
        return Transport if found is redis.Transport else found

    def ensure_connection(self, *args: Any, **options: Any) -> "Connection":
        """Connect, and retry until it is there."""
        return super().ensure_connection(*args, **{"interval_max": MAX_PAUSE_SECONDS} | options)


class Messaging(AMQP):
    """What Celery uses for messages, with the connection of this module."""

    Connection = Connection


class Task(celery.Task):
    """A task whose message may be lost: if the broker is unavailable, `reconcile` or beat sends another one later."""

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Send the message, which says when that was. If it fails, nothing is raised, and the answer is None."""
        options["headers"] = {**(options.get("headers") or {}), SENT_AT: time.time()}
        try:
            result = super().apply_async(*args, **options)
        except (OperationalError, OSError) as error:
            outage.begin(error)
            return None
        outage.end()
        return result


class Scheduler(beat.Scheduler):
    """Beat's scheduler, which SIGTERM and SIGINT end between two messages, or while it waits.

    Celery's handler closes the connection at once, in the middle of a message if there is one. With redis-py's parser
    in Python, an error of the closed connection then takes the place of the SystemExit, and beat goes on; with hiredis
    the message is in doubt.
    """

    _is_busy = False
    _must_end = False

    def show_itself(self) -> None:
        """Called again and again while beat runs, also while it waits for the broker."""

    def end(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal: end now, or after the message in hand."""
        self._must_end = True
        if not self._is_busy:
            raise SystemExit

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due. Returns for how many seconds beat may sleep."""
        self._is_busy = True
        try:
            self.show_itself()
            return super().tick(*args, **options)
        finally:
            self._is_busy = False
            self._end_if_asked()

    def _ensure_connected(self) -> Connection:
        def while_waiting() -> None:
            self._end_if_asked()
            self.show_itself()

        return self.connection.ensure_connection(callback=while_waiting)

    def _end_if_asked(self) -> None:
        if self._must_end:
            raise SystemExit


def _is_news(record: logging.LogRecord) -> bool:
    """False for what Celery writes about a lost connection and each attempt to reconnect, as `outage` tells it in one
    line; and for what the value of a setting will mean in Celery 6."""
    text = record.getMessage()
    is_lost = text.startswith("consumer: Connection to broker lost")
    if is_lost:
        outage.begin(text)
    return not is_lost and "consumer: Cannot connect to" not in text and "In Celery 5.1 we introduced" not in text


for _name in ("celery.worker.consumer.consumer", "py.warnings"):
    logging.getLogger(_name).addFilter(_is_news)


@beat_init.connect  # type: ignore[untyped-decorator]
def _take_signals(sender: beat.Service, **_: object) -> None:
    if isinstance(sender.scheduler, Scheduler):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, sender.scheduler.end)
