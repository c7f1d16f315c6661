"""One issuance asks Redis no more often than this: `make bench-commands` counts Celery's commands too, beside another
release."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis as redis_client

from issuer import tasks
from issuer.domain import CHAIN, Step
from issuer.store import RedisStore
from tests.api_client import ApiClient, issued
from tests.fakes import NAME, fake_services, queue_at

MAX_COMMANDS = {"POST": 16, "order": 21, "challenge": 40, "finalize": 25, "install": 22, "GET status": 2}
"""Commands of the parts of an issuance, those within scripts too: 126 in all. The CA is asked twice in vain."""


@pytest.fixture
def api_client(real_store: RedisStore, redis_url: str) -> Iterator[ApiClient]:
    queue = queue_at(f"{redis_url.removesuffix('/0')}/1")
    services = replace(fake_services(real_store), queue=queue)
    services.cas[0].looks_until_ready = 1
    yield ApiClient(services).with_accounts()
    queue.celery.close()


@pytest.fixture
def admin(redis_url: str) -> Iterator[redis_client.Redis]:
    with redis_client.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def calls(admin: redis_client.Redis) -> Counter[str]:
    """Of the records' database and the broker's, by command; what this asks itself does not count."""
    stats = admin.info("commandstats").items()
    counted = Counter({name.removeprefix("cmdstat_"): int(values["calls"]) for name, values in stats})
    return Counter({name: count for name, count in counted.items() if name != "info"})


def test_one_issuance_takes_no_more_commands_than_this(api_client: ApiClient, admin: redis_client.Redis) -> None:
    services, found = api_client.services, Counter[str]()

    def counted(part: str, work) -> None:
        before = calls(admin)
        work()
        found[part] += (calls(admin) - before).total()

    # What is said to a new server, or by a new connection, does not count.
    api_client.post("first.customer.example")
    issued(services, "second.customer.example")
    counted("POST", api_client.post)
    while (step := (record := services.store.load(NAME)).issuance.step) in CHAIN:
        services.clock.now = max(services.clock.now, record.issuance.next_try_at or 0)
        counted(step.value, lambda step=step, id_=record.issuance.id: tasks.attempt(services, step, id_))
    assert step is Step.DONE
    counted("GET status", api_client.status)
    assert {part: count for part, count in found.items() if count > MAX_COMMANDS[part]} == {}
