"""The end of the platform's own faults: names that wait for one go on within a minute, and not by their backoff.

Of the names that wait for a fault of one kind, one is looked at again, as cheaply as can be: no CA is asked to validate
anything. If the fault is over for it, all of that kind are woken, at a pace. Faults of CAs end by `recovery`.

What the CA alone can see, whether it reaches our edges, one name must try, within the CA's limits. Its success wakes
the others (`outcomes` records both).
"""

import random
from collections.abc import Callable
from contextlib import suppress

from issuer.actions.stored_keys import require_decryptable
from issuer.authorities import limits, permission, recovery
from issuer.domain import Domain, Listing, Record
from issuer.edge import ownership, port80
from issuer.events import EventType
from issuer.ports import Quota, Services, Verdict
from issuer.ports.limits import PORT_80
from issuer.problem import TABLE, Actor, Problem, ProblemType

PAGE = 100
PAGES = 10
"""So many pages of names are looked through in one scan."""
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
LOOKS = 2
"""So many names are looked at before a fault is taken to last: they may have different ones of the same kind."""
TRIED = ProblemType.CA_CANNOT_CONNECT
TRIAL_SECONDS = 45
"""How often one name tries whether the CA reaches our edges again."""
SETTLED_SECONDS = 20
"""A name that was put off less long ago is left alone: another process, with other settings, may still be wrong."""


def watch(services: Services) -> int:
    """Wake names whose CA may be back, or for which a fault of the platform's own is over. Returns how many."""
    return recovery.watch_cas(services) + wake_repaired(services)


def wake_repaired(services: Services) -> int:
    """Wake names that wait for the end of a fault of the platform's own which is over. Returns how many."""
    waiting = _waiting(services)
    pace = Quota("wake:repaired", 1 / recovery.WOKEN_PER_SECOND, recovery.WOKEN_AT_ONCE)
    woken = 0
    for family, records in waiting.items():
        if family is TRIED:
            woken += _try_one(services, records)
            continue
        if not any(_is_over(services, family, record) for record in records[:LOOKS]):
            continue
        for record in records:
            if family is ProblemType.VALIDATION_FAILED and not _is_over(services, family, record):
                break  # a vain attempt costs one of the failures that the CA allows
            if not services.limits.use(pace, now=services.clock()):
                return woken
            woken += recovery.wake(services, record.domain.name, lambda held: _family(services, held) is not None)
    return woken


def _waiting(services: Services) -> dict[ProblemType, list[Record]]:
    """Names that wait for the end of such faults, by the kind of fault, in random order."""
    waiting: dict[ProblemType, list[Record]] = {}
    count = services.store.count_of(Listing.MUST_ACT, Actor.PLATFORM)
    after = random.choice(LETTERS) if count > PAGE * PAGES else ""  # noqa: S311 - spreads work, hides nothing
    for _ in range(PAGES if count else 0):
        names = services.store.names_of(Listing.MUST_ACT, Actor.PLATFORM, after=after, limit=PAGE)
        for record in services.store.records(names):
            family = _family(services, record) if isinstance(record, Record) else None
            if family and isinstance(record, Record):
                waiting.setdefault(family, []).append(record)
        if len(names) < PAGE:
            break
        after = names[-1]
    for records in waiting.values():
        random.shuffle(records)
    return waiting


def _family(services: Services, record: Record) -> ProblemType | None:
    """The kind of fault for whose end a record waits; None if it waits for none, or has just failed."""
    issuance, now, problem = record.issuance, services.clock(), record.issuance.problem
    if not issuance.is_open or problem is None or problem.actor is not Actor.PLATFORM:
        return None
    is_put_off = (issuance.next_try_at or 0) > now and recovery.failed_at(record, now) <= now - SETTLED_SECONDS
    is_asked_to_wait = (problem.retry_at or 0) > now
    is_kind = problem.type in IS_OVER or problem.type is TRIED
    family = problem.type if is_kind else TABLE[problem.type].stored_as or problem.type
    return family if (family in IS_OVER or is_kind) and is_put_off and not is_asked_to_wait else None


def _try_one(services: Services, records: list[Record]) -> int:
    """Let one name try whether the CA reaches our edges; once one has succeeded, all go on that had failed before."""
    now = services.clock()
    if back := services.limits.return_of(PORT_80):
        if now >= back.at + TRIAL_SECONDS:
            services.limits.keep_place(PORT_80, back, "")
        failed_before = [each for each in records if recovery.failed_at(each, now) <= back.at]
        pace = Quota("wake:repaired", 1 / recovery.WOKEN_PER_SECOND, recovery.WOKEN_AT_ONCE)
        return sum(_wake_tried(services, each) for each in failed_before if services.limits.use(pace, now=now))
    able = [each for each in records if limits.has_room_for_trial(services, each.domain)]
    trial = Quota(f"trial:{TRIED}", TRIAL_SECONDS, 1)
    return _wake_tried(services, able[0]) if able and services.limits.use(trial, now=now) else 0


def _wake_tried(services: Services, record: Record) -> bool:
    return recovery.wake(services, record.domain.name, lambda held: _family(services, held) is TRIED)


def _is_over(services: Services, family: ProblemType, record: Record) -> bool:
    with suppress(Problem):
        return IS_OVER[family](services, record.domain, record)
    return False


def _is_read(services: Services, domain: Domain, _: Record) -> bool:
    """Whether DNS answers for the name and, where that is for our target to say, for its CAA records."""
    had_certificate = domain.certificate is not None
    finding = ownership.points_here(services, domain.name, domain.account, had_certificate=had_certificate)
    looks = [permission.look_without_request(services, domain.name, ca) for ca in services.cas]
    return finding.verdict is not Verdict.UNKNOWN and all(look is None or look.fault is None for look in looks)


def _edges_answer(services: Services, domain: Domain, _: Record) -> bool:
    found = port80.looks(services, domain.name)
    return any(finding.verdict is Verdict.YES for _, finding in found) and not port80.failures(found)


def _points_here(services: Services, domain: Domain, _: Record) -> bool:
    had_certificate = domain.certificate is not None
    finding = ownership.points_here(services, domain.name, domain.account, had_certificate=had_certificate)
    return finding.verdict is Verdict.YES


def _caa_allows(services: Services, domain: Domain, _: Record) -> bool:
    cas = [ca for ca in services.cas if domain.ca in {None, "", ca.directory_url}]
    findings = (services.resolver.caa(domain.name, ca.caa_identities(), ca.account_url()) for ca in cas)
    return any(finding.verdict is Verdict.YES for finding in findings)


def _arrives(services: Services, domain: Domain, record: Record) -> bool:
    looks = [dict(event.data) for event in record.timeline if event.type == EventType.CHALLENGE_CHECKED]
    if looks and looks[-1].get("verdict") == Verdict.YES.value:
        return False
    return services.probe.arrives_here(domain.name, within_name=False).verdict is Verdict.YES


def _opens(services: Services, _: Domain, __: Record) -> bool:
    require_decryptable(services)
    return True


IS_OVER: dict[ProblemType, Callable[[Services, Domain, Record], bool]] = {
    ProblemType.DNS_UNKNOWN: _is_read,
    ProblemType.EDGE_UNREACHABLE: _edges_answer,
    ProblemType.INVALID_CNAME: _points_here,
    ProblemType.CAA: _caa_allows,
    ProblemType.VALIDATION_FAILED: _arrives,
    ProblemType.UNDECRYPTABLE: _opens,
}
"""How each kind of fault is looked at. A type of problem that is stored as another one is of that kind."""
