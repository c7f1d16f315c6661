"""What the product needs from the outside, as Protocols, and the bundle that carries it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from issuer.domain import Agenda, Domain, Issuance, Record, RenewalWindow
from issuer.keys import KeyType, Vault
from issuer.problem import Problem

Clock = Callable[[], float]
"""Now, in epoch seconds."""


class Conflict(Exception):  # noqa: N818 - a refusal, not a fault
    """A write was refused: the record has moved on since it was read. Read it again."""


class OverQuota(Exception):  # noqa: N818 - a refusal, not a fault
    """A quota is spent. retry_at: when it has one again (epoch seconds)."""

    def __init__(self, retry_at: float) -> None:
        super().__init__(retry_at)
        self.retry_at = retry_at


@dataclass(frozen=True, slots=True)
class Quota:
    """How often something may be done: `burst` times at once, and once more every `seconds`. of: what it is counted
    by. Burst 0: as often as you like. cost: how much of it is used up; with 0 there must only be room for one."""

    of: str
    seconds: float
    burst: int
    cost: int = 1


@dataclass(frozen=True, slots=True)
class PlannedRenewal:
    """When a certificate is to be renewed (0: as soon as its turn comes), and at which CA it was issued."""

    name: str
    at: float
    ca: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A CA is not to be asked before `until`: it rests, or our requests are too many for the moment."""

    until: float
    is_rest: bool


Rate = tuple[int, float] | None
"""So many in so many seconds; None: no limit."""


@dataclass(frozen=True, slots=True)
class CaLimits:
    """What a CA allows, mirrored here so that it is not asked in vain: new orders of our account, certificates below
    one registered domain and for one name, failed authorizations of one name, requests in a second (0: any)."""

    new_orders: Rate = None
    per_registered_domain: Rate = None
    per_name: Rate = None
    failed_authorizations: Rate = None
    requests_per_second: float = 0


@dataclass(frozen=True, slots=True)
class CaPolicy:
    """How we use a CA. weight: its share of the domains whose first choice it is. profile: asked for in orders.
    preferred_chain: the common name of an issuer that the chain should lead to. eab_key_id, eab_hmac_key (base64url):
    External Account Binding (RFC 8555 §7.3.4); empty where it wants none."""

    weight: int = 0
    profile: str = ""
    preferred_chain: str = ""
    eab_key_id: str = ""
    eab_hmac_key: str = field(default="", repr=False)
    limits: CaLimits = CaLimits()


NO_QUOTA = Quota("none", seconds=1, burst=0)


class Plan(StrEnum):
    """What an account has booked."""

    HTTPS = "https"
    BASIC = "basic"


@dataclass(frozen=True, slots=True)
class Account:
    """A customer of this service (a platform, or a part of one). key_hash: SHA-256 of the API key, hexadecimal."""

    id: str
    plan: Plan
    key_hash: str = field(repr=False)
    created_at: float


@dataclass(frozen=True, slots=True)
class CaAccount:
    """Our account at a CA: its key (encrypted), its URL once the CA has told it. next_key: the one that is to take the
    key's place, saved before the CA hears of it."""

    key: str = field(repr=False)
    url: str | None
    created_at: float
    next_key: str | None = field(default=None, repr=False)


class Store(Protocol):
    """The records. Every method raises Problem(store-unavailable) when the store does not answer."""

    def load(self, name: str) -> Record | None:
        """The record of a domain, or None."""

    def open(
        self,
        domain: Domain,
        issuance: Issuance,
        *,
        version: int,
        look_again_at: float,
        now: float = 0,
        quota: Quota = NO_QUOTA,
    ) -> Record:
        """Save a domain with an issuance to work on, if its version is still `version` (0: not there yet).

        look_again_at: when `claim` is to return it should its message get lost. The quota is spent in the same write.
        Raises Conflict, OverQuota.
        """

    def take(self, issuance_id: str, *, now: float, until: float) -> Record | None:
        """Lease an open issuance's domain; None when it is stale, closed, or leased by somebody else."""

    def save(self, record: Record) -> Record:
        """Write the record of a lease in hand, keeping the lease. Raises Conflict when the lease has been lost."""

    def release(self, record: Record, *, look_again_at: float | None) -> Record:
        """Write and give the lease back; look_again_at None closes the issuance. Raises Conflict as `save`."""

    def amend(self, record: Record, *, now: float) -> Record:
        """Write the domain of a record that nobody has a lease of. Raises Conflict when it has, or has moved on."""

    def claim(self, agenda: Agenda, *, now: float, limit: int, look_again_at: float) -> list[str]:
        """At most `limit` names for which something is due, the longest due first; each is put off to
        `look_again_at`, so that two callers do not get the same ones."""

    def claim_renewals(
        self, *, now: float, limit: int, look_again_at: float, per_second: float, at_once: int
    ) -> list[str]:
        """At most `limit` names whose renewal is due, the most urgent first: as many as the pace allows since the last
        call, and as leave no more than `at_once` renewals open and due before `look_again_at`. Each is put off as by
        `claim`."""

    def planned_renewals(self) -> Iterator[PlannedRenewal]:
        """Every renewal that is planned, in no order."""

    def names(self, agenda: Agenda, *, limit: int) -> tuple[int, list[str]]:
        """How many names an agenda holds, and the first of them."""

    def put_token(self, token: str, key_authorization: str, *, seconds: int) -> None:
        """Publish an HTTP-01 answer for all web processes (RFC 8555 §8.3)."""

    def key_authorization(self, token: str) -> str | None:
        """The answer to a token, or None."""

    def account(self, account_id: str) -> Account | None:
        """An account, or None."""

    def accounts(self) -> list[Account]:
        """All accounts, by id."""

    def create_account(self, account: Account) -> None:
        """Add an account. Raises Problem(account-exists)."""

    def change_account(self, account_id: str, **changes: str) -> None:
        """Change fields of an account, if it exists, and leave the others as they are at that moment."""

    def ping(self) -> None:
        """Return when the store answers."""


class Limits(Protocol):
    """What all workers know together of each CA: whether it rests, and how much of what it allows is used. CAs go by
    their directory URLs; Problem(store-unavailable) as in `Store`."""

    def ask(self, ca: str, *, now: float, requests_per_second: float) -> Pause | None:
        """None where the CA may be asked now, for one step; else until when not. After a rest one caller is let through
        to try it, the others wait for how that goes."""

    def failed(self, ca: str, *, now: float, until: float | None = None, is_certain: bool = False) -> float | None:
        """The CA did not answer; until when it rests now, if it does. until: what it has asked for, as epoch seconds.
        is_certain: one failure is enough."""

    def answered(self, ca: str) -> None:
        """The CA works: what it failed before is forgotten."""

    def spend(self, ca: str, name: str, quotas: Sequence[Quota], *, now: float) -> float | None:
        """Use up what all the quotas cost, or nothing of any and say when there is room again; also where the CA has
        refused `name`, or so many others that it is likely to be next."""

    def refused(self, ca: str, name: str, *, now: float, until: float) -> None:
        """The CA has refused an order for a name because of a limit that holds until then."""


class CaAccounts(Protocol):
    """Where the CA adapter keeps its accounts: one per directory URL, for all workers."""

    def ca_account(self, directory_url: str) -> CaAccount | None:
        """The account for a directory, or None."""

    def keep_ca_account(self, directory_url: str, account: CaAccount, *, instead_of: CaAccount | None) -> CaAccount:
        """Save `account` if the stored one is still `instead_of`; return the one stored now, whoever saved it."""

    def lock_ca_account(self, directory_url: str, *, seconds: int) -> bool:
        """True for the one caller that may register now; the lock ends by itself after `seconds`."""

    def unlock_ca_account(self, directory_url: str) -> None:
        """End the lock early."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the steps need to see it; the CA's own status words stay in `ca`.

    needs_csr: every authorization is done, finalize may be sent. certificate_url: issued, ready to fetch.
    problem: the order is lost, for this reason. None of them: the CA is at work, ask again at ask_again_at
    (None: whenever you like).
    """

    url: str
    finalize_url: str
    authorization_urls: tuple[str, ...]
    needs_csr: bool = False
    certificate_url: str | None = None
    problem: Problem | None = None
    ask_again_at: float | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """An HTTP-01 challenge that waits for an answer."""

    url: str
    token: str
    key_authorization: str


@dataclass(frozen=True, slots=True)
class Authorization:
    """The CA's view of whether we control a name: valid, or failed with a problem, or still to be proved.

    challenge: what to answer; None while the CA is already validating.
    """

    is_valid: bool = False
    problem: Problem | None = None
    challenge: Challenge | None = None
    ask_again_at: float | None = None


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """What a CA says about when to renew (RFC 9773 §4.2). ask_again_at: None where it does not say."""

    window: RenewalWindow
    ask_again_at: float | None = None


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """Our account at a CA as it may be shown. thumbprint: of its key (RFC 7638). is_rolling_over: a new key has been
    saved for it, which the CA is not known to have yet."""

    url: str | None
    thumbprint: str
    created_at: float
    is_rolling_over: bool


class CertificateAuthority(Protocol):
    """An ACME CA (RFC 8555). Every method raises Problem; none sleeps."""

    directory_url: str
    policy: CaPolicy

    def caa_identities(self) -> tuple[str, ...]:
        """The domains that stand for it in CAA records (§9.7.6); none where it does not say."""

    def account_url(self) -> str:
        """The URL of our account, made or found if need be (§7.3)."""

    def known_account(self) -> KnownAccount | None:
        """What is stored of our account; the CA is not asked."""

    def roll_over(self) -> None:
        """A new key for our account (§7.3.5). May be cut off anywhere and called again."""

    def has_renewal_info(self) -> bool:
        """True where the CA says when it wants a certificate to be renewed (RFC 9773)."""

    def renewal_info(self, certificate_id: str) -> RenewalInfo:
        """When the CA wants a certificate to be renewed (RFC 9773 §4)."""

    def new_order(self, name: str, replaces: str | None = None, profile: str = "") -> Order:
        """Ask for a certificate for one name (§7.4). replaces: the id of the certificate it will take the place of
        (RFC 9773 §5); a refusal of it is no refusal of the order. profile: in place of the policy's."""

    def order(self, url: str) -> Order:
        """Look at an order (§7.4)."""

    def authorization(self, url: str, name: str) -> Authorization:
        """Look at an authorization for `name` (§7.5)."""

    def answer(self, challenge: Challenge) -> None:
        """Tell the CA that the answer to a challenge is in place (§7.5.1)."""

    def finalize(self, order_url: str, finalize_url: str, csr: str) -> Order:
        """Send the CSR (PEM); where the order is past that point, look at it instead (§7.4)."""

    def chain(self, url: str) -> str:
        """Fetch an issued certificate: PEM, leaf first (§7.4.2)."""


class Verdict(StrEnum):
    """An answer of DNS: unknown when the question could not be answered, which is never a no."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer to a question about the outside: the verdict, and what was found in words."""

    verdict: Verdict
    found: str


@dataclass(frozen=True, slots=True)
class Pointing:
    """Whether a name leads to us. found: what DNS has for it, in words. wanted: the record to create."""

    verdict: Verdict
    found: str
    wanted: str


class Resolver(Protocol):
    """Questions to DNS."""

    def pointing(self, name: str) -> Pointing:
        """Follow the name's CNAMEs, or compare its addresses, to our targets. Never raises; bounded in time."""

    def caa(self, name: str, issuers: Collection[str], account_url: str) -> Finding:
        """Whether the CAA records that count for a name (RFC 8659) let a CA issue for it over HTTP-01.

        issuers: the domains that the CA goes by in them (RFC 8555 §7.1.1, caaIdentities); none: it does not say.
        account_url: our account's URL there (RFC 8657 §3), empty when there is none yet. Never raises; bounded in time.
        """


class SelfCheck(Protocol):
    """A look at a challenge's answer from outside, as a CA takes it."""

    def fetch(self, name: str, token: str, key_authorization: str) -> Finding:
        """Whether `name` answers an HTTP-01 challenge (RFC 8555 §8.3). Advice only: no is clearly seen, and unknown is
        what can not be seen from here. The words tell neither token nor answer. Never raises; bounded in time."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that checks and steps work with."""

    store: Store
    limits: Limits
    cas: tuple[CertificateAuthority, ...]
    resolver: Resolver
    vault: Vault
    key_type: KeyType
    lease_seconds: int
    own_names: tuple[str, ...]
    allow_reserved_names: bool
    renewals_per_second: float
    renewals_at_once: int
    new_names_per_registered_domain: int
    clock: Clock

    def ca_at(self, directory_url: str | None) -> CertificateAuthority | None:
        """The CA of a directory URL, if it is one of ours."""
        return next((ca for ca in self.cas if ca.directory_url == directory_url), None)
