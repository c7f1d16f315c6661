"""A CA over ACME (RFC 8555), as the steps need it: no call sleeps, and every failure is a Problem.

`directory` knows the CA's URLs, `transport` sends signed requests, `account` finds or creates our account, `documents`
and `problems` read the CA's answers. Its status words (pending, ready, processing, valid, …) are used only in here.
"""

import json
from typing import Any
from urllib.parse import urljoin

import structlog
from acme import messages
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.json_util import encode_b64jose

from issuer import keys
from issuer.ca import documents, problems
from issuer.ca.account import AccountKeeper, thumbprint
from issuer.ca.directory import Directory
from issuer.ca.transport import Answer, Refusal, Signer, Transport, unusable
from issuer.keys import Vault
from issuer.ports import Authorization, CaAccounts, CaPolicy, Challenge, Clock, KnownAccount, Order, RenewalInfo
from issuer.problem import Problem, ProblemType

NOT_FOUND = 404
LATER = frozenset({429, 503})
"""HTTP statuses that mean «not now», and do not judge the request itself."""
POST_AS_GET = b""
PEM_BEGIN = "-----BEGIN CERTIFICATE-----"
MAX_ALTERNATES = 5

log = structlog.get_logger(__name__)


class AcmeAuthority:
    """The `CertificateAuthority` port. A process keeps one per CA: a new TLS context costs more than an issuance."""

    def __init__(
        self,
        directory_url: str,
        accounts: CaAccounts,
        *,
        policy: CaPolicy,
        vault: Vault,
        clock: Clock,
        transport: Transport,
        contact: str = "",
        terms_agreed: bool = False,
    ) -> None:
        self.directory_url = directory_url
        self.policy = policy
        self._clock = clock
        self._transport = transport
        self._directory = Directory(directory_url, transport, clock)
        self._keeper = AccountKeeper(
            directory_url,
            accounts,
            policy=policy,
            vault=vault,
            clock=clock,
            post=self._post_as,
            resource=self._directory.resource,
            contact=contact,
            terms=self._terms,
            terms_agreed=terms_agreed,
        )

    def caa_identities(self) -> tuple[str, ...]:
        """See `ports.CertificateAuthority`."""
        identities = self._directory.meta().get("caaIdentities")
        if not isinstance(identities, list):
            return ()
        return tuple(problems.plain(identity) for identity in identities if isinstance(identity, str))

    def account_url(self) -> str:
        """See `ports.CertificateAuthority`."""
        return self._keeper.signer().url or ""

    def known_account(self) -> KnownAccount | None:
        """See `ports.CertificateAuthority`."""
        return self._keeper.known()

    def roll_over(self) -> None:
        """See `ports.CertificateAuthority`."""
        self._keeper.roll_over()

    def has_renewal_info(self) -> bool:
        """See `ports.CertificateAuthority`."""
        return self._directory.has("renewalInfo")

    def renewal_info(self, certificate_id: str) -> RenewalInfo:
        """See `ports.CertificateAuthority`."""
        try:
            answer = self._transport.get(f"{self._directory.resource('renewalInfo').rstrip('/')}/{certificate_id}")
        except Refusal as refusal:
            if refusal.answer.status < problems.SERVER_ERROR and refusal.answer.status not in LATER:
                raise Problem(ProblemType.NO_RENEWAL_INFO, f"status {refusal.answer.status}") from None
            raise problems.from_refusal(refusal, self._clock()) from None
        window = documents.window(certificate_id, answer.json())
        return RenewalInfo(window, ask_again_at=problems.retry_after(answer.headers, self._clock()))

    def new_order(self, name: str, replaces: str | None = None, profile: str = "") -> Order:
        """See `ports.CertificateAuthority`. Every issuance starts here, so the account is found or created here."""
        identifier = messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name)
        payload = messages.NewOrder(identifiers=[identifier]).to_json() | self._profile(profile)

        def ask(signer: Signer) -> Answer:
            if replaces:
                try:
                    return self._post_as("newOrder", documents.body(payload | {"replaces": replaces}), signer)
                except Refusal as refusal:
                    if refusal.answer.status in LATER or refusal.type == "accountDoesNotExist":
                        raise
                    reason = problems.words(refusal.problem)
                    log.info("CA refused an order as a replacement", replaces=replaces, reason=reason)
            return self._post_as("newOrder", documents.body(payload), signer)

        answer = self._keeper.with_account(ask)
        url = answer.headers.get("Location")
        if not url:
            raise unusable("the CA gave the new order no URL")
        return self._order(url, answer)

    def order(self, url: str) -> Order:
        """See `ports.CertificateAuthority`."""
        try:
            return self._order(url, self._post(url, POST_AS_GET))
        except Refusal as refusal:
            if refusal.type == "orderNotReady" or _is_forgotten(refusal):
                lost = Problem(ProblemType.ORDER_LOST, problems.words(refusal.problem))
                return Order(url, finalize_url="", authorization_urls=(), problem=lost)
            raise problems.from_refusal(refusal, self._clock()) from None

    def authorization(self, url: str, name: str) -> Authorization:
        """See `ports.CertificateAuthority`."""
        answer = self._fetch(url)
        document = answer.json()
        state = documents.authorization_state(document, name)
        ask_again_at = problems.retry_after(answer.headers, self._clock())
        if state == "valid":
            return Authorization(is_valid=True)
        if state != "pending":
            return Authorization(problem=documents.failure(document, state))
        return Authorization(challenge=self._http_01(document), ask_again_at=ask_again_at)

    def answer(self, challenge: Challenge) -> None:
        """See `ports.CertificateAuthority`."""

        def respond(signer: Signer) -> Answer:
            if challenge.key_authorization != f"{challenge.token}.{thumbprint(signer.key)}":
                raise Problem(ProblemType.BUSY, "our account has a new key, so the answer must be computed again")
            return self._post_to(challenge.url, b"{}", signer)

        try:
            self._keeper.signed(respond)
        except Refusal as refusal:
            # An interrupted run has already answered: the authorization holds the result.
            if refusal.type != "malformed":
                raise problems.from_refusal(refusal, self._clock()) from None

    def finalize(self, order_url: str, finalize_url: str, csr: str) -> Order:
        """See `ports.CertificateAuthority`."""
        der = x509.load_pem_x509_csr(csr.encode()).public_bytes(Encoding.DER)
        body = json.dumps({"csr": encode_b64jose(der)}).encode()
        try:
            return self._order(order_url, self._post(finalize_url, body))
        except Refusal as refusal:
            if refusal.type == "orderNotReady":
                return self.order(order_url)
            raise problems.from_refusal(refusal, self._clock()) from None

    def chain(self, url: str, preferred: str = "") -> str:
        """See `ports.CertificateAuthority`."""
        text, alternates = self._chain(url)
        issuer = preferred or self.policy.preferred_chain
        if issuer and keys.top_issuer(text) != issuer:
            text = self._alternate(issuer, url, text, alternates[:MAX_ALTERNATES]) or text
        return text

    def _alternate(self, issuer: str, url: str, text: str, alternates: list[str]) -> str | None:
        """The alternate chain that leads to `issuer`, if the CA offers one. None on any failure: a preference must not
        cost the certificate."""
        reason = "the CA does not offer one"
        try:
            for alternate in alternates:
                other, _ = self._chain(urljoin(url, alternate))
                if keys.top_issuer(other) == issuer and keys.is_same_leaf(text, other):
                    return other
        except (Problem, ValueError) as error:
            reason = str(error)
        log.warning("no chain to the preferred issuer", preferred=issuer, ca=self.directory_url, reason=reason)
        return None

    def revoke(self, chain: str, reason: int) -> None:
        """See `ports.CertificateAuthority`. If the CA does not accept the reason, it is asked again without one."""
        der = x509.load_pem_x509_certificate(chain.encode()).public_bytes(Encoding.DER)
        payload = {"certificate": encode_b64jose(der)}

        def ask(signer: Signer, with_reason: dict[str, int]) -> Answer:
            try:
                return self._post_as("revokeCert", documents.body(payload | with_reason), signer)
            except Refusal as refusal:
                if refusal.type == "badRevocationReason" and with_reason:
                    log.warning("CA does not accept the revocation reason", ca=self.directory_url, **with_reason)
                    return ask(signer, {})
                if refusal.type != "alreadyRevoked":
                    raise
                return refusal.answer

        self._keeper.with_account(lambda signer: ask(signer, {"reason": reason}))

    def _terms(self) -> str | None:
        """The URL of the CA's terms of service, if it has some (§7.1.1)."""
        url = self._directory.meta().get("termsOfService")
        return problems.plain(url) if isinstance(url, str) and url else None

    def _chain(self, url: str) -> tuple[str, list[str]]:
        """A chain, and the URLs of the alternate chains for its leaf."""
        answer = self._fetch(url)
        text = answer.body.decode("ascii", "replace")
        if PEM_BEGIN not in text:
            # A page of a proxy in front of the CA: the certificate exists, and a new order would waste it.
            raise unusable("the CA's certificate is not PEM")
        return text, list(answer.links("alternate"))

    def _profile(self, name: str) -> dict[str, str]:
        """The profile member of an order; `name` or the policy's. Raises Problem if the CA does not offer it."""
        profile = name or self.policy.profile
        profiles = self._directory.meta().get("profiles")
        offered = sorted(profiles) if isinstance(profiles, dict) else []
        if profile and profile not in offered:
            shown = problems.plain(", ".join(offered))[:200] or "the CA offers none"
            hint = f"the operator must choose one of the CA's profiles: {shown}"
            raise Problem(ProblemType.CA_MISUNDERSTOOD, f"the CA has no profile {profile!a}", hint=hint)
        return {"profile": profile} if profile else {}

    def _order(self, url: str, answer: Answer) -> Order:
        document = answer.json()
        order = documents.order(document)
        for order_url in filter(None, (url, order.finalize, *order.authorizations, order.certificate)):
            self._transport.require_own(order_url)
        lost = None
        if order.status == messages.STATUS_INVALID:
            lost = problems.from_document(document.get("error") or self._error_below(order), ProblemType.ORDER_LOST)
        return Order(
            url,
            finalize_url=order.finalize,
            authorization_urls=tuple(order.authorizations),
            needs_csr=order.status == messages.STATUS_READY,
            certificate_url=order.certificate if order.status == messages.STATUS_VALID else None,
            problem=lost,
            ask_again_at=problems.retry_after(answer.headers, self._clock()),
        )

    def _error_below(self, order: messages.Order) -> Any:
        """The error of a challenge below an order that has no error of its own; None if there is none."""
        for url in order.authorizations:
            try:
                errors = documents.errors(self._post(url, POST_AS_GET).json())
            except (Problem, Refusal):
                continue
            if errors:
                return errors[0]
        return None

    def _http_01(self, authorization: dict[str, Any]) -> Challenge | None:
        """The challenge to answer; None while the CA is validating it."""
        challenge = documents.challenge(authorization)
        if challenge is None:
            raise Problem(ProblemType.CA_REFUSED, "the CA offers no HTTP-01 challenge for the domain")
        if challenge.status != messages.STATUS_PENDING:
            return None
        self._transport.require_own(challenge.uri)
        token = challenge.chall.encode("token")
        return Challenge(challenge.uri, token, f"{token}.{thumbprint(self._keeper.signer().key)}")

    def _fetch(self, url: str) -> Answer:
        """A POST-as-GET (§6.3). Raises Problem(order-lost) if the CA does not know the URL."""
        try:
            return self._post(url, POST_AS_GET)
        except Refusal as refusal:
            if _is_forgotten(refusal):
                raise Problem(ProblemType.ORDER_LOST, problems.words(refusal.problem)) from None
            raise problems.from_refusal(refusal, self._clock()) from None

    def _post(self, url: str, payload: bytes) -> Answer:
        return self._keeper.signed(lambda signer: self._post_to(url, payload, signer))

    def _post_as(self, resource: str, payload: bytes, signer: Signer) -> Answer:
        """A request to a resource of the directory, signed by `signer`."""
        return self._post_to(self._directory.resource(resource), payload, signer)

    def _post_to(self, url: str, payload: bytes, signer: Signer) -> Answer:
        return self._transport.post(url, payload, signer, new_nonce_url=self._directory.resource("newNonce"))


def _is_forgotten(refusal: Refusal) -> bool:
    """Whether the CA says that it does not know the resource; a 404 page of a proxy in front of it does not count."""
    return refusal.answer.status == NOT_FOUND and (bool(refusal.type) or not refusal.answer.body.strip())
