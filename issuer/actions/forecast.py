"""How many renewals are due on each day at each CA, for the stored domains or for imagined ones.

It shows in advance when too many renewals fall on one day.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from issuer import renewal
from issuer.authorities.lifetimes import calendar as known_lifetimes
from issuer.domain import DAY_SECONDS, Certificate, Due, Listing
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

SAMPLE = 10_000
"""At most this many domains are computed one by one; each stands for its share of all."""
SOME = 5


@dataclass(frozen=True, slots=True)
class Forecast:
    """Planned renewals.

    renewals: their number by day (UTC) and CA (host name).
    domains: the number of domains with a planned renewal.
    under_way: the number of open renewals.
    moved_away: the number of domains that have moved away, and the names of some of them.
    """

    renewals: Counter[tuple[date, str]]
    domains: int
    under_way: int = 0
    moved_away: tuple[int, list[str]] = field(default_factory=lambda: (0, []))


@dataclass(frozen=True, slots=True)
class Period:
    """What a CA's lifetime means: since which day its certificates last so many seconds, and how many renewals a day
    that is, with as many certificates as now."""

    ca: str
    since: date
    lifetime_seconds: float
    renewals_a_day: float


def of_stored(services: Services) -> Forecast:
    """The planned renewals of the stored domains; those already due count for today. Raises
    Problem(store-unavailable)."""
    now, renewals, domains = services.clock(), Counter[tuple[date, str]](), 0
    for planned in services.store.planned_renewals():
        renewals[_day(max(planned.at, now)), _host(planned.ca)] += 1
        domains += 1
    under_way, _ = services.store.names(Due.OPEN_RENEWAL, limit=0)
    some = services.store.names_of(Listing.MOVED_AWAY, "", after="", limit=SOME)
    moved_away = services.store.count_of(Listing.MOVED_AWAY, ""), some
    return Forecast(renewals, domains, under_way, moved_away)


def of_imagined(services: Services, domains: int, lifetime_seconds: float | None) -> Forecast:
    """The renewals of `domains` certificates of the first CA, if they are issued from now on as fast as the pace
    allows, and renewed by their lifetime (in seconds; None: as the CA has announced it). It covers one and a half
    lifetimes, and at least a day. Raises Problem(invalid-request) if the lifetime is not known."""
    now, renewals = services.clock(), Counter[tuple[date, str]]()
    lifetimes = _lifetimes(services, lifetime_seconds)
    end = now + max(1.5 * lifetimes(now), DAY_SECONDS)
    sample = min(domains, SAMPLE)
    for number in range(sample):
        share = domains // sample + (number < domains % sample)
        issued_at = now + number * domains / sample / services.settings.renewals_per_second
        while (issued_at := renewal.moment_by_lifetime(_imagined(issued_at, lifetimes(issued_at)))) < end:
            renewals[_day(issued_at), _host(services.cas[0].directory_url)] += share
    return Forecast(renewals, domains)


def calendar(services: Services, domains: Mapping[str, int]) -> list[Period]:
    """The lifetimes that the CAs in use have announced, from now on, and how many renewals a day they mean. domains:
    how many certificates each CA has issued (by its host)."""
    today = _day(services.clock())
    return [
        Period(
            host,
            max(lifetime.since, today),
            lifetime.seconds,
            domains[host] / _renewed_after(lifetime.seconds) * DAY_SECONDS,
        )
        for ca in services.cas
        for lifetime in known_lifetimes(ca, services.clock())
        if domains.get(host := _host(ca.directory_url))
    ]


def remarks(services: Services, forecast: Forecast) -> list[str]:
    """Sentences about the days with more renewals than a CA allows, or than our own pace allows."""
    per_second, limits = services.settings.renewals_per_second, dict(_orders_a_day(services))
    over_ca, over_pace = Counter[tuple[str, int]](), 0
    for (_, ca), count in forecast.renewals.items():
        allowed = limits.get(ca)
        if allowed and count > allowed:
            over_ca[ca, allowed] += 1
        over_pace += count > per_second * DAY_SECONDS
    sentences = [
        f"days with more than the {allowed:,} orders that {ca} allows an account: {days}; renewals by ARI are exempt"
        for (ca, allowed), days in over_ca.items()
    ]
    if over_pace:
        sentences.append(f"days with more renewals than the pace of {per_second:g} a second allows: {over_pace}")
    return sentences


def _orders_a_day(services: Services) -> Iterator[tuple[str, int]]:
    for ca in services.cas:
        if ca.policy.limits.new_orders:
            count, seconds = ca.policy.limits.new_orders
            yield _host(ca.directory_url), int(count * DAY_SECONDS / seconds)


def _lifetimes(services: Services, seconds: float | None) -> Callable[[float], float]:
    """The lifetime of a certificate by the moment of its issuance."""
    if seconds is not None:
        return lambda _: seconds
    ca, now = services.cas[0], services.clock()
    known = known_lifetimes(ca, now)
    if not known:
        detail, hint = f"the lifetime of the certificates of {ca.directory_url} is not known", "give it with --lifetime"
        raise Problem(ProblemType.INVALID_REQUEST, detail, hint=hint)
    return lambda at: next(one.seconds for one in reversed(known) if one.since <= _day(max(at, now)))


def _renewed_after(lifetime_seconds: float) -> float:
    share = 1 / 2 if lifetime_seconds < renewal.SHORT_LIFETIME_SECONDS else 2 / 3
    return share * lifetime_seconds


def _imagined(issued_at: float, lifetime_seconds: float) -> Certificate:
    not_after = issued_at + lifetime_seconds - 1
    return Certificate("", "", serial="", not_before=issued_at, not_after=not_after, ca="", installed_at=issued_at)


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def _host(directory_url: str) -> str:
    try:
        return urlsplit(directory_url).hostname or "unknown"
    except ValueError:  # in a damaged record
        return "unknown"
