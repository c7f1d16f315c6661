"""The beat table, and what it starts: scans that take from an agenda what is due.

Each may run twice at once, as the store hands each name to one caller. What a scan does not get done comes back by
itself, as its names were only put off.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from celery.schedules import schedule

from issuer import confirm, pipeline, renewal, withdrawal
from issuer.domain import Agenda, Record
from issuer.ports import Conflict, Services
from issuer.problem import Problem, ProblemType

BATCH = 1000
SOME = 200
"""Of those whom nobody waits for: as many as renewals are begun meanwhile by default. To queue one costs milliseconds,
of the process that others wait for."""
FEW = 50
AGAIN_SECONDS = 300
"""How long until what was handed out is taken for lost."""
ASK_AGAIN_SECONDS = 3600
"""The same for questions to a CA and to DNS that got no answer."""
CONFIRM_AGAIN_SECONDS = 60
CONFIRM_WITHIN_SECONDS = 6
THREADS = 8
SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)
NOBODY_ANSWERS = frozenset({ProblemType.RATE_LIMITED, ProblemType.STORE_UNAVAILABLE})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Scan:
    """A beat entry. is_slow: it waits for others' servers, and must keep nobody waiting."""

    name: str
    run: Callable[[Services, Celery], int]
    is_slow: bool = False


def reconcile(services: Services, celery: Celery) -> int:
    """Queue again every open issuance whose time has come, or whose lease ran out."""

    def again(name: str) -> None:
        record = services.store.load(name)
        if record and record.issuance.is_open:
            pipeline.resume(celery, record)

    lanes = {Agenda.INTERACTIVE: BATCH, Agenda.BULK: SOME, Agenda.RENEWAL: SOME}
    return sum(_each(again, _claim(services, lane, AGAIN_SECONDS, limit)) for lane, limit in lanes.items())


def renew_due(services: Services, celery: Celery) -> int:
    """Begin the renewals whose moment has come, the most urgent first, at the pace that is set."""

    def few() -> list[str]:
        # A few at a time: what has been begun counts when the next are handed out, here or in another scan.
        now = services.clock()
        return services.store.claim_renewals(
            now=now,
            limit=FEW,
            look_again_at=now + AGAIN_SECONDS,
            per_second=services.renewals_per_second,
            at_once=services.renewals_at_once,
        )

    return sum(_each(lambda name: _resume(celery, renewal.begin(services, name)), names) for names in iter(few, []))


def expire_due(services: Services, _: Celery) -> int:
    """Report the certificates that have ended."""
    return _each(lambda name: renewal.tell_end(services, name), _claim(services, Agenda.EXPIRE, AGAIN_SECONDS))


def recheck_away(services: Services, celery: Celery) -> int:
    """Ask DNS for names that led elsewhere; those that lead here again are tried at once."""

    def ask(name: str) -> None:
        _resume(celery, renewal.recheck(services, name))

    return _each(ask, _claim(services, Agenda.AWAY, ASK_AGAIN_SECONDS), threads=THREADS)


def refresh_renewal_info(services: Services, _: Celery) -> int:
    """Ask the CA when it wants certificates to be renewed, where it has an answer to that at all."""
    names = _claim(services, Agenda.RENEWAL_INFO, ASK_AGAIN_SECONDS)
    return _each(lambda name: renewal.refresh(services, name), names, threads=THREADS)


def confirm_served(services: Services, _: Celery) -> int:
    """Ask the edges for new certificates. It is over before it is begun again, as it may wait for each of them: so it
    never holds more than one process."""
    if not services.edges:
        return 0
    until = time.monotonic() + CONFIRM_WITHIN_SECONDS

    def ask(name: str) -> None:
        if time.monotonic() < until:
            confirm.confirm(services, name)

    return _each(ask, _claim(services, Agenda.CONFIRM, CONFIRM_AGAIN_SECONDS), threads=THREADS)


def revoke_due(services: Services, _: Celery) -> int:
    """Have CAs revoke certificates of names that were given up."""
    names = _claim(services, Agenda.REVOKE, AGAIN_SECONDS)
    return _each(lambda name: withdrawal.revoke_due(services, name), names, threads=THREADS)


def forget_withdrawn(services: Services, _: Celery) -> int:
    """Remove what is left of names that were given up and are held no more."""
    return _each(lambda name: withdrawal.forget(services, name), _claim(services, Agenda.FORGET, AGAIN_SECONDS))


SCANS = (
    Scan("reconcile", reconcile),
    Scan("renew_due", renew_due),
    Scan("expire_due", expire_due),
    Scan("recheck_away", recheck_away, is_slow=True),
    Scan("refresh_renewal_info", refresh_renewal_info, is_slow=True),
    Scan("confirm_served", confirm_served, is_slow=True),
    Scan("revoke_due", revoke_due, is_slow=True),
    Scan("forget_withdrawn", forget_withdrawn),
)


def register(app: Celery, services: Callable[[], Services], every_seconds: float) -> None:
    """Make a task of each scan, and have beat send it. A message older than its own interval is dropped unread."""
    for scan in SCANS:
        app.task(_body(scan, app, services), name=scan.name, shared=False)
    every = schedule(every_seconds, nowfun=steady_now, app=app)
    app.conf.beat_schedule = {
        scan.name: {"task": scan.name, "schedule": every, "options": {"expires": max(every_seconds, 1)}}
        for scan in SCANS
    }


def steady_now() -> datetime:
    """Beat's own time, of no day: a system clock that is set back does not keep it from sending."""
    return SOME_DAY + timedelta(seconds=time.monotonic())


def _body(scan: Scan, app: Celery, services: Callable[[], Services]) -> Callable[[], None]:
    def body() -> None:
        structlog.contextvars.clear_contextvars()
        try:
            count = scan.run(services(), app)
        except Problem as problem:
            log.warning("scan not done", scan=scan.name, problem=problem.type.value, reason=str(problem))
            return
        except SoftTimeLimitExceeded:
            log.warning("scan cut short, the rest comes back by itself", scan=scan.name)
            return
        if count:
            log.info("scanned", scan=scan.name, names=count)

    return body


def _claim(services: Services, agenda: Agenda, put_off_seconds: float, limit: int = BATCH) -> list[str]:
    now = services.clock()
    return services.store.claim(agenda, now=now, limit=limit, look_again_at=now + put_off_seconds)


def _resume(celery: Celery, record: Record | None) -> None:
    if record:
        pipeline.resume(celery, record)


def _each(work: Callable[[str], None], names: list[str], threads: int = 1) -> int:
    """Do the work for every name; returns for how many it was done. What one name breaks at stops none of the others,
    but where nobody answers the rest is left for later."""
    is_over = threading.Event()

    def one(name: str) -> bool:
        if is_over.is_set():
            return False
        try:
            work(name)
        except Conflict:
            log.info("left: in other hands", domain=name)
        except Problem as problem:
            log.warning("left", domain=name, problem=problem.type.value, reason=str(problem))
            if problem.type in NOBODY_ANSWERS:
                is_over.set()
        except Exception:  # a record that can not be read, whatever is wrong with it
            log.exception("left: broken", domain=name)
        else:
            return True
        return False

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, names))
