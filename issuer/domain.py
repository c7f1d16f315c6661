"""The two records, their legal moves, and the one function that turns them into a status.

Times are epoch seconds, UTC. Records are frozen: a move gives a new one, the store saves it or refuses.
"""

import secrets
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from issuer.problem import Problem

PROCESSING_WITHIN_SECONDS = 120
"""An open issuance due within this time reads `processing`; one due later reads `error` (contract)."""
ASSUMED_LOST_SECONDS = 60
"""A message that has not led to a lease by then is taken for lost, and `reconcile` sends another."""
DAY_SECONDS = 86400
MAX_EVENTS = 12
MAX_EVENT_TEXT = 300


class Step(StrEnum):
    """Where an issuance stands. The first four are task name, function name and log field too."""

    ORDER = "order"
    CHALLENGE = "challenge"
    FINALIZE = "finalize"
    INSTALL = "install"
    DONE = "done"
    FAILED = "failed"


class Reason(StrEnum):
    """Why an issuance was begun."""

    FIRST = "first"
    MANUAL = "manual"
    RENEWAL = "renewal"


class Agenda(StrEnum):
    """What beat works off: lists of names by the time when something is due for them. A record is in at most one of
    the first two, which are the names of the queues as well."""

    INTERACTIVE = "interactive"  # open issuances that somebody waits for
    RENEWAL = "renewal"  # open renewals
    RENEW = "renew"  # a renewal is to be begun
    EXPIRE = "expire"  # the certificate ends
    RENEWAL_INFO = "renewal_info"  # the CA is to be asked when to renew
    AWAY = "away"  # DNS is to be asked whether the name leads here again


class Status(StrEnum):
    """The contract's four words."""

    PROCESSING = "processing"
    ACTIVE = "active"
    EXPIRED = "expired"
    ERROR = "error"


CHAIN = (Step.ORDER, Step.CHALLENGE, Step.FINALIZE, Step.INSTALL)
"""The steps with work to do, in order."""

MOVES: dict[Step, frozenset[Step]] = {
    Step.ORDER: frozenset({Step.CHALLENGE, Step.FAILED}),
    Step.CHALLENGE: frozenset({Step.FINALIZE, Step.ORDER, Step.FAILED}),
    Step.FINALIZE: frozenset({Step.INSTALL, Step.ORDER, Step.FAILED}),
    Step.INSTALL: frozenset({Step.DONE, Step.ORDER, Step.FAILED}),
    Step.DONE: frozenset(),
    Step.FAILED: frozenset(),
}
"""From each step to the ones it may be followed by; back to `order` when the CA's order is lost."""


WITHOUT_ORDER: dict[str, Any] = {
    "step": Step.ORDER,
    "ca": None,
    "order_url": None,
    "finalize_url": None,
    "authorization_urls": (),
    "is_answered": False,
    "certificate_url": None,
}
"""What an issuance has of its order, as it is before there is one."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in force: chain (PEM, leaf first), its key (encrypted), and the leaf's facts.

    not_after is inclusive (RFC 5280 §4.1.2.5). ca is the directory URL it came from. installed_at: in force since.
    """

    chain: str
    key: str = field(repr=False)
    serial: str
    not_before: float
    not_after: float
    ca: str
    installed_at: float = 0

    @property
    def lifetime_seconds(self) -> float:
        """How long it serves: what a CA dates back, and what passed before it was in force, does not count."""
        return self.not_after + 1 - max(self.not_before, self.installed_at)

    def is_valid(self, now: float) -> bool:
        """True up to and including the second of notAfter."""
        return now < self.not_after + 1


@dataclass(frozen=True, slots=True)
class RenewalWindow:
    """When a CA wants a certificate to be renewed (RFC 9773 §4.2). explanation_url: why, or empty."""

    certificate_id: str
    start: float
    end: float
    explanation_url: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """A line of an issuance's timeline: what was found or done, at which step."""

    at: float
    step: Step
    text: str


@dataclass(frozen=True, slots=True)
class Domain:
    """What an account holds: a name (canonical form) and the certificate in force, if any.

    renew_at: the moment drawn for the next renewal; window: the one it was drawn in, None where the CA gave none.
    ask_at: when to ask the CA for its window. away_since: DNS has said clearly that the name leads elsewhere, and has
    not taken it back; recheck_at: when to ask it again. is_end_told: the end of the certificate has been reported.
    ca, profile: the operator's choice for this domain (a directory URL, a profile of its CA); None: as set for all.
    """

    name: str
    account: str
    created_at: float
    certificate: Certificate | None = None
    renew_at: float | None = None
    window: RenewalWindow | None = None
    ask_at: float | None = None
    away_since: float | None = None
    recheck_at: float | None = None
    is_end_told: bool = False
    ca: str | None = None
    profile: str | None = None

    @property
    def urgent_by(self) -> float:
        """By when a renewal that is due should be done: of many, those with the least time go first.

        A day after the end of the CA's window, or of our own moment (a CA that revokes has a day for it, or five), and
        before the certificate ends.
        """
        end = self.window.end if self.window else self.renew_at or 0
        return min(self.certificate.not_after if self.certificate else end, end + DAY_SECONDS)


@dataclass(frozen=True, slots=True)
class Issuance:
    """One attempt to get a certificate.

    ca is the directory URL of the CA that is asked; passed_over are those that have failed it since its last try. key
    is encrypted, csr is PEM; both are saved before the CA is asked for anything. tries counts failures of this
    attempt, waits the times in a row that the CA was asked and was not ready. next_try_at: not to be looked at before,
    or None when it is due now. problem: the last one. events: its timeline, the last lines of it.
    """

    id: str
    reason: Reason
    created_at: float
    step: Step = Step.ORDER
    ca: str | None = None
    passed_over: tuple[str, ...] = ()
    key: str | None = field(default=None, repr=False)
    csr: str | None = None
    order_url: str | None = None
    finalize_url: str | None = None
    authorization_urls: tuple[str, ...] = ()
    is_answered: bool = False
    certificate_url: str | None = None
    tries: int = 0
    waits: int = 0
    next_try_at: float | None = None
    problem: Problem | None = None
    events: tuple[Event, ...] = ()

    @property
    def is_open(self) -> bool:
        """True while there is work to do."""
        return self.step in CHAIN

    @property
    def lane(self) -> Agenda:
        """Whether somebody waits for it: its queue, and the list it is in while it is open."""
        return Agenda.RENEWAL if self.reason is Reason.RENEWAL else Agenda.INTERACTIVE

    def advance(self, step: Step, **found: Any) -> Self:
        """On to the next step, due now. ValueError for an illegal move."""
        if step not in MOVES[self.step]:
            raise ValueError(f"no move from {self.step} to {step}")
        return replace(self, step=step, waits=0, next_try_at=None, problem=None, **found)

    def wait(self, until: float, **found: Any) -> Self:
        """The CA is not ready: the same step again at `until`."""
        return replace(self, waits=self.waits + 1, next_try_at=until, **found)

    def retry(self, problem: Problem, at: float) -> Self:
        """A temporary problem: the same step again at `at`, or a new order where the problem cost this one. One that
        does not count leaves the tries as they are."""
        if not self.is_open:
            raise ValueError(f"no move from {self.step} to a new try")
        again = replace(
            self,
            tries=self.tries + problem.is_counted,
            waits=0 if problem.is_counted else self.waits + 1,
            next_try_at=at,
            problem=problem,
            is_answered=False,
            passed_over=(),
        )
        if problem.drops_order:
            return replace(again, **WITHOUT_ORDER, key=None, csr=None)
        return replace(again, ca=None) if self.order_url is None else again

    def go_elsewhere(self, problem: Problem, now: float) -> Self:
        """Its CA has failed it: over to another one, with an order there, at once."""
        if not self.is_open or self.ca is None:
            raise ValueError(f"no move from {self.step} to another CA")
        passed_over = (*self.passed_over, self.ca)
        return replace(
            self,
            **WITHOUT_ORDER,
            waits=0,
            next_try_at=now,
            problem=problem,
            passed_over=passed_over,
        )

    def note(self, at: float, text: str) -> Self:
        """The same with one more line in its timeline; the oldest goes where there are too many."""
        event = Event(at, self.step, text[:MAX_EVENT_TEXT])
        return replace(self, events=(*self.events, event)[-MAX_EVENTS:])

    def fail(self, problem: Problem) -> Self:
        """Given up for good; its key is of no more use and is forgotten."""
        if not self.is_open:
            raise ValueError(f"no move from {self.step} to {Step.FAILED}")
        return replace(
            self,
            step=Step.FAILED,
            tries=self.tries + 1,
            next_try_at=None,
            problem=problem,
            key=None,
            csr=None,
        )

    def wake(self, now: float, reason: Reason) -> Self:
        """To be tried now instead of at next_try_at, for this reason from now on."""
        return replace(self, tries=0, waits=0, next_try_at=now, reason=reason, passed_over=())


@dataclass(frozen=True, slots=True)
class Record:
    """A domain with its latest issuance, as the store holds them: together, under one version.

    version: the fencing token, raised by every write and every lease; a save with an old one is refused.
    lease_until: a worker is at it until then. begun: how often the step was begun since an end of it was last saved.
    """

    domain: Domain
    issuance: Issuance
    version: int = 0
    lease_until: float = 0
    begun: int = 0

    @property
    def is_first_run(self) -> bool:
        """True when nothing of this step can have reached the CA yet."""
        return self.begun <= 1 and self.issuance.next_try_at is None

    def with_issuance(self, issuance: Issuance) -> Self:
        """The same record with another state of its issuance."""
        return replace(self, issuance=issuance)

    def with_domain(self, **changes: Any) -> Self:
        """The same record with other values in its domain."""
        return replace(self, domain=replace(self.domain, **changes))

    def install(self, certificate: Certificate) -> Self:
        """Certificate and key into the domain, the issuance done: one value, saved in one write. All that was planned
        for the former certificate is dropped."""
        done = self.issuance.advance(Step.DONE, key=None, csr=None)
        moved = self.with_domain(certificate=certificate, renew_at=None, window=None, ask_at=None, is_end_told=False)
        return moved.with_issuance(done)

    def due_times(self, look_again_at: float | None) -> dict[Agenda, float | None]:
        """Which lists the record belongs in, and when; look_again_at is for the open issuance."""
        domain, issuance = self.domain, self.issuance
        certificate = None if domain.is_end_told else domain.certificate
        times = dict.fromkeys(Agenda) | {
            Agenda.RENEW: None if issuance.is_open else domain.renew_at,
            Agenda.EXPIRE: certificate.not_after + 1 if certificate else None,
            Agenda.RENEWAL_INFO: domain.ask_at,
            Agenda.AWAY: domain.recheck_at,
        }
        return times | {issuance.lane: look_again_at} if issuance.is_open else times


def new_issuance(name: str, reason: Reason, now: float) -> Issuance:
    """A fresh attempt for a domain. Its id, `{name}/{random}`, leads from a message to the record."""
    return Issuance(id=f"{name}/{secrets.token_hex(8)}", reason=reason, created_at=now)


def domain_of(issuance_id: str) -> str:
    """The name that an issuance is for."""
    return issuance_id.rpartition("/")[0]


def status(record: Record, now: float) -> Status:
    """The contract's word for a record at `now`; computed, never stored."""
    issuance = record.issuance
    if issuance.is_open:
        due_at = issuance.next_try_at or now
        if record.lease_until > now or due_at <= now + PROCESSING_WITHIN_SECONDS:
            return Status.PROCESSING
    certificate = record.domain.certificate
    if certificate is not None and not certificate.is_valid(now):
        return Status.EXPIRED
    return Status.ACTIVE if issuance.step is Step.DONE else Status.ERROR
