"""The beat table."""

import time
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.beat import Scheduler

from issuer.schedule import SCANS
from tests.fakes import queue_at


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
    assert ours == {"reconcile", *of_renewal, "confirm_served", "revoke_due", "forget_withdrawn"}
    assert set(sent_by(beat)) == ours


def test_a_message_that_is_older_than_its_interval_is_dropped(celery: Celery) -> None:
    assert {entry["options"]["expires"] for entry in celery.conf.beat_schedule.values()} == {10}
