"""What the edges serve after an issuance: checked by the real scan, with a simulated clock, with edges in memory."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer.domain import Due, Step
from issuer.edge import confirm
from issuer.metrics import EDGE_CONFIRMED, EDGE_LOOKS
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.schedule import confirm_served
from tests.api_client import issued, renewing
from tests.fakes import NAME, fake_services
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet
from tests.writes import write

EDGES = ("edge1.platform.example:443", "edge2.platform.example:443")
FIRST, SECOND = EDGES
OLD = "0ddba11"


@pytest.fixture
def services() -> Services:
    return replace(fake_services(), edges=EDGES)


def serve(services: Services, *serials: str) -> None:
    services.handshake.serials = dict(zip(EDGES, serials, strict=False))


def timeline(fleet: SimulatedFleet) -> list[str]:
    return [event.text for event in fleet.record(NAME).timeline]


def looks(services: Services) -> int:
    return len(services.handshake.asked) // len(EDGES)


def test_h02_two_seconds_after_an_issuance_each_edge_is_asked_and_the_timeline_has_it(
    fleet: SimulatedFleet, services: Services
) -> None:
    record = issued(services)
    serial = record.domain.certificate.serial
    serve(services, serial, serial)
    assert record.domain.confirm_at == pytest.approx(record.domain.certificate.installed_at + 2)
    fleet.scan()
    assert services.handshake.asked == []
    fleet.run(2)
    assert sorted(services.handshake.asked) == [(FIRST, NAME), (SECOND, NAME)]
    assert timeline(fleet)[-1] == f"served everywhere: serial number {serial}"
    assert (fleet.domain(NAME).confirm_at, services.store.names(Due.EDGE_CONFIRMATION, limit=1)[0]) == (None, 0)
    fleet.run(DAY)
    assert looks(services) == 1


def test_h02_an_edge_that_lags_behind_is_named_and_asked_until_it_serves_the_new_one(
    fleet: SimulatedFleet, services: Services
) -> None:
    serial = issued(services).domain.certificate.serial
    serve(services, serial, OLD)
    fleet.run(60)
    assert f"certificate {serial} is in force" in timeline(fleet)
    assert timeline(fleet)[-1] == f"not served everywhere yet: {SECOND} serves serial number {OLD}"
    serve(services, serial, serial)
    fleet.run(60)
    assert timeline(fleet)[-1] == f"served everywhere: serial number {serial}"
    assert fleet.domain(NAME).confirm_at is None


def test_pauses_grow_to_an_hour_and_after_a_day_one_error_is_logged_and_no_edge_is_asked_again(
    fleet: SimulatedFleet, services: Services
) -> None:
    serial = issued(services).domain.certificate.serial
    serve(services, serial)
    times = []
    services.handshake.before = lambda _: times.append(services.clock())
    with capture_logs() as logs:
        fleet.run(1.5 * DAY)
    pauses = [later - before for before, later in zip(times[::2], times[2::2], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 5
    assert max(pauses) == pytest.approx(HOUR)
    assert 30 < len(pauses) < 45
    errors = [line for line in logs if line["log_level"] == "error"]
    assert [(line["domain"], line["serial"]) for line in errors] == [(NAME, serial)]
    assert timeline(fleet)[-1] == f"not served everywhere after a day: {SECOND} does not answer"
    assert timeline(fleet).count(f"not served everywhere yet: {SECOND} does not answer") == 1, "once, not at each check"
    assert fleet.domain(NAME).confirm_at is None


def test_a_renewal_is_confirmed_again(fleet: SimulatedFleet, services: Services) -> None:
    serve(services, issued(services).domain.certificate.serial)
    fleet.run(HOUR)
    services.clock.now = fleet.domain(NAME).renew_at
    fleet.run(1)
    second = fleet.domain(NAME).certificate.serial
    serve(services, second, second)
    fleet.run(10)
    assert timeline(fleet)[-1] == f"served everywhere: serial number {second}"


def test_without_addresses_nothing_is_asked_nor_planned() -> None:
    services = fake_services()
    assert issued(services).domain.confirm_at is None
    fleet = SimulatedFleet(services)
    fleet.run(60)
    assert (services.handshake.asked, services.store.names(Due.EDGE_CONFIRMATION, limit=1)[0]) == ([], 0)


def test_addresses_that_are_taken_away_are_not_asked_until_they_are_back(
    fleet: SimulatedFleet, services: Services
) -> None:
    serial = issued(services).domain.certificate.serial
    serve(services, serial, serial)
    services.clock.forward(60)
    assert confirm_served(replace(services, edges=())) == 0
    assert (services.handshake.asked, fleet.domain(NAME).confirm_at is None) == ([], False)
    assert confirm_served(services) == 1
    assert (len(services.handshake.asked), fleet.domain(NAME).confirm_at) == (2, None)


def test_where_there_is_nothing_to_confirm_nobody_is_asked(services: Services) -> None:
    confirm.confirm(services, "unknown.customer.example")
    record = issued(services)
    write(services.store, record.with_domain(confirm_at=None), now=services.clock())
    confirm.confirm(services, NAME)
    assert services.handshake.asked == []


def test_a_certificate_that_was_withdrawn_is_not_asked_for(services: Services) -> None:
    record = issued(services)
    write(services.store, record.with_domain(certificate=None), now=services.clock())
    confirm.confirm(services, NAME)
    assert (services.handshake.asked, services.store.load(NAME).domain.confirm_at) == ([], None)


def test_of_two_scans_at_once_one_notes_and_counts_it(fleet: SimulatedFleet, services: Services) -> None:
    serial = issued(services).domain.certificate.serial
    serve(services, serial, serial)

    def another_has_asked_and_noted(_: str) -> None:
        services.handshake.before = lambda _: None
        confirm.confirm(services, NAME)

    services.handshake.before = another_has_asked_and_noted
    confirm.confirm(replace(services, edges=EDGES[:1]), NAME)
    assert timeline(fleet).count(f"served everywhere: serial number {serial}") == 1
    looks = {words[1:]: count for words, count in services.counters.values().items() if words[0] == EDGE_LOOKS.name}
    assert looks == {(FIRST, "yes"): 1, (SECOND, "yes"): 1}


def test_a_clock_that_is_behind_that_of_the_installing_machine_counts_no_time(services: Services) -> None:
    record = issued(services)
    services.handshake.serials = dict.fromkeys(EDGES, record.domain.certificate.serial)
    services.clock.now = record.domain.certificate.installed_at - 5
    confirm.confirm(services, NAME)
    assert services.counters.values()[EDGE_CONFIRMED.name, "sum"] == 0


def test_an_issuance_under_way_is_left_as_it_is(fleet: SimulatedFleet, services: Services) -> None:
    record = renewing(services)
    serve(services, OLD, OLD)
    services.clock.forward(2)
    confirm_served(services)
    found = services.store.load(NAME)
    assert (found.issuance.step, found.issuance.id) == (Step.ORDER, record.issuance.id)
    assert services.store.names(Due.OPEN_INTERACTIVE, limit=1) == (1, [NAME])
    leased = services.store.lease(record.issuance.id, now=services.clock(), until=services.clock() + 70)
    services.clock.forward(1)
    with pytest.raises(Problem) as caught:
        confirm.confirm(services, NAME)
    assert caught.value.type is ProblemType.BUSY
    services.store.save(leased)


def test_one_look_that_breaks_stops_none_of_the_others(fleet: SimulatedFleet, services: Services) -> None:
    names = [f"{number}.customer.example" for number in range(5)]
    fleet.issued(*names)

    def broken(name: str) -> None:
        if name == names[0]:
            raise Problem(ProblemType.UNDECRYPTABLE)

    services.handshake.before = broken
    services.clock.forward(5)
    assert confirm_served(services) == 4
    assert [name for name in names if not noted(fleet, name)] == names[:1]


def noted(fleet: SimulatedFleet, name: str) -> bool:
    return fleet.record(name).timeline[-1].text.endswith(f"{SECOND} does not answer")


def test_a_scan_ends_in_time_when_edges_are_slow_and_the_other_names_are_claimed_again(
    fleet: SimulatedFleet, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.customer.example" for number in range(40)]
    fleet.issued(*names)
    passed = [0.0]

    def slow(_: str) -> None:
        passed[0] += 1

    with monkeypatch.context() as patched:
        patched.setattr("issuer.schedule.time.monotonic", lambda: passed[0])
        services.handshake.before = slow
        services.clock.forward(5)
        confirm_served(services)
    assert 1 <= sum(noted(fleet, name) for name in names) < 20
    services.handshake.before = lambda _: None
    services.clock.forward(61)
    confirm_served(services)
    assert all(noted(fleet, name) for name in names)


def test_edges_that_lag_behind_are_told_once_also_when_they_are_many(services: Services) -> None:
    edges = tuple(f"edge-with-a-long-name-{number}.platform.example:443" for number in range(9))
    services = replace(services, edges=edges)
    issued(services)
    for _ in range(5):
        services.clock.forward(5)
        confirm.confirm(services, NAME)
    types = [event.type for event in services.store.load(NAME).timeline]
    assert types.count("edge.unconfirmed") == 1
