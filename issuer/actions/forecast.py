"""How many renewals come on which day, at which CA: of the stored domains, or of imagined ones.

A herd is seen before it comes.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from issuer import renewal
from issuer.domain import DAY_SECONDS, Certificate, Due
from issuer.ports import Services

SAMPLE = 10_000
"""So many domains are imagined in full; each stands for its share."""
SOME = 5


@dataclass(frozen=True, slots=True)
class Forecast:
    """Renewals by day (UTC) and CA (host). domains: all that have one planned. under_way: renewals that are open.
    moved_away: how many domains point elsewhere, and some of them."""

    renewals: Counter[tuple[date, str]]
    domains: int
    under_way: int = 0
    moved_away: tuple[int, list[str]] = field(default_factory=lambda: (0, []))


def of_stored(services: Services) -> Forecast:
    """What the domains in the store have planned; what is due already counts for today. Raises Problem."""
    now, found, domains = services.clock(), Counter[tuple[date, str]](), 0
    for planned in services.store.planned_renewals():
        found[_day(max(planned.at, now)), _host(planned.ca)] += 1
        domains += 1
    under_way, _ = services.store.names(Due.OPEN_RENEWAL, limit=0)
    return Forecast(found, domains, under_way, services.store.names(Due.DNS_RECHECK, limit=SOME))


def of_imagined(services: Services, domains: int, lifetime_seconds: float) -> Forecast:
    """What `domains` certificates would plan that are issued from now on, as fast as the pace allows, and are renewed
    by their lifetime: for one and a half lifetimes, and for a day at least."""
    now, found = services.clock(), Counter[tuple[date, str]]()
    end = now + max(1.5 * lifetime_seconds, DAY_SECONDS)
    sample = min(domains, SAMPLE)
    for number in range(sample):
        share = domains // sample + (number < domains % sample)
        issued_at = now + number * domains / sample / services.renewals_per_second
        while (issued_at := renewal.moment_by_lifetime(_imagined(issued_at, lifetime_seconds))) < end:
            found[_day(issued_at), _host(services.cas[0].directory_url)] += share
    return Forecast(found, domains)


def remarks(services: Services, found: Forecast) -> list[str]:
    """What is to be said of days with more renewals than a CA allows, or than our own pace takes on."""
    per_second, limits = services.renewals_per_second, dict(_orders_a_day(services))
    over_ca, over_pace = Counter[tuple[str, int]](), 0
    for (_, ca), count in found.renewals.items():
        allowed = limits.get(ca)
        if allowed and count > allowed:
            over_ca[ca, allowed] += 1
        over_pace += count > per_second * DAY_SECONDS
    said = [
        f"on {days} of these days over the {allowed:,} that {ca} allows an account; renewals by ARI are exempt"
        for (ca, allowed), days in over_ca.items()
    ]
    if over_pace:
        said.append(f"on {over_pace} of these days more than a pace of {per_second:g} a second takes on")
    return said


def _orders_a_day(services: Services) -> Iterator[tuple[str, int]]:
    for ca in services.cas:
        if ca.policy.limits.new_orders:
            count, seconds = ca.policy.limits.new_orders
            yield _host(ca.directory_url), int(count * DAY_SECONDS / seconds)


def _imagined(issued_at: float, lifetime_seconds: float) -> Certificate:
    not_after = issued_at + lifetime_seconds - 1
    return Certificate("", "", serial="", not_before=issued_at, not_after=not_after, ca="", installed_at=issued_at)


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def _host(directory_url: str) -> str:
    return urlsplit(directory_url).hostname or "unknown"
