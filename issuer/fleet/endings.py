"""An alarm before the end: certificates that end soon, and whose renewal does not work.

`renewal.report_end` finds each of them once at each threshold, and lists it by its reason until it is renewed. Here all
with one reason are one alarm: told at once when the first of them reaches a threshold that none has reached before, and
then every hour as long as others follow.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from issuer.domain import NOT_RENEWED, Listing, Record, ending, must_act
from issuer.fleet import alarms
from issuer.fleet.heartbeats import instant
from issuer.ports import Check, CheckResult, EndingGroup, Services
from issuer.problem import Actor

CODE = "certificates-end"
"""The code of the check; its subject is the reason."""
EVENT, END_EVENT = (
    "certificates end without a working renewal",
    "no certificate is about to end for this reason any more",
)
AGAIN_SECONDS = 3600
LOCK, LOCK_SECONDS = "endings", 30
LOCK_TRIES, LOCK_WAIT_SECONDS = 20, 0.05
"""It is held for milliseconds."""
SHOWN = 5
NOT_STARTED = "their renewal has not been started, or does not go on"
HINT = "see whether `issuer run beat` and `issuer run renewals` run, and the log of both"
URGENT_HINT = "renewals have not worked for so long that you must act: see to the reason, or let another CA issue"


def tell(services: Services, found: Sequence[Record] = ()) -> None:
    """Tell of certificates that end, if there is news. found: those that have reached a threshold just now. Raises
    Problem(store-unavailable)."""
    known = {group.code: group for group in services.alarms.endings()}
    if not found and not known:
        return
    holder = services.locks.take(LOCK, seconds=LOCK_SECONDS)
    for _ in range(LOCK_TRIES):
        if holder is None:
            time.sleep(LOCK_WAIT_SECONDS)
            holder = services.locks.take(LOCK, seconds=LOCK_SECONDS)
    if holder is None:
        return  # the index counts these, and the next alarm tells of them
    try:
        by_code = defaultdict(list)
        for record in found:
            by_code[record.ending_code].append(record)
        for code in {*known, *by_code}:
            _tell_group(services, code, known.get(code), by_code.get(code, []))
    finally:
        services.locks.give_back(LOCK, holder)


def checks(services: Services) -> list[Check]:
    """Whether there are certificates that end without a working renewal: a failed check for each reason. Raises
    Problem(store-unavailable)."""
    groups = services.alarms.endings()
    if not groups:
        return [Check(CODE, CheckResult.OK, "no certificate is known to end without a working renewal")]
    return [_check(group, _count(services, group.code)) for group in groups]


def _count(services: Services, code: str) -> int:
    """How many valid certificates are listed for a reason."""
    return services.store.count_of(Listing.ENDING, code, since=services.clock())


def _tell_group(services: Services, code: str, known: EndingGroup | None, found: Sequence[Record]) -> None:
    now, number = services.clock(), _count(services, code)
    if not number:
        if known:
            services.alarms.drop_ending(code)
            alarms.tell_end(services, _check(known, 0), END_EVENT)
        return
    group = _with_found(services, code, known, found)
    is_nearer = known is None or group.days < known.days
    if is_nearer or (group.untold and not 0 <= now - group.told_at < AGAIN_SECONDS):
        alarms.tell_begin(services, _check(group, number), EVENT)
        group = replace(group, told_at=now, untold=0)
    if group != known:
        services.alarms.keep_ending(group)


def _with_found(services: Services, code: str, known: EndingGroup | None, found: Sequence[Record]) -> EndingGroup:
    """The group with those that were found just now: the words are those of the nearest one."""
    now = services.clock()
    if not found:
        assert known
        return known
    nearest = min(found, key=_not_after)
    is_first = known is None or _not_after(nearest) <= known.first_at or known.first_at < now
    cause, hint, actor = _reason(nearest, now)
    names = [record.domain.name for record in sorted(found, key=_not_after)]
    fresh = EndingGroup(
        code,
        since=known.since if known else now,
        told_at=known.told_at if known else now,
        days=min(record.domain.warned_days or max(ending.WARN_DAYS) for record in found),
        untold=len(found) + (known.untold if known else 0),
        first_at=_not_after(nearest),
        names=tuple(dict.fromkeys((*names, *(known.names if known else ()))))[:SHOWN],
        cause=cause,
        hint=hint,
        must_act=actor,
    )
    if known is None:
        return fresh
    days = min(known.days, fresh.days)
    return replace(fresh, days=days) if is_first else replace(known, untold=fresh.untold, days=days)


def _reason(record: Record, now: float) -> tuple[str, str, Actor]:
    """Cause, hint, and who must act."""
    problem = record.issuance.problem
    if problem is None or record.ending_code == NOT_RENEWED:
        return NOT_STARTED, HINT, Actor.PLATFORM
    actor = must_act(record, now) or problem.actor
    hint = URGENT_HINT if actor is not problem.actor else problem.hint
    return ": ".join(dict.fromkeys(part for part in (problem.cause, problem.detail) if part)), hint, actor


def _check(group: EndingGroup, number: int) -> Check:
    many = f"{number:,} certificates end" if number != 1 else "1 certificate ends"
    more = ", …" if number > len(group.names) else ""
    first = f"the first at {instant(group.first_at)} ({', '.join(group.names)}{more})"
    cause = f"{many} without a working renewal, {first}: {group.cause}"
    result = CheckResult.FAILED
    return Check(CODE, result, cause, group.code, group.hint, group.must_act, since=group.since)


def _not_after(record: Record) -> float:
    assert record.domain.certificate
    return record.domain.certificate.not_after
