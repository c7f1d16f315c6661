"""The end of the platform's own faults: names that wait for one go on within a minute, and not by their backoff.

Of the names that wait for a fault of one kind, one is looked at again, as cheaply as can be: no CA is asked to validate
anything. If the fault is over for it, all of that kind are woken, at a pace. Faults of CAs end by `recovery`.

What the CA alone can see is not looked for: if our own look at a name was a yes when its validation failed, another yes
says nothing new.
"""

import random
from collections.abc import Callable
from contextlib import suppress

from issuer import ownership
from issuer.actions.stored_keys import require_decryptable
from issuer.authorities import recovery
from issuer.domain import Domain, Listing, Record
from issuer.events import EventType
from issuer.ports import Quota, Services, Verdict
from issuer.problem import TABLE, Actor, Problem, ProblemType

PAGE = 100
PAGES = 10
"""So many pages of names are looked through in one scan."""
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
LOOKS = 2
"""So many names are looked at before a fault is taken to last: they may have different ones of the same kind."""
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
    family = TABLE[problem.type].stored_as or problem.type
    return family if family in IS_OVER and is_put_off and not is_asked_to_wait else None


def _is_over(services: Services, family: ProblemType, record: Record) -> bool:
    with suppress(Problem):
        return IS_OVER[family](services, record.domain, record)
    return False


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
    ProblemType.DNS_UNKNOWN: _points_here,
    ProblemType.INVALID_CNAME: _points_here,
    ProblemType.CAA: _caa_allows,
    ProblemType.VALIDATION_FAILED: _arrives,
    ProblemType.UNDECRYPTABLE: _opens,
}
"""How each kind of fault is looked at. A type of problem that is stored as another one is of that kind."""
