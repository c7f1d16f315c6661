"""When certificates are renewed; by time travel over the real scans, the store and a CA that signs for real."""

import datetime as dt
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer import keys, renewal
from issuer.domain import (
    Certificate,
    Domain,
    Reason,
    RenewalWindow,
    Status,
    status,
)
from issuer.ports import RenewalInfo, Services
from issuer.problem import Problem, ProblemType
from issuer.schedule import THREADS
from issuer.store.ca_state import FAILURES_IN_A_ROW
from tests.fakes import NAME, NOW
from tests.faults import window
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet
from tests.writes import write

LIFETIMES = [HOUR, 160 * HOUR, 45 * DAY, 64 * DAY, 90 * DAY, 200 * DAY]


def lives(services: Services, seconds: float, backdated: float = 0) -> None:
    services.cas[0].lifetime = dt.timedelta(seconds=seconds)
    services.cas[0].not_before = dt.timedelta(seconds=-backdated)


def orders(services: Services) -> int:
    return services.cas[0].calls.count("new_order")


def window_of(fleet: SimulatedFleet, *names: str, start: float, end: float):
    """What the CA says about the certificates that these names have now; later ones have a window far off."""
    ids = {keys.certificate_id(fleet.domain(name).certificate.chain) for name in names}
    far = NOW + 400 * DAY
    return lambda one: window(start, end)(one) if one in ids else window(far, far + DAY)(one)


@pytest.mark.parametrize("lifetime", LIFETIMES)
@pytest.mark.parametrize("backdated", [0, HOUR])
def test_g02_nothing_is_due_from_birth_and_no_certificate_lapses(
    fleet: SimulatedFleet, services: Services, lifetime: float, backdated: float
) -> None:
    lives(services, lifetime, backdated)
    fleet.issued(NAME)
    for _ in range(10):
        fleet.scan()
        fleet.work()
    assert orders(services) == 1
    for _ in range(60):
        fleet.run(lifetime / 12)
        assert fleet.domain(NAME).certificate.is_valid(services.clock())
        # The end of such a stretch may fall into a renewal.
        assert status(fleet.record(NAME), services.clock()) in {Status.ACTIVE, Status.PROCESSING}
    share = 1 / 2 if lifetime < 10 * DAY else 2 / 3
    assert abs(orders(services) - 1 - 5 / share) <= 1
    assert fleet.record(NAME).issuance.reason is Reason.RENEWAL


@pytest.mark.parametrize("lifetime", LIFETIMES)
def test_g06_the_time_is_picked_once_around_two_thirds_or_a_half_and_is_stored(
    fleet: SimulatedFleet, services: Services, lifetime: float
) -> None:
    lives(services, lifetime)
    names = [f"{number}.customer.example" for number in range(40)]
    fleet.issued(*names)
    share = 1 / 2 if lifetime < 10 * DAY else 2 / 3
    picked = {name: fleet.domain(name).renew_at for name in names}
    parts = [(at - fleet.domain(name).certificate.installed_at) / lifetime for name, at in picked.items()]
    assert all(share - 0.0105 <= part <= share + 0.0105 for part in parts)
    assert max(parts) - min(parts) > 0.01
    fleet.run(lifetime / 4)
    assert {name: fleet.domain(name).renew_at for name in names} == picked


def test_ari_the_time_is_picked_in_the_window_and_kept_while_the_window_is_the_same(
    fleet: SimulatedFleet, services: Services
) -> None:
    fleet.issued(NAME)
    services.cas[0].renewal_infos = window_of(fleet, NAME, start=NOW + 50 * DAY, end=NOW + 52 * DAY)
    fleet.run(60)
    domain = fleet.domain(NAME)
    assert NOW + 50 * DAY <= domain.renew_at <= NOW + 52 * DAY
    assert (domain.window.start, domain.window.end) == (NOW + 50 * DAY, NOW + 52 * DAY)
    asked = services.cas[0].calls.count("renewal_info")
    fleet.run(49 * DAY)
    assert fleet.domain(NAME).renew_at == domain.renew_at
    assert services.cas[0].calls.count("renewal_info") - asked >= 2 * 49
    fleet.run(4 * DAY)
    assert orders(services) == 2
    assert fleet.record(NAME).issuance.created_at == pytest.approx(domain.renew_at, abs=30)


def test_ari_times_are_spread_over_the_whole_window(services: Services) -> None:
    domain = Domain(NAME, "platform", NOW, certificate=a_certificate())
    info = window(NOW + 50 * DAY, NOW + 52 * DAY)("id")
    parts = [(renewal.with_window(domain, info, NOW).renew_at - NOW) / DAY - 50 for _ in range(400)]
    assert all(0 <= part <= 2 for part in parts)
    assert min(parts) < 0.1
    assert max(parts) > 1.9


def test_ari_if_the_window_changes_the_time_is_picked_again(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    services.cas[0].renewal_infos = window_of(fleet, NAME, start=NOW + 50 * DAY, end=NOW + 52 * DAY)
    fleet.run(60)
    services.cas[0].renewal_infos = window_of(fleet, NAME, start=NOW + 10 * DAY, end=NOW + 11 * DAY)
    fleet.run(DAY)
    assert NOW + 10 * DAY <= fleet.domain(NAME).renew_at <= NOW + 11 * DAY
    fleet.run(11 * DAY)
    assert orders(services) == 2


def test_ari_what_was_planned_is_dropped_at_the_swap(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].renewal_infos = window(NOW + 3 * DAY, NOW + 4 * DAY, why="https://ca.example/why")
    fleet.issued(NAME)
    fleet.run(60)
    old = fleet.domain(NAME)
    services.cas[0].renewal_infos = window(NOW + 60 * DAY, NOW + 61 * DAY)
    write(fleet.services.store, replace(fleet.record(NAME), domain=replace(old, ask_at=NOW + 30 * DAY)), now=NOW)
    fleet.run(4 * DAY)
    new = fleet.domain(NAME)
    assert new.certificate.serial != old.certificate.serial
    assert new.window.certificate_id != old.window.certificate_id
    assert new.window.start == NOW + 60 * DAY


def test_ari_windows_in_the_past_are_renewed_at_once_but_not_below_the_floor(
    fleet: SimulatedFleet, services: Services
) -> None:
    services.cas[0].renewal_infos = window(NOW - 2 * DAY, NOW - DAY)
    fleet.issued(NAME)
    fleet.run(5.9 * HOUR)
    assert orders(services) == 1
    fleet.run(5 * DAY)
    assert 18 <= orders(services) <= 21


def test_ari_an_incident_moves_the_renewal_to_now(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].renewal_infos = window(NOW + 50 * DAY, NOW + 52 * DAY)
    fleet.issued(NAME)
    fleet.run(20 * DAY)
    now = services.clock()
    services.cas[0].renewal_infos = window(now - HOUR, now - 60, why="https://ca.example/incident")
    with capture_logs() as logs:
        fleet.run(DAY / 2)
    assert orders(services) == 2
    assert services.cas[0].replaced[-1] is not None
    assert {one["explanation"] for one in logs if "explanation" in one} == {"https://ca.example/incident"}


@pytest.mark.parametrize(
    ("again", "least", "most"),
    [
        (None, 6 * HOUR, 6 * HOUR),
        (0, 60, 60),
        (30, 60, 60),
        (7200, 7200, 7200),
        (7 * DAY, DAY / 2, DAY / 2),
    ],
)
def test_ari_is_asked_again_when_the_ca_says_within_limits(again: float | None, least: float, most: float) -> None:
    domain = Domain(NAME, "platform", NOW, certificate=a_certificate())
    info = window(NOW + 50 * DAY, NOW + 52 * DAY, None if again is None else NOW + again)("id")
    assert NOW + least <= renewal.with_window(domain, info, NOW).ask_at <= NOW + most


def test_ari_a_window_after_the_end_does_not_put_the_renewal_off_beyond_it(services: Services) -> None:
    domain = Domain(NAME, "platform", NOW, certificate=a_certificate())
    at = renewal.with_window(domain, window(NOW + 95 * DAY, NOW + 99 * DAY)("id"), NOW).renew_at
    assert at == pytest.approx(NOW + 81 * DAY, abs=60)


@pytest.mark.parametrize("fault", [ProblemType.CA_UNAVAILABLE, ProblemType.RATE_LIMITED, ProblemType.NO_RENEWAL_INFO])
def test_ari_that_gets_no_answer_changes_nothing_and_is_asked_again(
    fleet: SimulatedFleet, services: Services, fault: ProblemType
) -> None:
    def fail(certificate_id: str) -> RenewalInfo:
        raise Problem(fault)

    services.cas[0].renewal_infos = fail
    fleet.issued(NAME)
    planned = fleet.domain(NAME).renew_at
    fleet.run(5 * HOUR)
    assert 4 <= services.cas[0].calls.count("renewal_info") <= 6
    assert fleet.domain(NAME).renew_at == planned
    services.clock.now = planned
    fleet.run(60)
    assert orders(services) == 2


def test_ari_is_not_asked_about_a_certificate_that_has_ended_or_is_of_another_ca(
    fleet: SimulatedFleet, services: Services
) -> None:
    services.cas[0].renewal_infos = window(NOW + 50 * DAY, NOW + 52 * DAY)
    fleet.issued(NAME, other := "other.customer.example")
    record = fleet.record(other)
    of_former_ca = replace(record.domain.certificate, ca="https://former.example/directory")
    write(services.store, record.with_domain(certificate=of_former_ca), now=services.clock())
    fleet.scan()
    assert services.cas[0].calls.count("renewal_info") == 1
    services.cas[0].before = lambda method: raise_for(method, "new_order")
    services.clock.now = NOW + 91 * DAY
    fleet.scan()
    assert services.cas[0].calls.count("renewal_info") == 1
    assert [fleet.domain(name).ask_at for name in (NAME, other)] == [None, None]


def raise_for(method: str, failing: str) -> None:
    if method == failing:
        raise Problem(ProblemType.CA_UNAVAILABLE)


def asked_of_40(fleet: SimulatedFleet, fault: ProblemType) -> int:
    """How often the CA is asked about 40 certificates when it answers with this."""

    def fail(certificate_id: str) -> RenewalInfo:
        raise Problem(fault)

    fleet.issued(*[f"{number}.customer.example" for number in range(40)])
    fleet.services.cas[0].renewal_infos = fail
    fleet.scan()
    return fleet.services.cas[0].calls.count("renewal_info")


def test_a_certificate_that_the_ca_does_not_know_stops_no_other(fleet: SimulatedFleet) -> None:
    assert asked_of_40(fleet, ProblemType.NO_RENEWAL_INFO) == 40


def test_an_unavailable_ca_is_not_asked(fleet: SimulatedFleet) -> None:
    # All threads may ask before the first failure counts, and those that failed first once more.
    assert 1 <= asked_of_40(fleet, ProblemType.CA_UNAVAILABLE) < THREADS + FAILURES_IN_A_ROW


def test_a_ca_without_ari_is_not_asked(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    fleet.run(DAY)
    assert "renewal_info" not in services.cas[0].calls
    assert services.cas[0].replaced == [None]


def test_replaces_is_sent_where_the_ca_is_the_issuer(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME, other := "other.customer.example")
    services.cas[0].renewal_infos = window_of(fleet, NAME, other, start=NOW + 3 * DAY, end=NOW + 4 * DAY)
    fleet.run(60)
    expected = fleet.domain(NAME).window.certificate_id
    record = fleet.record(other)
    of_former_ca = replace(record.domain.certificate, ca="https://former.example/directory")
    write(services.store, record.with_domain(certificate=of_former_ca, renew_at=NOW + 4.5 * DAY), now=services.clock())
    fleet.run(4 * DAY)
    assert services.cas[0].replaced == [None, None, expected]
    fleet.run(DAY)
    assert services.cas[0].replaced == [None, None, expected, None]


def test_the_most_urgent_come_first() -> None:
    plain = Domain(NAME, "platform", NOW, a_certificate(), renew_at=NOW)
    hour = replace(plain, certificate=a_certificate(HOUR))
    incident = replace(plain, window=RenewalWindow("id", NOW - 2 * HOUR, NOW - HOUR))
    ordinary = replace(plain, window=RenewalWindow("id", NOW - HOUR, NOW + DAY))
    ends_soon = replace(plain, certificate=a_certificate(3 * HOUR), window=ordinary.window)
    assert sorted([ordinary, plain, incident, ends_soon, hour], key=lambda one: one.urgent_by) == [
        hour,
        ends_soon,
        incident,
        plain,
        ordinary,
    ]


def a_certificate(lifetime: float = 90 * DAY) -> Certificate:
    return Certificate("CHAIN", "key", "0f", NOW, NOW + lifetime, "https://ca.example/d", installed_at=NOW)


def test_renewals_go_to_their_own_queue_and_first_ones_do_not(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    services.clock.now = fleet.domain(NAME).renew_at
    fleet.scan()
    assert [queue for queue, _ in fleet.queued()] == ["renewal"]
    services.clock.forward(61)
    fleet.scan()
    assert [queue for queue, _ in fleet.queued()] == ["renewal"]


def test_one_broken_record_stops_nobody_else(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].renewal_infos = window(NOW + 3 * DAY, NOW + 4 * DAY)
    names = [f"{number}.customer.example" for number in range(9)]
    fleet.issued(*names)
    redis = services.store._redis
    for name, text in zip(names[:5], ["{", "null", "[]", '{"name": 1}', "\x00"], strict=True):
        redis.hset(f"issuer:domain:{name}", "domain", text)
    redis.hdel(f"issuer:domain:{names[5]}", "issuance")
    redis.delete(f"issuer:domain:{names[6]}")
    services.clock.now = NOW + 5 * DAY
    for _ in range(3):
        fleet.scan()
        assert {issuance.split("/")[0] for _, issuance in fleet.queued()} <= set(names[7:])
        services.clock.forward(301)
    assert {fleet.record(name).issuance.reason for name in names[7:]} == {Reason.RENEWAL}
