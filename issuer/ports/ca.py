"""What a CA must be able to do, and how we use it."""

from dataclasses import dataclass, field
from typing import Protocol

from issuer.domain import RenewalWindow
from issuer.problem import Problem

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


@dataclass(frozen=True, slots=True)
class CaAccount:
    """Our account at a CA: its key (encrypted), its URL once the CA has told it. next_key: the one that is to take the
    key's place, saved before the CA hears of it."""

    key: str = field(repr=False)
    url: str | None
    created_at: float
    next_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """Our account at a CA as it may be shown. thumbprint: of its key (RFC 7638). is_rolling_over: a new key has been
    saved for it, which the CA is not known to have yet."""

    url: str | None
    thumbprint: str
    created_at: float
    is_rolling_over: bool


class CaAccounts(Protocol):
    """Where the CA adapter keeps its accounts: one per directory URL, for all workers."""

    def ca_account(self, directory_url: str) -> CaAccount | None:
        """The account for a directory, or None."""

    def keep_ca_account(self, directory_url: str, account: CaAccount, *, instead_of: CaAccount | None) -> CaAccount:
        """Save `account` if the stored one is still `instead_of`; return the one stored now, whoever saved it."""

    def lock_ca_account(self, directory_url: str, *, seconds: int) -> str | None:
        """A lock for the one caller that may register now; it ends by itself after `seconds`. None for all others."""

    def unlock_ca_account(self, directory_url: str, lock: str) -> None:
        """End that lock early, and nobody else's that came after it."""


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

    def chain(self, url: str, preferred: str = "") -> str:
        """Fetch an issued certificate: PEM, leaf first (§7.4.2). preferred: the common name of the issuer that it
        should lead to, in place of the policy's."""

    def revoke(self, chain: str, reason: int) -> None:
        """Revoke the leaf of a chain (PEM) for a CRLReason (§7.6); no fault where it has been revoked already."""
