"""The return of a CA that was away, for all that wait for it.

During a cooldown, `watch_cas` looks whether the CA answers again. If so, the cooldown ends, and one name that waits is
woken to try the CA. Its success ends the cooldown for good (`health`), and `wake_waiting` wakes the others at a pace,
whatever they wait for: the end of the cooldown, or the next try after a failure. So it is whether the CA was away, or
the operator had to mend something: an account, a setting. A try that failed for want of the CA is taken back, so that a
CA that comes and goes uses up nobody's tries.

A name that waits for a CA although none of its CAs has a cooldown is woken as well: since it was put off, the operator
has set another CA.

To wake a name is to make it due now. That may be done twice: a name that is due already, or has failed again since the
CA's return, is left alone. How far the waking has come is noted after every page of names, so it can be interrupted.
"""

import random
from collections.abc import Callable

import structlog

from issuer.authorities import health, selection
from issuer.backoff import clamp
from issuer.domain import Listing, Record
from issuer.events import EventType
from issuer.ports import CaReturn, CertificateAuthority, Quota, Services
from issuer.problem import Problem, ProblemType

WAITS = (ProblemType.CA_RESTS, ProblemType.CA_UNAVAILABLE, ProblemType.CA_ACCOUNT, ProblemType.CA_SETTINGS)
"""The problems of names that wait for a CA to be available."""
WITH_COOLDOWN = frozenset({ProblemType.CA_RESTS, ProblemType.CA_SETTINGS})
"""Those that no name has unless its CA has a cooldown."""
FIRST_PLACE = WAITS[0].value
SHORTEST_TRIAL_PAUSE, LONGEST_TRIAL_PAUSE, TRIAL_PAUSE_SHARE = 8, 35, 1 / 20
"""If the CA can be reached and fails all the same, it is not tried again sooner than this after its last failure: some
seconds, as a share of the time for which it has failed. With the time between two scans it is less than a minute."""
WOKEN_PER_SECOND, WOKEN_AT_ONCE = 20, 200
PAGE = 100
MAX_PAGES = 50
"""So many pages of names are looked through in one scan."""
REQUEUE_SECONDS = 10
"""After this time, the message for a woken name is considered lost."""
SETTLED_SECONDS = 30
"""So long after the return, names are looked through again: their workers may have been about to save them."""
STRANDED_SECONDS, STRANDED_PAGES = 15, 10
"""A name that was put off less long ago is not taken for one that waits for nothing."""

log = structlog.get_logger(__name__)


def watch_cas(services: Services) -> int:
    """Look at the CAs in cooldown. Returns how many names were woken: to try one, or as they wait for none."""
    return sum(_watch(services, ca) for ca in services.cas) + _wake_stranded(services)


def try_soon(services: Services, ca: CertificateAuthority) -> None:
    """Let the next `watch_cas` try a CA that has a cooldown, as the operator has mended something."""
    cooldown = services.limits.cooldown(ca.directory_url)
    if cooldown and not cooldown.is_fixed and not cooldown.is_trial:
        services.limits.end_cooldown(ca.directory_url, cooldown, now=services.clock())


def wake_waiting(services: Services) -> int:
    """Wake names that wait for a CA that has returned. Returns how many."""
    returns = [(ca, services.limits.return_of(ca.directory_url)) for ca in services.cas]
    return sum(_wake_all(services, ca, back) for ca, back in returns if back)


def _watch(services: Services, ca: CertificateAuthority) -> bool:
    cooldown, now = services.limits.cooldown(ca.directory_url), services.clock()
    if cooldown is None:
        return False
    if cooldown.until > now:
        pause = clamp((now - cooldown.since) * TRIAL_PAUSE_SHARE, SHORTEST_TRIAL_PAUSE, LONGEST_TRIAL_PAUSE)
        is_early = cooldown.failed_at <= now < cooldown.failed_at + pause  # a later failure: the clock was set back
        if cooldown.is_trial or cooldown.is_fixed or is_early or not ca.is_reachable():
            return False
        if not services.limits.end_cooldown(ca.directory_url, cooldown, now=services.clock()):
            return False
    return _wake_one(services, ca)


def _wake_one(services: Services, ca: CertificateAuthority) -> bool:
    """Wake one of the names that wait for a CA, picked at random, so that no name bears all trials."""
    for code in WAITS:
        after = ""
        for _ in range(MAX_PAGES):
            names = services.store.names_of(Listing.CODE, code.value, after=after, limit=PAGE)
            waiting = _waiting(services, ca, names, services.clock())
            random.shuffle(waiting)
            if any(_wake_for(services, ca, record, services.clock()) for record in waiting):
                return True
            if len(names) < PAGE:
                break
            after = names[-1]
    return False


def _wake_all(services: Services, ca: CertificateAuthority, back: CaReturn) -> int:
    """Wake the names that waited when the CA returned, from the noted place on, as the pace allows."""
    pace = Quota(f"wake:{ca.directory_url}", 1 / WOKEN_PER_SECOND, WOKEN_AT_ONCE)
    code, _, after = (back.place or FIRST_PLACE).partition(" ")
    woken = 0
    for _ in range(MAX_PAGES):
        names = services.store.names_of(Listing.CODE, code, after=after, limit=PAGE)
        for record in _waiting(services, ca, names, back.at):
            if not services.limits.use(pace, now=services.clock()):
                return woken
            woken += _wake_for(services, ca, record, back.at)
        place = _next_place(code, names)
        if not place and services.clock() < back.at + SETTLED_SECONDS:
            services.limits.keep_place(ca.directory_url, back, FIRST_PLACE)
            return woken
        services.limits.keep_place(ca.directory_url, back, place)
        if not place:
            return woken
        code, _, after = place.partition(" ")
    return woken


def _next_place(code: str, names: list[str]) -> str:
    """Where to go on after a page of names with a code: `code name`; empty at the end."""
    if len(names) == PAGE:
        return f"{code} {names[-1]}"
    following = WAITS[WAITS.index(ProblemType(code)) + 1 :]
    return following[0].value if following else ""


def _waiting(services: Services, ca: CertificateAuthority, names: list[str], returned_at: float) -> list[Record]:
    """Of these names, the records of those that wait for a CA."""
    records = [record for record in services.store.records(names) if isinstance(record, Record)]
    return [record for record in records if _is_waiting(services, ca, record, returned_at)]


def _is_waiting(services: Services, ca: CertificateAuthority, record: Record, returned_at: float) -> bool:
    """Whether a record waits for a CA, since before its return. An order waits for its own CA, other names for each CA
    that they may have."""
    issuance, now = record.issuance, services.clock()
    problem = issuance.problem
    if not issuance.is_open or problem is None or problem.type not in WAITS or (issuance.next_try_at or 0) <= now:
        return False
    put_off_at = failed_at(record, now)
    if problem.type is ProblemType.CA_UNAVAILABLE:
        is_asked_to_wait = (problem.retry_at or 0) > now
        if is_asked_to_wait or put_off_at >= returned_at:
            return False
    if issuance.ca is None and ca not in selection.preferred(services, record.domain):
        return False
    return issuance.ca in {None, ca.directory_url} and put_off_at <= returned_at


def _wake_stranded(services: Services) -> int:
    """Wake the names that wait for a CA, and for which no CA has a cooldown."""
    if not services.store.has_names_of(Listing.CODE, WAITS):
        return 0
    now, pace, woken = services.clock(), Quota("wake:stranded", 1 / WOKEN_PER_SECOND, WOKEN_AT_ONCE), 0
    free = {ca.directory_url for ca in services.cas if services.limits.cooldown(ca.directory_url) is None}
    for code in WAITS if free else ():
        after = ""
        for _ in range(STRANDED_PAGES):
            names = services.store.names_of(Listing.CODE, code.value, after=after, limit=PAGE)
            for record in services.store.records(names):
                if isinstance(record, Record) and _is_stranded(services, record, free):
                    if not services.limits.use(pace, now=now):
                        return woken
                    woken += wake(services, record.domain.name, lambda held: _is_stranded(services, held, free))
            if len(names) < PAGE:
                break
            after = names[-1]
    return woken


def _is_stranded(services: Services, record: Record, free: set[str]) -> bool:
    """Whether a record waits for a CA, and is not waited for by one: it has not just failed, it has no order, all its
    CAs are free, and the one that it waits for has had a cooldown or is not in use any more."""
    issuance, now, problem = record.issuance, services.clock(), record.issuance.problem
    if not issuance.is_open or problem is None or problem.type not in WAITS or (issuance.next_try_at or 0) <= now:
        return False
    if issuance.ca is not None or failed_at(record, now) > now - STRANDED_SECONDS:
        return False
    urls = {ca.directory_url for ca in selection.allowed(services, record.domain)} - set(issuance.refused_by)
    had_cooldown = problem.type in WITH_COOLDOWN or (problem.type in health.OURS and problem.retry_at is not None)
    failed_ca = _failed_ca(record)
    is_over = had_cooldown or (failed_ca is not None and services.ca_at(failed_ca) is None)
    return bool(urls) and urls <= free and is_over


def _failed_ca(record: Record) -> str | None:
    """The CA at which the issuance was last put off."""
    urls = [dict(event.data).get("ca") for event in record.timeline if event.type == EventType.ISSUANCE_RETRY_PLANNED]
    return str(urls[-1]) if urls and urls[-1] else None


def failed_at(record: Record, now: float) -> float:
    """When the issuance was last put off; 0 if that is not known, or was before the clock was set back."""
    times = [event.at for event in record.timeline if event.type == EventType.ISSUANCE_RETRY_PLANNED]
    return times[-1] if times and times[-1] <= now else 0


def _wake_for(services: Services, ca: CertificateAuthority, record: Record, returned_at: float) -> bool:
    return wake(services, record.domain.name, lambda held: _is_waiting(services, ca, held, returned_at))


def wake(services: Services, name: str, is_waiting: Callable[[Record], bool]) -> bool:
    """Make a record that waits due now, and queue it. False if it does not wait any more, or cannot be changed."""
    now = services.clock()

    def change(held: Record | None) -> Record | None:
        if held is None or not is_waiting(held):
            return None
        return held.with_issuance(held.issuance.bring_forward(now))

    try:
        woken = services.store.update(name, change, now=now, requeue_at=now + REQUEUE_SECONDS)
    except Problem as problem:
        if problem.type is ProblemType.STORE_UNAVAILABLE:
            raise
        log.info("not woken", domain=name, problem=problem.type.value)
        return False
    if woken:
        services.queue.enqueue(woken)
    return woken is not None
