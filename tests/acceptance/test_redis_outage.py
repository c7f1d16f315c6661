"""N19, N35, N38, N39: `honcho start` on a Redis that restarts or refuses commands, while the worker is busy."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
import urllib3

from issuer.actions import accounts
from issuer.config import PREFIX, Settings
from issuer.domain import Plan
from issuer.sandbox import LOOPBACK, Dns, Part, Pebble, Sandbox, free_port
from issuer.wiring import build_services
from tests.acceptance.conftest import Platform
from tests.checkout import CHECKOUT
from tests.real import published, settings_for
from tests.wire import Fault, Wire

SLOTS = 4
PATIENCE_SECONDS = 60
OUTAGE_SECONDS = 2
OPTIONS = ("--enable-protected-configs", "yes", "--save", "3600 1")
"""Of Redis: for the snapshot that fails."""
BEGINNINGS = 20
"""How many processes there may be that tell of an outage: the Procfile's and their children, each in one line."""


@dataclass
class Fleet:
    """All of the Procfile, started by honcho, on a Redis of its own."""

    sandbox: Sandbox
    port: int
    admin: redis.Redis
    honcho: Part
    platform: Platform
    wire: Wire
    dns: Dns
    counter: list[int] = field(default_factory=list)
    loading: threading.Thread | None = None

    def is_ready(self) -> bool:
        with suppress(urllib3.exceptions.HTTPError):
            return urllib3.request("GET", f"{self.platform.url}/readyz", retries=False, timeout=15).status == 200
        return False

    def wait_until(self, is_true: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not is_true():
            assert self.honcho.process.poll() is None, "honcho ended, so a process did"
            assert time.monotonic() < end, "it did not come true"
            time.sleep(0.05)

    def requested(self) -> str:
        self.counter.append(1)
        name = published(self.dns, f"{len(self.counter)}.customer.example")
        assert self.platform.call("POST", f"/v2/x509/{name}")[0] == 202
        return name

    def held(self, count: int, let_go: threading.Event) -> list[str]:
        """Names whose orders wait for the CA, each in a slot of the worker."""
        faults = [Fault("/order-plz", before=lambda: let_go.wait(30) and None) for _ in range(count)]
        self.wire.faults.extend(faults)
        names = [self.requested() for _ in faults]
        self.wait_until(lambda: all(fault.hits for fault in faults))
        return names

    def stop_redis(self) -> None:
        self.sandbox._parts[-1].stop()

    def start_redis(self, *options: str) -> None:
        self.sandbox.redis(*OPTIONS, *options, port=self.port)

    def load_slowly(self) -> None:
        """Start Redis again, which takes a while to load its data: meanwhile it answers -LOADING."""
        self.admin.bgrewriteaof()
        self.wait_until(lambda: not self.admin.info("persistence")["aof_rewrite_in_progress"])
        keys = sum(database["keys"] for database in self.admin.info("keyspace").values())
        self.stop_redis()
        delay = f"{2 * OUTAGE_SECONDS * 1_000_000 // keys}"
        slow = ("--key-load-delay", delay, "--loading-process-events-interval-bytes", "1024")
        self.loading = threading.Thread(target=self.start_redis, args=slow)
        self.loading.start()

    def load_quickly(self) -> None:
        self.admin.config_set("key-load-delay", "0")
        self.loading.join()

    def stop_saving(self) -> None:
        """Let a snapshot fail: after that Redis answers -MISCONF to each write."""
        with tempfile.TemporaryDirectory() as folder:
            self.admin.config_set("dir", folder)
        self.admin.bgsave()
        self.wait_until(lambda: self.admin.info("persistence")["rdb_last_bgsave_status"] == "err")

    def save_again(self) -> None:
        self.admin.config_set("dir", str(self.sandbox.folder))
        self.admin.bgsave()
        self.wait_until(lambda: self.admin.info("persistence")["rdb_last_bgsave_status"] == "ok")

    def ask_for_a_password(self) -> None:
        self.admin.config_set("requirepass", "unknown to all")
        self.admin.client_kill_filter(_type="normal", skipme=True)

    def log(self) -> str:
        return self.honcho.log.read_text()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, pebble: Pebble, dns: Dns, http_port: int) -> Iterator[Fleet]:
    port = free_port()
    wire = Wire(pebble.directory_url, pebble.bundle)
    with (
        Sandbox(tmp_path_factory.mktemp("redis")) as servers,
        Sandbox(tmp_path_factory.mktemp("fleet")) as sandbox,
        redis.Redis(port=port, decode_responses=True) as admin,
    ):
        settings = settings_for(
            f"{servers.redis(*OPTIONS, port=port)}/0",
            wire.directory_url,
            dns,
            acme_ca_bundle=str(wire.bundle),
            acme_timeout_seconds=40,
            reconcile_seconds=0.5,
        )
        key = accounts.create(build_services(settings), "platform", Plan.HTTPS)
        honcho = started(sandbox, settings, http_port)
        fleet = Fleet(servers, port, admin, honcho, Platform(f"http://{LOOPBACK}:{http_port}", key), wire, dns)
        fleet.wait_until(fleet.is_ready)
        yield fleet
    wire.close()


def started(sandbox: Sandbox, settings: Settings, http_port: int) -> Part:
    environment = settings.as_environment() | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "WEB_CONCURRENCY": "1",
        "WORKER_CONCURRENCY": str(SLOTS),
        "RENEWAL_CONCURRENCY": "2",
        "GUNICORN_CMD_ARGS": f"--bind {LOOPBACK}:{http_port}",
        f"{PREFIX}LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "honcho", "start", "--procfile", str(CHECKOUT / "Procfile"), "--no-colour"]
    return sandbox.start("honcho", command, environment)


def configured(name: str, value: str) -> Callable[[Fleet], object]:
    return lambda fleet: fleet.admin.config_set(name, value)


RESTART = (Fleet.stop_redis, Fleet.start_redis)
READONLY = (
    lambda fleet: fleet.admin.replicaof(LOOPBACK, 1),
    lambda fleet: fleet.admin.replicaof("no", "one"),
)
FULL = (configured("maxmemory", "1"), configured("maxmemory", "0"))
LONELY = (configured("min-replicas-to-write", "1"), configured("min-replicas-to-write", "0"))
OUTAGES = {f"restart, {busy} of 4 busy": (RESTART, busy, "Connection") for busy in range(SLOTS + 1)} | {
    "read-only": (READONLY, 2, "read only replica"),
    "full": (FULL, 4, "maxmemory"),
    "without replicas": (LONELY, 1, "replicas"),
    "loading": ((Fleet.load_slowly, Fleet.load_quickly), 1, "onnection"),
    "not saving": ((Fleet.stop_saving, Fleet.save_again), 1, "RDB error"),
    "asking for a password": ((Fleet.ask_for_a_password, configured("requirepass", "")), 1, "authenticate"),
}
"""How each begins and ends, how many slots are busy, and what Redis, or the system, says meanwhile."""


@pytest.mark.parametrize(("outage", "busy", "words"), OUTAGES.values(), ids=OUTAGES)
def test_n19_n35_n39_all_processes_go_on_when_redis_does(fleet: Fleet, outage: tuple, busy: int, words: str) -> None:
    let_go = threading.Event()
    names = fleet.held(busy, let_go)
    before = len(fleet.log())
    outage[0](fleet)
    try:
        fleet.wait_until(lambda: not fleet.is_ready())
        time.sleep(OUTAGE_SECONDS)
    finally:
        outage[1](fleet)
    fleet.wait_until(fleet.is_ready)
    let_go.set()
    for name in [*names, fleet.requested()]:
        fleet.platform.wait_until(name, "active", seconds=PATIENCE_SECONDS)
    assert fleet.honcho.process.poll() is None
    written = fleet.log()[before:]
    assert "Traceback" not in written
    assert "Cannot connect" not in written
    assert 0 < written.count("unavailable; will be retried") <= BEGINNINGS
    assert "available again" in written
    assert words in written


def test_n38_workers_end_although_redis_is_silent(tmp_path: Path, dns: Dns) -> None:
    with Sandbox(tmp_path) as sandbox:
        settings = settings_for(f"{sandbox.redis()}/0", "https://ca.example/directory", dns)
        silent = sandbox._parts[-1].process
        workers = [sandbox.procfile(name, settings.as_environment()) for name in ("worker", "renewals")]
        end = time.monotonic() + PATIENCE_SECONDS
        while not all(" ready." in worker.log.read_text() for worker in workers):
            assert time.monotonic() < end, "they did not start"
            time.sleep(0.05)
        silent.send_signal(signal.SIGSTOP)
        try:
            time.sleep(OUTAGE_SECONDS)
            for worker in workers:
                worker.process.send_signal(signal.SIGTERM)
            assert [worker.process.wait(PATIENCE_SECONDS) for worker in workers] == [0, 0]
        finally:
            silent.send_signal(signal.SIGCONT)


def test_n38_n19_a_sigterm_while_redis_is_away_ends_all_processes(fleet: Fleet) -> None:
    fleet.stop_redis()
    fleet.wait_until(lambda: not fleet.is_ready())
    time.sleep(OUTAGE_SECONDS)
    before = len(fleet.log())
    fleet.honcho.process.send_signal(signal.SIGTERM)
    fleet.honcho.process.wait(PATIENCE_SECONDS)
    written = fleet.log()[before:]
    assert "SIGKILL" not in written, "a process had to be killed"
    assert "Traceback" not in written
