"""Whether somebody works on what is due, as a status must tell it: the record itself cannot know."""

from dataclasses import replace

from issuer.domain import Due, Record
from issuer.fleet import checks
from issuer.fleet.heartbeats import Fleet, instant, seen
from issuer.fleet.queues import HOUSEKEEPING
from issuer.ports import Check, Services
from issuer.problem import Problem, ProblemType

OVERDUE_SECONDS = 60
"""An attempt that is overdue for so long, while nobody who could begin it has been seen, is not worked on."""
WAITING_SECONDS = 10
"""An attempt that has waited for so long says how many stand before it."""
OPEN = (Due.OPEN_INTERACTIVE, Due.OPEN_BULK, Due.OPEN_RENEWAL)


class Attention:
    """What is said of records at one moment. The fleet is looked at once, and only if something is overdue."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seen: Fleet | None = None

    def told(self, record: Record) -> Record:
        """The record as it is told: one that is overdue has a problem of its own if nobody works on it, or if others
        stand before it. It is never saved. Raises Problem(store-unavailable)."""
        now, issuance = self._services.clock(), record.issuance
        due_at = issuance.due_at if issuance.is_open else record.renewal_start_at
        if due_at is None or due_at > now - WAITING_SECONDS or record.lease_until > now or record.domain.is_withdrawn:
            return record
        found = neglect(self._fleet, issuance.queue if issuance.is_open else None)
        if found and due_at <= now - OVERDUE_SECONDS:
            return record.with_issuance(replace(issuance, problem=found))
        if found or issuance.problem or not issuance.is_open:
            return record
        before = self._fleet.broker.waiting.get(issuance.queue.value, 0) if self._fleet.broker else 0
        return record.with_issuance(replace(issuance, problem=_waits(before, issuance.queue))) if before else record

    def neglected(self) -> list[Due]:
        """The queues of which no issuance is worked on once it is overdue. Raises Problem(store-unavailable)."""
        return [queue for queue in OPEN if neglect(self._fleet, queue)]

    @property
    def _fleet(self) -> Fleet:
        self._seen = self._seen or seen(self._services)
        return self._seen


def told(services: Services, record: Record) -> Record:
    """One record as it is told now, as of `Attention`. Raises Problem(store-unavailable)."""
    return Attention(services).told(record)


def neglect(fleet: Fleet, queue: Due | None) -> Problem | None:
    """Why nobody works on what is overdue in a queue; None if somebody does. queue None: a renewal that no scan has
    started yet."""
    since = fleet.unread_since(queue.value) if queue else None
    if queue and _is_over(fleet, since):
        return _neglected(checks.broker(fleet) if fleet.broker is None else checks.queue(fleet, queue.value))
    since = fleet.scans_missing_since
    if since is None or not _is_over(fleet, since):
        return None
    if fleet.broker is None:
        return _neglected(checks.broker(fleet))
    if fleet.beat_missing_since is not None:
        return _neglected(checks.beat(fleet), f", and nothing that was due has been started since {instant(since)}")
    if fleet.unread_since(HOUSEKEEPING) is not None:
        return _neglected(checks.queue(fleet, HOUSEKEEPING))
    return _neglected(checks.scans(fleet))


def _is_over(fleet: Fleet, since: float | None) -> bool:
    return since is not None and fleet.now - since >= OVERDUE_SECONDS


def _neglected(check: Check, more: str = "") -> Problem:
    return Problem(ProblemType.NOT_WORKED_ON, cause=f"{check.cause}{more}", hint=check.hint)


def _waits(before: int, queue: Due) -> Problem:
    others = "one other" if before == 1 else f"{before} others"
    cause = f"{others} in the queue {queue.value} may stand before it"
    return Problem(ProblemType.QUEUED, cause=cause, hint="no action is needed: its turn comes")
