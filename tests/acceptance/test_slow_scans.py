"""N28: thousands of moved-away names whose DNS is silent keep no renewal waiting."""

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from issuer.config import Settings
from issuer.domain import Certificate, Domain, Due, Reason, Record, Step, new_issuance
from issuer.ports import Services
from issuer.sandbox import LOOPBACK, Dns
from issuer.schedule import TURN
from issuer.store.keys import index_key, lock_key
from tests.acceptance import test_backlog
from tests.acceptance.conftest import Running
from tests.acceptance.test_backlog import DAY, due, multiplied
from tests.real import settings_for
from tests.wire import Wire
from tests.writes import open_issuance

MOVED_AWAY = 4000
RENEWALS = 5
SOON_SECONDS = 5
"""Two, and some for a machine that runs other tests."""
INDEX = index_key((Due.DNS_RECHECK, ""))


@pytest.fixture
def settings(redis_url: str, wire: Wire, dns: Dns) -> Iterator[Settings]:
    """With a DNS server that takes every query and answers none."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind((LOOPBACK, 0))
        server = f"{LOOPBACK}:{silent.getsockname()[1]}"
        yield settings_for(redis_url, wire.directory_url, dns, dns_servers=server, reconcile_seconds=0.5)


def move_away(services: Services, name: str, now: float) -> None:
    """A domain that DNS is to be asked for, once more."""
    certificate = Certificate(
        "CHAIN", "key", "0f", now - 60 * DAY, now + 30 * DAY, "https://ca.example", now - 60 * DAY
    )
    domain = Domain(name, "platform", now, certificate, moved_away_since=now - 9 * DAY, recheck_at=now - 1)
    issuance = replace(new_issuance(name, Reason.RENEWAL, now), step=Step.DONE)
    open_issuance(services.store, domain, issuance, version=0, requeue_at=now)


def has_begun(record: Record) -> bool:
    return record.issuance.step is not Step.DONE and (record.lease_until > 0 or record.issuance.problem is not None)


def wait_until(is_true, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def test_n28_renewals_begin_although_thousands_of_names_have_a_silent_dns(
    running: Running, services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(test_backlog, "BACKLOG", MOVED_AWAY)
    move_away(services, "away.example", now)
    multiplied(services, "away.example")
    with redis.Redis.from_url(settings.redis_url.get_secret_value(), decode_responses=True) as store:
        assert store.zcount(INDEX, 0, now) == MOVED_AWAY
        for name in ("worker", "renewals", "beat"):
            running.start(name)
        wait_until(lambda: store.zcount(INDEX, 0, now) <= MOVED_AWAY - 16, 60)
        names = [f"{number}.renewal.example" for number in range(RENEWALS)]
        for name in names:
            due(services, name, now, has_started=False)
        wait_until(lambda: all(has_begun(services.store.load(name)) for name in names), SOON_SECONDS)
        wait_until(lambda: store.ttl(lock_key(TURN)) > 0, SOON_SECONDS)
        assert store.zcount(INDEX, 0, now) > MOVED_AWAY // 2
