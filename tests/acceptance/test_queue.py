"""The record is the truth: messages that come twice, at once, late or never, through a real broker."""

import time
from collections.abc import Callable

import pytest
import redis

from issuer.celery_app import QUEUES, create_celery
from issuer.config import Settings
from issuer.domain import Step
from issuer.pipeline import CeleryQueue
from issuer.ports import Services
from issuer.sandbox import Dns, Pebble
from tests.acceptance.conftest import Platform, Running, for_a_whole_file
from tests.real import issued, opened, published
from tests.writes import open_issuance

own_sandbox, settings, services, running, platform_key, redis_url, wire = for_a_whole_file()


@pytest.fixture
def broker(settings: Settings):
    with redis.Redis.from_url(settings.celery_broker_url) as client:
        yield client


@pytest.fixture
def queue(settings: Settings, services: Services) -> Callable[[str], None]:
    queue = CeleryQueue(create_celery(settings, lambda: services))
    return lambda name: queue.enqueue(services.store.load(name))


def test_e01_the_same_chain_five_times_at_once_gives_one_certificate(
    platform: Platform, services: Services, dns: Dns, pebble: Pebble, queue, broker
) -> None:
    name, before = published(dns, "five.customer.example"), issued(pebble)
    opened(services, name)
    for _ in range(5):
        queue(name)
    platform.wait_until(name, "active")
    assert issued(pebble) - before == 1
    assert services.store.load(name).issuance.tries == 0


def test_e02_a_message_that_never_came_is_sent_by_reconcile(
    platform: Platform, services: Services, dns: Dns, settings: Settings
) -> None:
    name = published(dns, "never.customer.example")
    record = opened(services, name)
    open_issuance(services.store, record.domain, record.issuance, version=record.version, requeue_at=services.clock())
    assert platform.wait_until(name, "active")["certificate"]
    assert services.store.load(name).issuance.id == record.issuance.id


def test_messages_queued_while_no_worker_ran_are_processed_when_one_starts(
    platform: Platform, running: Running, services: Services, dns: Dns, broker
) -> None:
    name = published(dns, "patient.customer.example")
    running.parts["worker"].stop()
    assert platform.call("POST", f"/v2/x509/{name}")[0] == 202
    assert services.store.load(name).issuance.step is Step.ORDER
    assert broker.llen("interactive") == 1
    running.start("worker")
    platform.wait_until(name, "active")
    assert broker.llen("interactive") == 0


def test_nothing_is_left_unacknowledged_or_stored_as_a_result(
    platform: Platform, running: Running, dns: Dns, broker, redis_url: str
) -> None:
    name = published(dns, "clean.customer.example")
    platform.call("POST", f"/v2/x509/{name}")
    platform.wait_until(name, "active")
    running.parts["beat"].stop()
    until = time.monotonic() + 20
    while broker.exists("unacked"):
        assert time.monotonic() < until, "a message is not acknowledged"
        time.sleep(0.05)
    running.parts["worker"].stop()
    left = {key.decode() for key in broker.scan_iter()}
    assert {key for key in left if not key.startswith("_kombu.binding")} <= {*QUEUES, "issuer:broker"}
    with redis.Redis.from_url(redis_url) as records:
        kinds = {key.decode().split(":")[1] for key in records.scan_iter() if records.ttl(key) < 0}
    assert kinds == {
        "domain",
        "agenda",
        "index",
        "changes",
        "fleet",
        "metrics",
        "reindex",
        "account",
        "accounts",
        "ca-account",
        "identity",
    }, "all else has an end"
