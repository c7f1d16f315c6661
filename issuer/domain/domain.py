"""A domain with its certificate in force, and the record that contains it and its latest issuance."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from issuer.domain import ending
from issuer.domain.certificate import Certificate, Rejection, RenewalWindow, Revocation
from issuer.domain.hsts import Hsts
from issuer.domain.indexes import Due, Index, Listing
from issuer.domain.issuance import Issuance, Step
from issuer.events import By, Event, EventType, shortened
from issuer.problem import Actor, Problem, ProblemType

DAY_SECONDS = 86400
SCHEMA = 2
"""The version of the record format. 1: the format before events and listings were written with the record."""
CALLERS_FIELDS = ("hsts", "ca", "profile", "required_profile", "preferred_chain", "forced_since", "forced_at")
"""The fields that callers may set even while a worker has a lease: no step changes these."""
NOT_RENEWED = "not-renewed"
"""The word for a renewal that has not been started, or that says of no problem."""
KEPT_SECONDS = 3600
"""How long the record of a withdrawn name is kept after its hold. No worker takes this long with a record that it has
read. So none can save an old copy over a new record, whose versions count from 1 again."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A name that an account holds, and the certificate in force, if any.

    name: the canonical form.
    account: the id of the account that holds it.
    renew_at: when the next renewal starts, picked at random.
    window: the CA's suggested window that renew_at was picked in; None if the CA gave none.
    ask_at: when to ask the CA for its suggested window.
    moved_away_since: since when DNS has clearly said that the name points to other servers; None if it points here.
    recheck_at: when to ask DNS again.
    is_expiry_reported: the expiry of the certificate has been reported.
    warned_days: how many days before its end it was last reported that its renewal does not work; None: not yet.
    ca: the directory URL of the only CA to use, chosen by the operator; None: as set for all domains.
    profile: the preferred certificate profile, chosen by the operator; None: as set for all domains.
    required_profile: the profile without which nothing is ordered, chosen by the operator; None: as for all domains.
    preferred_chain: the issuer that the chain should lead to, chosen by the operator; None: as set for all domains.
    hsts: its own HSTS policy; None: the default policy.
    forced_since: when the operator last asked for a new certificate in place of the one in force; it stays when that is
        done. forced_at: when the renewal that he asked for is to start; None: it has started.
    withdrawn_until: the account has withdrawn it. Until then it is reserved for this account, so that nobody else gets
        a name whose CNAME may still point here.
    confirm_at: when to ask the edges whether they serve the certificate; None if all do, or if there are no edges.
    revocations: certificates that CAs have not revoked yet; the record is kept until they have.
    rejections: certificates that cannot be used, at most one of a CA; the record is kept as long as there are some.
    lost_at: its certificate could not be read at this moment, when its damaged record was repaired. Edges go on serving
        the one that they hold until there is a new one.
    extra: members that a newer release has written.
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
    warned_days: int | None = None
    ca: str | None = None
    profile: str | None = None
    required_profile: str | None = None
    preferred_chain: str | None = None
    hsts: Hsts | None = None
    forced_since: float | None = None
    forced_at: float | None = None
    withdrawn_until: float | None = None
    confirm_at: float | None = None
    revocations: tuple[Revocation, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    lost_at: float | None = None
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def is_withdrawn(self) -> bool:
        """Whether its account has withdrawn it."""
        return self.withdrawn_until is not None

    def is_free(self, now: float) -> bool:
        """Whether any account may have the name: it was withdrawn, its hold is over, and no revocation is open."""
        return self.withdrawn_until is not None and self.withdrawn_until <= now and not self.revocations

    @property
    def is_forced(self) -> bool:
        """Whether the operator has asked for a new certificate, and the one in force is still from before that."""
        since, certificate = self.forced_since, self.certificate
        return since is not None and certificate is not None and certificate.is_from_before(since)

    @property
    def remove_at(self) -> float | None:
        """When its record may be removed; None if that is not known yet."""
        is_kept = self.withdrawn_until is None or self.revocations or self.rejections
        return None if is_kept or self.withdrawn_until is None else self.withdrawn_until + KEPT_SECONDS

    def rejected_at(self, ca: str) -> Rejection | None:
        """Why no certificate is ordered at a CA (its directory URL) until the operator allows it; None if that is not
        so."""
        return next((rejection for rejection in self.rejections if rejection.ca == ca), None)

    def withdrawn(self, until: float, revocations: tuple[Revocation, ...]) -> Self:
        """The domain after its withdrawal: without anything to serve, to renew or to check."""
        empty = type(self)(self.name, self.account, self.created_at, rejections=self.rejections, extra=self.extra)
        return replace(empty, withdrawn_until=until, revocations=revocations)

    @property
    def edge_version(self) -> str:
        """A text that changes whenever what the edges serve changes; empty if they serve nothing."""
        if self.certificate is None:
            return ""
        hsts = self.hsts
        parts = hsts and (hsts.max_age_seconds, hsts.includes_subdomains, hsts.is_preload, hsts.off_until)
        policy = "/".join(map(str, parts)) if parts else "default"
        return f"{self.certificate.serial} {self.certificate.installed_at:.3f} {policy} {self.is_expiry_reported}"

    @property
    def urgent_by(self) -> float:
        """By when a due renewal should be done. Of many due renewals, those with the least time left go first.

        It is a day after the end of the CA's window, or after renew_at if there is no window (a CA must revoke within
        one day or five), but not after the certificate expires. If the operator has asked for the renewal, it is a day
        after that at the latest.
        """
        end = self.window.end if self.window else self.renew_at or 0
        if self.is_forced and self.forced_since is not None:
            end = min(end, self.forced_since)
        return min(self.certificate.not_after if self.certificate else end, end + DAY_SECONDS)


@dataclass(frozen=True, slots=True)
class Record:
    """A domain with its latest issuance. The store keeps both together, under one version.

    version: the fencing token, raised by every write and every lease; a save with an old version is refused.
    lease_until: a worker has a lease until then.
    attempts_started: how often the step has been started since a result was last saved.
    timeline: the newest events, oldest first.
    pending: events that the next save will write.
    schema: the version of the format that it was last written in.
    callers_changes: how often callers have changed their settings while a worker had a lease.
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
    def is_salvaged(self) -> bool:
        """Whether it is what could be read of a damaged record: then its last issuance is lost."""
        problem = self.issuance.problem
        return problem is not None and problem.type is ProblemType.DAMAGED_RECORD

    @property
    def is_first_run(self) -> bool:
        """Whether no request of this step can have reached the CA yet."""
        return self.attempts_started <= 1 and self.issuance.next_try_at is None

    def with_issuance(self, issuance: Issuance) -> Self:
        """The same record with another issuance, or the issuance in another state."""
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
        """The same record with one more pending event. data: plain JSON values; long texts are cut."""
        last = max((event.id for event in (*self.timeline[-1:], *self.pending[-1:])), default=0)
        short = {name: shortened(value) for name, value in (data or {}).items()}
        return replace(self, pending=(*self.pending, Event(last + 1, now, type_.value, code, by.value, short)))

    def unless_changed(self, current: Self | None) -> Self | None:
        """The change to this record, for `Store.update`; none if the stored one has changed since it was loaded."""
        return self if current is not None and current.version == self.version else None

    @property
    def renewal_start_at(self) -> float | None:
        """When the next renewal starts; None if none is planned. While an issuance is open, only one that the operator
        has asked for since can start, in its place."""
        domain = self.domain
        times = [domain.forced_at if domain.is_forced else None, None if self.issuance.is_open else domain.renew_at]
        return min((at for at in times if at is not None), default=None)

    @property
    def ending_code(self) -> str:
        """Why its renewal does not work, in one word: certificates with the same one are reported together. That a CA
        has a cooldown is no other reason than that it fails."""
        problem = self.issuance.problem
        if problem is None or self.issuance.step is Step.DONE:
            return NOT_RENEWED
        code = ProblemType.CA_UNAVAILABLE if problem.type is ProblemType.CA_RESTS else problem.type
        return code.value

    def install(self, certificate: Certificate, *, confirm_at: float | None = None) -> Self:
        """The record with the certificate and its key in force and the issuance done, to be saved in one write. What
        was planned for the former certificate is dropped. confirm_at: when to ask the edges; None: never."""
        done = self.issuance.advance(Step.DONE, key=None, csr=None)
        former = {"renew_at": None, "window": None, "ask_at": None, "is_expiry_reported": False, "warned_days": None}
        changes = {"certificate": certificate, "confirm_at": confirm_at, "lost_at": None}
        return self.with_domain(**former | changes).with_issuance(done)

    def indexes(self, requeue_at: float | None) -> dict[Index, float]:
        """The indexes that the record belongs in, each with its score. requeue_at: when an open issuance is due."""
        rejected: dict[Index, float] = {(Listing.REJECTED, ""): 0} if self.domain.rejections else {}
        return self._due(requeue_at) | rejected | ({} if self.domain.is_withdrawn else self._listings())

    def _due(self, requeue_at: float | None) -> dict[Index, float]:
        domain, issuance = self.domain, self.issuance
        times: dict[Due, float | None] = {
            Due.RENEWAL_START: self.renewal_start_at,
            Due.EXPIRY: ending.look_at(domain, issuance),
            Due.RENEWAL_INFO: domain.ask_at,
            Due.DNS_RECHECK: domain.recheck_at,
            Due.EDGE_CONFIRMATION: domain.confirm_at,
            Due.REVOCATION: min((revocation.next_try_at for revocation in domain.revocations), default=None),
            Due.REMOVAL: domain.remove_at,
        }
        if issuance.is_open:
            times[issuance.queue] = requeue_at
        return {(due, ""): at for due, at in times.items() if at is not None}

    def _listings(self) -> dict[Index, float]:
        domain, issuance = self.domain, self.issuance
        listings: dict[Index, float] = {(Listing.ACCOUNT, domain.account): 0}
        if issuance.problem and issuance.step is not Step.DONE:
            listings[Listing.CODE, issuance.problem.type.value] = 0
            listings[Listing.MUST_ACT, self._must_act(issuance.problem).value] = 0
        if issuance.is_open:
            listings[Listing.OPEN, ""] = issuance.due_at
        if issuance.step is Step.FAILED:
            listings[Listing.FAILED, ""] = 0
        if domain.moved_away_since is not None:
            listings[Listing.MOVED_AWAY, ""] = domain.moved_away_since
        return listings | self._listings_of_certificate(listings)

    def _must_act(self, problem: Problem) -> Actor:
        """Who must act before a problem ends, as far as is reported of its certificate's end: see `status`."""
        days = self.domain.warned_days
        is_near = days is not None and days <= ending.URGENT_DAYS
        return Actor.PLATFORM if problem.actor is Actor.NOBODY and is_near else problem.actor

    def _listings_of_certificate(self, others: Mapping[Index, float]) -> dict[Index, float]:
        """Those of a domain with a certificate. others: those that any domain may be in."""
        domain, certificate = self.domain, self.domain.certificate
        if certificate is None:
            return {}
        listings: dict[Index, float] = {(Listing.CA, certificate.ca): 0, (Listing.EXPIRY, ""): certificate.not_after}
        if any(listing is Listing.CODE for listing, _ in others):
            listings[Listing.AT_RISK, ""] = certificate.not_after
        if domain.warned_days is not None:
            listings[Listing.ENDING, self.ending_code] = certificate.not_after
        if domain.confirm_at is not None:
            listings[Listing.UNCONFIRMED, ""] = certificate.installed_at
        for listing, of_ended in ((Listing.OPEN, Listing.ENDED_OPEN), (Listing.FAILED, Listing.ENDED_FAILED)):
            if domain.is_expiry_reported and (listing, "") in others:
                listings[of_ended, ""] = others[listing, ""]
        return listings
