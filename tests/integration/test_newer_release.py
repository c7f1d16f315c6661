"""Two processes of this code on one Redis, one of which writes records as the next release would."""

import subprocess
import sys
from dataclasses import replace

import pytest

from issuer import tasks
from issuer.actions import hsts, prefer, withdraw
from issuer.domain import CHAIN, SCHEMA, Hsts
from issuer.ports import Services
from issuer.store import RedisStore
from tests.checkout import CHECKOUT
from tests.fakes import ACCOUNT, NAME, fake_services, opened

NEWER = """
import sys
from dataclasses import replace
from issuer.events import EventType
from issuer.store import RedisStore, connect
store, name, schema = RedisStore(connect(sys.argv[1])), sys.argv[2], int(sys.argv[3])
extra = (("from_the_future", {"a": [1, None]}),)

def change(record):
    domain, issuance = replace(record.domain, extra=extra), replace(record.issuance, extra=extra)
    newer = replace(record, schema=schema, domain=domain, issuance=issuance)
    return newer.with_event(1, EventType.NOTE, {"text": "newer"})

def show(record):
    print(record.schema, record.domain.extra == extra, [event.data.get("text") for event in record.timeline][:1])

store.update(name, change, now=0) if len(sys.argv) > 4 else show(store.load(name))
"""


@pytest.fixture
def services(real_store: RedisStore) -> Services:
    real_store.create_account(ACCOUNT)
    return replace(fake_services(real_store), edges=())


def newer(redis_url: str, *arguments: str) -> str:
    command = [sys.executable, "-c", NEWER, redis_url, NAME, str(SCHEMA + 1), *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=60).stdout


def issue(services: Services) -> None:
    while (record := services.store.load(NAME)).issuance.step in CHAIN:
        services.clock.now = max(services.clock.now, record.issuance.next_try_at or 0)
        tasks.attempt(services, record.issuance.step, record.issuance.id)


def test_n29_what_a_process_of_the_next_release_writes_survives_all_that_this_one_does(
    services: Services, redis_url: str
) -> None:
    opened(services)
    newer(redis_url, "write")
    issue(services)
    hsts.put(services, ACCOUNT, NAME, lambda: Hsts(60))
    prefer.prefer(services, NAME, profile="shortlived")
    withdraw.withdraw(services, ACCOUNT, NAME)
    assert newer(redis_url) == f"{SCHEMA + 1} True ['newer']\n"
