"""Who works in the fleet, and since when somebody does not."""

import pytest

from issuer.fleet import checks
from issuer.fleet.heartbeats import seen
from issuer.fleet.queues import QUEUES
from issuer.ports import Check, CheckResult, Consumer, Services
from issuer.problem import Actor
from tests.fakes import NOW, fake_services
from tests.heartbeats import everybody_works


@pytest.fixture
def services() -> Services:
    """A fleet in which all runs, and has been running for an hour."""
    services = fake_services()
    services.board.heartbeats(NOW - 3600)
    services.store.require_own()
    everybody_works(services)
    return services


def failed(services: Services) -> dict[str, Check]:
    """What is not as it should be, by code and subject."""
    return {f"{one.code} {one.subject}".strip(): one for one in bad(services)}


def bad(services: Services) -> list[Check]:
    return [one for one in checks.checks(services) if one.result is CheckResult.FAILED]


def test_a_fleet_that_runs_is_as_it_should_be(services: Services) -> None:
    found = checks.checks(services)
    assert {one.result for one in found} == {CheckResult.OK}
    assert [one.subject for one in found if one.code == "queue"] == list(QUEUES)


def test_a_new_fleet_has_time_to_start() -> None:
    services = fake_services()
    assert not bad(services)
    services.clock.forward(39)
    assert not bad(services)
    services.clock.forward(2)
    assert set(failed(services)) == {"beat", *(f"queue {name}" for name in QUEUES)}
    assert all(one.since == NOW and one.hint for one in bad(services))


@pytest.mark.parametrize(
    ("process", "states"),
    [
        ("worker", {"queue interactive", "queue housekeeping"}),
        ("renewals", {"queue bulk", "queue renewal", "queue lookup"}),
        ("beat", {"beat"}),
    ],
)
def test_a_process_that_ends_is_named_within_a_minute(services: Services, process: str, states: set[str]) -> None:
    for _ in range(5):
        services.clock.forward(10)
        everybody_works(services, but=process)
    found = failed(services)
    assert set(found) == states, "and what else stands still for that reason is no fault of its own"
    for check in found.values():
        assert (check.since, check.must_act) == (NOW, Actor.PLATFORM)
        assert f"`issuer run {process}`" in check.hint
        assert "since 2026-09-21 14:13:20 UTC" in check.cause
    everybody_works(services)
    assert not bad(services)


def test_a_worker_without_a_queue_is_named_by_the_queue(services: Services) -> None:
    for _ in range(5):
        services.clock.forward(10)
        everybody_works(services, worker={"queues": ("interactive",)})
    assert set(failed(services)) == {"queue housekeeping"}


def test_a_worker_of_another_broker_is_named_with_the_setting(services: Services) -> None:
    for _ in range(5):
        services.clock.forward(10)
        everybody_works(services, worker={"broker": "another"})
    found = failed(services)
    assert set(found) == {"queue interactive", "queue housekeeping", "consumer worker@here:1"}
    assert all("ISSUER_BROKER_URL" in check.hint for check in found.values())


def test_a_worker_of_another_store_is_named_with_the_setting(services: Services) -> None:
    services.clock.forward(50)
    everybody_works(services)
    stranger = Consumer("worker@there:1", ("interactive",), services.clock(), store="another")
    services.board.consumes_at_broker(stranger)
    found = failed(services)
    assert set(found) == {"consumer worker@there:1"}
    assert "ISSUER_REDIS_URL" in found["consumer worker@there:1"].hint
    services.clock.forward(50)
    everybody_works(services)
    assert not bad(services), "it has ended"


def test_scans_that_fail_are_told_from_those_that_nobody_starts(services: Services) -> None:
    services.clock.forward(50)
    everybody_works(services)
    services.board.consumes(Consumer("any", (), NOW), {"reconcile": NOW})
    assert failed(services)["scans"].since == NOW


def test_a_scan_that_never_has_its_turn_is_named(services: Services) -> None:
    scans = {"watch_cas": NOW - 901, "of_a_former_release": NOW - 8 * 86400}
    services.board.consumes(Consumer("any", (), NOW), scans)
    assert failed(services)["scans"].cause == "watch_cas: not run since 2026-09-21 13:58:19 UTC"


def test_the_patience_follows_the_interval_of_beat() -> None:
    assert seen(fake_services()).patience == 40
    assert seen(fake_services(reconcile_seconds=60)).patience == 240
