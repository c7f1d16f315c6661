"""A CA that was away and returns: all that wait for it go on within half a minute."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer.authorities import health, recovery
from issuer.authorities.recovery import wake_waiting, watch_cas
from issuer.domain import Record, Status, Step
from issuer.problem import Problem, ProblemType
from issuer.schedule import SCANS
from tests.api_client import ApiClient
from tests.fakes import FakeCa, below, fake_services, opened
from tests.faults import called_from_now_on, fails, succeeds
from tests.simulated_fleet import HOUR, SimulatedFleet
from tests.writes import write

A, B = "a.example", "b.example"
AWAY = Problem(ProblemType.CA_UNAVAILABLE, "connection refused")
FAILED = Problem(ProblemType.CA_UNAVAILABLE, "status 500")
MINUTE = 60
SOON = 30
"""So many seconds after its return, a CA is used again by all that wait for it."""


@pytest.fixture
def fleet() -> SimulatedFleet:
    return SimulatedFleet(fake_services())


def asked_for(fleet: SimulatedFleet, *names: str) -> list[str]:
    """The same names, each with a first issuance that is queued."""
    for name in names:
        fleet.services.queue.enqueue(opened(fleet.services, name))
    return list(names)


def ca_of(fleet: SimulatedFleet) -> FakeCa:
    return fleet.services.cas[0]


FAULTS: dict[str, Callable[[str], None]] = {
    "away": fails(AWAY),
    "500 at new orders": fails(FAILED, "new_order"),
    "500 at authorizations": fails(FAILED, "authorization"),
    "500 at finalize": fails(FAILED, "finalize"),
    "500 at certificates": fails(FAILED, "chain"),
}


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [("away", 20), ("away", 5 * MINUTE), *((fault, 75) for fault in FAULTS), ("500 at new orders", 3 * MINUTE)],
)
def test_n37_the_last_that_waits_goes_on_within_half_a_minute(fleet: SimulatedFleet, fault: str, seconds: int) -> None:
    ca_of(fleet).before = FAULTS[fault]
    names = asked_for(fleet, *below("customer.example", 10))
    fleet.beat(seconds)
    ca_of(fleet).before = succeeds
    fleet.beat(SOON)
    assert fleet.words() == {Status.ACTIVE: 10}
    assert max(fleet.record(name).issuance.tries for name in names) <= 2
    assert len(ca_of(fleet).certificates) == 10


@pytest.mark.parametrize("seconds", [-30, -HOUR, MINUTE, HOUR])
def test_n37_a_clock_that_is_set_delays_nobody(fleet: SimulatedFleet, seconds: float) -> None:
    ca_of(fleet).before = fails(AWAY)
    asked_for(fleet, *below("customer.example", 10))
    fleet.beat(75)
    fleet.clock.forward(seconds)
    ca_of(fleet).before = succeeds
    fleet.beat(MINUTE)
    assert fleet.words() == {Status.ACTIVE: 10}


@pytest.mark.parametrize("waiting", [1, 2])
def test_n37_few_that_wait_go_on_as_soon(fleet: SimulatedFleet, waiting: int) -> None:
    ca_of(fleet).before = fails(AWAY)
    asked_for(fleet, *below("customer.example", waiting))
    fleet.beat(10 * MINUTE)
    ca_of(fleet).before = succeeds
    fleet.beat(SOON)
    assert fleet.words() == {Status.ACTIVE: waiting}


@pytest.mark.parametrize("fault", ["away", "500 at new orders"])
def test_n37_renewals_go_on_as_soon(fleet: SimulatedFleet, fault: str) -> None:
    names = below("customer.example", 5)
    fleet.issued(*names)
    ca_of(fleet).before = FAULTS[fault]
    fleet.clock.now = max(fleet.domain(name).renew_at for name in names)
    fleet.beat(3 * MINUTE)
    assert {fleet.record(name).issuance.queue for name in names} == {"renewal"}
    ca_of(fleet).before = succeeds
    fleet.beat(SOON)
    assert {fleet.record(name).issuance.step for name in names} == {Step.DONE}
    assert len(ca_of(fleet).certificates) == 10


@pytest.mark.parametrize("fault", ["away", "500 at new orders"])
def test_n37_an_outage_costs_the_ca_few_calls(fleet: SimulatedFleet, fault: str) -> None:
    ca = ca_of(fleet)
    ca.before = FAULTS[fault]
    asked_for(fleet, *below("customer.example", 10))
    calls = called_from_now_on(ca)
    fleet.beat(10 * MINUTE)
    # If it cannot be reached, it is not tried; else every few seconds by one name.
    assert len(calls) <= (7 if fault == "away" else 3 + 600 / recovery.SHORTEST_TRIAL_PAUSE)


@pytest.mark.parametrize("retry_after", [45, 90, 5 * MINUTE])
def test_n37_a_time_that_the_ca_asks_for_is_waited_for(fleet: SimulatedFleet, retry_after: int) -> None:
    ca, until = ca_of(fleet), fleet.clock() + retry_after
    ca.before = fails(Problem(ProblemType.CA_UNAVAILABLE, "overloaded", retry_at=until))
    asked_for(fleet, *below("customer.example", 10))
    fleet.beat(1)
    ca.before = succeeds
    calls = called_from_now_on(ca)
    fleet.beat(retry_after + SOON)
    assert min(calls) >= until
    assert fleet.words() == {Status.ACTIVE: 10}


OURS = {
    "account": Problem(ProblemType.CA_ACCOUNT, "deactivated", cause="the account is deactivated", hint="make another"),
    "settings": Problem(ProblemType.CA_SETTINGS, "no binding", cause="the CA wants a binding", hint="set eab_key_id"),
}


@pytest.mark.parametrize("fault", OURS)
@pytest.mark.parametrize("seconds", [1, 10 * MINUTE, 2 * HOUR])
def test_once_the_operator_has_mended_it_all_go_on_within_a_minute(
    fleet: SimulatedFleet, fault: str, seconds: float
) -> None:
    ca = ca_of(fleet)
    ca.before = fails(OURS[fault], "new_order")
    names = asked_for(fleet, *below("customer.example", 10))
    calls = called_from_now_on(ca)
    fleet.beat(seconds, every=10 if seconds < HOUR else 60)
    assert len(calls) <= 2 + seconds / recovery.SHORTEST_TRIAL_PAUSE
    for name in names:
        problem = fleet.record(name).issuance.problem
        assert (problem.type, problem.cause, problem.hint) == (
            OURS[fault].type,
            OURS[fault].cause,
            OURS[fault].hint,
        )
    ca.before = succeeds
    fleet.beat(MINUTE)
    assert fleet.words() == {Status.ACTIVE: 10}
    assert max(fleet.record(name).issuance.tries for name in names) == 0


@pytest.mark.parametrize("fault", OURS.values(), ids=OURS)
def test_a_ca_that_needs_its_operator_is_one_error_line(fleet: SimulatedFleet, fault: Problem) -> None:
    ca_of(fleet).before = fails(fault, "new_order")
    with capture_logs() as logs:
        asked_for(fleet, *below("customer.example", 10))
        fleet.beat(5 * MINUTE)
        ca_of(fleet).before = succeeds
        fleet.beat(MINUTE)
    (began,) = [line for line in logs if line["event"] == "a CA cannot be used"]
    assert (began["log_level"], began["problem"]) == ("error", fault.type.value)
    assert fault.cause in began["reason"]
    assert [line["event"] for line in logs].count("the CA is available again") == 1


def test_a_mended_ca_is_tried_at_once_if_its_operator_says_so(fleet: SimulatedFleet) -> None:
    ca_of(fleet).before = fails(OURS["account"], "new_order")
    asked_for(fleet, *below("customer.example", 3))
    fleet.work()
    ca_of(fleet).before = succeeds
    recovery.try_soon(fleet.services, ca_of(fleet))
    fleet.beat(1)
    assert fleet.words() == {Status.ACTIVE: 3}


@pytest.mark.parametrize("fault", [AWAY, *OURS.values()], ids=["away", *OURS])
def test_names_go_on_at_another_ca_that_the_operator_has_set(fault: Problem) -> None:
    services = fake_services(hosts=(A, B))
    first, second = services.cas
    fleet = SimulatedFleet(replace(services, cas=(first,)))
    first.before = fails(fault)
    names = asked_for(fleet, *below("customer.example", 10))
    fleet.beat(10 * MINUTE)
    for name in names[:3]:  # as of names that wait by the backoff of their own tries
        waiting = replace(fleet.record(name).issuance, problem=fault, tries=5, next_try_at=fleet.clock() + HOUR)
        failed = fleet.record(name).with_issuance(waiting)
        facts = {"ca": first.directory_url}
        failed = failed.with_event(fleet.clock(), recovery.EventType.ISSUANCE_RETRY_PLANNED, facts)
        write(services.store, failed, now=fleet.clock())
    fleet.services = replace(services, cas=(second,))
    fleet.beat(MINUTE)
    assert fleet.words() == {Status.ACTIVE: 10}
    assert len(second.certificates) == 10


def test_a_name_that_its_ca_refuses_is_not_woken_again_and_again(fleet: SimulatedFleet) -> None:
    refused = Problem(ProblemType.CA_ACCOUNT, "not for this name", is_of_one_order=True)
    ca_of(fleet).before = fails(refused, "new_order")
    asked_for(fleet, "refused.example")
    calls = called_from_now_on(ca_of(fleet))
    fleet.beat(5 * MINUTE)
    assert len(calls) <= 4


def test_n37_each_ca_wakes_those_that_may_use_it() -> None:
    services = fake_services(hosts=(A, B))
    fleet, (first, second) = SimulatedFleet(services), services.cas
    for ca in services.cas:
        ca.before = fails(AWAY)
    asked_for(fleet, *below("any.example", 5))
    for name in below("bound.example", 5):
        write(services.store, opened(services, name).with_domain(ca=first.directory_url), now=services.clock())
    fleet.beat(2 * MINUTE)
    second.before = succeeds
    fleet.beat(SOON)
    assert fleet.words()[Status.ACTIVE] == 5
    assert (first.certificates, len(second.certificates)) == ({}, 5)
    first.before = succeeds
    fleet.beat(SOON)
    assert fleet.words() == {Status.ACTIVE: 10}


def parked(fleet: SimulatedFleet, count: int) -> list[Record]:
    """Names that wait for a CA that is available again, as a success has just shown. None is due by itself for long."""
    ca_of(fleet).before = fails(AWAY)
    names = asked_for(fleet, *below("customer.example", count))
    fleet.beat(MINUTE)
    ca_of(fleet).before = succeeds
    health.record_success(fleet.services, ca_of(fleet))
    assert fleet.services.limits.return_of(ca_of(fleet).directory_url)
    for name in names:
        later = replace(fleet.record(name).issuance, next_try_at=fleet.clock() + HOUR)
        write(fleet.services.store, fleet.record(name).with_issuance(later), now=fleet.clock())
    return [fleet.record(name) for name in names]


def due(fleet: SimulatedFleet, records: list[Record]) -> int:
    loaded = [fleet.record(record.domain.name).issuance for record in records]
    return sum((issuance.next_try_at or 0) <= fleet.clock() for issuance in loaded)


def test_n37_the_waking_is_paced(fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "WOKEN_AT_ONCE", 20)
    records = parked(fleet, 60)
    assert (wake_waiting(fleet.services), due(fleet, records)) == (20, 20)
    assert wake_waiting(fleet.services) == 0
    for woken in (40, 60):
        fleet.clock.forward(1)
        assert (wake_waiting(fleet.services), due(fleet, records)) == (20, woken)


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("where", "after"),
    [("update", 0), ("update", 7), ("enqueue", 0), ("enqueue", 7), ("keep_place", 0), ("keep_place", 1)],
)
def test_n37_a_waker_that_is_killed_in_the_middle_is_taken_up(
    fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch, where: str, after: int
) -> None:
    monkeypatch.setattr(recovery, "PAGE", 5)
    parked(fleet, 12)
    services, left = fleet.services, [after]

    def killing(part: object) -> object:
        work = getattr(part, where)

        def call(*args: object, **more: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return work(*args, **more)

        class Dying:
            def __getattr__(self, name: str) -> object:
                return call if name == where else getattr(part, name)

        return Dying()

    part = {"update": "store", "enqueue": "queue", "keep_place": "limits"}[where]
    dying = replace(services, **{part: killing(getattr(services, part))})
    try:
        wake_waiting(dying)
    except Killed:
        assert left[0] < 0
    fleet.beat(SOON)
    assert fleet.words() == {Status.ACTIVE: 12}
    assert len(ca_of(fleet).certificates) == 12


def test_n37_two_wakers_at_once_wake_each_name_once(fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    records = parked(fleet, 12)
    services, update = fleet.services, fleet.services.store.update
    fleet.queued()

    class Store:
        """Of the first waker: at its first write, the second one runs from start to end."""

        def __getattr__(self, name: str) -> object:
            return getattr(services.store, name)

        def update(self, *args: object, **more: object) -> object:
            wake_waiting(services)
            return update(*args, **more)

    assert wake_waiting(replace(services, store=Store())) == 0
    assert len(fleet.queued()) == len(records)
    assert wake_waiting(services) == 0


def test_n37_whoever_has_failed_since_the_return_is_not_woken(fleet: SimulatedFleet) -> None:
    record, *others = parked(fleet, 3)
    fleet.clock.forward(1)
    again = record.issuance.retry(Problem(ProblemType.CA_UNAVAILABLE, "500"), fleet.clock() + HOUR)
    failed = record.with_issuance(again).with_event(fleet.clock(), recovery.EventType.ISSUANCE_RETRY_PLANNED, {})
    write(fleet.services.store, failed, now=fleet.clock())
    assert wake_waiting(fleet.services) == len(others)


@pytest.mark.parametrize(
    "problem",
    [
        Problem(ProblemType.RATE_LIMITED, "a limit"),
        Problem(ProblemType.DNS_UNKNOWN),
        Problem(ProblemType.VALIDATION_FAILED),
        Problem(ProblemType.CA_MISUNDERSTOOD),
        Problem(ProblemType.CA_UNAVAILABLE, "overloaded", retry_at=2e9),
    ],
)
def test_n37_whoever_waits_for_something_else_is_not_woken(fleet: SimulatedFleet, problem: Problem) -> None:
    record, *others = parked(fleet, 3)
    waiting = record.with_issuance(record.issuance.retry(problem, fleet.clock() + HOUR))
    write(fleet.services.store, waiting, now=fleet.clock())
    assert wake_waiting(fleet.services) == len(others)


def test_n37_a_name_that_has_often_failed_is_woken_and_a_ca_that_comes_and_goes_uses_up_no_tries(
    fleet: SimulatedFleet,
) -> None:
    record, *others = parked(fleet, 3)
    tired = replace(record.issuance, tries=8, problem=AWAY, next_try_at=fleet.clock() + HOUR)
    write(fleet.services.store, record.with_issuance(tired), now=fleet.clock())
    for _ in range(5):
        assert wake_waiting(fleet.services) >= 1
        assert fleet.record(record.domain.name).issuance.tries == 7
        again = fleet.record(record.domain.name).issuance.retry(AWAY, fleet.clock() + HOUR)
        write(fleet.services.store, fleet.record(record.domain.name).with_issuance(again), now=fleet.clock())
        fleet.clock.forward(1)
        for _ in range(3):
            fleet.services.limits.record_failure(ca_of(fleet).directory_url, now=fleet.clock())
        health.record_success(fleet.services, ca_of(fleet))
    assert len(others) == 2


def test_n37_the_waking_stops_if_the_ca_fails_again(fleet: SimulatedFleet) -> None:
    parked(fleet, 3)
    url = ca_of(fleet).directory_url
    for _ in range(3):
        fleet.services.limits.record_failure(url, now=fleet.clock())
    assert fleet.services.limits.return_of(url) is None
    assert wake_waiting(fleet.services) == 0


def test_n37_a_damaged_record_delays_nobody(fleet: SimulatedFleet) -> None:
    records = parked(fleet, 5)
    fleet.services.store._redis.hset(f"issuer:domain:{records[0].domain.name}", "issuance", "null")
    assert wake_waiting(fleet.services) == 4


def test_n37_a_trial_in_progress_is_waited_for(fleet: SimulatedFleet) -> None:
    services, ca = fleet.services, ca_of(fleet)
    ca.before = fails(AWAY)
    asked_for(fleet, *below("customer.example", 3))
    fleet.beat(15)
    ca.before = succeeds
    assert watch_cas(services) == 1
    assert services.limits.admit(ca.directory_url, now=services.clock(), requests_per_second=0) is None
    assert services.limits.cooldown(ca.directory_url).is_trial
    assert watch_cas(services) == 0
    services.clock.forward(11)
    assert watch_cas(services) == 1, "a trial that told nothing is followed by another"


def test_n37_the_scan_that_a_success_starts_is_one_of_beats() -> None:
    assert health.WAKE_SCAN in {scan.name for scan in SCANS if not scan.is_slow}


def test_n37_posts_during_an_outage_are_served_after_it(fleet: SimulatedFleet) -> None:
    api_client = ApiClient(fleet.services).with_accounts()
    ca_of(fleet).before = fails(AWAY)
    for number in range(10):
        assert api_client.post(f"{number}.customer.example").status_code == 202
        fleet.beat(7)
    ca_of(fleet).before = succeeds
    fleet.beat(SOON)
    assert fleet.words() == {Status.ACTIVE: 10}
    fleet.beat(SOON)
    assert fleet.services.limits.return_of(ca_of(fleet).directory_url) is None
