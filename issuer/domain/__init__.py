"""The two records, their legal moves, and the one function that turns them into a status.

Times are epoch seconds, UTC. Records are frozen: a move gives a new one, the store saves it or refuses.
"""

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

from issuer.domain.hsts import Hsts
from issuer.domain.issuance import (
    CHAIN,
    MOVES,
    Agenda,
    Event,
    Issuance,
    Reason,
    Step,
    domain_of,
    new_issuance,
    withdrawn_issuance,
)

__all__ = [
    "ASSUMED_LOST_SECONDS",
    "CHAIN",
    "DAY_SECONDS",
    "KEPT_SECONDS",
    "MOVES",
    "PROCESSING_WITHIN_SECONDS",
    "Agenda",
    "Certificate",
    "Domain",
    "Event",
    "Hsts",
    "Issuance",
    "Reason",
    "Record",
    "RenewalWindow",
    "Revocation",
    "Status",
    "Step",
    "domain_of",
    "new_issuance",
    "status",
    "withdrawn_issuance",
]

PROCESSING_WITHIN_SECONDS = 120
"""An open issuance due within this time reads `processing`; one due later reads `error` (contract)."""
ASSUMED_LOST_SECONDS = 60
"""A message that has not led to a lease by then is taken for lost, and `reconcile` sends another."""
DAY_SECONDS = 86400
KEPT_SECONDS = 3600
"""How long a withdrawn name's record outlives its hold: longer than anybody works on what was read of it before, as a
record made anew counts its versions from the start."""


class Status(StrEnum):
    """The contract's four words."""

    PROCESSING = "processing"
    ACTIVE = "active"
    EXPIRED = "expired"
    ERROR = "error"


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
class Revocation:
    """A certificate that its CA is still to revoke. chain: PEM, leaf first. ca: the directory URL it came from. reason:
    a CRLReason (RFC 5280 §5.3.1). tries: how often the CA was asked in vain; next_try_at: when to ask it."""

    chain: str
    serial: str
    ca: str
    reason: int
    not_after: float
    next_try_at: float
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Domain:
    """What an account holds: a name (canonical form) and the certificate in force, if any.

    renew_at: the moment drawn for the next renewal; window: the one it was drawn in, None where the CA gave none.
    ask_at: when to ask the CA for its window. away_since: DNS has said clearly that the name leads elsewhere, and has
    not taken it back; recheck_at: when to ask it again. is_end_told: the end of the certificate has been reported.
    ca, profile, preferred_chain: the operator's choice for this domain (a directory URL, a profile of its CA, whom the
    chain leads to); None: as set for all.
    hsts: its own policy; None: the default one. withdrawn_until: it has been given up, and is kept until then for its
    account, so that nobody else gets a name whose CNAME may still lead here. confirm_at: when to ask the edges whether
    they serve the certificate; None once all do, or where there are none to ask. revocations: what CAs are still to
    revoke of what it had; until then it is kept too.
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
    preferred_chain: str | None = None
    hsts: Hsts | None = None
    withdrawn_until: float | None = None
    confirm_at: float | None = None
    revocations: tuple[Revocation, ...] = ()

    @property
    def is_withdrawn(self) -> bool:
        """True when its account has given it up."""
        return self.withdrawn_until is not None

    def is_free(self, now: float) -> bool:
        """True when anybody may have the name: it has been given up, and its hold is over."""
        return self.withdrawn_until is not None and self.withdrawn_until <= now and not self.revocations

    @property
    def forget_at(self) -> float | None:
        """When its record is of no more use; None: not in sight."""
        return None if self.withdrawn_until is None or self.revocations else self.withdrawn_until + KEPT_SECONDS

    def withdrawn(self, until: float, revocations: tuple[Revocation, ...]) -> Self:
        """What is left of it when it is given up: nothing that is served, renewed or looked after."""
        return type(self)(self.name, self.account, self.created_at, withdrawn_until=until, revocations=revocations)

    @property
    def served(self) -> str:
        """What the edges have to do with, in a text that changes when that does; empty where they serve nothing."""
        if self.certificate is None:
            return ""
        policy = "default" if self.hsts is None else "/".join(str(getattr(self.hsts, one.name)) for one in fields(Hsts))
        return f"{self.certificate.serial} {self.certificate.installed_at:.3f} {policy} {self.is_end_told}"

    @property
    def urgent_by(self) -> float:
        """By when a renewal that is due should be done: of many, those with the least time go first.

        A day after the end of the CA's window, or of our own moment (a CA that revokes has a day for it, or five), and
        before the certificate ends.
        """
        end = self.window.end if self.window else self.renew_at or 0
        return min(self.certificate.not_after if self.certificate else end, end + DAY_SECONDS)


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

    def install(self, certificate: Certificate, *, confirm_at: float | None = None) -> Self:
        """Certificate and key into the domain, the issuance done: one value, saved in one write. All that was planned
        for the former certificate is dropped."""
        done = self.issuance.advance(Step.DONE, key=None, csr=None)
        former = {"renew_at": None, "window": None, "ask_at": None, "is_end_told": False}
        return self.with_domain(certificate=certificate, confirm_at=confirm_at, **former).with_issuance(done)

    def due_times(self, look_again_at: float | None) -> dict[Agenda, float | None]:
        """Which lists the record belongs in, and when; look_again_at is for the open issuance."""
        domain, issuance = self.domain, self.issuance
        certificate = None if domain.is_end_told else domain.certificate
        times = dict.fromkeys(Agenda) | {
            Agenda.RENEW: None if issuance.is_open else domain.renew_at,
            Agenda.EXPIRE: certificate.not_after + 1 if certificate else None,
            Agenda.RENEWAL_INFO: domain.ask_at,
            Agenda.AWAY: domain.recheck_at,
            Agenda.CONFIRM: domain.confirm_at,
            Agenda.REVOKE: min((one.next_try_at for one in domain.revocations), default=None),
            Agenda.FORGET: domain.forget_at,
        }
        return times | {issuance.lane: look_again_at} if issuance.is_open else times


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
