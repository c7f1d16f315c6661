"""F06: if a name is withdrawn while others work on it, they restore nothing. Over fakeredis and a real Redis."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from issuer import renewal, tasks
from issuer.actions import accounts, hsts, withdraw
from issuer.domain import Account, Hsts, Plan, Record, Step
from issuer.ports import Conflict, RenewalInfo, Services, Verdict
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from issuer.store.keys import READY_INDEX
from tests.api_client import issued, renewing
from tests.contracts.test_store import plain
from tests.contracts.test_store_due_indexes import due_times
from tests.contracts.test_store_races import at_once
from tests.fakes import NAME, fake_services, opened
from tests.faults import window
from tests.indexes import DUE_INDEXES
from tests.simulated_fleet import DAY, SimulatedFleet
from tests.writes import open_issuance, write

ACCOUNT = Account("platform", Plan.HTTPS, "0" * 64, 0.0)
CALLS = ["new_order", "authorization", "answer", "finalize", "chain"]


@pytest.fixture
def services(store: RedisStore) -> Services:
    return fake_services(store)


@pytest.fixture
def fleet(services: Services) -> SimulatedFleet:
    return SimulatedFleet(services)


def give_up(services: Services, reason: int | None = None) -> Record:
    withdraw.withdraw(services, ACCOUNT, NAME, reason=reason)
    return services.store.load(NAME)


def all_of(services: Services) -> tuple[object, dict[str, float], list[str]]:
    """What there is of the name: its record, its due times, and all records."""
    record = services.store.load(NAME)
    return record and plain(record), due_times(services.store), sorted(services.feed.names())


def assert_gone(fleet: SimulatedFleet, left: Record) -> None:
    """Nothing of it came back, and nothing comes back."""
    services = fleet.services
    domain = left.domain
    assert (domain.certificate, domain.renew_at, domain.ask_at, domain.recheck_at, domain.hsts) == (None,) * 5
    assert services.feed.edge_version(NAME) == ""
    assert all_of(services) == (plain(left), {"forget": domain.withdrawn_until + 3600}, [NAME])
    orders = len(services.cas[0].orders)
    fleet.run(20 * DAY)
    assert plain(services.store.load(NAME)) == plain(left)
    assert len(services.cas[0].orders) == orders
    assert fleet.queued() == []


@pytest.mark.parametrize("start", [opened, renewing])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", CALLS)
def test_f06_a_step_that_runs_meanwhile_saves_nothing(fleet: SimulatedFleet, method: str, when: str, start) -> None:
    services, left = fleet.services, []
    start(services)

    def meanwhile(called: str) -> None:
        if called == method and not left:
            left.append(give_up(services))

    setattr(services.cas[0], when, meanwhile)
    issuance_id = services.store.load(NAME).issuance.id
    onwards = []
    while not left:
        services.clock.forward(1)
        onwards.append(tasks.attempt(services, services.store.load(NAME).issuance.step, issuance_id)[0])
    assert onwards[-1] is tasks.Outcome.STOP
    assert_gone(fleet, left[0])


@pytest.mark.parametrize("step", [Step.ORDER, Step.CHALLENGE, Step.FINALIZE, Step.INSTALL])
def test_f06_a_step_with_the_old_record_in_hand_can_neither_save_nor_release(fleet: SimulatedFleet, step: Step) -> None:
    services = fleet.services
    opened(services)
    while (record := services.store.load(NAME)).issuance.step is not step:
        services.clock.now = max(services.clock(), record.issuance.next_try_at or 0)
        tasks.attempt(services, record.issuance.step, record.issuance.id)
    services.clock.now = max(services.clock(), record.issuance.next_try_at or 0)
    now = services.clock()
    held = services.store.lease(record.issuance.id, now=now, until=now + 70)
    left = give_up(services)
    moved = tasks.STEPS[step](services, held).record
    for attempt in (
        lambda: services.store.save(moved),
        lambda: services.store.save_and_release(moved, requeue_at=now),
        lambda: services.store.save_and_release(replace(moved, version=left.version), requeue_at=None),
        lambda: write(services.store, moved, now=now),
        lambda: open_issuance(services.store, moved.domain, moved.issuance, version=moved.version, requeue_at=now),
    ):
        with pytest.raises(Conflict):
            attempt()
    assert services.store.lease(held.issuance.id, now=now + 100, until=now + 200) is None, "a stale message"
    assert_gone(fleet, left)


class Behind(RedisStore):
    """Reads an old record the first time, as whoever has read it before somebody else wrote."""

    def __init__(self, store: RedisStore, old: Record) -> None:
        super().__init__(store._redis)
        self._old = [old]

    def load(self, name: str) -> Record | None:
        return self._old.pop() if self._old else super().load(name)


OTHERS: dict[str, tuple[dict[str, Any], Callable[[Services], object]]] = {
    "begin": ({"renew_at": 1.0}, lambda services: renewal.start(services, NAME)),
    "refresh": ({"ask_at": 1.0}, lambda services: renewal.refresh(services, NAME)),
    "recheck, back again": (
        {"moved_away_since": 1.0, "recheck_at": 1.0},
        lambda services: renewal.recheck(services, NAME),
    ),
    "hsts": ({}, lambda services: hsts.put(services, ACCOUNT, NAME, lambda: Hsts(60))),
}


@pytest.mark.parametrize(("state", "work"), OTHERS.values(), ids=OTHERS)
def test_f06_a_scan_or_a_call_that_has_read_it_before_writes_nothing(
    fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch, state, work
) -> None:
    services = fleet.services
    record = issued(services)
    services.cas[0].renewal_infos = window(services.clock() + DAY, services.clock() + 2 * DAY)
    old = write(services.store, record.with_domain(**state), now=services.clock())
    left = give_up(services)
    with suppress(Problem):
        work(replace(services, store=Behind(services.store, old)))
    assert_gone(fleet, left)


def test_f06_an_expiry_reported_meanwhile_is_not_written(fleet: SimulatedFleet) -> None:
    services = fleet.services
    old = issued(services)
    left = give_up(services)
    services.clock.now = old.domain.certificate.not_after + 1
    renewal.report_end(replace(services, store=Behind(services.store, old)), NAME)
    assert plain(services.store.load(NAME)) == plain(left)


@pytest.mark.parametrize("back", [Verdict.YES, Verdict.NO])
@pytest.mark.parametrize("state", [renewing, issued])
def test_f06_a_name_that_is_looked_up_meanwhile_is_not_woken(fleet: SimulatedFleet, back: Verdict, state) -> None:
    services = fleet.services
    record = state(services)
    away = {"moved_away_since": services.clock(), "recheck_at": services.clock()}
    write(services.store, record.with_domain(**away), now=services.clock())
    left: list[Record] = []

    class Meanwhile:
        def points_here(self, name: str, own: str = ""):
            left.append(give_up(services))
            services.resolver.verdicts[NAME] = back
            return services.resolver.points_here(name, own)

    assert renewal.recheck(replace(services, resolver=Meanwhile()), NAME) is None
    assert_gone(fleet, left[0])


def test_f06_a_window_that_is_asked_for_meanwhile_is_not_kept(fleet: SimulatedFleet) -> None:
    services, left = fleet.services, []
    issued(services)

    def meanwhile(certificate_id: str) -> RenewalInfo:
        left.append(give_up(services))
        return window(services.clock(), services.clock() + DAY)(certificate_id)

    services.cas[0].renewal_infos = meanwhile
    renewal.refresh(services, NAME)
    services.cas[0].renewal_infos = None
    assert_gone(fleet, left[0])


@pytest.mark.parametrize("moment", ["before", "lined up", "claimed"])
def test_f06_a_renewal_that_is_claimed_meanwhile_is_not_started(fleet: SimulatedFleet, moment: str) -> None:
    services = fleet.services
    record = issued(services)
    now = services.clock.now = record.domain.renew_at
    how = {"now": now, "limit": 9, "requeue_at": now + 300, "per_second": 20}
    if moment != "before":
        assert services.store.claim_renewals(**how, at_once=0 if moment == "lined up" else 9) == (
            [] if moment == "lined up" else [NAME]
        )
    left = give_up(services)
    assert services.store.claim_renewals(**how, at_once=9) == []
    assert renewal.start(services, NAME) is None
    assert_gone(fleet, left)


def test_f06_of_a_withdrawal_and_12_that_write_at_once_the_withdrawal_is_the_end(services: Services) -> None:
    issued(services)

    def work(number: int) -> object:
        if number == 0:
            return give_up(services)
        record = services.store.load(NAME)
        if not record.domain.is_withdrawn:
            write(services.store, record.with_domain(renew_at=number), now=services.clock())
        return None

    at_once(12, work)
    found = services.store.load(NAME)
    assert (found.domain.is_withdrawn, found.domain.renew_at, found.domain.certificate) == (True, None, None)
    assert services.feed.edge_version(NAME) == ""


def test_of_8_that_withdraw_at_once_one_succeeds_and_the_others_get_not_initiated(services: Services) -> None:
    issued(services)

    def work(_: int) -> object:
        try:
            return withdraw.withdraw(services, ACCOUNT, NAME)
        except Problem as problem:
            return problem.type

    results = at_once(8, work)
    assert results.count(ProblemType.NOT_INITIATED) == 7


def test_the_feed_has_the_withdrawal(services: Services) -> None:
    issued(services)
    end = services.feed.position()
    give_up(services)
    (change,) = services.feed.changes(end, limit=9, wait_seconds=0.01)
    assert (change.name, change.edge_version) == (NAME, "")


def test_what_is_left_is_removed_an_hour_after_the_hold_and_again_is_no_fault(fleet: SimulatedFleet) -> None:
    services = fleet.services
    issued(services)
    left = give_up(services)
    services.clock.now = left.domain.withdrawn_until + 3599
    fleet.scan()
    assert plain(services.store.load(NAME)) == plain(left)
    services.clock.forward(1)
    for _ in range(2):
        fleet.scan()
        withdraw.remove(services, NAME)
        assert all_of(services) == (None, {}, [])
    for due_index in [*DUE_INDEXES, READY_INDEX]:
        assert services.store._redis.zcard(due_index) == 0


def test_what_is_asked_for_anew_while_it_is_removed_stays(services: Services) -> None:
    issued(services)
    left = give_up(services)
    services.clock.now = left.domain.remove_at
    fresh = replace(left.domain, account="other", withdrawn_until=None)
    open_issuance(services.store, fresh, replace(left.issuance, id=f"{NAME}/new"), version=left.version, requeue_at=0)
    before = all_of(services)
    with pytest.raises(Conflict):
        withdraw.remove(replace(services, store=Behind(services.store, left)), NAME)
    withdraw.remove(services, NAME)
    assert all_of(services) == before


def test_forget_is_refused_for_another_version_and_for_a_name_that_is_not_there(store: RedisStore) -> None:
    services = fake_services(store)
    record = opened(services)
    for stale in (replace(record, version=7), record.with_issuance(replace(record.issuance, id=f"{NAME}/other"))):
        with pytest.raises(Conflict):
            store.remove(stale)
    assert store.load(NAME) == record
    store.remove(record)
    with pytest.raises(Conflict):
        store.remove(record)
    assert store.load(NAME) is None


def test_records_without_the_new_fields_are_read(store: RedisStore) -> None:
    services = fake_services(store)
    record = issued(services)
    key = f"issuer:domain:{NAME}"
    text = store._redis.hget(key, "domain").replace(', "revocations": []', "").replace(', "withdrawn_until": null', "")
    assert "revocations" not in text
    store._redis.hset(key, "domain", text)
    assert store.load(NAME) == record


def test_a_token_of_an_older_account_is_made_once_for_all_who_ask(store: RedisStore) -> None:
    services = fake_services(store)
    store.create_account(Account("old", Plan.HTTPS, "0" * 64, 0.0))
    assert '"token"' not in store._redis.get("issuer:account:old")
    tokens = at_once(12, lambda _: accounts.by_id(services, "old").token)
    assert set(tokens) == {store.account("old").token}
    assert len(tokens[0]) == 32
    accounts.set_plan(services, "old", Plan.BASIC)
    accounts.rotate_key(services, "old")
    assert accounts.by_id(services, "old").token == tokens[0]
