"""What stops domains, who must act, and when it goes on."""

from collections.abc import Sequence
from dataclasses import dataclass

from issuer.actions import finding, listing
from issuer.actions.overview.fleet import faults
from issuer.domain import DAY_SECONDS, Listing, Record, Step, must_act
from issuer.ports import DamagedRecord, Services
from issuer.problem import TABLE, Actor, Problem, ProblemType

SAMPLE = 10
"""So many names with one code are looked at, to say what was found and who must act."""
SOON_DAYS = 7
"""A certificate that ends within this time, and whose renewal fails, is shown by name."""
MOST = 20
RISK_DAYS = (1, 3, 7)


@dataclass(frozen=True, slots=True)
class Need:
    """Something that is wrong, and who must act.

    code: of the problem, or of the check. must_act: who must end it. cause: what was found, in general if it is not the
    same for all. hint: what the one who must act can do, for the first of the examples. is_same: it is so for all.
    subject, records, since: of a check: what is wrong, such as a queue, the DNS records to set, and since when it has
    been wrong (epoch seconds), if that is known.
    names: how many domains it stops; if not is_exact, at least so many; 0: it is no matter of single domains.
    examples: some of them, by name. next_attempt_at: when the first of the examples is tried again (epoch seconds, may
    be past); None: not by itself.
    """

    code: str
    must_act: Actor
    cause: str
    hint: str
    is_same: bool = True
    subject: str = ""
    records: tuple[str, ...] = ()
    since: float | None = None
    names: int = 0
    is_exact: bool = True
    examples: tuple[str, ...] = ()
    next_attempt_at: float | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """A certificate that ends soon, and whose renewal has failed so far, with the last problem. next_attempt_at: as of
    `Need`."""

    name: str
    not_after: float
    problem: Problem
    next_attempt_at: float | None


def needs(services: Services) -> list[Need]:
    """What is wrong with the fleet, and all causes that stop domains: those first that the platform must act on, then
    those of owners, then those that pass by themselves; of each, those with the most domains first."""
    checks = [
        Need(
            check.code,
            check.must_act,
            check.cause,
            check.hint,
            subject=check.subject,
            records=check.records,
            since=check.since,
        )
        for check in faults(services)
    ]
    counts = services.store.count_domains(services.clock(), within=(), cas=()).by_code
    found = [need for code, count in counts.items() if count for need in _needs_of(services, code, count)]
    found += _overdue(services)
    order = [Actor.PLATFORM, Actor.OWNER, Actor.NOBODY]
    by_weight = sorted(found, key=lambda need: (-need.names, need.code))
    return sorted([*checks, *by_weight], key=lambda need: order.index(need.must_act))


def at_risk(services: Services) -> dict[int, int]:
    """How many certificates end within so many days and have no working renewal, by the number of days."""
    within = [days * DAY_SECONDS for days in RISK_DAYS]
    return dict(
        zip(RISK_DAYS, services.store.count_domains(services.clock(), within=within, cas=()).at_risk, strict=True)
    )


def ending(services: Services) -> list[Ending]:
    """Certificates that end within a week, or have ended within a day, and whose renewal has failed so far; the first
    ones that end."""
    now = services.clock()
    end = now + SOON_DAYS * DAY_SECONDS
    pairs = services.store.names_between((Listing.AT_RISK, ""), now - DAY_SECONDS, end, limit=MOST)
    not_after = {name: at for at, name in pairs}
    stopped = _stopped(services, [name for _, name in pairs])
    return [Ending(one.name, not_after[one.name], one.problem, one.next_attempt_at) for one in stopped]


def next_attempt_at(record: Record) -> float | None:
    """When a domain is tried next by itself (epoch seconds, 0: as soon as its turn comes); None: not planned."""
    return (record.issuance.next_try_at or 0) if record.issuance.is_open else record.renewal_start_at


@dataclass(frozen=True, slots=True)
class _Stopped:
    """A domain that does not go on, and why; next_attempt_at: as of `Need`."""

    name: str
    problem: Problem
    next_attempt_at: float | None


def _stopped(services: Services, names: Sequence[str]) -> list[_Stopped]:
    """Of these domains those that are stopped, in the same order, with who must act by now."""
    now, found = services.clock(), list[_Stopped]()
    for record in services.store.records(names):
        if isinstance(record, DamagedRecord):
            found.append(_Stopped(record.name, Problem(ProblemType.DAMAGED_RECORD, record.reason), None))
        elif record.issuance.step is not Step.DONE and (problem := record.issuance.problem):
            told = problem.changed(actor=must_act(record, now) or problem.actor)
            found.append(_Stopped(record.domain.name, told, next_attempt_at(record)))
    return found


def _overdue(services: Services) -> list[Need]:
    """The domains that are overdue while nobody works on them, whatever their last problem was."""
    _, count = listing.counts_and_overdue(services)
    if not count:
        return []
    wanted = finding.Wanted(code=ProblemType.NOT_WORKED_ON.value)
    records = [one for one in finding.find(services, wanted, limit=SAMPLE).records if isinstance(one, Record)]
    stopped = [_Stopped(one.domain.name, one.issuance.problem, None) for one in records if one.issuance.problem]
    return [_need(stopped, count, is_exact=True)] if stopped else []


def _needs_of(services: Services, code: str, count: int) -> list[Need]:
    """The causes behind one code: more than one if different people must act."""
    names, groups = services.store.names_of(Listing.CODE, code, after="", limit=SAMPLE), dict[Actor, list[_Stopped]]()
    for one in _stopped(services, names):
        if one.problem.type.value == code:
            groups.setdefault(one.problem.actor, []).append(one)
    is_one = len(groups) == 1
    return [
        _need(stopped, count if is_one else len(stopped), is_exact=is_one or count <= SAMPLE)
        for stopped in groups.values()
    ]


def _need(stopped: Sequence[_Stopped], count: int, *, is_exact: bool) -> Need:
    """What stops some domains alike."""
    first = stopped[0].problem
    is_same = len({(one.problem.cause, one.problem.hint) for one in stopped}) == 1
    times = [one.next_attempt_at for one in stopped if one.next_attempt_at is not None]
    return Need(
        first.type.value,
        first.actor,
        cause=first.cause if is_same else TABLE[first.type].message,
        hint=first.hint,
        is_same=is_same,
        names=count,
        is_exact=is_exact,
        examples=tuple(one.name for one in stopped[:3]),
        next_attempt_at=min(times, default=None),
    )
