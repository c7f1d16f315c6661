"""What ends, and what is renewed, on each of the coming days."""

import math
from dataclasses import dataclass
from urllib.parse import urlsplit

from issuer.domain import DAY_SECONDS, Due, Index, Listing
from issuer.ports import CertificateAuthority, Services

DAYS = 60
"""So many days are in the histograms, today included."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many orders a day a CA allows. by: its host."""

    by: str
    a_day: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """How much falls on each of the coming days (UTC). start: the beginning of today. before: what is overdue, or has
    ended, beside these. later: what comes after these days."""

    start: float
    days: tuple[int, ...]
    before: int
    later: int
    limits: tuple[Limit, ...]


def expiries(services: Services) -> Histogram:
    """How many certificates end on each of the coming days."""
    return _histogram(services, (Listing.EXPIRY, ""))


def renewals(services: Services) -> Histogram:
    """How many renewals start on each of the coming days. before: those that are due, or open."""
    return _histogram(services, (Due.RENEWAL_START, ""))


def _histogram(services: Services, index: Index) -> Histogram:
    now = services.clock()
    today = now // DAY_SECONDS * DAY_SECONDS
    ends = [today + day * DAY_SECONDS for day in range(1, DAYS + 1)]
    before, *days, later = services.store.count_between(index, [-math.inf, now, *ends, math.inf])
    return Histogram(today, tuple(days), before, later, _limits(services))


def _limits(services: Services) -> tuple[Limit, ...]:
    """How many orders a day each CA allows our account, as far as that is known."""
    return tuple(Limit(host(ca.directory_url), a_day) for ca in services.cas if (a_day := orders_a_day(ca)))


def orders_a_day(ca: CertificateAuthority) -> int | None:
    """How many orders a day a CA allows our account; None if no limit is known."""
    rate = ca.policy.limits.new_orders
    return int(rate[0] * DAY_SECONDS / rate[1]) if rate else None


def host(directory_url: str) -> str:
    """The host of a CA, for people."""
    return urlsplit(directory_url).hostname or directory_url
