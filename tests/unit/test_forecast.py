"""The coming renewals, counted by day and CA."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from issuer.actions import forecast
from issuer.domain import Reason, new_issuance
from issuer.ports import CaLimits, CaPolicy, Services, Verdict
from issuer.problem import Problem
from tests.fakes import NOW, fake_services, opened
from tests.simulated_fleet import DAY, SimulatedFleet
from tests.writes import open_issuance, write


def day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()


@pytest.mark.usefixtures("zone")
def test_stored_domains_by_day_and_ca(services: Services) -> None:
    fleet = SimulatedFleet(services)
    names = [f"{number}.customer.example" for number in range(6)]
    fleet.issued(*names)
    store, now = services.store, services.clock()
    plans = [now + 3 * DAY, now + 3 * DAY, now + 9 * DAY, now - 5 * DAY, now + 9 * DAY]
    for name, at in zip(names, plans, strict=False):
        record = fleet.record(name)
        ca = "https://other.example/dir" if name == names[4] else record.domain.certificate.ca
        certificate = replace(record.domain.certificate, ca=ca)
        write(store, record.with_domain(renew_at=at, certificate=certificate), now=now)
    last = fleet.record(names[5])
    open_issuance(store, last.domain, new_issuance(names[5], Reason.RENEWAL, now), version=last.version, requeue_at=now)
    opened(services, "new.customer.example")
    found = forecast.of_stored(services)
    assert dict(found.renewals) == {
        (day(now), "ca.example"): 1,
        (day(now + 3 * DAY), "ca.example"): 2,
        (day(now + 9 * DAY), "ca.example"): 1,
        (day(now + 9 * DAY), "other.example"): 1,
    }
    assert (found.domains, found.under_way, found.moved_away) == (5, 1, (0, []))


def test_names_that_moved_away_are_in_the_forecast(services: Services) -> None:
    fleet = SimulatedFleet(services)
    names = [f"{number}.customer.example" for number in range(7)]
    fleet.issued(*names)
    services.resolver.verdicts = dict.fromkeys(names, Verdict.NO)
    fleet.run(63 * DAY)
    count, some = forecast.of_stored(services).moved_away
    assert (count, len(some)) == (7, forecast.SOME)
    assert set(some) < set(names)


@pytest.mark.parametrize(("domains", "lifetime"), [(1_000_000, 90 * DAY), (12_345, 45 * DAY), (7, 200 * DAY)])
def test_imagined_domains_come_around_two_thirds_of_their_lifetime(
    services: Services, domains: int, lifetime: float
) -> None:
    found = forecast.of_imagined(services, domains, lifetime)
    issued_within = domains / services.settings.renewals_per_second
    first = {at: count for (at, _), count in found.renewals.items() if at <= day(NOW + lifetime)}
    assert sum(first.values()) == domains
    assert min(first) >= day(NOW + 0.65 * lifetime)
    assert max(first) <= day(NOW + 0.68 * lifetime + issued_within)
    assert {ca for _, ca in found.renewals} == {"ca.example"}


def test_imagined_domains_with_short_lives_are_counted_for_a_whole_day(services: Services) -> None:
    found = forecast.of_imagined(services, 10, 3600)
    assert 10 * 44 <= sum(found.renewals.values()) <= 10 * 50


def test_remarks_on_days_with_too_many_renewals() -> None:
    le = "acme-v02.api.letsencrypt.org"
    services = fake_services(hosts=(le, "ca.example"))
    services.cas[0].policy = CaPolicy(limits=CaLimits(new_orders=(300, 3 * 3600)))

    def remarks(*days: tuple[int, str, int]) -> list[str]:
        counts = Counter({(date(2027, 1, n), ca): count for n, ca, count in days})
        return forecast.remarks(services, forecast.Forecast(counts, 1))

    assert remarks((1, le, 2400), (1, "ca.example", 1_728_000)) == []
    assert remarks((1, le, 2401), (2, le, 9999), (3, le, 1)) == [
        f"days with more than the 2,400 orders that {le} allows an account: 2; renewals by ARI are exempt"
    ]
    assert remarks((1, "ca.example", 1_728_001)) == ["days with more renewals than the pace of 20 a second allows: 1"]


LE, STAGING = "acme-v02.api.letsencrypt.org", "acme-staging-v02.api.letsencrypt.org"


def moment(text: str) -> float:
    return datetime.fromisoformat(f"{text}T12:00:00+00:00").timestamp()


@pytest.mark.parametrize(
    ("host", "policy", "at", "expected"),
    [
        (LE, {}, "2026-11-28", [("2026-11-28", 90), ("2027-02-10", 64), ("2028-02-16", 45)]),
        (LE, {}, "2027-02-09", [("2027-02-09", 90), ("2027-02-10", 64), ("2028-02-16", 45)]),
        (LE, {}, "2027-02-10", [("2027-02-10", 64), ("2028-02-16", 45)]),
        (LE, {"profile": "classic"}, "2028-02-16", [("2028-02-16", 45)]),
        (LE, {"profile": "tlsserver"}, "2026-11-28", [("2026-11-28", 45)]),
        (LE, {"profile": "classic", "required_profile": "shortlived"}, "2026-11-28", [("2026-11-28", 160 / 24)]),
        (STAGING, {}, "2026-11-28", [("2026-11-28", 64), ("2028-02-16", 45)]),
        ("ca.example", {}, "2026-11-28", []),
        (LE, {"profile": "unknown"}, "2026-11-28", []),
    ],
)
def test_the_calendar_of_a_ca_from_today_on(host: str, policy: dict[str, str], at: str, expected) -> None:
    services = fake_services(hosts=(host, "other.example"))
    services.cas[0].policy = CaPolicy(**policy)
    services.clock.now = moment(at)
    periods = forecast.calendar(services, {host: 90_000, "other.example": 5})
    assert [(f"{one.since}", one.lifetime_seconds / DAY) for one in periods] == expected
    for one in periods:
        share = 1 / 2 if one.lifetime_seconds < 10 * DAY else 2 / 3
        assert one.renewals_a_day == pytest.approx(90_000 * DAY / (share * one.lifetime_seconds))


def test_what_is_imagined_is_renewed_by_the_lifetime_of_its_day() -> None:
    services = fake_services(hosts=(LE,))
    services.clock.now = moment("2027-01-01")
    days = sorted(day for day, _ in forecast.of_imagined(services, 1, None).renewals)
    assert [(day - date(2027, 1, 1)).days for day in days] == pytest.approx([60, 60 + 43], abs=2)
    assert forecast.of_imagined(services, 100, None).renewals.total() == 200


def test_a_lifetime_that_nobody_knows_is_asked_for(services: Services) -> None:
    with pytest.raises(Problem, match=r"https://ca\.example/directory is not known \(give it with --lifetime\)"):
        forecast.of_imagined(services, 1, None)
