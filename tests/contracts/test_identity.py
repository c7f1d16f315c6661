"""The identity of a store, over fakeredis and a real Redis: an empty or foreign one is noticed, and not written to."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from issuer import tasks
from issuer.domain import DAY_SECONDS, Due
from issuer.edge.cache import BundleCache
from issuer.ports import CaAccount, Services
from issuer.problem import Problem, ProblemType
from issuer.schedule import SCANS, forget_withdrawn
from issuer.store import RedisFeed, RedisLimits, RedisStore
from issuer.store.keys import IDENTITY, RECORDS
from tests.api_client import ApiClient, issued, reach
from tests.fakes import EDGE_TOKEN, NAME, NOW, fake_services

NEW = "new.customer.example"


@pytest.fixture
def services(store: RedisStore) -> Services:
    return replace(fake_services(store), feed=RedisFeed(store._redis), limits=RedisLimits(store._redis))


def other_store(store: RedisStore) -> None:
    """Another store in the place of this one, as with the URL of another database."""
    store._redis.flushdb()
    RedisStore(store._redis).require_own()


def old_backup(store: RedisStore) -> None:
    """The data from before there were identities."""
    store._redis.delete(IDENTITY)


LOSSES: dict[str, Callable[[RedisStore], object]] = {
    "FLUSHALL": lambda store: store._redis.flushdb(),
    "another store": other_store,
    "a backup without an identity": old_backup,
}


def refused(work: Callable[[], object]) -> Problem:
    with pytest.raises(Problem) as raised:
        work()
    assert raised.value.type is ProblemType.FOREIGN_STORE
    return raised.value


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_n36_nothing_is_issued_in_a_foreign_store_and_one_line_says_so(services: Services, lose) -> None:
    store, api_client = services.store, ApiClient(services).with_accounts()
    issued(services)
    with api_client.app.test_client() as client:
        certificate = f"/edge/certificate?token={EDGE_TOKEN}&server_name="
        held = client.get(certificate + NAME).data
        lose(store)
        with capture_logs() as logs:
            assert client.get("/readyz").status_code == 503
            for _ in range(3):
                assert (found := client.get(certificate + NAME)).status_code == 200
                assert found.data == held
                assert client.get(f"{certificate}other.customer.example").status_code == 503
            api_client.keys["late"] = api_client.keys["platform"]
            assert api_client.status(NAME).status_code in {200, 401}
            for scan in SCANS:
                with suppress(Problem):  # a scan that has nothing to claim does nothing
                    assert scan.run(services) == 0
            refused(lambda: store.claim(Due.EXPIRY, now=NOW, limit=1, requeue_at=NOW))
            refused(lambda: store.lock_ca_account("https://ca.example/directory", seconds=9))
    assert len([entry for entry in logs if entry["log_level"] == "error" and "foreign store" in entry["event"]]) == 1
    api_client.with_accounts() if lose is not old_backup else None
    for answer in (api_client.post(NEW), api_client.put(NEW), api_client.call("DELETE", f"/v2/x509/{NAME}")):
        assert (answer.status_code, answer.json["code"]) == (503, "foreign-store") or answer.status_code == 404
    assert api_client.post(NEW).json["code"] == "foreign-store"
    assert store.load(NEW) is None


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_n36_an_old_api_key_is_401_and_the_log_says_why(services: Services, lose) -> None:
    api_client = ApiClient(services).with_accounts()
    services.store.require_own()
    lose(services.store)
    services.store._redis.delete("issuer:account:platform")
    services.store._seen_at = -1e9
    with capture_logs() as logs:
        assert [api_client.status().status_code for _ in range(3)] == [401] * 3
    (reported,) = (entry for entry in logs if entry["event"] != "request")
    assert reported["log_level"] == "error"
    assert "401" in reported["event"]
    assert "issuer store adopt --instead-of " in reported["hint"]


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_n26_all_goes_on_once_the_data_are_back_or_the_store_is_accepted(services: Services, lose) -> None:
    store = services.store
    record = reach(services, tasks.Step.CHALLENGE)
    dumped = {key: store._redis.dump(key) for key in store._redis.scan_iter()}
    lose(store)
    refused(store.require_own)
    assert tasks.attempt(services, record.issuance.step, record.issuance.id) == (tasks.Outcome.STOP, 0)
    store._redis.flushdb()
    for key, value in dumped.items():
        store._redis.restore(key, 0, value)
    store.require_own()
    assert tasks.attempt(services, record.issuance.step, record.issuance.id)[0] is not tasks.Outcome.STOP
    lose(store)
    former = store._known
    refused(store.require_own)
    operator = RedisStore(store._redis)
    refused(operator.require_own) if lose is not other_store else operator.require_own()
    assert operator.adopt(former) == operator.adopt(former)
    store.require_own()
    assert ApiClient(services).with_accounts().post(NEW).status_code == 202 if lose is not old_backup else True


def test_n26_a_new_installation_starts_with_no_ceremony_and_keeps_its_identity_outside(
    store: RedisStore, tmp_path: Path
) -> None:
    file = tmp_path / "state" / "store-identity"
    first = RedisStore(store._redis, file)
    assert first.claim(Due.EXPIRY, now=NOW, limit=1, requeue_at=NOW) == []
    assert file.read_text() == f"{store._redis.hget(IDENTITY, 'id')}\n"
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    file.unlink()
    RedisStore(store._redis, file).require_own()
    assert file.exists(), "a further machine joins"


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_n42_a_process_that_starts_on_a_foreign_store_knows_it_by_its_file(
    store: RedisStore, lose, tmp_path: Path
) -> None:
    file = tmp_path / "store-identity"
    RedisStore(store._redis, file).require_own()
    former = file.read_text()
    lose(store)
    started = RedisStore(store._redis, file)
    hint = refused(started.require_own).hint
    assert f"issuer store adopt --instead-of {former.strip()}" in hint
    assert file.read_text() == former
    others = RedisStore(store._redis, file)
    adopted = RedisStore(store._redis, file).adopt()
    assert file.read_text().strip() == adopted != former
    started.require_own()
    others.require_own()


@pytest.mark.parametrize("lose", [LOSSES["FLUSHALL"], old_backup], ids=["FLUSHALL", "a backup without an identity"])
def test_n36_a_process_without_a_file_learns_of_the_loss_from_those_that_ran(store: RedisStore, lose) -> None:
    running = RedisStore(store._redis)
    running.require_own()
    lose(store)
    refused(running.require_own)
    started, directory = RedisStore(store._redis), "https://ca.example/directory"
    refused(started.require_own)
    refused(lambda: started.lock_ca_account(directory, seconds=9))
    refused(lambda: started.keep_ca_account(directory, CaAccount("key", None, NOW), instead_of=None))
    refused(lambda: started.claim(Due.EXPIRY, now=NOW, limit=1, requeue_at=NOW))
    assert started.ca_account(directory) is None
    started.adopt()
    running.require_own()


@pytest.mark.parametrize("text", [b"", b"no identity\n", b"0123456789abcdef", b"\n", b"\xff\xfe", b"A" * 32])
def test_n26_a_damaged_file_is_no_new_installation(store: RedisStore, tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "store-identity"
    file.write_bytes(text)
    started = RedisStore(store._redis, file)
    assert str(file) in refused(started.require_own).detail
    started.adopt()
    started.require_own()
    assert file.read_text() == f"{store._redis.hget(IDENTITY, 'id')}\n"


@pytest.mark.parametrize("path", ["/proc/no/such/file", "/dev/null/store-identity", "/"])
def test_n26_a_file_that_cannot_be_written_stops_nothing_and_is_told_once(store: RedisStore, path: str) -> None:
    started = RedisStore(store._redis, Path(path))
    with capture_logs() as logs:
        for _ in range(3):
            started.require_own()
    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_n26_records_of_an_older_release_are_taken_over(services: Services) -> None:
    issued(services)
    services.store._redis.delete(IDENTITY)
    upgraded = RedisStore(services.store._redis)
    upgraded.require_own()
    assert upgraded.load(NAME).domain.certificate


@pytest.mark.parametrize("hold_days", [0, 1, 30])
@pytest.mark.parametrize("asked_meanwhile", [False, True])
def test_n26_a_withdrawn_name_is_not_served_from_memory_when_its_record_has_been_removed(
    services: Services, hold_days: int, *, asked_meanwhile: bool
) -> None:
    settings = services.settings.model_copy(update={"hold_days": hold_days})
    services = replace(services, settings=settings)
    api_client = ApiClient(services).with_accounts()
    cache = BundleCache(services)
    for name in (NAME, NEW):
        issued(services, name)
        assert cache.bundle_for(name)
    services.store._redis.delete(f"{RECORDS}{NEW}")
    assert cache.bundle_for(NEW), "it is merely missing"
    assert api_client.call("DELETE", f"/v2/x509/{NAME}").status_code == 200
    if asked_meanwhile:
        assert cache.bundle_for(NAME) is None
    services.clock.now += (hold_days + 30) * DAY_SECONDS + 1
    forget_withdrawn(services)
    assert services.store.load(NAME) is None
    assert cache.bundle_for(NAME) is None
    issued(services, NAME)
    assert cache.bundle_for(NAME), "it has been issued anew"
    services.store._redis.delete(f"{RECORDS}{NAME}")
    assert cache.bundle_for(NAME), "the withdrawal was of the former one"
