"""The directory stays as it is while the store is empty, another one, or lacks records."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from issuer.ports import Services
from issuer.store import RedisStore
from issuer.store.keys import CHANGES, IDENTITY, RECORDS
from tests.edge.records import Records
from tests.edge.runs import Run

NAMES = ("a.customer.example", "b.customer.example", "c.customer.example")
NEW = "new.customer.example"
DAY = 86400.0


@pytest.fixture
def later(services: Services) -> Callable[[float], Services]:
    """The services some days later."""
    return lambda days: replace(services, clock=lambda: services.clock() + days * DAY)


def held(path: Path) -> set[str]:
    return {file.name.removesuffix(".pem") for file in path.glob("*.pem")} - {"neutral"}


def used_anew(records: Records, *, identity: str = "") -> Records:
    """A store without the former data, in which another fleet (or ours, if it has the identity) has issued for NEW."""
    redis = records.services.store._redis
    redis.flushall()
    if identity:
        redis.hset(IDENTITY, "id", identity)
    fresh = RedisStore(redis)
    other = Records.__new__(Records)
    other.services, other.signing = replace(records.services, store=fresh), records.signing
    other.install(NEW)
    return other


@pytest.mark.parametrize("how", ["FLUSHALL", "FLUSHALL, then one POST of a new name", "another store"])
def test_n36_an_empty_or_foreign_store_withdraws_nothing(
    records: Records, services: Services, path: Path, run, how: str
) -> None:
    for name in NAMES:
        records.install(name)
    run()
    former = services.store._redis.hget(IDENTITY, "id")
    if how == "FLUSHALL":
        services.store._redis.flushall()
    else:
        used_anew(records)
    for _ in range(2):
        failed = Run(services, path)
        assert (failed.is_done, held(path)) == (False, set(NAMES))
        assert [f"issuer store adopt --instead-of {former}" in line for line in failed.output] == [True]
    assert json.loads((path / "state.json").read_text())["identity"] == former


@pytest.mark.parametrize("loss", ["FLUSHALL, with the identity", "an old backup", "deleted records"])
def test_n26_names_that_are_merely_missing_stay_for_7_days(
    records: Records, services: Services, path: Path, run, later, loss: str
) -> None:
    for name in NAMES:
        records.install(name)
    run()
    redis = services.store._redis
    if loss == "FLUSHALL, with the identity":
        used_anew(records, identity=redis.hget(IDENTITY, "id"))
    else:
        redis.delete(*(f"{RECORDS}{name}" for name in NAMES))
        if loss == "an old backup":
            redis.delete(CHANGES)
        records.install(NEW)
        redis.xtrim(CHANGES, maxlen=0, approximate=False)
    output = run().output
    assert held(path) == {*NAMES, NEW}
    for name in NAMES:
        assert [line for line in output if line.startswith(f"{name}: its record is missing; its files stay until ")]
    assert Run(later(6.9), path).output == []
    assert held(path) == {*NAMES, NEW}
    output = Run(later(7.1), path).output
    assert held(path) == {NEW}
    assert all(any(line.startswith(f"{name}: withdrawn, as its record") for line in output) for name in NAMES)


def test_n26_a_record_that_comes_back_is_missing_no_more(
    records: Records, services: Services, path: Path, run, later
) -> None:
    for name in NAMES:
        records.install(name)
    run()
    redis = services.store._redis
    dumped = redis.dump(f"{RECORDS}{NAMES[0]}")
    redis.delete(f"{RECORDS}{NAMES[0]}")
    redis.xtrim(CHANGES, maxlen=0, approximate=False)
    run()
    redis.restore(f"{RECORDS}{NAMES[0]}", 0, dumped)
    Run(later(1), path)
    assert json.loads((path / "state.json").read_text())["missing"] == {}
    Run(later(8), path)
    assert held(path) == set(NAMES)


def test_n36_an_accepted_store_is_followed_and_the_missing_names_go_after_7_days(
    records: Records, services: Services, path: Path, run, later
) -> None:
    for name in NAMES:
        records.install(name)
    run()
    former = services.store._redis.hget(IDENTITY, "id")
    used_anew(records).services.store.adopt(former)
    assert "has been accepted, so all names are read again" in run().output[0]
    assert held(path) == {*NAMES, NEW}
    Run(later(7.1), path)
    assert held(path) == {NEW}


def test_n26_a_withdrawal_is_one_also_without_the_feed(records: Records, services: Services, path: Path, run) -> None:
    for name in NAMES:
        records.install(name)
    run()
    records.withdraw(NAMES[0])
    services.store._redis.xtrim(CHANGES, maxlen=0, approximate=False)
    run()
    assert held(path) == set(NAMES[1:])


def test_n26_a_withdrawal_by_an_older_release_is_one_by_its_record(
    records: Records, services: Services, path: Path, run
) -> None:
    for name in NAMES:
        records.install(name)
    run()
    records.withdraw(NAMES[0])
    redis = services.store._redis
    (last,) = redis.xrevrange(CHANGES, count=1)
    redis.xdel(CHANGES, last[0])
    redis.xadd(CHANGES, {"name": NAMES[0], "served": ""})
    run()
    assert held(path) == set(NAMES[1:])


def test_n26_a_directory_of_an_older_release_takes_the_identity_of_its_store(
    records: Records, services: Services, path: Path, run
) -> None:
    for name in NAMES:
        records.install(name)
    run()
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({"position": state["position"], "default_hsts": state["default_hsts"]}))
    run()
    assert json.loads((path / "state.json").read_text())["identity"] == state["identity"]


@pytest.mark.parametrize(
    "damage",
    [
        {"identity": None},
        {"identity": "x"},
        {"identity": ["a"]},
        {"owed": 5},
        {"owed": [[1], None, "\ud800", "../../x"]},
        {"missing": [1]},
        {"missing": {"\ud800.example": 1, NAMES[0]: 1e300, NAMES[1]: "x", NAMES[2]: -5}},
        {"position": "99999999999999999999999-1"},
        {"position": 5},
        "[]",
        "{",
        "[" * 100_000,
    ],
)
def test_n25_n26_a_damaged_state_costs_at_most_a_look_at_all_names(
    records: Records, services: Services, path: Path, run, damage: dict | str
) -> None:
    for name in NAMES:
        records.install(name)
    run()
    whole = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(damage if isinstance(damage, str) else json.dumps(whole | damage))
    services.store._redis.delete(f"{RECORDS}{NAMES[0]}")
    for _ in range(2):
        run()
    assert held(path) == set(NAMES)
    assert json.loads((path / "state.json").read_text())["identity"] == whole["identity"]
