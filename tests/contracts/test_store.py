"""Records, leases and due times: the same over fakeredis and a real Redis (E16)."""

import json
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from issuer.domain import (
    Certificate,
    Domain,
    Due,
    Hsts,
    Issuance,
    Reason,
    Record,
    Rejection,
    RenewalWindow,
    Revocation,
    Step,
    new_issuance,
)
from issuer.events import EventType
from issuer.ports import Conflict
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.fakes import NAME, NOW
from tests.indexes import OPEN_INDEXES
from tests.writes import open_issuance, write

KEY = f"issuer:domain:{NAME}"
UNTIL = NOW + 70
SAID = Problem(ProblemType.CAA, "said «no»", message="in short", hint="do this", retry_at=NOW + 0.125)
CA = "https://ca.example/d"
CERTIFICATE = Certificate(
    "CHAIN\n", "encrypted old key", "0f", NOW - 3600, NOW + 7_776_000, CA, installed_at=NOW - 0.5, requested_at=NOW - 9
)
WINDOW = RenewalWindow("aki.serial", NOW + 100, NOW + 200, "https://ca.example/why")
HSTS = Hsts(63, includes_subdomains=True, is_preload=True, off_until=NOW + 3)
DOMAIN = Domain(
    NAME,
    "platform",
    NOW - 0.75,
    CERTIFICATE,
    renew_at=NOW + 150,
    window=WINDOW,
    ask_at=NOW + 20,
    moved_away_since=NOW - 30,
    recheck_at=NOW + 40,
    is_expiry_reported=True,
    warned_days=3,
    ca="https://ca.example/d",
    profile="shortlived",
    required_profile="tlsserver",
    preferred_chain="Root X2",
    hsts=HSTS,
    withdrawn_until=NOW + 9,
    confirm_at=NOW + 8,
    revocations=(Revocation("CHAIN\n", "0e", "https://ca.example/d", 4, NOW + 99, NOW + 10, tries=2),),
    rejections=(Rejection("https://ca.example/d", "for another key", NOW - 6),),
    lost_at=NOW - 5,
    forced_since=NOW - 6,
    forced_at=NOW - 4,
)
BARE = Domain(NAME, "platform", NOW)
FULL = Issuance(
    id=f"{NAME}/1",
    reason=Reason.MANUAL,
    created_at=NOW + 0.25,
    request_id="of a POST",
    is_bulk=True,
    step=Step.FINALIZE,
    ca="https://ca.example/d",
    key="encrypted new key",
    csr="CSR\n",
    order_url="https://ca.example/order/1",
    finalize_url="https://ca.example/order/1/finalize",
    authorization_urls=("https://ca.example/authz/1", "https://ca.example/authz/2"),
    ordered_at=NOW - 20,
    was_finalized=True,
    is_answered=True,
    certificate_url="https://ca.example/cert/1",
    tries=3,
    waits=7,
    pauses=2,
    is_charged=True,
    next_try_at=NOW + 12.5,
    problem=SAID,
    passed_over=("https://former.example/d",),
    failover_problem=SAID,
    refused_by=("https://refusing.example/d",),
    answered_at=NOW - 70,
    waiting_since=NOW - 80,
)


def plain(record: Record) -> tuple[Record, list[dict[str, Any] | None]]:
    """A record to compare: a Problem is equal to nothing but itself."""
    issuance = record.issuance
    problems = [problem and problem.as_dict() for problem in (issuance.problem, issuance.failover_problem)]
    return record.with_issuance(replace(issuance, problem=None, failover_problem=None)), problems


def first(store: RedisStore, name: str = NAME, requeue_at: float = NOW + 60) -> Record:
    domain = replace(BARE, name=name)
    return open_issuance(store, domain, new_issuance(name, Reason.FIRST, NOW), version=0, requeue_at=requeue_at)


def taken(store: RedisStore, now: float = NOW, until: float = UNTIL) -> Record:
    record = store.lease(store.load(NAME).issuance.id, now=now, until=until)
    assert record
    return record


def everything(store: RedisStore) -> dict[str, object]:
    """All that Redis holds."""
    redis = store._redis
    look = {
        "hash": redis.hgetall,
        "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        "string": redis.get,
        "set": redis.smembers,
    }
    return {key: look[redis.type(key)](key) for key in redis.scan_iter()}


def due(store: RedisStore) -> dict[str, float]:
    return {name: at for queue in OPEN_INDEXES for name, at in store._redis.zrange(queue, 0, -1, withscores=True)}


def test_the_full_records_of_this_file_leave_no_field_at_its_default() -> None:
    for record in (CERTIFICATE, WINDOW, HSTS, DOMAIN, *DOMAIN.revocations, FULL):
        for field in [field for field in fields(record) if field.name != "extra"]:
            assert field.default is MISSING or getattr(record, field.name) != field.default, field.name


@pytest.mark.parametrize("domain", [DOMAIN, BARE])
@pytest.mark.parametrize("issuance", [FULL, Issuance(f"{NAME}/2", Reason.FIRST, NOW)])
def test_every_field_comes_back(store: RedisStore, domain: Domain, issuance: Issuance) -> None:
    opened = open_issuance(store, domain, issuance, version=0, requeue_at=NOW)
    found = store.load(NAME)
    assert plain(found) == plain(opened) == plain(Record(domain, issuance, version=1))
    assert (type(found.issuance.step), type(found.issuance.reason)) == (Step, Reason)
    assert type(found.issuance.authorization_urls) is tuple
    if issuance.problem:
        assert type(found.issuance.problem.type) is ProblemType
        assert str(found.issuance.problem) == str(SAID)
    assert plain(store.lease(issuance.id, now=NOW, until=UNTIL))[1] == plain(opened)[1]


@pytest.mark.parametrize("issuance", [replace(FULL, step=step) for step in Step], ids=lambda one: one.step)
def test_every_step_comes_back_through_save_and_release(store: RedisStore, issuance: Issuance) -> None:
    first(store)
    record = taken(store)
    record = store.save(replace(record, domain=DOMAIN, issuance=replace(issuance, id=record.issuance.id)))
    assert plain(store.load(NAME)) == plain(record)
    store.save_and_release(record.with_issuance(replace(record.issuance, tries=9)), requeue_at=NOW)
    assert store.load(NAME).issuance.tries == 9
    assert store.load(NAME).issuance.step is issuance.step


def test_what_is_not_there_is_none(store: RedisStore) -> None:
    assert store.load(NAME) is None
    assert store.lease(f"{NAME}/1", now=NOW, until=UNTIL) is None
    assert store.claim(Due.OPEN_INTERACTIVE, now=NOW, limit=10, requeue_at=NOW) == []
    assert everything(store) == {}


def test_open_creates_once_and_puts_it_among_the_open(store: RedisStore) -> None:
    record = first(store, requeue_at=NOW + 60.5)
    assert (record.version, record.lease_until, record.attempts_started) == (1, 0, 0)
    assert due(store) == {NAME: NOW + 60.5}
    before = everything(store)
    with pytest.raises(Conflict):
        first(store)
    assert everything(store) == before


@pytest.mark.parametrize("version", [0, 1, 2, 4, -1])
def test_open_with_another_version_is_refused_and_changes_nothing(store: RedisStore, version: int) -> None:
    first(store)
    store.save_and_release(taken(store), requeue_at=None)
    before = everything(store)
    assert store.load(NAME).version == 3
    with pytest.raises(Conflict):
        open_issuance(store, DOMAIN, FULL, version=version, requeue_at=NOW)
    assert everything(store) == before


def test_open_of_a_name_that_is_not_there_wants_version_0(store: RedisStore) -> None:
    with pytest.raises(Conflict):
        open_issuance(store, BARE, FULL, version=1, requeue_at=NOW)
    assert everything(store) == {}


def test_a_new_issuance_replaces_the_old_one(store: RedisStore) -> None:
    old = first(store)
    new = open_issuance(store, old.domain, replace(FULL, id=f"{NAME}/new"), version=old.version, requeue_at=NOW + 5)
    assert new.version > old.version
    assert due(store) == {NAME: NOW + 5}
    assert store.lease(old.issuance.id, now=NOW, until=UNTIL) is None
    assert store.lease(new.issuance.id, now=NOW, until=UNTIL).issuance.id == f"{NAME}/new"


def test_the_same_issuance_is_woken(store: RedisStore) -> None:
    first(store)
    record = taken(store)
    later = replace(record.issuance, next_try_at=NOW + 9999, tries=4)
    store.save_and_release(replace(record, issuance=later), requeue_at=NOW + 9999)
    record = store.load(NAME)
    woken = open_issuance(
        store, record.domain, record.issuance.wake(NOW, Reason.MANUAL), version=record.version, requeue_at=NOW + 60
    )
    assert due(store) == {NAME: NOW + 60}
    assert (woken.issuance.tries, woken.issuance.next_try_at, woken.attempts_started) == (0, NOW, 0)
    assert store.load(NAME) == woken


def test_a_lease_raises_the_version_and_is_counted(store: RedisStore) -> None:
    opened = first(store)
    record = taken(store)
    assert record == replace(opened, version=opened.version + 1, lease_until=UNTIL, attempts_started=1)
    assert store.load(NAME) == record
    assert due(store) == {NAME: UNTIL}


def test_g05_a_lease_ends_at_its_second_and_not_before(store: RedisStore) -> None:
    first(store)
    held = taken(store)
    before = everything(store)
    for now in (NOW, UNTIL - 1, UNTIL - 0.01):
        assert store.lease(held.issuance.id, now=now, until=now + 70) is None
    assert everything(store) == before
    again = store.lease(held.issuance.id, now=UNTIL, until=UNTIL + 70.25)
    assert (again.attempts_started, again.lease_until, again.version) == (2, UNTIL + 70.25, held.version + 1)


def test_a_stale_id_is_not_leased(store: RedisStore) -> None:
    record = first(store)
    before = everything(store)
    assert store.lease(f"{NAME}/stale", now=NOW, until=UNTIL) is None
    assert everything(store) == before
    assert store.load(NAME) == record


def test_save_keeps_the_lease_and_release_gives_it_back(store: RedisStore) -> None:
    opened = first(store)
    record = store.save(taken(store).with_issuance(replace(opened.issuance, csr="CSR")))
    assert store.load(NAME) == record
    assert (record.lease_until, record.attempts_started, record.issuance.csr) == (UNTIL, 1, "CSR")
    assert store.lease(record.issuance.id, now=NOW, until=UNTIL) is None
    released = store.save_and_release(replace(record, attempts_started=0), requeue_at=NOW + 61.5)
    found = store.load(NAME)
    assert (found.lease_until, found.attempts_started, found.version) == (0, 0, record.version + 1)
    assert due(store) == {NAME: NOW + 61.5}
    assert store.lease(record.issuance.id, now=NOW, until=UNTIL).attempts_started == 1
    assert released == found


def test_release_with_no_time_closes(store: RedisStore) -> None:
    opened = first(store)
    store.save_and_release(replace(taken(store), attempts_started=0), requeue_at=None)
    assert due(store) == {}
    before = everything(store)
    assert store.lease(opened.issuance.id, now=NOW + 1e6, until=NOW + 2e6) is None
    assert store.claim(Due.OPEN_INTERACTIVE, now=NOW + 1e6, limit=9, requeue_at=NOW) == []
    assert everything(store) == before


WRITES: dict[str, Callable[[RedisStore, Record], object]] = {
    "save": lambda store, record: store.save(record),
    "save_and_release": lambda store, record: store.save_and_release(record, requeue_at=NOW + 1),
    "close": lambda store, record: store.save_and_release(record, requeue_at=None),
    "open": lambda store, record: open_issuance(
        store, record.domain, new_issuance(NAME, Reason.MANUAL, NOW), version=record.version, requeue_at=NOW
    ),
}
EVENTS: dict[str, Callable[[RedisStore, Record], object]] = {
    "saved by itself": lambda store, record: store.save(record),
    "released": lambda store, record: store.save_and_release(record, requeue_at=NOW + 2),
    "closed": lambda store, record: store.save_and_release(record, requeue_at=None),
    "lease ran out, taken by another": lambda store, _: taken(store, UNTIL, UNTIL + 70),
    "new issuance opened": lambda store, record: open_issuance(
        store, record.domain, new_issuance(NAME, Reason.MANUAL, NOW), version=record.version, requeue_at=NOW + 3
    ),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_e06_f06_a_worker_that_was_overtaken_writes_nothing(
    store: RedisStore, event: Callable[..., object], write: Callable[..., object]
) -> None:
    first(store)
    mine = taken(store)
    event(store, mine)
    before = everything(store)
    with pytest.raises(Conflict):
        write(store, mine.with_issuance(replace(mine.issuance, csr="from the past")))
    assert everything(store) == before


def test_f06_the_version_alone_does_not_let_an_old_issuance_write(store: RedisStore) -> None:
    first(store)
    mine = taken(store)
    new = open_issuance(store, BARE, new_issuance(NAME, Reason.MANUAL, NOW), version=mine.version, requeue_at=NOW)
    before = everything(store)
    for how in ("save", "save_and_release", "close"):
        with pytest.raises(Conflict):
            WRITES[how](store, replace(mine, version=new.version))
    assert everything(store) == before


def test_e06_the_second_holder_goes_on_undisturbed(store: RedisStore) -> None:
    first(store)
    first_holder = taken(store)
    second = taken(store, UNTIL, UNTIL + 70)
    with pytest.raises(Conflict):
        store.save_and_release(first_holder, requeue_at=None)
    assert store.save(second).lease_until == UNTIL + 70


PARTS = {"certificate": "domain", "window": "domain", "hsts": "domain", "problem": "issuance"}
"""Parts of a record that lie within another one."""


def newer(store: RedisStore, part: str) -> None:
    """What a newer release would have written into a part of the record, and into its hash."""
    field = PARTS.get(part, part)
    values = json.loads(store._redis.hget(KEY, field))
    inner = values if part == field else values[part]
    (inner[0] if part == "timeline" else inner)["from_the_future"] = {"a": 1}
    store._redis.hset(KEY, field, json.dumps(values))
    store._redis.hset(KEY, mapping={"from_the_future": "1", "schema": "9"})


@pytest.mark.parametrize("how", ["save", "save_and_release", "update"])
@pytest.mark.parametrize("part", ["domain", "issuance", "timeline", *PARTS])
def test_n29_what_a_newer_release_has_written_survives(store: RedisStore, part: str, how: str) -> None:
    opened = open_issuance(store, DOMAIN, FULL, version=0, requeue_at=NOW)
    write(store, opened.with_event(NOW, EventType.CA_SELECTED, {"ca": "https://ca.example/d"}), now=NOW)
    before = store.load(NAME)
    newer(store, part)
    record = store.load(NAME)
    assert (record.domain.name, record.issuance.step, len(record.timeline)) == (NAME, FULL.step, len(before.timeline))
    if how == "update":
        store.update(NAME, lambda held: held.with_domain(profile="other"), now=NOW)
    else:
        leased = taken(store).with_domain(profile="other")
        store.save(leased) if how == "save" else store.save_and_release(leased, requeue_at=NOW + 1)
    stored = store._redis.hgetall(KEY)
    values = json.loads(stored[PARTS.get(part, part)])
    inner = values if part not in PARTS else values[part]
    assert (inner[0] if part == "timeline" else inner)["from_the_future"] == {"a": 1}
    assert (stored["from_the_future"], stored["schema"]) == ("1", "9")
    assert json.loads(stored["domain"])["profile"] == "other"


def test_no_repr_of_a_record_shows_a_key() -> None:
    record = Record(DOMAIN, FULL, version=1)
    for one in (record, record.domain, record.issuance, CERTIFICATE):
        for text in (repr(one), str(one), f"{one}", repr([one])):
            assert "encrypted" not in text
            assert NAME in text or one is CERTIFICATE
