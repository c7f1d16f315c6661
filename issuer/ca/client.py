"""A CA over ACME (RFC 8555), as the steps need it: no call sleeps, every failure is a Problem.

`directory` knows where what is, `transport` sends signed requests, `account` finds or makes our account, `documents`
and `problems` read what a CA said. Its own words for states (pending, ready, processing, valid, …) end here.
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
"""Answers that are about the moment, not about what was asked."""
POST_AS_GET = b""
PEM_BEGIN = "-----BEGIN CERTIFICATE-----"
MAX_ALTERNATES = 5

log = structlog.get_logger(__name__)


class AcmeAuthority:
    """The `CertificateAuthority` port. One per process, kept: a new TLS context costs more than an issuance."""

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
        found = self._directory.meta().get("caaIdentities")
        return tuple(problems.plain(one) for one in found if isinstance(one, str)) if isinstance(found, list) else ()

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
        """See `ports.CertificateAuthority`. The account is found or made here, as every issuance begins here."""
        identifier = messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name)
        wanted = messages.NewOrder(identifiers=[identifier]).to_json() | self._profile(profile)

        def ask(signer: Signer) -> Answer:
            if replaces:
                try:
                    return self._post_as("newOrder", documents.body(wanted | {"replaces": replaces}), signer)
                except Refusal as refusal:
                    if refusal.answer.status in LATER or refusal.type == "accountDoesNotExist":
                        raise
                    said = problems.words(refusal.problem)
                    log.info("the CA does not take it for a renewal", replaces=replaces, said=said)
            return self._post_as("newOrder", documents.body(wanted), signer)

        answer = self._keeper.with_account(ask)
        url = answer.headers.get("Location")
        if not url:
            raise unusable("it gave the new order no URL")
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
        answer = self._asked(url, POST_AS_GET)
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

        def tell(signer: Signer) -> Answer:
            if challenge.key_authorization != f"{challenge.token}.{thumbprint(signer.key)}":
                raise Problem(ProblemType.BUSY, "the key of our account is a new one: the answer must be made anew")
            return self._post_to(challenge.url, b"{}", signer)

        try:
            self._keeper.signed(tell)
        except Refusal as refusal:
            # Answered already, by a run that was cut off: how it went stands in the authorization.
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
        wanted = preferred or self.policy.preferred_chain
        if wanted and keys.top_issuer(text) != wanted:
            text = self._preferred(wanted, url, text, alternates[:MAX_ALTERNATES]) or text
        return text

    def _preferred(self, wanted: str, url: str, text: str, alternates: list[str]) -> str | None:
        """Of the other chains for the certificate the one that leads to the wanted issuer, if it can be had: it is a
        wish, which must not cost the certificate."""
        said = "it offers none"
        try:
            for alternate in alternates:
                other, _ = self._chain(urljoin(url, alternate))
                if keys.top_issuer(other) == wanted and keys.is_same_leaf(text, other):
                    return other
        except (Problem, ValueError) as error:
            said = str(error)
        log.warning("no chain to the preferred issuer", preferred=wanted, ca=self.directory_url, reason=said)
        return None

    def revoke(self, chain: str, reason: int) -> None:
        """See `ports.CertificateAuthority`. A reason that the CA does not take is left out: the deed counts."""
        der = x509.load_pem_x509_certificate(chain.encode()).public_bytes(Encoding.DER)
        wanted = {"certificate": encode_b64jose(der)}

        def ask(signer: Signer, more: dict[str, int]) -> Answer:
            try:
                return self._post_as("revokeCert", documents.body(wanted | more), signer)
            except Refusal as refusal:
                if refusal.type == "badRevocationReason" and more:
                    log.warning("the CA does not take the reason of a revocation", ca=self.directory_url, **more)
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
        """A chain, and where there are others for its leaf."""
        answer = self._asked(url, POST_AS_GET)
        text = answer.body.decode("ascii", "replace")
        if PEM_BEGIN not in text:
            # A page of a proxy before the CA: the certificate is there, and another order would be a waste of it.
            raise unusable("its certificate is not PEM")
        return text, list(answer.links("alternate"))

    def _profile(self, wanted: str) -> dict[str, str]:
        """The profile's part of an order. Raises Problem where the CA has no such one."""
        profile = wanted or self.policy.profile
        found = self._directory.meta().get("profiles")
        offered = sorted(found) if isinstance(found, dict) else []
        if profile and profile not in offered:
            shown = problems.plain(", ".join(offered))[:200] or "it has none"
            hint = f"the operator must choose one of its own: {shown}"
            raise Problem(ProblemType.CA_MISUNDERSTOOD, f"it has no profile {profile!a}", hint=hint)
        return {"profile": profile} if profile else {}

    def _order(self, url: str, answer: Answer) -> Order:
        document = answer.json()
        found = documents.order(document)
        for one in filter(None, (url, found.finalize, *found.authorizations, found.certificate)):
            self._transport.require_own(one)
        lost = None
        if found.status == messages.STATUS_INVALID:
            lost = problems.from_document(document.get("error") or self._error_below(found), ProblemType.ORDER_LOST)
        return Order(
            url,
            finalize_url=found.finalize,
            authorization_urls=tuple(found.authorizations),
            needs_csr=found.status == messages.STATUS_READY,
            certificate_url=found.certificate if found.status == messages.STATUS_VALID else None,
            problem=lost,
            ask_again_at=problems.retry_after(answer.headers, self._clock()),
        )

    def _error_below(self, order: messages.Order) -> Any:
        """The error of an order that has none of its own: that of an authorization's challenge, if there is one."""
        for url in order.authorizations:
            try:
                found = documents.errors(self._post(url, POST_AS_GET).json())
            except (Problem, Refusal):
                continue
            if found:
                return found[0]
        return None

    def _http_01(self, authorization: dict[str, Any]) -> Challenge | None:
        """The challenge to answer; None while the CA is validating it."""
        found = documents.challenge(authorization)
        if found is None:
            raise Problem(ProblemType.CA_REFUSED, "it offers no HTTP-01 challenge for the domain")
        if found.status != messages.STATUS_PENDING:
            return None
        self._transport.require_own(found.uri)
        token = found.chall.encode("token")
        return Challenge(found.uri, token, f"{token}.{thumbprint(self._keeper.signer().key)}")

    def _asked(self, url: str, payload: bytes) -> Answer:
        try:
            return self._post(url, payload)
        except Refusal as refusal:
            if _is_forgotten(refusal):
                raise Problem(ProblemType.ORDER_LOST, problems.words(refusal.problem)) from None
            raise problems.from_refusal(refusal, self._clock()) from None

    def _post(self, url: str, payload: bytes) -> Answer:
        return self._keeper.signed(lambda signer: self._post_to(url, payload, signer))

    def _post_as(self, resource: str, payload: bytes, signer: Signer) -> Answer:
        """A request to a resource of the directory, by whoever signs it."""
        return self._post_to(self._directory.resource(resource), payload, signer)

    def _post_to(self, url: str, payload: bytes, signer: Signer) -> Answer:
        return self._transport.post(url, payload, signer, new_nonce_url=self._directory.resource("newNonce"))


def _is_forgotten(refusal: Refusal) -> bool:
    """Whether the CA says that it does not know what it was asked for; the page of a proxy before it says nothing."""
    return refusal.answer.status == NOT_FOUND and (bool(refusal.type) or not refusal.answer.body.strip())
