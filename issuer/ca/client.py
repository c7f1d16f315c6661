"""A CA over ACME (RFC 8555), as the steps need it: no call sleeps, and every failure is a Problem.

`directory` knows the CA's URLs, `transport` sends requests that `signing` has signed, `account` finds or creates our
account, and `session` puts these together. `orders`, `authorizations` and `certificates` are the resources; `documents`
and `problems` read the CA's answers. Its status words (pending, ready, processing, …) are used only in here.
"""

from typing import Unpack

from issuer.ca import problems
from issuer.ca.authorizations import Authorizations
from issuer.ca.certificates import Certificates
from issuer.ca.orders import Orders
from issuer.ca.session import AccountOptions, Session
from issuer.ca.transport import Transport
from issuer.ca.wishes import Profiles
from issuer.ports import Authorization, CaAccounts, Challenge, KnownAccount, Order, RenewalInfo
from issuer.problem import Problem


class AcmeAuthority:
    """The `CertificateAuthority` port. A process keeps one per CA: a new TLS context costs more than an issuance."""

    def __init__(
        self, directory_url: str, accounts: CaAccounts, *, transport: Transport, **options: Unpack[AccountOptions]
    ) -> None:
        self.directory_url = directory_url
        self.policy = policy = options["policy"]
        self._session = Session(directory_url, accounts, transport=transport, **options)
        self._orders = Orders(self._session, Profiles(policy.profile, policy.required_profile))
        self._authorizations = Authorizations(self._session)
        self._certificates = Certificates(self._session, preferred_chain=policy.preferred_chain)

    def is_reachable(self) -> bool:
        """See `ports.CertificateAuthority`."""
        return self._session.is_reachable()

    def require_reachable(self) -> None:
        """See `ports.CertificateAuthority`."""
        self._session.require_reachable()

    def require_account(self) -> None:
        """See `ports.CertificateAuthority`."""
        self._session.keeper.require_usable(self._session.directory.meta())

    def caa_identities(self) -> tuple[str, ...]:
        """See `ports.CertificateAuthority`."""
        identities = self._session.directory.meta().get("caaIdentities")
        if not isinstance(identities, list):
            return ()
        return tuple(problems.plain(identity) for identity in identities if isinstance(identity, str))

    def account_url(self) -> str:
        """See `ports.CertificateAuthority`."""
        return self._session.keeper.signer().url or ""

    def known_account(self) -> KnownAccount | None:
        """See `ports.CertificateAuthority`."""
        return self._session.keeper.known()

    def roll_over(self) -> None:
        """See `ports.CertificateAuthority`."""
        self._session.keeper.roll_over()

    def new_account(self) -> None:
        """See `ports.CertificateAuthority`."""
        self._session.keeper.start_over()

    def has_renewal_info(self) -> bool:
        """See `ports.CertificateAuthority`."""
        return self._session.directory.has("renewalInfo")

    def renewal_info(self, certificate_id: str) -> RenewalInfo:
        """See `ports.CertificateAuthority`."""
        return self._certificates.renewal_info(certificate_id)

    def new_order(self, name: str, replaces: str | None = None, profile: str = "", required_profile: str = "") -> Order:
        """See `ports.CertificateAuthority`."""
        return self._orders.place(name, replaces, Profiles(profile, required_profile))

    def order(self, url: str) -> Order:
        """See `ports.CertificateAuthority`."""
        return self._orders.look(url)

    def authorization(self, url: str, name: str) -> Authorization:
        """See `ports.CertificateAuthority`."""
        return self._authorizations.look(url, name)

    def answer(self, challenge: Challenge) -> Problem | None:
        """See `ports.CertificateAuthority`."""
        return self._authorizations.answer(challenge)

    def finalize(self, order_url: str, finalize_url: str, csr: str) -> Order:
        """See `ports.CertificateAuthority`."""
        return self._orders.finalize(order_url, finalize_url, csr)

    def chain(self, url: str, preferred: str = "") -> str:
        """See `ports.CertificateAuthority`."""
        return self._certificates.chain(url, preferred)

    def revoke(self, chain: str, reason: int) -> None:
        """See `ports.CertificateAuthority`."""
        self._certificates.revoke(chain, reason)
