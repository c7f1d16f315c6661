"""The beat table, and the scans that it starts, which claim what is due.

A scan may run twice at once, as the store gives each name to only one caller. Names that a scan does not finish become
due again by themselves, as a claim only postpones them.

Scans that wait for other servers take turns of a few seconds: of all of them, one runs at a time in the whole fleet, so
that they never occupy more than one process of `renewals`, however slow those servers are.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from celery import Celery, Task
from celery.exceptions import SoftTimeLimitExceeded
from celery.schedules import schedule

from issuer import renewal
from issuer.actions import doctor, repairs, withdraw
from issuer.authorities import recovery, revocation
from issuer.domain import Due, Record
from issuer.edge import confirm
from issuer.fleet import endings, rechecks
from issuer.fleet.pulse import Pulse
from issuer.logs import Outage
from issuer.ports import Conflict, Services
from issuer.problem import Problem, ProblemType

BATCH = 1000
SOME = 200
"""Of issuances that nobody is waiting for: as many as the renewals that start in the same time by default. To enqueue
one takes milliseconds, during which this process delays others."""
FEW = 50
AGAIN_SECONDS = 300
"""After this time, a claim that was not finished is considered lost."""
ASK_AGAIN_SECONDS = 3600
"""The same for queries to a CA or to DNS."""
CONFIRM_AGAIN_SECONDS = 60
THREADS = 8
TURN_SECONDS = 4
"""After this time a slow scan asks for no more names, and leaves them for its next turn."""
TURN_WAIT_SECONDS = 0.3
"""How long a slow scan waits for its turn at once, as most turns are short."""
TURN_AGAIN_SECONDS = 1
"""After this time it asks again, until its message expires."""
LOCK_SECONDS = 15
"""How long the turn lasts if its process is killed. While that lives, it extends the lock."""
TURN = "lookup"
SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)
UNAVAILABLE = frozenset({ProblemType.RATE_LIMITED, ProblemType.STORE_UNAVAILABLE, ProblemType.FOREIGN_STORE})

log = structlog.get_logger(__name__)
outage = Outage("the store")


@dataclass(frozen=True, slots=True)
class Scan:
    """A beat entry. is_slow: it waits for other servers, so it has a queue of its own, and waits for its turn. rarely:
    seconds between two runs, if that is more than the settings say. has_turn: it waits for its turn, if it is slow."""

    name: str
    run: Callable[[Services], int]
    is_slow: bool = False
    rarely: float = 0
    has_turn: bool = True


def reconcile(services: Services) -> int:
    """Enqueue again every open issuance that is due, or whose lease has expired. Then give indexes to some of the
    records of an earlier release, until all have them."""

    def requeue(name: str) -> None:
        record = services.store.load(name)
        if record and record.issuance.is_open:
            services.queue.enqueue(record)

    queues = {Due.OPEN_INTERACTIVE: BATCH, Due.OPEN_BULK: SOME, Due.OPEN_RENEWAL: SOME}
    queued = sum(_each(requeue, _claim(services, queue, AGAIN_SECONDS, limit)) for queue, limit in queues.items())
    services.store.reindex(now=services.clock(), limit=SOME)
    return queued


def renew_due(services: Services) -> int:
    """Start the due renewals, the most urgent first, at the configured pace."""

    def claim_few() -> list[str]:
        # A few at a time: those that have started count when the next are claimed, here or in another scan.
        now = services.clock()
        return services.store.claim_renewals(
            now=now,
            limit=FEW,
            requeue_at=now + AGAIN_SECONDS,
            per_second=services.settings.renewals_per_second,
            at_once=services.settings.renewals_at_once,
        )

    def start(name: str) -> None:
        _resume(services, renewal.start(services, name))

    return sum(_each(start, names) for names in iter(claim_few, []))


def expire_due(services: Services) -> int:
    """Report the certificates that have expired, and those that are about to as their renewal does not work."""
    near, names = list[Record](), _claim(services, Due.EXPIRY, AGAIN_SECONDS)
    count = _each(lambda name: near.extend(renewal.report_end(services, name)), names)
    if near:
        endings.tell(services, near)
    return count


def recheck_away(services: Services) -> int:
    """Look again at the records of names that were wrong, or could not be read. One in order is tried at once."""

    def ask(name: str) -> None:
        _resume(services, rechecks.recheck(services, name))

    return _each_in_turn(services, Due.DNS_RECHECK, ASK_AGAIN_SECONDS, ask)


def refresh_renewal_info(services: Services) -> int:
    """Ask the CAs that support ARI when they want certificates to be renewed."""
    return _each_in_turn(services, Due.RENEWAL_INFO, ASK_AGAIN_SECONDS, lambda name: renewal.refresh(services, name))


def confirm_served(services: Services) -> int:
    """Ask the edges whether they serve new certificates."""
    if not services.edges:
        return 0
    return _each_in_turn(
        services, Due.EDGE_CONFIRMATION, CONFIRM_AGAIN_SECONDS, lambda name: confirm.confirm(services, name)
    )


def revoke_due(services: Services) -> int:
    """Ask CAs to revoke certificates of withdrawn names."""
    return _each_in_turn(services, Due.REVOCATION, AGAIN_SECONDS, lambda name: revocation.revoke_due(services, name))


def forget_withdrawn(services: Services) -> int:
    """Remove the records of withdrawn names whose hold is over."""
    return _each(lambda name: withdraw.remove(services, name), _claim(services, Due.REMOVAL, AGAIN_SECONDS))


pulses: dict[str, Pulse] = {}
"""When each scan last ran in this process, or in one that it has forked."""
SCANS = (
    Scan("reconcile", reconcile),
    Scan("wake_waiting", recovery.wake_waiting),
    Scan("watch_cas", repairs.watch, is_slow=True),
    Scan("renew_due", renew_due),
    Scan("expire_due", expire_due),
    Scan("recheck_away", recheck_away, is_slow=True),
    Scan("refresh_renewal_info", refresh_renewal_info, is_slow=True),
    Scan("confirm_served", confirm_served, is_slow=True),
    Scan("revoke_due", revoke_due, is_slow=True),
    Scan("forget_withdrawn", forget_withdrawn),
    # The others wait for servers that do not answer, which is what this one must tell in time. Its lock is its own.
    Scan("doctor", doctor.watch, is_slow=True, rarely=doctor.EVERY_SECONDS, has_turn=False),
)


def register(app: Celery, services: Callable[[], Services], every_seconds: float) -> None:
    """Register a task for each scan, which beat sends periodically. A message expires after one interval."""
    entries: dict[str, dict[str, object]] = {}
    for scan in SCANS:
        app.task(_body(scan, services), name=scan.name, bind=True, shared=False, max_retries=None)
        seconds = max(every_seconds, scan.rarely)
        every = schedule(seconds, nowfun=steady_now, app=app)
        entries[scan.name] = {"task": scan.name, "schedule": every, "options": {"expires": max(seconds, 1)}}
    app.conf.beat_schedule = entries


def steady_now() -> datetime:
    """The clock of beat. It is monotonic: if the system clock is set back, beat goes on."""
    return SOME_DAY + timedelta(seconds=time.monotonic())


def _body(scan: Scan, services: Callable[[], Services]) -> Callable[[Task], None]:
    pulse = pulses.setdefault(scan.name, Pulse())

    def body(task: Task) -> None:
        structlog.contextvars.clear_contextvars()
        try:
            with _turn(services()) if scan.is_slow and scan.has_turn else nullcontext(enter_result=True) as is_ours:
                if not is_ours:
                    raise task.retry(countdown=TURN_AGAIN_SECONDS)
                count = scan.run(services())
            pulse.beat(services().clock())
            if outage.is_open:
                services().servers.require_writable()
                outage.end()
        except Problem as problem:
            _report("scan failed", problem, scan=scan.name)
            return
        except SoftTimeLimitExceeded:
            log.warning("scan interrupted: its other names will be claimed again automatically", scan=scan.name)
            return
        services().counters.add_tally_later()
        if count:
            log.info("scanned", scan=scan.name, names=count)

    return body


def _report(event: str, problem: Problem, **where: str) -> None:
    """Log a problem. That the store is unavailable is one line for all scans of this process; that it is not ours, the
    store itself has logged, once."""
    if problem.type is ProblemType.STORE_UNAVAILABLE:
        outage.begin(problem.detail)
    elif problem.type is not ProblemType.FOREIGN_STORE:
        log.warning(event, problem=problem.type.value, reason=str(problem), **where)


@contextmanager
def _turn(services: Services) -> Iterator[bool]:
    """Whether it is this process' turn. If so, nobody else's begins before this one is over."""
    until, holder = time.monotonic() + TURN_WAIT_SECONDS, services.locks.take(TURN, seconds=LOCK_SECONDS)
    while holder is None and time.monotonic() < until:
        time.sleep(TURN_WAIT_SECONDS / 10)
        holder = services.locks.take(TURN, seconds=LOCK_SECONDS)
    if holder is None:
        yield False
        return
    is_over = threading.Event()

    def keep() -> None:
        while not is_over.wait(LOCK_SECONDS / 3):
            with suppress(Problem):
                services.locks.extend(TURN, holder, seconds=LOCK_SECONDS)

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield True
    finally:
        is_over.set()
        keeper.join()
        with suppress(Problem):  # then it ends by itself
            services.locks.give_back(TURN, holder)


def _claim(services: Services, due_index: Due, put_off_seconds: float, limit: int = BATCH) -> list[str]:
    now = services.clock()
    return services.store.claim(due_index, now=now, limit=limit, requeue_at=now + put_off_seconds)


def _resume(services: Services, record: Record | None) -> None:
    if record:
        services.queue.enqueue(record)


def _each_in_turn(services: Services, due_index: Due, put_off_seconds: float, work: Callable[[str], None]) -> int:
    """Claim a few names and do the work for them, again and again, as long as there are some and the turn lasts."""
    until, is_over, done = time.monotonic() + TURN_SECONDS, threading.Event(), 0
    for _ in range(0, BATCH, THREADS):
        names = _claim(services, due_index, put_off_seconds, THREADS)
        done += _each(work, names, threads=THREADS, is_over=is_over)
        if not names or is_over.is_set() or time.monotonic() >= until:
            break
    return done


def _each(
    work: Callable[[str], None], names: list[str], threads: int = 1, is_over: threading.Event | None = None
) -> int:
    """Do the work for every name. Returns for how many names it succeeded. A failure for one name does not stop the
    others, but if the store is unavailable or a rate limit is reached, the other names are left for later, and is_over
    is set."""
    is_over = is_over or threading.Event()

    def try_work(name: str) -> bool:
        if is_over.is_set():
            return False
        try:
            work(name)
        except Conflict:
            log.info("skipped: changed by another worker", domain=name)
        except Problem as problem:
            if problem.type is ProblemType.BUSY:
                log.info("skipped: leased by another worker", domain=name)
                return False
            if problem.type is not ProblemType.DAMAGED_RECORD:  # the store has reported that, once
                _report("skipped", problem, domain=name)
            if problem.type in UNAVAILABLE:
                is_over.set()
        except Exception:  # whatever is wrong with one record must not stop the others
            log.exception("skipped: failed", domain=name)
        else:
            return True
        return False

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(try_work, names))
