"""Celery's connection to a real Redis that restarts or refuses commands (N19, N35, N39).

The tests `…_which_kombu_does_not` fail when a newer release makes a part of `issuer/celery_app/broker.py` needless:
then remove that part.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
import redis as redis_client
from kombu import Connection as KombuConnection
from kombu import Consumer, Exchange, Producer, Queue
from kombu.common import ignore_errors
from structlog.testing import capture_logs

from issuer.celery_app import broker
from issuer.sandbox import LOOPBACK, Part, Sandbox, free_port
from tests.fakes import queue_at

OPTIONS = {"socket_timeout": 3, "socket_connect_timeout": 2, "max_retries": 0}
QUEUE = Queue("interactive", Exchange("interactive"), routing_key="interactive")
CONTROL = Queue("control", Exchange("control", type="fanout"), auto_delete=True)
"""As that of Celery's remote control."""
SLOTS = 4
ENOUGH_SECONDS = 20


@dataclass
class Server:
    """A Redis that these tests break."""

    sandbox: Sandbox
    port: int
    admin: redis_client.Redis

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/1"

    def part(self) -> Part:
        return self.sandbox._parts[-1]

    def stop(self) -> None:
        self.part().stop()

    def start(self) -> None:
        self.sandbox.redis(port=self.port)

    def cannot_save(self) -> None:
        in_the_way = self.sandbox.folder / "redis" / "dump.rdb"
        with suppress(FileNotFoundError):
            in_the_way.unlink()
        in_the_way.mkdir()
        self.admin.config_set("save", "900 1")
        with suppress(redis_client.ResponseError):
            self.admin.bgsave()
        until(self._has_failed_to_save)  # and not an earlier time: one that is under way could still succeed
        in_the_way.rmdir()

    def _has_failed_to_save(self) -> bool:
        state = self.admin.info("persistence")
        return state["rdb_last_bgsave_status"] == "err" and not state["rdb_bgsave_in_progress"]

    def lock(self) -> None:
        self.admin.config_set("requirepass", "secret")
        self.admin.execute_command("AUTH", "secret")


def configured(name: str, value: str) -> Callable[[Server], object]:
    return lambda server: server.admin.config_set(name, value)


REFUSALS = {
    "READONLY": (
        lambda server: server.admin.replicaof(LOOPBACK, 1),
        lambda server: server.admin.replicaof("no", "one"),
    ),
    "OOM": (configured("maxmemory", "1"), configured("maxmemory", "0")),
    "NOREPLICAS": (configured("min-replicas-to-write", "1"), configured("min-replicas-to-write", "0")),
    "MISCONF": (Server.cannot_save, configured("save", "")),
}
refusals = pytest.mark.parametrize(("break_", "mend"), REFUSALS.values(), ids=REFUSALS)


def until(is_true: Callable[[], object]) -> None:
    end = time.monotonic() + ENOUGH_SECONDS
    while not is_true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def started(module_sandbox: Sandbox) -> Iterator[Server]:
    port = free_port()
    module_sandbox.redis(port=port)
    with redis_client.Redis(port=port, db=1, decode_responses=True) as admin:
        yield Server(module_sandbox, port, admin)


@pytest.fixture
def server(started: Server) -> Server:
    started.admin.flushall()
    broker.outage.end()
    return started


@contextmanager
def consumer(server: Server, kind: type[KombuConnection], in_hand: int) -> Iterator[tuple[KombuConnection, list]]:
    """What a Celery worker has: a consumer that waits for messages as long as it has a free slot."""
    messages: list = []
    connection = kind(server.url, transport_options=OPTIONS)
    for _ in range(in_hand):
        Producer(connection).publish({}, exchange=QUEUE.exchange, routing_key=QUEUE.routing_key, declare=[QUEUE])
    Consumer(connection.channel(), [CONTROL], no_ack=True).consume()
    Consumer(connection, [QUEUE], on_message=messages.append, prefetch_count=SLOTS).consume()
    while len(messages) < in_hand:
        connection.drain_events(timeout=5)
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.05)
    yield connection, messages
    ignore_errors(connection, connection.close)


def closed_as_celery_does(connection: KombuConnection) -> None:
    """What `on_connection_error_after_connected` of Celery's consumer does."""
    with suppress(Exception):
        connection.collect(socket_timeout=1)
    ignore_errors(connection, connection.close)


def lost(server: Server, kind: type[KombuConnection], in_hand: int) -> list:
    """Redis goes away; the connection is closed, and the messages in hand are acknowledged when it is there again."""
    with consumer(server, kind, in_hand) as (connection, messages):
        server.stop()
        try:
            closed_as_celery_does(connection)
        finally:
            server.start()
        for message in messages:
            message.ack()
        return messages


@pytest.mark.parametrize("in_hand", range(SLOTS + 1))
def test_n35_a_connection_is_closed_when_redis_is_gone(server: Server, in_hand: int) -> None:
    assert len(lost(server, broker.Connection, in_hand)) == in_hand
    with consumer(server, broker.Connection, in_hand) as (_, messages):
        assert len(messages) == in_hand


@pytest.mark.parametrize("in_hand", [1, SLOTS - 1])
def test_n35_which_kombu_does_not(server: Server, in_hand: int) -> None:
    with pytest.raises(AttributeError, match="hostname"):
        lost(server, KombuConnection, in_hand)


def acknowledged_meanwhile(server: Server, kind: type[KombuConnection], break_: Callable, mend: Callable) -> bool:
    """Whether a consumer with no free slot can take messages again after Redis has refused to forget those in hand."""
    with consumer(server, kind, SLOTS) as (_, messages):
        break_(server)
        try:
            for message in messages:
                with suppress(*broker.Transport.connection_errors):
                    message.ack()
        finally:
            mend(server)
        return messages[0].channel.qos.can_consume()


@refusals
def test_n39_a_message_that_cannot_be_acknowledged_occupies_no_slot(server: Server, break_, mend) -> None:
    assert acknowledged_meanwhile(server, broker.Connection, break_, mend)


@refusals
def test_n39_which_kombu_does_not(server: Server, break_, mend) -> None:
    assert not acknowledged_meanwhile(server, KombuConnection, break_, mend)


def connected(server: Server, kind: type[KombuConnection], break_: Callable, mend: Callable) -> bool:
    break_(server)
    try:
        with kind(server.url, transport_options=OPTIONS) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
    except broker.OperationalError:
        return False
    finally:
        mend(server)
    return True


@refusals
def test_n19_a_redis_that_refuses_writes_counts_as_away(server: Server, break_, mend) -> None:
    with capture_logs() as logs:
        assert not connected(server, broker.Connection, break_, mend)
        assert connected(server, broker.Connection, lambda _: None, lambda _: None)
    assert [line["event"] for line in logs] == ["unavailable; will be retried automatically", "available again"]
    assert server.admin.keys() == []


@pytest.mark.parametrize(
    ("break_", "mend"),
    [REFUSALS[word] for word in ("READONLY", "OOM", "NOREPLICAS")],  # it answers PING by MISCONF too
)
def test_n19_which_kombu_does_not(server: Server, break_, mend) -> None:
    assert connected(server, KombuConnection, break_, mend)


@pytest.mark.parametrize(
    "answer",
    [
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
        b"-ERR max number of clients reached\r\n",
        b"-CLUSTERDOWN The cluster is down\r\n",
        b"",
    ],
    ids=lambda answer: answer.split()[0].decode() if answer else "cut",
)
def test_n19_whatever_redis_answers_it_is_retried(answer: bytes) -> None:
    with always(answer) as port:
        tried = []
        with (
            broker.Connection(f"redis://{LOOPBACK}:{port}/1", transport_options=OPTIONS) as connection,
            pytest.raises(broker.OperationalError),
        ):
            connection.ensure_connection(lambda *failure: tried.append(failure), 2, interval_start=0)
        assert len(tried) == 2
        sent = queue_at(f"redis://{LOOPBACK}:{port}/1")
        assert sent.celery.tasks["reconcile"].apply_async() is None
        sent.celery.close()


@contextmanager
def always(answer: bytes) -> Iterator[int]:
    """A server that gives one answer to everything."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=reply, args=(client,), daemon=True).start()

    def reply(client: socket.socket) -> None:
        with suppress(OSError), client:
            while data := client.recv(65536):
                if not answer:
                    return
                client.sendall(answer * max(data.count(b"\r\n*") + 1, 1))

    with socket.create_server((LOOPBACK, 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
