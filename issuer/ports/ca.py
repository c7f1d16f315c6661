"""What a CA must be able to do, and how we use it."""

from dataclasses import dataclass, field
from typing import Protocol

from issuer.domain import RenewalWindow
from issuer.problem import Problem

Rate = tuple[int, float] | None
"""How many, in how many seconds; None: no limit."""


@dataclass(frozen=True, slots=True)
class CaLimits:
    """A CA's limits, known here so that we do not exceed them: new orders of our account, certificates below one
    registered domain and for one name, failed authorizations of one name, requests per second (0: no limit)."""

    new_orders: Rate = None
    per_registered_domain: Rate = None
    per_name: Rate = None
    failed_authorizations: Rate = None
    requests_per_second: float = 0


@dataclass(frozen=True, slots=True)
class CaPolicy:
    """How we use a CA. weight: its share of the domains, as their first choice. profile: for new orders, left out
    if the CA does not offer or accept it. required_profile: no order is placed without it. Empty: none.
    preferred_chain: the common name of the issuer that the chain should lead to. eab_key_id, eab_hmac_key (base64url):
    External Account Binding (RFC 8555 §7.3.4); empty if the CA requires none."""

    weight: int = 0
    profile: str = ""
    required_profile: str = ""
    preferred_chain: str = ""
    eab_key_id: str = ""
    eab_hmac_key: str = field(default="", repr=False)
    limits: CaLimits = CaLimits()


@dataclass(frozen=True, slots=True)
class CaAccount:
    """Our account at a CA. key: encrypted. url: None until the CA has given it. next_key: the key of an unfinished
    roll-over, saved before it is sent to the CA; encrypted."""

    key: str = field(repr=False)
    url: str | None
    created_at: float
    next_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """Our account at a CA, without secrets. thumbprint: of its key (RFC 7638); None if no configured encryption key
    decrypts the key. is_rolling_over: a new key is saved, and the CA is not known to have it yet."""

    url: str | None
    thumbprint: str | None
    created_at: float
    is_rolling_over: bool


class CaAccounts(Protocol):
    """Where the CA adapter keeps its accounts: one per directory URL, for all workers."""

    def ca_account(self, directory_url: str) -> CaAccount | None:
        """The account for a directory, or None."""

    def keep_ca_account(self, directory_url: str, account: CaAccount, *, instead_of: CaAccount | None) -> CaAccount:
        """Save `account` if the stored one is still `instead_of`; return the one stored now, whoever saved it."""

    def lock_ca_account(self, directory_url: str, *, seconds: int) -> str | None:
        """A lock for the one caller that may register now; it expires after `seconds`. None for all others."""

    def unlock_ca_account(self, directory_url: str, lock: str) -> None:
        """Release this lock early; a later lock of another caller stays."""

    def remove_ca_account(self, directory_url: str) -> bool:
        """Remove the account for a directory. False if there is none."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the steps need it (RFC 8555 §7.1.3); the CA's own status words stay in `ca`.

    needs_csr: every authorization is valid, so finalize may be sent. certificate_url: the certificate is issued and can
    be fetched. problem: why the order is lost. If none of these is set, the CA is still working: it asks to be asked
    again at ask_again_at (epoch seconds; None: at any time). error: what the CA says has failed so far, while the order
    is not lost. was_finalized: it has not taken the CSR that was just sent, but may have taken one before.
    """

    url: str
    finalize_url: str
    authorization_urls: tuple[str, ...]
    needs_csr: bool = False
    certificate_url: str | None = None
    problem: Problem | None = None
    ask_again_at: float | None = None
    error: Problem | None = None
    was_finalized: bool = False


@dataclass(frozen=True, slots=True)
class Challenge:
    """An HTTP-01 challenge that waits for an answer."""

    url: str
    token: str
    key_authorization: str


@dataclass(frozen=True, slots=True)
class Authorization:
    """The CA's view of whether we control a name (RFC 8555 §7.1.4): valid, failed with a problem, or pending.

    challenge: the one to answer, also again; None while the CA is validating it. ask_again_at: epoch seconds. error:
    what the CA says has failed so far, while the authorization is pending.
    """

    is_valid: bool = False
    problem: Problem | None = None
    challenge: Challenge | None = None
    ask_again_at: float | None = None
    error: Problem | None = None


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """When a CA wants a certificate to be renewed (RFC 9773 §4.2). ask_again_at: epoch seconds; None if the CA gives no
    Retry-After."""

    window: RenewalWindow
    ask_again_at: float | None = None


class CertificateAuthority(Protocol):
    """An ACME CA (RFC 8555). Every method raises Problem; none sleeps."""

    directory_url: str
    policy: CaPolicy

    def is_reachable(self) -> bool:
        """Whether the CA serves its directory and a new nonce now (§7.1.1, §7.2)."""

    def require_reachable(self) -> None:
        """Fetch the CA's directory and a new nonce now. Raises the Problem for which it is not reachable."""

    def require_account(self) -> None:
        """Return if the CA knows our account and takes orders from it, or would register it. Nothing is registered or
        changed. Raises Problem(ca-account) otherwise."""

    def caa_identities(self) -> tuple[str, ...]:
        """The CA's domains in CAA records (§9.7.6); empty if it does not say."""

    def account_url(self) -> str:
        """The URL of our account, which is found or created if necessary (§7.3)."""

    def known_account(self) -> KnownAccount | None:
        """Our stored account; the CA is not asked."""

    def roll_over(self) -> None:
        """Give our account a new key (§7.3.5). After an interruption at any point it may be called again."""

    def new_account(self) -> None:
        """Give up our account, whose key may be lost, for a new one. The CA is asked for it when it is first needed."""

    def has_renewal_info(self) -> bool:
        """True if the CA offers renewal info (RFC 9773)."""

    def renewal_info(self, certificate_id: str) -> RenewalInfo:
        """When the CA wants a certificate to be renewed (RFC 9773 §4)."""

    def new_order(self, name: str, replaces: str | None = None, profile: str = "", required_profile: str = "") -> Order:
        """Order a certificate for one name (§7.4). replaces: the id of the certificate that it replaces (RFC 9773 §5);
        if the CA refuses that, the order is sent without it. profile (a preferred one), required_profile: as in
        `CaPolicy`, and before the policy's. Raises Problem if the CA does not offer a required one."""

    def order(self, url: str) -> Order:
        """Fetch an order (§7.4)."""

    def authorization(self, url: str, name: str) -> Authorization:
        """Fetch an authorization for `name` (§7.5)."""

    def answer(self, challenge: Challenge) -> Problem | None:
        """Tell the CA that the response to a challenge is ready (§7.5.1). Returns why it may not know that now; then it
        must be told again, if the challenge stays as it is."""

    def finalize(self, order_url: str, finalize_url: str, csr: str) -> Order:
        """Send the CSR (PEM); if the order is past that point, fetch it instead (§7.4)."""

    def chain(self, url: str, preferred: str = "") -> str:
        """Fetch an issued certificate: PEM, leaf first (§7.4.2). preferred: the common name of the issuer that the
        chain should lead to, used instead of the policy's."""

    def revoke(self, chain: str, reason: int) -> None:
        """Revoke the leaf of a chain (PEM) for a CRLReason (§7.6). Succeeds if it has been revoked already."""
