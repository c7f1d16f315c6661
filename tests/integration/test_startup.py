"""N27: a Redis that would lose data is refused at the start; one that does not say is a warning; one that is away is
waited for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import fakeredis
import pytest
import redis
from click.testing import CliRunner
from structlog.testing import capture_logs

from issuer.actions.health import Readiness
from issuer.actions.startup import await_startable, require_startable
from issuer.cli import main
from issuer.cli import run as command
from issuer.config import Settings
from issuer.keys import new_encryption_key
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.sandbox import LOOPBACK, Sandbox, free_port
from issuer.store import RedisServers, connect
from issuer.wiring import build_services
from tests.api_client import ApiClient
from tests.fakes import TARGET, fake_services

RIGHT = {"maxmemory-policy": "noeviction", "appendonly": "yes", "save": ""}
REFUSED = {
    "all keys, LRU": ({"maxmemory-policy": "allkeys-lru"}, ["allkeys-lru, and must be noeviction"]),
    "all keys, LFU": ({"maxmemory-policy": "allkeys-lfu"}, ["allkeys-lfu"]),
    "all keys, random": ({"maxmemory-policy": "allkeys-random"}, ["allkeys-random"]),
    "those that expire": ({"maxmemory-policy": "volatile-lru"}, ["volatile-lru"]),
    "the next to expire": ({"maxmemory-policy": "volatile-ttl"}, ["volatile-ttl"]),
    "nothing on disk": ({"appendonly": "no"}, ["keeps nothing on disk: set appendonly yes"]),
    "both": ({"maxmemory-policy": "allkeys-lru", "appendonly": "no"}, ["allkeys-lru", "keeps nothing on disk"]),
}
refused = pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)


@dataclass
class Server:
    """A Redis of these tests alone."""

    url: str
    admin: redis.Redis

    def set(self, **options: str) -> None:
        for name, value in (RIGHT | options).items():
            self.admin.config_set(name, value)


def server_in(sandbox: Sandbox) -> Iterator[Server]:
    port = free_port()
    url = sandbox.redis(port=port)
    with redis.Redis(port=port, decode_responses=True) as admin:
        yield Server(url, admin)


@pytest.fixture(scope="module")
def first(module_sandbox: Sandbox) -> Iterator[Server]:
    yield from server_in(module_sandbox)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Sandbox(tmp_path_factory.mktemp("second")) as sandbox:
        yield from server_in(sandbox)


@pytest.fixture
def records(first: Server) -> Server:
    first.set()
    return first


@pytest.fixture
def messages(second: Server) -> Server:
    second.set()
    return second


def settings_of(records: str, messages: str = "", **more: object) -> Settings:
    return Settings(
        redis_url=records, broker_url=messages, encryption_keys=new_encryption_key(), cname_targets=TARGET, **more
    )


def services_of(records: str, messages: str = "", **more: object) -> Services:
    return build_services(settings_of(f"{records}/0", messages, **more))


def fault_of(services: Services) -> str:
    with pytest.raises(Problem) as caught:
        require_startable(services)
    assert caught.value.type is ProblemType.UNSAFE_STORE
    assert "ISSUER_ALLOW_VOLATILE_REDIS" in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.detail


@refused
def test_n27_a_redis_that_would_lose_records_is_refused(records: Server, options: dict, words: list[str]) -> None:
    records.set(**options)
    fault = fault_of(services_of(records.url))
    assert all(word in fault for word in ("the Redis of the records", *words))


@refused
def test_n27_it_is_only_a_warning_where_that_is_allowed(records: Server, options: dict, words: list[str]) -> None:
    records.set(**options)
    warnings = require_startable(services_of(records.url, allow_volatile_redis=True))
    assert all(any(word in warning for warning in warnings) for word in words)


@pytest.mark.parametrize("save", ["", "3600 1 300 100"], ids=["log alone", "log and snapshots"])
def test_n27_a_redis_that_keeps_its_data_is_used_without_a_word(records: Server, save: str) -> None:
    records.set(save=save)
    assert require_startable(services_of(records.url)) == []


def test_n27_snapshots_alone_are_a_warning(records: Server) -> None:
    records.set(appendonly="no", save="3600 1")
    (warning,) = require_startable(services_of(records.url))
    assert warning == "the Redis of the records has snapshots only, so a crash loses minutes: set appendonly yes"


def test_n27_the_server_of_the_messages_must_not_evict_but_need_not_keep_them(
    records: Server, messages: Server
) -> None:
    messages.set(appendonly="no")
    assert require_startable(services_of(records.url, messages.url)) == []
    messages.set(**{"maxmemory-policy": "allkeys-lru"})
    assert fault_of(services_of(records.url, messages.url)).startswith("the Redis of the messages may evict keys")


@pytest.mark.parametrize("rule", ["-config", "-@admin", "-config|get"])
def test_n27_a_redis_that_does_not_say_is_a_warning(records: Server, rule: str) -> None:
    records.set(**{"maxmemory-policy": "allkeys-lru"})
    records.admin.execute_command("ACL", "SETUSER", "managed", "reset", "on", ">secret", "~*", "&*", "+@all", rule)
    services = services_of(records.url.replace("//", "//managed:secret@"))
    assert require_startable(services) == [
        f"the Redis of the {role} does not say whether it evicts keys or keeps them on disk"
        for role in ("records", "messages")
    ]


def test_n27_fakeredis_is_a_warning() -> None:
    with fakeredis.FakeRedis(decode_responses=True) as client:
        services = replace(fake_services(), servers=RedisServers({"records": client}))
        assert len(require_startable(services)) == 1


def away(sandbox: Sandbox) -> tuple[str, Callable[[], None]]:
    port = free_port()
    return f"redis://{LOOPBACK}:{port}", lambda: sandbox.redis(port=port)


def locked(records: Server) -> tuple[str, Callable[[], None]]:
    records.admin.config_set("requirepass", "secret")
    return records.url, lambda: records.admin.config_set("requirepass", "")


@pytest.mark.parametrize("state", ["away", "locked"])
def test_n27_a_redis_that_is_away_at_the_start_is_waited_for(tmp_path, records: Server, state: str) -> None:
    with Sandbox(tmp_path) as sandbox, capture_logs() as logs:
        url, back = away(sandbox) if state == "away" else locked(records)
        waits = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                back()

        await_startable(services_of(url), is_patient=True, wait=wait)
        assert len(waits) == 3
    assert [line["event"] for line in logs] == ["Redis is unavailable; waiting for it", "Redis is available"]


def test_n27_web_starts_without_redis_and_looks_when_it_is_there(tmp_path) -> None:
    with Sandbox(tmp_path) as sandbox:
        url, back = away(sandbox)
        services = services_of(url)
        await_startable(services, is_patient=False)
        readiness = Readiness(services)
        with pytest.raises(Problem, match="unavailable"):
            readiness.require()
        back()
        readiness.require()
        with redis.Redis.from_url(url) as admin:
            admin.config_set("maxmemory-policy", "allkeys-lru")
        readiness.require()  # it has been looked at: who changes a running server has meant it
        with pytest.raises(Problem, match="allkeys-lru"):
            Readiness(services).require()


@pytest.mark.parametrize("process", ["web", "worker", "renewals", "beat", "edge-sync"])
def test_n27_no_process_starts_on_such_a_redis(records: Server, monkeypatch: pytest.MonkeyPatch, process: str) -> None:
    records.set(**{"maxmemory-policy": "allkeys-lru"})
    monkeypatch.setattr(command, "configure_logs", lambda *_: None)
    environment = settings_of(f"{records.url}/0").as_environment()
    result = CliRunner().invoke(main, ["run", process], env=environment)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith(
        "Error: the configuration of Redis would lose data: the Redis of the records may evict"
    )


WRITES_REFUSED = {
    "read-only": ({"replicaof": f"{LOOPBACK} 1"}, {"replicaof": "no one"}, "READONLY"),
    "full": ({"maxmemory": "1"}, {"maxmemory": "0"}, "OOM"),
    "without replicas": ({"min-replicas-to-write": "1"}, {"min-replicas-to-write": "0"}, "NOREPLICAS"),
}


@pytest.mark.parametrize("which", ["records", "messages"])
@pytest.mark.parametrize(("break_", "mend", "word"), WRITES_REFUSED.values(), ids=WRITES_REFUSED)
def test_n39_readyz_says_which_redis_refuses_writes_and_is_503_if_requests_need_it(
    records: Server, messages: Server, break_: dict, mend: dict, word: str, which: str
) -> None:
    def apply(options: dict[str, str]) -> None:
        server = records if which == "records" else messages
        for name, value in options.items():
            server.admin.replicaof(*value.split()) if name == "replicaof" else server.admin.config_set(name, value)

    with connect(records.url) as one, connect(messages.url) as other:
        servers = RedisServers({"records": one, "messages": other})
        client = ApiClient(replace(fake_services(), servers=servers))
        assert client.call("GET", "/readyz").status_code == 200
        apply(break_)
        try:
            answer = client.call("GET", "/readyz")
        finally:
            apply(mend)
        if which == "records":
            assert (answer.status_code, answer.json["code"]) == (503, "store-unavailable")
            assert answer.json["detail"] == f"{word} from Redis"
            assert answer.json["cause"].startswith("the Redis of the records ")
            assert answer.json["hint"].endswith("must see to the Redis of ISSUER_REDIS_URL")
        else:
            (found,) = answer.json["degraded"]
            assert (answer.status_code, found["code"], found["must_act"]) == (200, "broker", "platform")
            assert "the Redis of the messages " in found["cause"]
            assert "ISSUER_BROKER_URL" in found["hint"]
        assert client.call("GET", "/readyz").status_code == 200
        assert "issuer:probe" not in {*records.admin.keys(), *messages.admin.keys()}
