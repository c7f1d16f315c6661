"""What stops domains, who must act, and when it goes on."""

from collections.abc import Sequence
from dataclasses import dataclass

from issuer.actions.overview.fleet import faults
from issuer.domain import DAY_SECONDS, Listing, Record, Step
from issuer.ports import DamagedRecord, Services
from issuer.problem import TABLE, Actor, Problem, ProblemType

SAMPLE = 10
"""So many names with one code are looked at, to say what was found and who must act."""
SOON_DAYS = 7
"""A certificate that ends within this time, and whose renewal fails, is shown by name."""
MOST = 20


@dataclass(frozen=True, slots=True)
class Need:
    """Something that is wrong, and who must act.

    code: of the problem, or of the check. must_act: who must end it. cause: what was found, in general if it is not the
    same for all. hint: what the one who must act can do, for the first of the examples. is_same: it is so for all.
    subject, since: of a check: what is wrong, such as a queue, and since when (epoch seconds), if that is known.
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
    account: str
    not_after: float
    problem: Problem
    next_attempt_at: float | None


def needs(services: Services) -> list[Need]:
    """What is wrong with the fleet, and all causes that stop domains: those first that the platform must act on, then
    those of owners, then those that pass by themselves; of each, those with the most domains first."""
    checks = [
        Need(check.code, check.must_act, check.cause, check.hint, subject=check.subject, since=check.since)
        for check in faults(services)
    ]
    counts = services.store.count_domains(services.clock(), within=(), cas=()).by_code
    found = [need for code, count in counts.items() if count for need in _needs_of(services, code, count)]
    order = [Actor.PLATFORM, Actor.OWNER, Actor.NOBODY]
    by_weight = sorted(found, key=lambda need: (-need.names, need.code))
    return sorted([*checks, *by_weight], key=lambda need: order.index(need.must_act))


def ending(services: Services) -> list[Ending]:
    """Certificates that end within a week, or have ended within a day, and whose renewal has failed so far; the first
    ones that end."""
    now = services.clock()
    end = now + SOON_DAYS * DAY_SECONDS
    pairs = services.store.names_between((Listing.AT_RISK, ""), now - DAY_SECONDS, end, limit=MOST)
    records = services.store.records([name for _, name in pairs])
    return [_ending(record) for record in records if isinstance(record, Record) and _problem(record)]


def _needs_of(services: Services, code: str, count: int) -> list[Need]:
    """The causes behind one code: more than one if different people must act."""
    names = services.store.names_of(Listing.CODE, code, after="", limit=SAMPLE)
    groups: dict[Actor, list[Record | DamagedRecord]] = {}
    for record in services.store.records(names):
        if (problem := _problem(record)) and problem.type.value == code:
            groups.setdefault(problem.actor, []).append(record)
    is_one = len(groups) == 1
    return [
        _need(code, actor, records, count if is_one else len(records), is_exact=is_one or count <= SAMPLE)
        for actor, records in groups.items()
    ]


def _need(code: str, actor: Actor, records: Sequence[Record | DamagedRecord], names: int, *, is_exact: bool) -> Need:
    problems = [problem for record in records if (problem := _problem(record))]
    is_same = len({(problem.cause, problem.hint) for problem in problems}) == 1
    times = [at for record in records if isinstance(record, Record) and (at := next_attempt_at(record)) is not None]
    return Need(
        code,
        actor,
        cause=problems[0].cause if is_same else TABLE[problems[0].type].message,
        hint=problems[0].hint,
        is_same=is_same,
        names=names,
        is_exact=is_exact,
        examples=tuple(_name(record) for record in records[:3]),
        next_attempt_at=min(times, default=None),
    )


def _problem(record: Record | DamagedRecord) -> Problem | None:
    """What stops a domain."""
    if isinstance(record, DamagedRecord):
        return Problem(ProblemType.DAMAGED_RECORD, record.reason)
    return record.issuance.problem if record.issuance.step is not Step.DONE else None


def _name(record: Record | DamagedRecord) -> str:
    return record.name if isinstance(record, DamagedRecord) else record.domain.name


def next_attempt_at(record: Record) -> float | None:
    """When a domain is tried next by itself (epoch seconds, 0: as soon as its turn comes); None: not planned."""
    return (record.issuance.next_try_at or 0) if record.issuance.is_open else record.renewal_start_at


def _ending(record: Record) -> Ending:
    domain, problem = record.domain, record.issuance.problem
    assert domain.certificate
    assert problem
    return Ending(domain.name, domain.account, domain.certificate.not_after, problem, next_attempt_at(record))
