"""A domain with its certificate in force, and the record that holds it together with its latest issuance."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from issuer.domain.certificate import Certificate, RenewalWindow, Revocation
from issuer.domain.hsts import Hsts
from issuer.domain.indexes import Due, Index, Listing
from issuer.domain.issuance import Issuance, Step
from issuer.events import By, Event, EventType, shortened

DAY_SECONDS = 86400
SCHEMA = 2
"""The version of the format of records. 1: before events and listings were written with them."""
CALLERS_FIELDS = ("hsts", "ca", "profile", "preferred_chain")
"""What callers set for a domain, also while a worker has a lease of it: no step changes these."""
KEPT_SECONDS = 3600
"""How long a withdrawn name's record outlives its hold: longer than anybody works on what was read of it before, as a
record made anew counts its versions from the start."""


@dataclass(frozen=True, slots=True)
class Domain:
    """What an account holds: a name (canonical form) and the certificate in force, if any.

    renew_at: when the next renewal starts, picked at random; window: the one it was picked in, None where the CA gave
    none. ask_at: when to ask the CA for its window. moved_away_since: since then DNS says clearly that the name points
    elsewhere; recheck_at: when to ask DNS again. is_expiry_reported: the end of the certificate has been reported.
    ca, profile, preferred_chain: the operator's choice for this domain (a directory URL, a profile of its CA, whom the
    chain leads to); None: as set for all.
    hsts: its own policy; None: the default one. withdrawn_until: it has been given up, and is kept until then for its
    account, so that nobody else gets a name whose CNAME may still lead here. confirm_at: when to ask the edges whether
    they serve the certificate; None once all do, or where there are none to ask. revocations: what CAs are still to
    revoke of what it had; until then it is kept too. extra: members that a newer release has written.
    """

    name: str
    account: str
    created_at: float
    certificate: Certificate | None = None
    renew_at: float | None = None
    window: RenewalWindow | None = None
    ask_at: float | None = None
    moved_away_since: float | None = None
    recheck_at: float | None = None
    is_expiry_reported: bool = False
    ca: str | None = None
    profile: str | None = None
    preferred_chain: str | None = None
    hsts: Hsts | None = None
    withdrawn_until: float | None = None
    confirm_at: float | None = None
    revocations: tuple[Revocation, ...] = ()
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def is_withdrawn(self) -> bool:
        """True when its account has given it up."""
        return self.withdrawn_until is not None

    def is_free(self, now: float) -> bool:
        """True when anybody may have the name: it has been given up, and its hold is over."""
        return self.withdrawn_until is not None and self.withdrawn_until <= now and not self.revocations

    @property
    def remove_at(self) -> float | None:
        """When its record is of no more use; None: not in sight."""
        return None if self.withdrawn_until is None or self.revocations else self.withdrawn_until + KEPT_SECONDS

    def withdrawn(self, until: float, revocations: tuple[Revocation, ...]) -> Self:
        """What is left of it when it is given up: nothing that is served, renewed or looked after."""
        return type(self)(
            self.name, self.account, self.created_at, withdrawn_until=until, revocations=revocations, extra=self.extra
        )

    @property
    def edge_version(self) -> str:
        """What the edges have to do with, in a text that changes when that does; empty where they serve nothing."""
        if self.certificate is None:
            return ""
        hsts = self.hsts
        parts = hsts and (hsts.max_age_seconds, hsts.includes_subdomains, hsts.is_preload, hsts.off_until)
        policy = "/".join(map(str, parts)) if parts else "default"
        return f"{self.certificate.serial} {self.certificate.installed_at:.3f} {policy} {self.is_expiry_reported}"

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
    lease_until: a worker is at it until then. attempts_started: how often the step was started since its end was last
    saved. timeline: the newest events, oldest first. pending: events that are written with the next save. schema: the
    version of the format that it was last written in. callers_changes: how often callers have changed their settings
    while a worker had a lease.
    """

    domain: Domain
    issuance: Issuance
    version: int = 0
    lease_until: float = 0
    attempts_started: int = 0
    timeline: tuple[Event, ...] = ()
    pending: tuple[Event, ...] = ()
    schema: int = SCHEMA
    callers_changes: int = 0

    @property
    def is_first_run(self) -> bool:
        """True when nothing of this step can have reached the CA yet."""
        return self.attempts_started <= 1 and self.issuance.next_try_at is None

    def with_issuance(self, issuance: Issuance) -> Self:
        """The same record with another state of its issuance."""
        return replace(self, issuance=issuance)

    def with_domain(self, **changes: Any) -> Self:
        """The same record with other values in its domain."""
        return replace(self, domain=replace(self.domain, **changes))

    def with_event(
        self,
        now: float,
        type_: EventType,
        data: Mapping[str, Any] | None = None,
        *,
        code: str = "",
        by: By = By.ISSUER,
    ) -> Self:
        """The same record with one more event, which is written with it. data: plain JSON values."""
        last = max((event.id for event in (*self.timeline[-1:], *self.pending[-1:])), default=0)
        short = {name: shortened(value) for name, value in (data or {}).items()}
        return replace(self, pending=(*self.pending, Event(last + 1, now, type_.value, code, by.value, short)))

    def install(self, certificate: Certificate, *, confirm_at: float | None = None) -> Self:
        """Certificate and key into the domain, the issuance done: one value, saved in one write. All that was planned
        for the former certificate is dropped."""
        done = self.issuance.advance(Step.DONE, key=None, csr=None)
        former = {"renew_at": None, "window": None, "ask_at": None, "is_expiry_reported": False}
        return self.with_domain(certificate=certificate, confirm_at=confirm_at, **former).with_issuance(done)

    def indexes(self, requeue_at: float | None) -> dict[Index, float]:
        """Which indexes the record belongs in, and its score there; requeue_at is for the open issuance."""
        return self._due(requeue_at) | ({} if self.domain.is_withdrawn else self._listings())

    def _due(self, requeue_at: float | None) -> dict[Index, float]:
        domain, issuance = self.domain, self.issuance
        certificate = None if domain.is_expiry_reported else domain.certificate
        times: dict[Due, float | None] = {
            Due.RENEWAL_START: None if issuance.is_open else domain.renew_at,
            Due.EXPIRY: certificate.not_after + 1 if certificate else None,
            Due.RENEWAL_INFO: domain.ask_at,
            Due.DNS_RECHECK: domain.recheck_at,
            Due.EDGE_CONFIRMATION: domain.confirm_at,
            Due.REVOCATION: min((one.next_try_at for one in domain.revocations), default=None),
            Due.REMOVAL: domain.remove_at,
        }
        if issuance.is_open:
            times[issuance.queue] = requeue_at
        return {(due, ""): at for due, at in times.items() if at is not None}

    def _listings(self) -> dict[Index, float]:
        domain, issuance = self.domain, self.issuance
        listings: dict[Index, float] = {(Listing.ACCOUNT, domain.account): 0}
        if domain.certificate:
            listings[Listing.CA, domain.certificate.ca] = 0
            listings[Listing.EXPIRY, ""] = domain.certificate.not_after
        if issuance.problem and issuance.step is not Step.DONE:
            listings[Listing.CODE, issuance.problem.type.value] = 0
        if issuance.is_open:
            listings[Listing.OPEN, ""] = issuance.next_try_at or 0
        if issuance.step is Step.FAILED:
            listings[Listing.FAILED, ""] = 0
        if domain.moved_away_since is not None:
            listings[Listing.MOVED_AWAY, ""] = domain.moved_away_since
        return listings
