"""Which domains are there, and how many have which status. Every page costs the same, however far it is."""

from dataclasses import dataclass
from typing import TypeVar

from issuer.domain import Listing, Record
from issuer.ports import DamagedRecord, Services, StatusCounts
from issuer.problem import Problem, ProblemType

MAX_PAGE = 1000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page:
    """Some domains, in the order of their list. next: what to ask for the page after them with; empty at the end."""

    records: list[Record | DamagedRecord]
    next: str = ""


def by_fact(services: Services, listing: Listing, value: str, *, after: str = "", limit: int = 100) -> Page:
    """Domains of an account (its id), with a certificate of a CA (its directory URL), or whose last problem has a code,
    by name. Raises Problem(invalid-request) for a listing that has no values."""
    if listing not in {Listing.ACCOUNT, Listing.CA, Listing.CODE}:
        raise Problem(ProblemType.INVALID_REQUEST, f"domains are not listed by {listing}")
    names = services.store.names_of(listing, value, after=after, limit=_bounded(limit) + 1)
    shown, is_more = _cut(names, limit)
    return Page(services.store.records(shown), shown[-1] if is_more else "")


def by_expiry(services: Services, *, until: float, after: str = "", limit: int = 100) -> Page:
    """Domains whose certificate ends until then (epoch seconds), the earliest first. Raises Problem(invalid-request)
    for an `after` that is none of ours."""
    pairs = services.store.names_by_expiry(until=until, after=_position(after), limit=_bounded(limit) + 1)
    shown, is_more = _cut(pairs, limit)
    records = services.store.records([name for _, name in shown])
    return Page(records, "{} {}".format(*shown[-1]) if is_more else "")


def counts(services: Services) -> StatusCounts:
    """How many domains have which status now."""
    return services.store.count_by_status(services.clock())


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
        return float(at), name
    except ValueError:
        raise Problem(ProblemType.INVALID_REQUEST, f"{after[:80]!a} is no position in this list") from None
