"""One damaged record harms nobody else, wherever records are read, and its account repairs it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from issuer.actions import forecast, health, listing
from issuer.actions.metrics import metrics_text
from issuer.domain import Hsts, Listing
from issuer.edge.cache import BundleCache
from issuer.keys import require_whole
from issuer.ports import DamagedRecord, Services
from issuer.problem import Problem, ProblemType
from issuer.schedule import SCANS
from issuer.store.keys import RECORDS
from tests.api_client import ApiClient, issued
from tests.edge.runs import Run
from tests.fakes import EDGE_TOKEN
from tests.simulated_fleet import HOUR, SimulatedFleet
from tests.writes import write

GOOD, BAD = "good.customer.example", "bad.customer.example"
KEY = f"{RECORDS}{BAD}"
REDIS_TYPES = ("string", "list", "set", "zset", "stream")


class Stored:
    """Two names with certificates in force, and the stored record of one of them, to be damaged and restored."""

    def __init__(self) -> None:
        self.api_client = ApiClient().with_accounts()
        self.services: Services = self.api_client.services
        self.redis = self.services.store._redis
        for name in (GOOD, BAD):
            record = issued(self.services, name)
            write(self.services.store, record.with_domain(hsts=Hsts(60)), now=self.services.clock())
        self._all = {key: self.redis.dump(key) for key in self.redis.scan_iter()}
        self.fields = self.redis.hgetall(KEY)
        self.chain = self.services.store.load(GOOD).domain.certificate.chain

    def restore(self) -> None:
        self.redis.flushdb()
        for key, dumped in self._all.items():
            self.redis.restore(key, 0, dumped)
        self.services.store._reported.clear()


def places(fields: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Every place in a record: a field of the hash, a member of its JSON, a member of such a member."""
    for field in sorted(fields):
        yield (field,)
        members = json.loads(fields[field]) if field in {"domain", "issuance"} else {}
        for member, value in members.items():
            yield (field, member)
            yield from ((field, member, part) for part in (value if isinstance(value, dict) else ()))


OTHER_TYPES = {str: 7, int: "seven", float: [7], bool: "no", dict: ["list"], list: {"a": "dict"}, type(None): 7}


def damaged(place: tuple[str, ...], how: str, fields: dict[str, str]) -> str | None:
    """The field of a place after a damage; None if it is missing."""
    field, *members = place
    text = fields[field]
    if not members:
        texts = {"missing": None, "null": "null", "another type": '["a", "list"]', "empty": ""}
        return texts[how] if how in texts else text[: len(text) // 2]
    whole = json.loads(text)
    part = whole if len(members) == 1 else whole[members[0]]
    value, last = part[members[-1]], members[-1]
    if how == "missing":
        del part[last]
    else:
        cut = value[: len(value) // 2] if isinstance(value, str | list) else value
        part[last] = {"null": None, "another type": OTHER_TYPES[type(value)], "empty": type(value)(), "cut": cut}[how]
    return json.dumps(whole)


@pytest.fixture(scope="module")
def stored() -> Stored:
    return Stored()


def each_damage(stored: Stored, how: str) -> Iterator[str]:
    """Restore and damage the record, in every place."""
    for place in places(stored.fields):
        stored.restore()
        text = damaged(place, how, stored.fields)
        if text is None:
            stored.redis.hdel(KEY, place[0])
        else:
            stored.redis.hset(KEY, place[0], text)
        yield f"{'.'.join(place)} {how}"


def each_type(stored: Stored) -> Iterator[str]:
    """Replace the record by a key of each other type of Redis."""
    write: dict[str, Callable[[], object]] = {
        "string": lambda: stored.redis.set(KEY, "text"),
        "list": lambda: stored.redis.rpush(KEY, "text"),
        "set": lambda: stored.redis.sadd(KEY, "text"),
        "zset": lambda: stored.redis.zadd(KEY, {"text": 1}),
        "stream": lambda: stored.redis.xadd(KEY, {"text": "text"}),
    }
    for kind in REDIS_TYPES:
        stored.restore()
        stored.redis.delete(KEY)
        write[kind]()
        yield kind


DAMAGES = ("missing", "null", "another type", "cut", "empty", "key of another Redis type")


def damages(stored: Stored, how: str) -> Iterator[str]:
    yield from each_damage(stored, how) if how != DAMAGES[-1] else each_type(stored)


@pytest.mark.parametrize("how", DAMAGES)
def test_n32_edges_serve_a_whole_certificate_or_503(stored: Stored, how: str) -> None:
    stored.restore()
    services, app = stored.services, stored.api_client.app
    good, bad = (services.store.load(name).domain.certificate for name in (GOOD, BAD))
    warm = BundleCache(services)
    held = warm.bundle_for(BAD)
    with app.test_client() as client:
        for what in damages(stored, how):
            app.extensions["cache"] = BundleCache(services)
            found = client.get(f"/edge/certificate?token={EDGE_TOKEN}&server_name={BAD}")
            assert found.status_code in {200, 503}, what
            if found.status_code == 200:
                require_whole(found.text)
                assert x509.load_pem_x509_certificate(found.data).serial_number == int(bad.serial, 16), what
            ask = client.get(f"/edge/ask?token={EDGE_TOKEN}&domain={BAD}").status_code
            assert ask == found.status_code, what
            headers = client.get(f"/edge/headers?token={EDGE_TOKEN}&domain={BAD}").status_code
            assert headers == {200: 204, 503: 503}[found.status_code] or "not_after" in what, what
            assert warm.bundle_for(BAD).bundle == held.bundle, what
            assert client.get(f"/edge/certificate?token={EDGE_TOKEN}&server_name={GOOD}").text.startswith(good.chain)


@pytest.mark.parametrize("how", DAMAGES)
def test_n25_the_sync_keeps_its_files_and_writes_the_others(stored: Stored, how: str, tmp_path: Path) -> None:
    stored.restore()
    pem, state = tmp_path / f"{BAD}.pem", tmp_path / "state.json"
    assert Run(stored.services, tmp_path).is_done
    before = pem.read_text().partition("\n")[2]
    for what in damages(stored, how):
        (tmp_path / f"{GOOD}.pem").unlink()
        state.unlink()
        output = Run(stored.services, tmp_path).output
        assert pem.read_text().partition("\n")[2] == before, what
        assert (tmp_path / f"{GOOD}.pem").exists(), what
        assert all(line.startswith((f"{BAD}: ", f"{GOOD}: ", "all 2 names")) for line in output), what


@pytest.mark.parametrize("how", DAMAGES)
def test_n25_scans_and_lists_go_on_and_name_it(stored: Stored, how: str) -> None:
    stored.restore()
    services, start = stored.services, stored.services.clock()
    due_at = max(services.store.load(name).domain.renew_at for name in (GOOD, BAD)) + HOUR
    for what in damages(stored, how):
        services.clock.now = due_at
        with capture_logs() as logs:
            for scan in SCANS:
                scan.run(services)
            for _ in range(2):
                page = listing.by_fact(services, Listing.ACCOUNT, "platform")
            listing.counts(services)
            forecast.of_stored(services)
            health.reindex(services, restart=True)
        assert services.store.load(GOOD).issuance.is_open, what
        found = {getattr(record, "name", "") or record.domain.name: record for record in page.records}
        assert set(found) == {GOOD, BAD}, what
        reported = [entry for entry in logs if entry["event"].startswith("damaged record")]
        is_damaged = isinstance(found[BAD], DamagedRecord)
        assert [entry["domain"] for entry in reported] == [BAD] * is_damaged, what
        assert services.store.damaged() == is_damaged, what
        assert b"issuer_damaged_records %d.0" % is_damaged in metrics_text(services)
        services.clock.now = start


@pytest.mark.parametrize("how", DAMAGES)
def test_n25_a_stranger_is_told_nothing_and_the_account_repairs_it(stored: Stored, how: str) -> None:
    api_client, store = stored.api_client, stored.services.store
    repairs = ("PUT", "DELETE", "POST")
    for number, what in enumerate(damages(stored, how)):
        for method, path in (("GET", "/status"), ("GET", "/hsts"), ("PUT", ""), ("DELETE", ""), ("POST", "")):
            answer = api_client.call(method, f"/v2/x509/{BAD}{path}", "other")
            assert (answer.status_code, answer.json["code"]) in {(404, "not-initiated"), (404, "not-found")}, what
        mine = api_client.status(BAD)
        assert mine.status_code in {200, 503}, what
        if mine.status_code == 200:
            continue
        assert mine.json["code"] == "damaged-record"
        method = repairs[number % len(repairs)]
        assert api_client.call(method, f"/v2/x509/{BAD}").status_code == {"DELETE": 200}.get(method, 202), what
        record = store.load(BAD)
        assert record.domain.account == "platform", what
        assert (record.issuance.is_open, record.domain.is_withdrawn) == (method != "DELETE", method == "DELETE"), what
        assert store.damaged() == 0


def test_n25_a_repaired_record_gets_a_new_certificate_and_edges_keep_the_old_one_until_then() -> None:
    stored = Stored()
    services, api_client = stored.services, stored.api_client
    stored.redis.hset(KEY, "domain", "null")
    fleet = SimulatedFleet(services)
    cache = api_client.app.extensions["cache"]
    with pytest.raises(Problem):
        cache.bundle_for(BAD)
    assert api_client.put(BAD).status_code == 202
    assert cache.bundle_for(BAD) is None
    fleet.run(60)
    assert api_client.status(BAD).json["status"] == "active"
    require_whole(cache.bundle_for(BAD).bundle)
    assert services.store.load(BAD).domain.lost_at is None


@pytest.mark.parametrize("member", ["certificate", "chain", "key"])
def test_n32_a_lost_certificate_is_no_withdrawal(member: str, tmp_path: Path) -> None:
    stored = Stored()
    services, values = stored.services, json.loads(stored.fields["domain"])
    cache = BundleCache(services)
    held = cache.bundle_for(BAD)
    assert Run(services, tmp_path).is_done
    (values if member == "certificate" else values["certificate"])[member] = None
    stored.redis.hset(KEY, "domain", json.dumps(values))
    assert stored.api_client.put(BAD).status_code == 202
    assert (services.store.load(BAD).domain.certificate, cache.bundle_for(BAD)) == (None, held)
    assert Run(services, tmp_path).is_done
    assert (tmp_path / f"{BAD}.pem").exists()
    assert stored.api_client.call("DELETE", f"/v2/x509/{BAD}").status_code == 200
    assert cache.bundle_for(BAD) is None
    assert Run(services, tmp_path).is_done
    assert not (tmp_path / f"{BAD}.pem").exists()


@pytest.mark.parametrize("cut", ["none", "half of the leaf", "half of the issuer", "no last line"])
def test_n32_a_cut_chain_is_503_and_never_a_key_alone(cut: str) -> None:
    stored = Stored()
    values = json.loads(stored.fields["domain"])
    chain = values["certificate"]["chain"]
    ends = {"none": 0, "half of the leaf": 200, "half of the issuer": len(chain) - 200, "no last line": -10}
    values["certificate"]["chain"] = chain[: ends[cut]]
    stored.redis.hset(KEY, "domain", json.dumps(values))
    with stored.api_client.app.test_client() as client, capture_logs() as logs:
        for _ in range(3):
            answer = client.get(f"/edge/certificate?token={EDGE_TOKEN}&server_name={BAD}")
            assert (answer.status_code, answer.json["code"]) == (503, "damaged-record")
            assert b"PRIVATE KEY" not in answer.data
    assert [entry["domain"] for entry in logs if entry["event"].startswith("damaged record")] == [BAD]


def test_n25_a_key_of_a_single_record_that_is_cut_is_damage_and_no_wrong_encryption_key(services: Services) -> None:
    record = issued(services, BAD)
    for key in ("", "gAAAA", record.domain.certificate.key[:-1], record.domain.certificate.chain):
        values = json.loads(services.store._redis.hget(KEY, "domain"))
        values["certificate"]["key"] = key
        services.store._redis.hset(KEY, "domain", json.dumps(values))
        with pytest.raises(Problem) as raised:
            BundleCache(services).bundle_for(BAD)
        assert raised.value.type is ProblemType.DAMAGED_RECORD
