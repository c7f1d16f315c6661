"""A POST while 20,000 renewals are due, or 20,000 POSTs of another account, with the Procfile's processes."""

import time
from dataclasses import replace

import pytest
import redis

from issuer.actions import accounts
from issuer.actions.eligibility import QUICK_AT_ONCE
from issuer.config import Settings
from issuer.domain import Certificate, Domain, Due, Plan, Reason, Step, new_issuance
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.sandbox import Dns
from issuer.schedule import FEW
from tests.acceptance.conftest import Platform, Running
from tests.real import published
from tests.writes import open_issuance

BACKLOG = 20_000
A_FEW_SECONDS = 10
DAY = 86400


MULTIPLY = """
local name, from, to = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local pattern = string.gsub(name, '%W', '%%%0')
local record = redis.call('HGETALL', KEYS[1] .. name)
for number = from, to do
  local other = number .. '.' .. name
  local copy = {}
  for place, text in ipairs(record) do copy[place] = (string.gsub(text, pattern, other)) end
  redis.call('HSET', KEYS[1] .. other, unpack(copy))
  for place = 2, #KEYS do redis.call('ZADD', KEYS[place], ARGV[place + 2], other) end
end
"""
"""Copies the record of a name and its entries in indexes, for names below it."""


def multiplied(services: Services, name: str) -> None:
    """The backlog: what the store keeps of a name, for others too."""
    redis = services.store._redis
    scores = {key: redis.zscore(key, name) for key in redis.scan_iter(_type="zset")}
    indexes = {key: score for key, score in scores.items() if score is not None}
    for first in range(0, BACKLOG, 1000):
        last = min(first + 1000, BACKLOG - 1) - 1
        keys = ["issuer:domain:", *indexes]
        redis.eval(MULTIPLY, len(keys), *keys, name, first, last, *indexes.values())


def due(services: Services, name: str, now: float, *, has_started: bool) -> None:
    """A domain whose renewal is due, or whose renewal has started, has failed, and is due for its next try."""
    directory = services.cas[0].directory_url
    certificate = Certificate("CHAIN", "key", "0f", now - 60 * DAY, now + 30 * DAY, directory, now - 60 * DAY)
    issuance = new_issuance(name, Reason.RENEWAL, now)
    if has_started:
        issuance = issuance.retry(Problem(ProblemType.CA_UNAVAILABLE, "away"), now)
    else:
        issuance = replace(issuance, step=Step.DONE)
    domain = Domain(name, "platform", now, certificate, renew_at=now - 60)
    open_issuance(services.store, domain, issuance, version=0, requeue_at=now)


@pytest.mark.parametrize("has_started", [False, True], ids=["due", "retries"])
def test_e11_a_post_is_not_kept_waiting_by_20_000_renewals(
    running: Running, platform: Platform, services: Services, settings: Settings, dns: Dns, *, has_started: bool
) -> None:
    now = time.time()
    due(services, "backlog.example", now, has_started=has_started)
    multiplied(services, "backlog.example")
    running.start("renewals")
    with redis.Redis.from_url(settings.celery_broker_url) as broker:
        until = time.monotonic() + 30
        while not broker.llen("renewal"):
            assert time.monotonic() < until, "no renewal was queued"
            time.sleep(0.05)
        for number in range(3):
            name = published(dns, f"new-{number}.customer.example")
            assert platform.call("POST", f"/v2/x509/{name}")[0] == 202
            platform.wait_until(name, "active")
            assert broker.llen("renewal") > 0
        assert has_started or broker.llen("renewal") <= services.settings.renewals_at_once + 4 * FEW
    started_at, waiting = (
        services.store.names(Due.OPEN_RENEWAL, limit=0)[0],
        sum(1 for _ in services.store.planned_renewals()),
    )
    assert started_at + waiting > BACKLOG // 2
    assert has_started or started_at <= services.settings.renewals_at_once + 4 * FEW


def test_a_post_is_not_kept_waiting_by_20_000_of_another_account(
    running: Running, platform: Platform, services: Services, settings: Settings, dns: Dns
) -> None:
    flood = Platform(platform.url, accounts.create(services, "flood", Plan.HTTPS))
    running.start("renewals")
    for number in range(2 * QUICK_AT_ONCE):
        assert flood.call("POST", f"/v2/x509/{published(dns, f'{number}.flood.example')}")[0] == 202
    queues = [services.store.load(f"{number}.flood.example").issuance.queue for number in range(2 * QUICK_AT_ONCE)]
    assert queues[:QUICK_AT_ONCE] == [Due.OPEN_INTERACTIVE] * QUICK_AT_ONCE
    assert queues.count(Due.OPEN_BULK) > QUICK_AT_ONCE // 2

    now, name = time.time(), "backlog.example"
    issuance = replace(new_issuance(name, Reason.FIRST, now), is_bulk=True)
    open_issuance(services.store, Domain(name, "flood", now), issuance, version=0, requeue_at=now)
    multiplied(services, name)
    with redis.Redis.from_url(settings.celery_broker_url) as broker:
        until = time.monotonic() + 30
        # Those of the flood that were among the quick ones are through, and its bulk is next.
        while services.store.names(Due.OPEN_INTERACTIVE, limit=0)[0] or not broker.llen("bulk"):
            assert time.monotonic() < until, "no bulk was queued"
            time.sleep(0.05)
        for number in range(3):
            name = published(dns, f"single-{number}.customer.example")
            began = time.monotonic()
            assert platform.call("POST", f"/v2/x509/{name}")[0] == 202
            platform.wait_until(name, "active")
            assert time.monotonic() - began < A_FEW_SECONDS
            assert broker.llen("bulk") > 0
    assert services.store.names(Due.OPEN_BULK, limit=0)[0] > BACKLOG // 2
