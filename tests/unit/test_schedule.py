"""The beat table, and the turns of the slow scans."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis
from celery import Celery, Task
from celery.beat import Scheduler
from celery.exceptions import Retry
from structlog.testing import capture_logs

from issuer import schedule
from issuer.actions import doctor
from issuer.celery_app import create_celery
from issuer.domain import Due
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.schedule import SCANS, THREADS, Scan
from issuer.store import RedisStore
from issuer.store.keys import index_key
from tests.fakes import fake_services, queue_at


@pytest.fixture
def celery() -> Iterator[Celery]:
    with queue_at().celery as celery:
        yield celery


def sent_by(beat: Scheduler) -> list[str]:
    """What is due now, as beat sees it."""
    return [entry.task for entry in beat.schedule.values() if entry.is_due().is_due]


def test_beat_sends_every_scan_and_is_not_stopped_by_a_clock_that_steps_back(
    celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = Scheduler(celery, lazy=True)
    beat.setup_schedule()
    assert sent_by(beat) == []
    began, clock = time.monotonic(), time.time()
    monkeypatch.setattr(time, "time", lambda: clock - 3600)
    monkeypatch.setattr(time, "monotonic", lambda: began + 11)
    ours = {scan.name for scan in SCANS}
    of_renewal = {"renew_due", "expire_due", "recheck_away", "refresh_renewal_info"}
    assert ours == {
        "reconcile",
        *of_renewal,
        "confirm_served",
        "doctor",
        "revoke_due",
        "forget_withdrawn",
        "wake_waiting",
        "watch_cas",
    }
    assert set(sent_by(beat)) == ours - {"doctor"}
    monkeypatch.setattr(time, "monotonic", lambda: began + doctor.EVERY_SECONDS + 1)
    assert set(sent_by(beat)) == ours


def test_a_message_that_is_older_than_its_interval_is_dropped(celery: Celery) -> None:
    expires = {name: entry["options"]["expires"] for name, entry in celery.conf.beat_schedule.items()}
    assert expires.pop("doctor") == doctor.EVERY_SECONDS
    assert set(expires.values()) == {10}


SLOW = [scan for scan in SCANS if scan.is_slow and scan.has_turn]
slow_scans = pytest.mark.parametrize("scan", SLOW, ids=lambda scan: scan.name)
DUES = {
    "recheck_away": Due.DNS_RECHECK,
    "refresh_renewal_info": Due.RENEWAL_INFO,
    "confirm_served": Due.EDGE_CONFIRMATION,
    "revoke_due": Due.REVOCATION,
}


@pytest.fixture
def services() -> Services:
    return replace(fake_services(), edges=("edge1.platform.example:443",))


def task_of(scan: Scan, services: Services) -> Task:
    return create_celery(services.settings, lambda: services).tasks[scan.name]


@slow_scans
def test_n28_one_slow_scan_runs_at_a_time_in_the_whole_fleet(services: Services, scan: Scan) -> None:
    running, go_on = threading.Event(), threading.Event()

    def wait_for_a_silent_server(_: Services) -> int:
        running.set()
        return go_on.wait(20)

    waiting = schedule._body(Scan("waiting", wait_for_a_silent_server, is_slow=True), lambda: services)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(waiting, None)
        assert running.wait(20)
        for _ in range(2):
            with pytest.raises(Retry):
                task_of(scan, services).run()
        go_on.set()
        first.result(20)
    task_of(scan, services).run()


@pytest.mark.parametrize("scan", [scan for scan in SLOW if scan.name in DUES], ids=lambda scan: scan.name)
def test_n28_a_slow_scan_leaves_to_its_next_turn_what_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, services: Services, scan: Scan
) -> None:
    monkeypatch.setattr(schedule, "TURN_SECONDS", 0.1)
    due = index_key((DUES[scan.name], ""))
    services.store._redis.zadd(due, {f"{number}.example": number for number in range(4000)})
    monkeypatch.setattr(schedule, "_each", lambda *_, **__: time.sleep(0.06) or 8)
    began = time.monotonic()
    assert scan.run(services) <= 3 * THREADS
    assert time.monotonic() - began < 2
    assert services.store._redis.zcount(due, 0, 4000) >= 4000 - 3 * THREADS


QUICK = ["reconcile", "wake_waiting", "renew_due", "expire_due", "forget_withdrawn"]


@pytest.mark.parametrize("name", [*QUICK, "doctor"])
def test_n28_a_quick_scan_and_the_doctor_wait_for_no_turn(services: Services, name: str) -> None:
    assert services.locks.take(schedule.TURN, seconds=60)
    create_celery(services.settings, lambda: services).tasks[name].run()


@slow_scans
def test_n28_a_scan_that_fails_gives_its_turn_back(services: Services, scan: Scan) -> None:
    broken = replace(services, store=RedisStore(BrokenRedis()))
    task_of(scan, broken).run()
    assert services.locks.take(schedule.TURN, seconds=60)


class BrokenRedis:
    """A Redis that is away."""

    def __getattr__(self, name: str):
        raise redis.ConnectionError


def test_n39_scans_without_redis_are_two_lines_in_all(services: Services) -> None:
    class Refusing:
        def require_writable(self) -> None:
            raise Problem(ProblemType.STORE_UNAVAILABLE, "READONLY from Redis")

    broken = replace(services, store=RedisStore(BrokenRedis()), servers=Refusing())
    schedule.outage.end()
    scans = [scan for scan in SCANS if scan.run is not doctor.watch]  # which says what else is wrong
    with capture_logs() as lines:
        for _ in range(3):
            for scan in scans:
                task_of(scan, broken).run()
        for scan in scans:
            task_of(scan, replace(services, servers=Refusing())).run()
        for scan in scans:
            task_of(scan, services).run()
    assert [line["event"] for line in lines] == ["unavailable; will be retried automatically", "available again"]
