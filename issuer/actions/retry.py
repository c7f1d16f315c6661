"""«Repaired, go on now»: let names go on that wait for their next attempt, or whose last issuance was given up.

A name that goes on is made due, no more: then it is like any other that is due, and the limits of the CAs hold. Many
are made due one after the other, at a pace, so that a repair does not end in a storm. That a call is interrupted or
repeated does no harm: what was made due stays so, and what is due soon anyway is left as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from issuer.actions import lookup
from issuer.authorities import recovery
from issuer.domain import Issuance, Listing, Reason, Record, Step, new_issuance
from issuer.events import By, EventType
from issuer.names import known
from issuer.ports import DamagedRecord, Services
from issuer.problem import Problem, ProblemType

PAGE = 200
REQUEUE_SECONDS = 10
"""After this time, the message for a name is considered lost."""
SOON_SECONDS = 60
"""A name that is due within this time of its turn is left as it is."""
NEVER_STORED = frozenset({ProblemType.NOT_WORKED_ON.value, ProblemType.QUEUED.value})
"""What is only told of names that are due."""
WAIT_FOR_A_CA = frozenset(recovery.WAITS)


@dataclass(slots=True)
class Progress:
    """How far `retry_all` has come.

    total: how many names have the code. seen: how many of these were looked at.
    resumed: the names that go on by this call.
    left: how many go on soon anyway, or are being worked on.
    skipped: the names that cannot go on, and why.
    last_at: when the last of those that go on is due (epoch seconds).
    """

    total: int
    seen: int = 0
    resumed: list[str] = field(default_factory=list)
    left: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    last_at: float = 0

    @property
    def turn(self) -> int:
        """How many have had their turn."""
        return len(self.resumed) + self.left


def retry(services: Services, text: str, *, by: By = By.OPERATOR) -> Record:
    """Let a name go on now, also one whose record is damaged. Returns its record, which is queued. Raises
    Problem(not-found), and Problem(already-initiated) if there is nothing to go on with, or a worker is at it."""
    name, now = known(text), services.clock()
    found: Record | None = None

    def change(record: Record | None) -> Record | None:
        nonlocal found
        found = _require_waiting(record, name, now)
        return _resumed(found, now, at=now, by=by, is_bulk=False)

    try:
        saved = services.store.update(name, change, now=now, requeue_at=now + REQUEUE_SECONDS, repairs=True)
    except Problem as problem:
        if problem.type is not ProblemType.BUSY:
            raise
        raise _under_way(name) from None
    record = saved or found
    assert record
    _end_cooldowns(services, {found.issuance.problem.type if found and found.issuance.problem else None})
    services.queue.enqueue(record)
    return record


def retry_all(
    services: Services,
    code: str,
    *,
    account: str = "",
    by: By = By.OPERATOR,
    per_second: float | None = None,
    is_dry_run: bool = False,
) -> Iterator[Progress]:
    """Let all names go on whose last problem has a code; with an account: those of this account. Yields the same
    progress after each page of names; the last one is complete. per_second: how many may go on in a second; None: as
    many as renewals may start. is_dry_run: change nothing, and count. Raises Problem(invalid-request) for no code."""
    if code in NEVER_STORED:
        detail = f"domains with the code {code} wait for a process of the platform, not for a repair"
        raise Problem(ProblemType.INVALID_REQUEST, detail, hint="'issuer doctor' names it; when it runs, they go on")
    if code not in set(ProblemType):
        raise Problem(ProblemType.INVALID_REQUEST, f"{code[:60]!a} is no problem code", hint="docs/api.md has all")
    started_at, pace = services.clock(), per_second or services.settings.renewals_per_second
    progress, after = Progress(services.store.count_of(Listing.CODE, code)), ""
    if not is_dry_run:
        _end_cooldowns(services, {ProblemType(code)})
    while names := services.store.names_of(Listing.CODE, code, after=after, limit=PAGE):
        after = names[-1]
        progress.seen += len(names)
        for record in services.store.records(names):
            if _is_meant(services, record, code, account):
                at = max(services.clock(), started_at + progress.turn / pace)
                _resume(services, record, progress, at=at, by=by, is_dry_run=is_dry_run)
        yield progress
    yield progress


def _is_meant(services: Services, record: Record | DamagedRecord, code: str, account: str) -> bool:
    """Whether a record still has the code, and is of the account, if one is given."""
    if isinstance(record, DamagedRecord):
        held = services.store.salvage(record.name, now=services.clock()) if account else None
        is_meant = code == ProblemType.DAMAGED_RECORD.value
        return is_meant and (not account or (held is not None and held.domain.account == account))
    problem = record.issuance.problem
    has_code = problem is not None and problem.type.value == code and record.issuance.step is not Step.DONE
    return has_code and not record.domain.is_withdrawn and account in {"", record.domain.account}


def _resume(
    services: Services, listed: Record | DamagedRecord, progress: Progress, *, at: float, by: By, is_dry_run: bool
) -> None:
    """Make one of many names due at its turn, and count it."""
    name, now = listed.name if isinstance(listed, DamagedRecord) else listed.domain.name, services.clock()

    def change(record: Record | None) -> Record | None:
        waiting = _require_waiting(record, name, now)
        return _resumed(waiting, now, at=at, by=by, is_bulk=True)

    try:
        if is_dry_run:
            held = services.store.salvage(name, now=now) if isinstance(listed, DamagedRecord) else listed
            saved = change(held)
        else:
            saved = services.store.update(name, change, now=now, requeue_at=at, repairs=True)
    except Problem as problem:
        if problem.type is ProblemType.STORE_UNAVAILABLE:
            raise
        if problem.type in {ProblemType.BUSY, ProblemType.ALREADY_INITIATED}:
            progress.left += 1
        else:
            progress.skipped[name] = str(problem)
        return
    if saved is None:
        progress.left += 1
    else:
        progress.resumed.append(name)
        progress.last_at = at


def _require_waiting(record: Record | None, name: str, now: float) -> Record:
    """The record. Raises Problem unless it has an issuance to go on with, or one to begin anew."""
    record = lookup.require_held(record, name)
    if not record.domain.account:
        hint = f"the account that the domain belongs to must POST it again: POST /v2/x509/{name}"
        raise Problem(ProblemType.DAMAGED_RECORD, f"nobody knows whose domain {name} is", hint=hint)
    if record.issuance.is_open and record.lease_until > now:
        raise _under_way(name)
    certificate = record.domain.certificate
    if record.issuance.step is Step.DONE and certificate and certificate.is_valid(now):
        message, hint = f"{name} has a certificate, and waits for nothing", f"'issuer renew {name}' gets a new one"
        raise Problem(ProblemType.ALREADY_INITIATED, message=message, hint=hint)
    return record


def _resumed(record: Record, now: float, *, at: float, by: By, is_bulk: bool) -> Record | None:
    """The record with an issuance that is due at `at`; None if it is due soon anyway. Somebody waits for a single name;
    many must not stand in his way."""
    issuance = record.issuance
    if issuance.is_open:
        if (issuance.next_try_at or 0) <= at + (SOON_SECONDS if is_bulk else 0):
            return None
        reason = issuance.reason if is_bulk else Reason.MANUAL
        resumed = issuance.wake(at, reason)
    else:
        resumed = _anew(record.domain.name, now, at)
    resumed = replace(resumed, is_bulk=is_bulk)
    return record.with_issuance(resumed).with_event(now, EventType.ISSUANCE_RESUMED, {"at": at}, by=by)


def _anew(name: str, now: float, at: float) -> Issuance:
    issuance = new_issuance(name, Reason.MANUAL, now)
    return replace(issuance, next_try_at=at) if at > now else issuance


def _end_cooldowns(services: Services, waited_for: set[ProblemType | None]) -> None:
    """Let one caller try the CAs that are left alone, if that is what was waited for. Its success wakes the others."""
    if not waited_for & WAIT_FOR_A_CA:
        return
    for ca in services.cas:
        cooldown = services.limits.cooldown(ca.directory_url)
        if cooldown and cooldown.until > services.clock():
            services.limits.end_cooldown(ca.directory_url, cooldown, now=services.clock())


def _under_way(name: str) -> Problem:
    message, hint = f"{name} is being worked on at the moment", f"'issuer show {name}' shows how that goes"
    return Problem(ProblemType.ALREADY_INITIATED, message=message, hint=hint)
