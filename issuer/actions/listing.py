"""Lists of domains, and the number of domains with each status. Every page costs the same, the last one too."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from issuer.domain import WITH_VALUES, Listing, Record
from issuer.fleet.attention import OVERDUE_SECONDS, Attention
from issuer.ports import DamagedRecord, Services, StatusCounts
from issuer.problem import Problem, ProblemType

MAX_PAGE = 1000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of domains, in the order of their list. next: the `after` of the next page; empty if this is the last."""

    records: list[Record | DamagedRecord]
    next: str = ""


def by_fact(services: Services, listing: Listing, value: str, *, after: str = "", limit: int = 100) -> Page:
    """Domains of an account (value: its id), with a certificate of a CA (its directory URL), whose last problem has a
    code or must be ended by somebody, or whose last issuance has failed for good (no value), ordered by name. Raises
    Problem(invalid-request) for a listing that is ordered otherwise."""
    if listing not in WITH_VALUES | {Listing.FAILED}:
        raise Problem(ProblemType.INVALID_REQUEST, f"domains are not listed by {listing}")
    names = services.store.names_of(listing, value, after=after, limit=_bounded(limit) + 1)
    page, is_more = _cut(names, limit)
    found = [record for record in services.store.records(page) if _belongs(record, listing, value)]
    return Page(_told(services, found), page[-1] if is_more else "")


def by_expiry(
    services: Services,
    *,
    until: float,
    since: float = -math.inf,
    after: str = "",
    limit: int = 100,
    is_at_risk: bool = False,
) -> Page:
    """Domains whose notAfter is between `since` and `until` (epoch seconds), the earliest first; is_at_risk: only those
    whose renewal has failed so far. Raises Problem(invalid-request) for an `after` that no page has returned."""
    start, size = _position(after) or (None if since == -math.inf else (since, "")), _bounded(limit) + 1
    pairs = services.store.names_by_expiry(until=until, after=start, limit=size, is_at_risk=is_at_risk)
    return _page(services, pairs, limit)


def by_next_try(services: Services, *, until: float, after: str = "", limit: int = 100) -> Page:
    """Domains with an open issuance that may be tried next at `until` (epoch seconds) at the latest, those first that
    are due first. Raises Problem(invalid-request) for an `after` that no page has returned."""
    pairs = services.store.names_by_next_try(until=until, after=_position(after), limit=_bounded(limit) + 1)
    return _page(services, pairs, limit)


def counts(services: Services) -> StatusCounts:
    """The number of domains with each status now."""
    return counts_and_overdue(services)[0]


def counts_and_overdue(services: Services) -> tuple[StatusCounts, int]:
    """The number of domains with each status now; and of those that are overdue, and that nobody works on, whatever
    their status."""
    now = services.clock()
    found, queues = services.store.count_by_status(now), Attention(services).neglected()
    if not queues:
        return found, 0
    overdue, ended = services.store.count_overdue(queues, until=now - OVERDUE_SECONDS, now=now)
    not_ended = overdue - ended
    return replace(found, processing=found.processing - not_ended, error=found.error + not_ended), overdue


def _page(services: Services, pairs: list[tuple[float, str]], limit: int) -> Page:
    page, is_more = _cut(pairs, limit)
    found = records(services, [name for _, name in page])
    return Page(found, "{} {}".format(*page[-1]) if is_more else "")


def records(services: Services, names: Sequence[str]) -> list[Record | DamagedRecord]:
    """The records of these names as they are told, in the same order, without names that have no record."""
    return _told(services, services.store.records(names))


def _told(services: Services, found: Sequence[Record | DamagedRecord]) -> list[Record | DamagedRecord]:
    attention = Attention(services)
    return [record if isinstance(record, DamagedRecord) else attention.told(record) for record in found]


def _belongs(record: Record | DamagedRecord, listing: Listing, value: str) -> bool:
    """Whether a record has the fact that it is listed by: a process of an earlier release may have changed it since."""
    return isinstance(record, DamagedRecord) or (listing, value) in record.indexes(None)


def _bounded(limit: int) -> int:
    return min(max(limit, 1), MAX_PAGE)


def _cut(items: list[Item], limit: int) -> tuple[list[Item], bool]:
    size = _bounded(limit)
    return items[:size], len(items) > size


def _position(after: str) -> tuple[float, str] | None:
    if not after:
        return None
    at, _, name = after.partition(" ")
    try:
        if math.isfinite(float(at)):
            return float(at), name
        raise ValueError
    except ValueError:
        raise Problem(ProblemType.INVALID_REQUEST, f"{after[:80]!a} is not a position in this list") from None
