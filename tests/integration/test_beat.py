"""N38: a SIGTERM ends beat, whatever it does at that moment."""

import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from issuer.sandbox import LOOPBACK, Part, Sandbox
from tests.fakes import TARGET
from tests.real import ENCRYPTION_KEY
from tests.redis_proxy import redis_proxy

ENOUGH_SECONDS = 30


def until(is_true: Callable[[], object]) -> None:
    end = time.monotonic() + ENOUGH_SECONDS
    while not is_true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


@pytest.fixture
def redis_port(redis_url: str) -> int:
    return urlsplit(redis_url).port


@dataclass
class Beat:
    """Beat behind a proxy, which sends it SIGTERM right before one of its messages reaches Redis."""

    sandbox: Sandbox
    messages: int = 0
    at: int = 0
    part: Part | None = None

    def before(self, data: bytes) -> None:
        if b"LPUSH" in data:
            self.messages += 1
            if self.messages == self.at:
                time.sleep(0.1)  # beat waits for the answer
                self.part.process.send_signal(signal.SIGTERM)
                time.sleep(0.3)

    def start(self, port: int, every: float = 0.1) -> None:
        environment = {
            "ISSUER_REDIS_URL": f"redis://{LOOPBACK}:{port}/0",
            "ISSUER_ENCRYPTION_KEYS": ENCRYPTION_KEY,
            "ISSUER_CNAME_TARGETS": TARGET,
            "ISSUER_LOG_LEVEL": "DEBUG",
            "ISSUER_RECONCILE_SECONDS": str(every),
        }
        command = [sys.executable, "-m", "celery", "-A", "issuer.worker", "beat"]
        self.part = self.sandbox.start("beat", command, environment)

    def ended(self) -> int:
        return self.part.process.wait(ENOUGH_SECONDS)


@pytest.fixture
def beat(tmp_path: Path) -> Iterator[Beat]:
    with Sandbox(tmp_path) as sandbox:
        yield Beat(sandbox)


@pytest.mark.parametrize("at", [1, 2, 9])
def test_n38_a_sigterm_while_beat_publishes_ends_it(beat: Beat, redis_port: int, at: int) -> None:
    beat.at = at
    with redis_proxy(redis_port, beat.before) as port:
        beat.start(port)
        assert beat.ended() == 0
    assert beat.messages == at


@pytest.mark.parametrize(
    ("state", "number"), [("asleep", signal.SIGTERM), ("away", signal.SIGTERM), ("black-holed", signal.SIGINT)]
)
def test_n38_beat_ends_whatever_it_waits_for(beat: Beat, redis_port: int, state: str, number: signal.Signals) -> None:
    if state == "asleep":
        beat.start(redis_port, every=60)
        until(lambda: b"Waking up" in beat.part.log.read_bytes())
    elif state == "away":
        beat.start(1)
        until(lambda: b"the broker" in beat.part.log.read_bytes())
    else:
        with socket.create_server((LOOPBACK, 0)) as hole:
            beat.start(hole.getsockname()[1])
            until(lambda: b"the broker" in beat.part.log.read_bytes())
    began = time.monotonic()
    beat.part.process.send_signal(number)
    assert beat.ended() == 0
    assert time.monotonic() - began < 8
