"""N25: a record that another hand has written: bytes that are no text, numbers that only Python reads, years without a
date. Each is a damaged record, or is read; it harms no other name, and its account repairs it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from issuer.actions.metrics import metrics_text
from issuer.cli import domains, main, plan, records
from issuer.domain import Listing
from issuer.schedule import SCANS
from issuer.store.keys import ACCOUNTS, CHANGES, METRICS, PACE, RECORDS, REINDEX, index_key
from tests.edge.runs import Run
from tests.fakes import EDGE_TOKEN
from tests.simulated_fleet import HOUR
from tests.unit.test_damaged import BAD, GOOD, KEY, Stored

BYTES = b"\xff\xfe\x00"
HALF = "\ud800"
"""Half a character: JSON may have it, and nothing can print it."""
FAR = 9e12
"""A time in the year 287168."""


def field(name: str, value: bytes | str) -> Callable[[Stored], object]:
    return lambda stored: stored.redis.hset(KEY, name, value)


def member(of: str, name: str, value: object) -> Callable[[Stored], object]:
    return lambda stored: stored.redis.hset(KEY, of, json.dumps(json.loads(stored.fields[of]) | {name: value}))


def certificate_ends(stored: Stored) -> None:
    values = json.loads(stored.fields["domain"])
    values["certificate"]["not_after"] = FAR
    stored.redis.hset(KEY, "domain", json.dumps(values))


def string_of_bytes(stored: Stored) -> None:
    stored.redis.delete(KEY)
    stored.redis.set(KEY, BYTES)


def account_of_half(stored: Stored) -> None:
    stored.redis.hset(KEY, "indexes", "")
    stored.redis.zrem(index_key((Listing.ACCOUNT, "platform")), BAD)
    member("domain", "account", HALF)(stored)


BROKEN: dict[str, Callable[[Stored], object]] = {
    **{f"{name} of bytes": field(name, BYTES) for name in ("domain", "issuance", "timeline", "id", "version", "ca")},
    **{f"{name} of bytes": field(name, BYTES) for name in ("served", "indexes", "lease_until")},
    "string of bytes": string_of_bytes,
    **{f"version {text!r}": field("version", text) for text in ("1e5", "1.5", "1_0", " 4 ", "\u0664", "9" * 20, "-1")},
    **{f"lease {text!r}": field("lease_until", text) for text in ("0x10", "1_0", "nan", "inf", "-inf")},
    **{f"begun {text!r}": field("begun", text) for text in ("0x10", "1_0", "2.5")},
    "renewal in 287168": member("domain", "renew_at", FAR),
    "renewal before year 1": member("domain", "renew_at", -FAR),
    "certificate until 287168": certificate_ends,
    "next attempt in 287168": member("issuance", "next_try_at", FAR),
    "ca of half a character": member("issuance", "ca", HALF),
}


@pytest.fixture(scope="module")
def stored() -> Stored:
    return Stored()


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
def test_n25_what_is_no_text_or_number_is_one_damaged_record(
    stored: Stored, damage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.restore()
    services, api_client, start = stored.services, stored.api_client, stored.services.clock()
    due_at = services.store.load(GOOD).domain.renew_at + HOUR
    damage(stored)
    for module in (domains, plan, records):
        monkeypatch.setattr(module, "load_services", lambda: services)
    for line in (["status", BAD], ["list", "--account", "platform"], ["plan"], ["store", "reindex"]):
        ended = CliRunner().invoke(main, line)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.output
    assert services.store.damaged() == 1
    assert Run(services, tmp_path).output
    assert (tmp_path / f"{GOOD}.pem").exists()
    services.clock.now = due_at
    for scan in SCANS:
        scan.run(services)
    services.clock.now = start
    assert services.store.load(GOOD).issuance.is_open
    with api_client.app.test_client() as client:
        for name, status in ((GOOD, {200}), (BAD, {200, 503})):
            found = client.get(f"/edge/certificate?token={EDGE_TOKEN}&server_name={name}")
            assert found.status_code in status
    for method in ("PUT", "DELETE"):
        assert api_client.call(method, f"/v2/x509/{BAD}", "other").status_code == 404
        stored.restore()
        damage(stored)
        assert api_client.status(BAD).json["code"] == "damaged-record"
        assert api_client.call(method, f"/v2/x509/{BAD}").status_code == (202 if method == "PUT" else 200)
        assert services.store.load(BAD).domain.account == "platform"


def test_n25_an_unknown_field_of_bytes_is_let_alone(stored: Stored) -> None:
    stored.restore()
    stored.redis.hset(KEY, BYTES, BYTES)
    assert stored.services.store.load(BAD)
    assert stored.api_client.call("DELETE", f"/v2/x509/{BAD}").status_code == 200
    assert BYTES.decode(errors="surrogateescape") in stored.redis.hkeys(KEY)


def test_n25_an_account_that_nobody_can_have_makes_no_trouble(stored: Stored) -> None:
    stored.restore()
    account_of_half(stored)
    for method in ("PUT", "DELETE"):
        assert stored.api_client.call(method, f"/v2/x509/{BAD}").status_code == 404


@pytest.mark.parametrize("key", [f"{RECORDS}\udcff", f"{RECORDS}é.example", f"{RECORDS}\udcff\x00.example"])
def test_n25_a_key_that_is_no_name_stops_neither_sync_nor_reindex(stored: Stored, key: str, tmp_path: Path) -> None:
    stored.restore()
    stored.redis.hset(key, "domain", "null")
    assert Run(stored.services, tmp_path).is_done
    assert (tmp_path / f"{GOOD}.pem").exists()
    assert stored.services.store.reindex(now=stored.services.clock(), limit=1000, restart=True).seen == 2


@pytest.mark.parametrize("entry", [{"name": BAD}, {"served": ""}, {BYTES: BYTES}, {"name": BYTES, "served": ""}])
def test_n25_a_strange_entry_of_the_feed_is_passed_over(stored: Stored, entry: dict, tmp_path: Path) -> None:
    stored.restore()
    assert Run(stored.services, tmp_path).is_done
    stored.redis.xadd(CHANGES, entry)
    after = Run(stored.services, tmp_path)
    assert (after.is_done, after.output) == (True, [])
    assert Run(stored.services, tmp_path).output == []
    assert (tmp_path / f"{BAD}.pem").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda redis: redis.set(PACE, "x"),
        lambda redis: redis.hset(REINDEX, mapping={"done_at": "x", "seen": "y", "damaged": BYTES}),
        lambda redis: redis.hset(REINDEX, mapping={"done_at": "1"}),
        lambda redis: redis.hset(METRICS, mapping={"x": "y", BYTES: "1", "[]": "2", '["a"]': "x", '["b"]': "1"}),
        lambda redis: [redis.zadd(key, {BYTES: 1, "": 1, "a b": 1}) for key in redis.scan_iter("*agenda:*")],
        lambda redis: redis.sadd(ACCOUNTS, BYTES, "nobody"),
    ],
)
def test_n25_what_is_damaged_beside_the_records_stops_no_scan_and_no_metrics(stored: Stored, damage) -> None:
    stored.restore()
    services, start = stored.services, stored.services.clock()
    services.clock.now = services.store.load(GOOD).domain.renew_at + HOUR
    damage(stored.redis)
    for scan in SCANS:
        scan.run(services)
    assert services.store.load(GOOD).issuance.is_open
    assert b"issuer_damaged_records" in metrics_text(services)
    assert services.store.reindex(now=start, limit=1000, restart=True).is_done
    services.clock.now = start
