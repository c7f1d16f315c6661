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


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in force: chain (PEM, leaf first), its key (encrypted), and the leaf's facts.

    not_after is inclusive (RFC 5280 §4.1.2.5). ca is the directory URL it came from.
    """

    chain: str
    key: str = field(repr=False)
    serial: str
    not_before: float
    not_after: float
    ca: str

    def is_valid(self, now: float) -> bool:
        """True up to and including the second of notAfter."""
        return now < self.not_after + 1


@dataclass(frozen=True, slots=True)
class Domain:
    """What an account holds: a name (canonical form) and the certificate in force, if any."""

    name: str
    account: str
    created_at: float
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Issuance:
    """One attempt to get a certificate.

    ca is the directory URL that the order was placed at. key is encrypted, csr is PEM; both are saved before the CA is
    asked for anything. tries counts failures of this attempt, waits the times in a row that the CA was asked and was
    not ready. next_try_at: not to be looked at before, or None when it is due now. problem: the last one.
    """

    id: str
    reason: Reason
    created_at: float
    step: Step = Step.ORDER
    ca: str | None = None
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

    @property
    def is_open(self) -> bool:
        """True while there is work to do."""
        return self.step in CHAIN

    def advance(self, step: Step, **found: Any) -> Self:
        """On to the next step, due now. ValueError for an illegal move."""
        if step not in MOVES[self.step]:
            raise ValueError(f"no move from {self.step} to {step}")
        return replace(self, step=step, waits=0, next_try_at=None, problem=None, **found)

    def wait(self, until: float, **found: Any) -> Self:
        """The CA is not ready: the same step again at `until`."""
        return replace(self, waits=self.waits + 1, next_try_at=until, **found)

    def retry(self, problem: Problem, at: float) -> Self:
        """A temporary problem: the same step again at `at`, or a new order where the problem cost this one."""
        if not self.is_open:
            raise ValueError(f"no move from {self.step} to a new try")
        again = replace(self, tries=self.tries + 1, waits=0, next_try_at=at, problem=problem, is_answered=False)
        if not problem.drops_order:
            return again
        return replace(
            again,
            step=Step.ORDER,
            ca=None,
            key=None,
            csr=None,
            order_url=None,
            finalize_url=None,
            authorization_urls=(),
            certificate_url=None,
        )

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

    def wake(self, now: float) -> Self:
        """Somebody asks to try now instead of at next_try_at."""
        return replace(self, tries=0, waits=0, next_try_at=now)


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

    def install(self, certificate: Certificate) -> Self:
        """Certificate and key into the domain, the issuance done: one value, saved in one write."""
        done = self.issuance.advance(Step.DONE, key=None, csr=None)
        return replace(self, domain=replace(self.domain, certificate=certificate), issuance=done)


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
