"""Domains by several facts at once: the shortest index that has them all is walked, and its names are filtered.

It is walked from page to page until one has a name that fits, or many have been looked at. So a page may have fewer
names than were asked for, or none, although there are more: `Found` says how many were looked at.
"""

import math
from dataclasses import dataclass

from issuer.actions import accounts
from issuer.actions.listing import Page, by_expiry, by_fact, by_next_try
from issuer.domain import PROCESSING_WITHIN_SECONDS, URGENT_SECONDS, Listing, Record, Status, Step, must_act, status
from issuer.fleet.attention import OVERDUE_SECONDS, Attention
from issuer.ports import DamagedRecord, Services
from issuer.problem import TABLE, Actor, Problem, ProblemType

MAX_SEEN = 10_000
"""After so many names, a page ends even if none of them fits."""
DAMAGED = ProblemType.DAMAGED_RECORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What domains must have; what is empty or None does not matter. account: its id. ca: the directory URL of the CA
    of the certificate. code, must_act: of the last problem. ends_from, ends_until: the certificate's notAfter lies
    between these (epoch seconds)."""

    account: str = ""
    ca: str = ""
    code: str = ""
    must_act: Actor | None = None
    status: Status | None = None
    ends_from: float = -math.inf
    ends_until: float = math.inf

    @property
    def has_end(self) -> bool:
        """Whether the end of the certificate matters."""
        return (self.ends_from, self.ends_until) != (-math.inf, math.inf)

    @property
    def is_all(self) -> bool:
        """Whether every domain fits."""
        return self == Wanted()


@dataclass(frozen=True, slots=True)
class Found:
    """A page of domains that fit. seen: how many were looked at for it. next: the `after` of the next page; empty if
    there are no more."""

    records: list[Record | DamagedRecord]
    seen: int
    next: str


@dataclass(frozen=True, slots=True)
class _Walk:
    """An index, or a part of it: the names whose score lies between since and until."""

    listing: Listing
    value: str = ""
    since: float = -math.inf
    until: float = math.inf

    def page(self, services: Services, after: str, limit: int) -> Page:
        if self.listing in {Listing.EXPIRY, Listing.AT_RISK}:
            is_at_risk = self.listing is Listing.AT_RISK
            return by_expiry(
                services, since=self.since, until=self.until, after=after, limit=limit, is_at_risk=is_at_risk
            )
        if self.listing is Listing.OPEN:
            return by_next_try(services, until=self.until, after=after, limit=limit)
        return by_fact(services, self.listing, self.value, after=after, limit=limit)


DAMAGED_RECORDS = _Walk(Listing.CODE, DAMAGED.value)


def find(services: Services, wanted: Wanted, *, after: str = "", limit: int = 100) -> Found:
    """A page of the domains that fit. Raises Problem(invalid-request) if nothing is wanted, for an `after` that no page
    has returned, or for a CA of which nothing is known, and Problem(not-found) for an unknown account."""
    walks, position = _begun(services, wanted, after)
    seen = 0
    while True:
        page = walks[0].page(services, position, limit)
        seen += len(page.records)
        records = [one for one in page.records if _fits(services, one, wanted, walks[0])]
        position = page.next
        if not position:
            walks = tuple(walk for walk in walks[1:] if _size(services, walk))
        if not walks:
            if not seen and not after:
                _require_known(services, wanted)
            return Found(records, seen, "")
        if records or seen >= MAX_SEEN:
            return Found(records, seen, f"{walks[0].listing} {position}")


def _require_known(services: Services, wanted: Wanted) -> None:
    """Raise Problem for an account or a CA that is mistyped, where nothing is found."""
    if wanted.account:
        accounts.by_id(services, wanted.account)
    if wanted.ca and services.ca_at(wanted.ca) is None:
        known = ", ".join(ca.directory_url for ca in services.cas)
        message = f"{wanted.ca[:200]!a} is not one of the CAs in use, and there is no certificate of it"
        raise Problem(ProblemType.INVALID_REQUEST, message=message, hint=f"name one of: {known}")


def _begun(services: Services, wanted: Wanted, after: str) -> tuple[tuple[_Walk, ...], str]:
    """The indexes to walk, one after the other, and the position in the first of them."""
    choices = _choices(services, wanted, services.clock())
    if not choices:
        raise Problem(ProblemType.INVALID_REQUEST, "nothing is said of the domains to find")
    if not after:
        return min(choices, key=lambda walks: sum(_size(services, walk) for walk in walks)), ""
    begun, _, position = after.partition(" ")
    for walks in choices:
        for number, walk in enumerate(walks):
            if walk.listing.value == begun:
                return walks[number:], position
    raise Problem(ProblemType.INVALID_REQUEST, f"{after[:80]!a} is not a position in this list")


def _choices(services: Services, wanted: Wanted, now: float) -> list[tuple[_Walk, ...]]:
    """The ways to walk through all domains that may fit."""
    choices: list[tuple[_Walk, ...]] = []
    if wanted.code:
        choices.append((_walk_of(wanted.code, now),))
    if wanted.account:
        choices.append((_Walk(Listing.ACCOUNT, wanted.account),))
    if wanted.ca:
        choices.append((_Walk(Listing.CA, wanted.ca),))
    if wanted.has_end:
        choices.append((_Walk(Listing.EXPIRY, since=wanted.ends_from, until=wanted.ends_until),))
    match wanted.status:
        case Status.ACTIVE:
            choices.append((_Walk(Listing.EXPIRY, since=now),))
        case Status.EXPIRED:
            choices.append((_Walk(Listing.EXPIRY, until=now),))
        case Status.PROCESSING:
            choices.append((_Walk(Listing.OPEN, until=now + PROCESSING_WITHIN_SECONDS),))
        case Status.ERROR:
            choices.append((_Walk(Listing.FAILED), _Walk(Listing.OPEN), DAMAGED_RECORDS))
    if wanted.must_act:
        choices.append(_walks_of(services, wanted.must_act, now))
    return choices


def _walk_of(code: str, now: float) -> _Walk:
    """All domains whose problem may have a code: two are told of open issuances, and stored nowhere."""
    if code == ProblemType.NOT_WORKED_ON:
        return _Walk(Listing.OPEN, until=now - OVERDUE_SECONDS)
    return _Walk(Listing.OPEN, until=now) if code == ProblemType.QUEUED else _Walk(Listing.CODE, code)


def _walks_of(services: Services, actor: Actor, now: float) -> tuple[_Walk, ...]:
    """All domains with a problem that somebody must end. While nobody works on some, the platform must, whatever their
    stored problem is."""
    if actor is not Actor.PLATFORM:
        return (_Walk(Listing.MUST_ACT, actor.value),)
    if Attention(services).neglected():
        return _Walk(Listing.FAILED), _Walk(Listing.OPEN), DAMAGED_RECORDS
    return _Walk(Listing.MUST_ACT, actor.value), _Walk(Listing.AT_RISK, until=now + URGENT_SECONDS), DAMAGED_RECORDS


def _size(services: Services, walk: _Walk) -> int:
    return services.store.count_of(walk.listing, walk.value, since=walk.since, until=walk.until)


def _fits(services: Services, record: Record | DamagedRecord, wanted: Wanted, walk: _Walk) -> bool:
    if isinstance(record, DamagedRecord):
        return _fits_damaged(services, record, wanted, walk)
    now = services.clock()
    domain, certificate, word = record.domain, record.domain.certificate, status(record, now)
    problem = None if record.issuance.step is Step.DONE else record.issuance.problem
    return (
        not domain.is_withdrawn
        and wanted.account in {"", domain.account}
        and wanted.ca in {"", certificate.ca if certificate else None}
        and (not wanted.has_end or (certificate is not None and _ends_between(certificate.not_after, wanted)))
        and wanted.code in {"", problem.type.value if problem else None}
        and wanted.must_act in {None, must_act(record, now) if problem else ""}
        and not (walk.listing is Listing.AT_RISK and problem and problem.actor is Actor.PLATFORM)  # found before
        and wanted.status in {None, word}
    )


def _fits_damaged(services: Services, record: DamagedRecord, wanted: Wanted, walk: _Walk) -> bool:
    """Whether a damaged record fits, as far as that can be known. In an index of what has changed since, it is passed
    over."""
    if wanted.ca or wanted.has_end or wanted.status not in {None, Status.ERROR}:
        return False
    if wanted.code not in {"", DAMAGED.value} or wanted.must_act not in {None, TABLE[DAMAGED].actor}:
        return False
    if walk.listing is Listing.ACCOUNT:
        return True
    held = services.store.salvage(record.name, now=services.clock()) if wanted.account else None
    return walk == DAMAGED_RECORDS and wanted.account in {"", held.domain.account if held else ""}


def _ends_between(at: float, wanted: Wanted) -> bool:
    return wanted.ends_from <= at <= wanted.ends_until
