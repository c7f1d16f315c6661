"""A consumer over a real Redis stops hearing, in three ways: it is started anew in the same process."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis as redis_client

from issuer.sandbox import LOOPBACK, Part, Sandbox
from tests.fakes import TARGET, queue_at
from tests.real import ENCRYPTION_KEY
from tests.redis_proxy import redis_proxy

ENOUGH_SECONDS = 30
IMPATIENT = """
import sys, time
from pathlib import Path
from issuer.celery_app import heartbeats
from issuer.fleet import ears, pulse

def tick(self, usual=heartbeats.Heart._tick):
    usual(self)
    if STOP.exists():
        STOP.unlink()
        time.sleep(600)

STOP = Path(sys.argv.pop())
ears.SUSPECT_SECONDS, ears.DEAF_SECONDS, heartbeats.DEAF_SECONDS = 1, 2, 3
heartbeats.TICK_SECONDS = pulse.LOOK_AFTER_SECONDS = 0.3
heartbeats.Heart._tick = tick
from issuer.cli import main
main()
"""


def until(is_true: Callable[[], object]) -> None:
    end = time.monotonic() + ENOUGH_SECONDS
    while not is_true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


@pytest.fixture
def redis_port(redis_url: str) -> int:
    return urlsplit(redis_url).port


@pytest.fixture
def records(redis_url: str) -> Iterator[redis_client.Redis]:
    with redis_client.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def messages(redis_port: int) -> Iterator[redis_client.Redis]:
    with redis_client.Redis(host=LOOPBACK, port=redis_port, db=1) as client:
        yield client


@pytest.fixture
def next_brpop() -> threading.Event:
    """If set, the next BRPOP of the consumer never reaches Redis."""
    return threading.Event()


@pytest.fixture
def worker(tmp_path: Path, redis_url: str, redis_port: int, next_brpop: threading.Event) -> Iterator[Part]:
    def before(data: bytes) -> None:
        if b"BRPOP" in data and next_brpop.is_set():
            next_brpop.clear()
            time.sleep(600)

    with redis_proxy(redis_port, before) as port, Sandbox(tmp_path) as sandbox:
        environment = {
            "ISSUER_REDIS_URL": redis_url,
            "ISSUER_BROKER_URL": f"redis://{LOOPBACK}:{port}/1",
            "ISSUER_ENCRYPTION_KEYS": ENCRYPTION_KEY,
            "ISSUER_CNAME_TARGETS": TARGET,
            "ISSUER_LOG_FORMAT": "json",
            "WORKER_CONCURRENCY": "1",
        }
        command = [sys.executable, "-c", IMPATIENT, "run", "worker", str(tmp_path / "stop")]
        yield sandbox.start("worker", command, environment)


def test_a_deaf_consumer_is_started_anew_in_the_same_process(
    worker: Part, tmp_path: Path, records: redis_client.Redis, messages: redis_client.Redis, next_brpop: threading.Event
) -> None:
    celery = queue_at(f"redis://{LOOPBACK}:{messages.connection_pool.connection_kwargs['port']}/1").celery

    def restarts() -> float:
        return float(records.hget("issuer:metrics", '["issuer_consumer_restarts_total", "worker"]') or 0)

    def no_longer_reads() -> None:
        celery.control.cancel_consumer("interactive")
        until(lambda: b"Canceling queue interactive" in worker.log.read_bytes())

    until(lambda: any(field.endswith(f":{worker.process.pid}") for field in records.hkeys("issuer:fleet")))
    for stop_hearing in (next_brpop.set, no_longer_reads, (tmp_path / "stop").touch):
        before = restarts()
        stop_hearing()
        until(lambda: not next_brpop.is_set())
        for _ in range(3):  # one may still be taken by what has been asked before
            celery.tasks["order"].apply_async(("nobody.example/0",))
        until(lambda: restarts() > before and not messages.llen("interactive"))  # noqa: B023 - called at once
    log = worker.log.read_text()
    assert log.count("deaf consumer: messages wait, and it takes none; it is started anew") >= 2
    assert "deaf consumer: its event loop stands still; it is started anew" in log
    assert worker.process.poll() is None
