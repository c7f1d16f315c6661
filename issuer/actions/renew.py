"""A forced renewal: the operator wants a new certificate, with a new key, in place of valid ones, because an
intermediate has been revoked or a key has leaked.

What must be renewed is marked in each record (`Domain.forced_since`), with the time when its renewal starts. From then
on it is a renewal like any other: `renew_due` starts it at the pace of the settings and within the limits of the CAs,
and the certificate in force is served until the new one is installed. The caller only marks, looks and reports. If it
is interrupted, the next call for the same selection has the same `asked_at`, so what is done is not done again.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from issuer.actions import issued_by
from issuer.domain import DAY_SECONDS, PROCESSING_WITHIN_SECONDS, Certificate, Domain, Listing, Record
from issuer.events import By, EventType
from issuer.names import known
from issuer.ports import DamagedRecord, Services
from issuer.problem import Problem, ProblemType

KEPT_SECONDS = 7 * DAY_SECONDS
"""After this time, an interrupted run is forgotten: the same call begins anew."""
PAGE = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """What to renew: `names`, or the certificates of an issuer (`issued_by`, in any of the forms of the module of that
    name), or, with neither, every certificate."""

    names: tuple[str, ...] = ()
    issued_by: str = ""

    def __str__(self) -> str:
        """For people, as options of the command."""
        if self.issued_by:
            return f"--issued-by {self.issued_by}"
        return " ".join(self.names) or "--all"


@dataclass(frozen=True, slots=True)
class Run:
    """A forced renewal of a selection. asked_at: when it began; certificates that were requested before are renewed.
    is_resumed: an earlier call began it. per_second: how many renewals may start in a second; None: as many as the
    settings allow."""

    selection: Selection
    asked_at: float
    is_resumed: bool
    per_second: float | None


@dataclass(slots=True)
class Tally:
    """What has become of the selected certificates.

    waiting: their renewal has not started yet.
    under_way: it has started.
    delayed: it has failed, and the next try is further off; the names by the code of the problem.
    marked: how many of `waiting` this look has marked.
    first_at, last_at: when the first and the last of those that wait is to start.
    skipped: records that cannot be read, and why.
    issuers: the issuers of the certificates that were looked at and not selected, each with their number.
    """

    renewed: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    delayed: dict[str, list[str]] = field(default_factory=dict)
    marked: int = 0
    first_at: float = math.inf
    last_at: float = 0
    skipped: dict[str, str] = field(default_factory=dict)
    issuers: Counter[str] = field(default_factory=Counter)

    @property
    def selected(self) -> list[str]:
        """All of the selected names."""
        delayed = [name for names in self.delayed.values() for name in names]
        return [*self.renewed, *self.waiting, *self.under_way, *delayed]

    def waits(self, name: str, at: float) -> None:
        """Count a name whose renewal is to start at `at`."""
        self.waiting.append(name)
        self.first_at, self.last_at = min(self.first_at, at), max(self.last_at, at)

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens soon."""
        return not self.waiting and not self.under_way


def begin(services: Services, selection: Selection, *, per_second: float | None = None, anew: bool = False) -> Run:
    """Begin a forced renewal, or go on with one that was interrupted, unless `anew`. Raises Problem(not-found) if one
    of the given names has no certificate: then nothing is marked."""
    names = tuple(sorted({known(name) for name in selection.names}))
    for name in names:
        record = services.store.load(name)
        if record is None or record.domain.certificate is None:
            message = "there is no certificate to renew"
            raise Problem(ProblemType.NOT_FOUND, name, message=message, hint=_instead(record, name))
    selection, now = Selection(names, selection.issued_by.strip()), services.clock()
    if anew:
        services.store.end_renewal_run(_key(services, selection))
    asked_at = services.store.renewal_run(_key(services, selection), now=now, seconds=KEPT_SECONDS)
    return Run(selection, asked_at, asked_at < now, per_second)


def end(services: Services, run: Run) -> None:
    """End a run: the next call for its selection begins anew. What is marked is renewed all the same."""
    services.store.end_renewal_run(_key(services, run.selection))


def mark(services: Services, run: Run, names: Sequence[str] | None = None) -> Iterator[Tally]:
    """Look at the selected certificates (or at those of `names`), and mark those that are neither renewed nor marked
    yet. Yields the same tally after each page; the last one is complete. May be called again at any time."""
    services.store.renewal_run(_key(services, run.selection), now=run.asked_at, seconds=KEPT_SECONDS)
    tally, seen = Tally(), set[str]()
    for page in _pages(services, run.selection) if names is None else _cut(names):
        new = [name for name in page if name not in seen]  # what is renewed meanwhile comes again, by its new expiry
        seen.update(new)
        for record in services.store.records(new):
            if isinstance(record, DamagedRecord):
                tally.skipped[record.name] = record.reason
            elif record.domain.certificate and (names is not None or _is_selected(run, record.domain, tally)):
                _count(services, run, record, record.domain.certificate, tally)
        yield tally
    yield tally


def look(services: Services, run: Run, names: Sequence[str]) -> Tally:
    """What has become of the certificates of `names`, which `mark` has found. When no more happens to them soon, all
    others are looked at again, as an issuance that was open at the beginning may have ended since."""
    *_, tally = mark(services, run, names)
    if tally.is_over:
        *_, again = mark(services, run)
        if found := set(again.selected) - set(names):
            *_, tally = mark(services, run, [*names, *sorted(found)])
    return tally


def _instead(record: Record | None, name: str) -> str:
    """What to do about a name without a certificate."""
    if record is None:
        return "'issuer list' shows the domains"
    if record.domain.is_withdrawn:
        return "it has been withdrawn; POST requests a new certificate"
    if record.issuance.is_open:
        return f"its first one has been requested; 'issuer status {name}' shows how that goes"
    return f"its first issuance has failed; 'issuer status {name}' shows why, PUT tries again"


def _key(services: Services, selection: Selection) -> str:
    """By what a call finds an earlier one for the same selection, however its issuer is spelled."""
    if not selection.issued_by:
        return str(selection)
    found = _directories(services, selection) or [issued_by.canonical(selection.issued_by)]
    return str(Selection(issued_by=" ".join(found)))


def _directories(services: Services, selection: Selection) -> list[str]:
    """The directory URLs of the CAs that the selection names by URL or host."""
    urls = [ca.directory_url for ca in services.cas]
    return [url for url in urls if issued_by.is_directory(url, selection.issued_by)]


def _is_selected(run: Run, domain: Domain, tally: Tally) -> bool:
    """Whether a domain is one of this run: by its certificate, or as it has been marked before and is renewed now."""
    certificate, wanted = domain.certificate, run.selection.issued_by
    assert certificate
    if not wanted or domain.forced_since == run.asked_at or issued_by.is_issued_by(certificate, wanted):
        return True
    tally.issuers[issued_by.issuer_of(certificate)] += 1
    return False


def _count(services: Services, run: Run, record: Record, certificate: Certificate, tally: Tally) -> None:
    domain, now = record.domain, services.clock()
    if not certificate.is_from_before(run.asked_at):
        tally.renewed.append(domain.name)
    elif (domain.forced_since or 0) < run.asked_at:
        _mark(services, run, domain.name, tally, now)
    elif domain.forced_at is not None:
        tally.waits(domain.name, domain.forced_at)
    elif _is_delayed(record, now):
        problem = record.issuance.problem
        tally.delayed.setdefault(problem.type.value if problem else "", []).append(domain.name)
    else:
        tally.under_way.append(domain.name)


def _mark(services: Services, run: Run, name: str, tally: Tally, now: float) -> None:
    """Mark a record, with the next free time of the run, but not after the renewal that is planned anyway."""
    free_at = tally.last_at + 1 / run.per_second if run.per_second and tally.last_at else now
    at = now

    def change(record: Record | None) -> Record | None:
        certificate = record.domain.certificate if record else None
        if record is None or certificate is None or not certificate.is_from_before(run.asked_at):
            return None
        if (record.domain.forced_since or 0) >= run.asked_at:
            return None
        nonlocal at
        at = max(now, min(free_at, record.domain.renew_at or certificate.not_after))
        facts = {"why": "by name" if run.selection.names else str(run.selection), "at": at}
        marked = record.with_domain(forced_since=run.asked_at, forced_at=at)
        return marked.with_event(now, EventType.RENEWAL_FORCED, facts, by=By.OPERATOR)

    try:
        if services.store.update(name, change, now=now):
            tally.marked += 1
    except Problem as problem:
        if problem.type is not ProblemType.BUSY:  # a worker of an earlier release: the next look tries again
            raise
    tally.waits(name, at)


def _is_delayed(record: Record, now: float) -> bool:
    """Whether a renewal that has started is tried again, but not soon."""
    issuance = record.issuance
    at = (issuance.next_try_at or now) if issuance.is_open else record.renewal_start_at
    return at is None or at > now + PROCESSING_WITHIN_SECONDS


def _pages(services: Services, selection: Selection) -> Iterator[Sequence[str]]:
    """The names of all certificates that may be selected: by the index of their CA, if that has any."""
    if selection.names:
        yield from _cut(selection.names)
        return
    is_found = False
    for url in _directories(services, selection):
        name = ""
        while names := services.store.names_of(Listing.CA, url, after=name, limit=PAGE):
            yield names
            name, is_found = names[-1], True
    last: tuple[float, str] | None = None
    while not is_found and (pairs := services.store.names_by_expiry(until=math.inf, after=last, limit=PAGE)):
        yield [name for _, name in pairs]
        last = pairs[-1]


def _cut(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + PAGE] for start in range(0, len(names), PAGE))
