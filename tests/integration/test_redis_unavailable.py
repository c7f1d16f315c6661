"""E02: Redis refused, silent, full, read-only. Answers come in time; nothing is incomplete or lost."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
import redis as redis_client

from issuer.domain import Step
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.sandbox import LOOPBACK, Part, Sandbox, free_port
from issuer.schedule import reconcile
from issuer.store import RedisStore, connect
from issuer.store.keys import IDENTITY
from tests.api_client import ApiClient, worked
from tests.fakes import FakeResolver, fake_services, queue_at
from tests.indexes import OPEN_INDEXES

SECONDS = 5.0
NEW, FAILED, TOKEN = "new.customer.example", "failed.customer.example", "token"
CALLS = {
    "post": ("POST", f"/v2/x509/{NEW}"),
    "put": ("PUT", f"/v2/x509/{FAILED}"),
    "status": ("GET", f"/v2/x509/{FAILED}/status"),
    "challenge": ("GET", f"/.well-known/acme-challenge/{TOKEN}"),
    "readyz": ("GET", "/readyz"),
}
WRITES = {name: CALLS[name] for name in ("post", "put")}


@dataclass
class OwnRedis:
    """A Redis that a test may break. admin: a client to inspect it."""

    sandbox: Sandbox
    port: int
    url: str
    admin: redis_client.Redis

    @property
    def part(self) -> Part:
        return self.sandbox._parts[-1]

    def stop(self) -> None:
        self.part.stop()

    def start(self) -> None:
        self.sandbox.redis(port=self.port)

    def freeze(self) -> None:
        os.kill(self.part.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.part.process.pid, signal.SIGCONT)

    def fill(self) -> None:
        self.admin.config_set("maxmemory", 1)

    def empty(self) -> None:
        self.admin.config_set("maxmemory", 0)

    def demote(self) -> None:
        self.admin.replicaof(LOOPBACK, 1)

    def promote(self) -> None:
        self.admin.replicaof("NO", "ONE")


FAULTS = {
    "refused": (OwnRedis.stop, OwnRedis.start),
    "black-holed": (OwnRedis.freeze, OwnRedis.thaw),
    "full": (OwnRedis.fill, OwnRedis.empty),
    "read-only": (OwnRedis.demote, OwnRedis.promote),
}
UNAVAILABLE = {name: FAULTS[name] for name in ("refused", "black-holed")}


def faults(which: dict) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", which.values(), ids=which)


def calls(which: dict) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("call", which.values(), ids=which)


@contextmanager
def own_redis(folder) -> Iterator[OwnRedis]:
    port = free_port()
    with Sandbox(folder) as sandbox, redis_client.Redis(port=port, decode_responses=True) as admin:
        own = OwnRedis(sandbox, port, sandbox.redis(port=port), admin)
        yield own
        own.thaw()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[OwnRedis]]:
    """One for records, one for messages."""
    with (
        own_redis(tmp_path_factory.mktemp("records")) as records,
        own_redis(tmp_path_factory.mktemp("broker")) as broker,
    ):
        yield [records, broker]


@pytest.fixture
def records(servers: list[OwnRedis]) -> OwnRedis:
    servers[0].admin.flushall()
    return servers[0]


@pytest.fixture
def broker(servers: list[OwnRedis]) -> OwnRedis:
    servers[1].admin.flushall()
    return servers[1]


@contextmanager
def api_client_over(url: str, broker_url: str = "memory://") -> Iterator[ApiClient]:
    client = connect(url)
    services = fake_services(RedisStore(client))
    queue = queue_at(broker_url)
    yield ApiClient(replace(services, queue=queue))
    queue.celery.close()
    client.close()


@pytest.fixture
def api_client(records: OwnRedis) -> Iterator[ApiClient]:
    with api_client_over(records.url) as api_client:
        api_client.with_accounts()
        assert api_client.post(FAILED).status_code == 202
        worked(api_client.services, lambda issuance: issuance.fail(Problem(ProblemType.CA_REFUSED)), FAILED)
        api_client.services.store.put_token(TOKEN, "answer", seconds=600)
        api_client.queued()
        yield api_client


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server((LOOPBACK, 0), backlog=64) as hole:
        yield hole.getsockname()[1]


def assert_unavailable(api_client: ApiClient, call: tuple[str, str]) -> None:
    with within(SECONDS):
        answer = api_client.call(*call)
    assert (answer.status_code, answer.json["code"]) == (503, "store-unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def assert_nothing_incomplete(api_client: ApiClient, records: OwnRedis) -> None:
    """NEW has no record or a complete one; FAILED is unchanged, or complete and open."""
    new, failed = api_client.load(NEW), api_client.load(FAILED)
    existing = [record for record in (new, failed) if record]
    assert set(records.admin.zrange(OPEN_INDEXES[0], 0, -1)) == {
        record.domain.name for record in existing if record.issuance.is_open
    }
    assert set(records.admin.keys("issuer:domain:*")) == {f"issuer:domain:{record.domain.name}" for record in existing}
    assert new is None or (new.domain.account, new.issuance.step, new.version) == ("platform", Step.ORDER, 1)
    assert failed.issuance.step in {Step.FAILED, Step.ORDER}


@calls(CALLS)
@faults(UNAVAILABLE)
def test_e02_503_when_redis_is_unavailable(api_client: ApiClient, records: OwnRedis, fault, call) -> None:
    before = api_client.load(FAILED).version
    fault[0](records)
    try:
        assert_unavailable(api_client, call)
        assert api_client.call("GET", "/healthz").status_code == 200
    finally:
        fault[1](records)
    assert (api_client.load(NEW), api_client.load(FAILED).version) == (None, before)
    assert_nothing_incomplete(api_client, records)
    assert api_client.queued() == []


@calls(CALLS)
@pytest.mark.parametrize("is_silent", [False, True], ids=["refused", "black-holed"])
def test_e02_503_when_redis_was_never_there(*, is_silent: bool, call) -> None:
    with black_hole() as hole, api_client_over(f"redis://{LOOPBACK}:{hole if is_silent else 1}/0") as api_client:
        api_client.keys["platform"] = "platform.key"
        assert_unavailable(api_client, call)


@calls(WRITES)
@faults(FAULTS)
def test_e02_503_when_it_fails_between_the_checks_and_the_write(
    api_client: ApiClient, records: OwnRedis, fault, call
) -> None:
    class Breaking(FakeResolver):
        def points_here(self, name: str, own: str = ""):
            fault[0](records)
            return super().points_here(name, own)

    broken = ApiClient(replace(api_client.services, resolver=Breaking()), keys=api_client.keys)
    try:
        with within(SECONDS):
            answer = broken.call(*call)
    finally:
        fault[1](records)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert_nothing_incomplete(api_client, records)
    # A silent Redis may execute a received write later: then the issuance is open, and reconcile continues it.
    assert api_client.queued() == []
    again = api_client.call(*call)
    assert again.status_code in ({202, 409} if fault is FAULTS["black-holed"] else {202})


@faults({name: FAULTS[name] for name in ("full", "read-only")})
def test_e02_calls_that_only_read_still_succeed(api_client: ApiClient, records: OwnRedis, fault) -> None:
    fault[0](records)
    try:
        for name in ("post", "put"):
            assert_unavailable(api_client, CALLS[name])
        assert api_client.status(FAILED).json["status"] == "error"
        with api_client.app.test_client() as client:
            assert client.get(CALLS["challenge"][1]).data == b"answer"
    finally:
        fault[1](records)
    assert (api_client.load(NEW), api_client.load(FAILED).issuance.step) == (None, Step.FAILED)
    assert_nothing_incomplete(api_client, records)
    assert api_client.post(NEW).status_code == 202


def assert_started_and_requeued(api_client: ApiClient, services: Services, records: OwnRedis, broker: OwnRedis) -> None:
    """The record is complete and waits; a minute later reconcile sends its message, over an available broker."""
    record = api_client.load(NEW)
    now = services.clock()
    assert (record.issuance.step, record.domain.account) == (Step.ORDER, "platform")
    assert records.admin.zrange(OPEN_INDEXES[0], 0, -1, withscores=True) == [(NEW, now + 60)]
    queue = queue_at(f"{broker.url}/1")
    services = replace(services, queue=queue)
    assert reconcile(services) == 0
    services.clock.forward(60)
    assert reconcile(services) == 1
    queue.celery.close()
    assert sent(broker) == [("order", "interactive")]


def sent(broker: OwnRedis) -> list[tuple[str, str]]:
    with redis_client.Redis(port=broker.port, db=1, decode_responses=True) as client:
        messages = [json.loads(text) for text in client.lrange("interactive", 0, -1)]
    return [(message["headers"]["task"], message["properties"]["delivery_info"]["routing_key"]) for message in messages]


def initiate(api_client: ApiClient) -> None:
    api_client.with_accounts()
    for name, status in ((NEW, 202), (NEW, 409)):
        with within(SECONDS):
            assert api_client.post(name).status_code == status


@pytest.mark.parametrize("is_silent", [False, True], ids=["refused", "black-holed"])
def test_e02_an_unavailable_broker_loses_nothing(records: OwnRedis, broker: OwnRedis, *, is_silent: bool) -> None:
    with (
        black_hole() as hole,
        api_client_over(records.url, f"redis://{LOOPBACK}:{hole if is_silent else 1}/1") as api_client,
    ):
        initiate(api_client)
        assert_started_and_requeued(api_client, api_client.services, records, broker)


@faults(FAULTS)
def test_e02_a_broker_that_fails_loses_nothing(records: OwnRedis, broker: OwnRedis, fault) -> None:
    with api_client_over(records.url, f"{broker.url}/1") as api_client:
        api_client.with_accounts()
        assert api_client.post("first.customer.example").status_code == 202
        assert sent(broker) == [("order", "interactive")]
        records.admin.delete(*(key for key in records.admin.scan_iter() if key != IDENTITY))
        fault[0](broker)
        try:
            initiate(api_client)
        finally:
            fault[1](broker)
        broker.admin.flushall()
        assert_started_and_requeued(api_client, api_client.services, records, broker)


def test_e02_a_full_redis_for_both_starts_nothing(records: OwnRedis) -> None:
    with api_client_over(records.url, f"{records.url}/1") as api_client:
        api_client.with_accounts()
        records.fill()
        try:
            assert_unavailable(api_client, CALLS["post"])
        finally:
            records.empty()
        assert api_client.load(NEW) is None
