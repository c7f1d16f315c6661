"""Orders: placed, looked at, and finalized (RFC 8555 §7.4)."""

import json
from typing import Any

import structlog
from acme import messages
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.json_util import encode_b64jose

from issuer.ca import documents, problems
from issuer.ca.meanings import TYPES, Resource
from issuer.ca.session import POST_AS_GET, Session, is_forgotten
from issuer.ca.signing import Signer
from issuer.ca.transport import Answer, Refusal, unusable
from issuer.ports import Order
from issuer.problem import Problem, ProblemType

CONFLICT = 409
ABOUT_REPLACEMENT = frozenset({"alreadyReplaced", "malformed", "unauthorized"})
"""The error types by which CAs refuse the certificate that an order replaces (RFC 9773 §5)."""

log = structlog.get_logger(__name__)


class Orders:
    """The orders of our account at a CA."""

    def __init__(self, session: Session, *, profile: str) -> None:
        self._session = session
        self._default_profile = profile

    def place(self, name: str, replaces: str | None, profile: str) -> Order:
        """See `ports.CertificateAuthority.new_order`. Every issuance starts here, so the account is found or created
        here."""
        identifier = messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name)
        payload = messages.NewOrder(identifiers=[identifier]).to_json() | self._profile(profile)

        def ask(signer: Signer) -> Answer:
            if replaces:
                try:
                    return self._session.post_as("newOrder", documents.body(payload | {"replaces": replaces}), signer)
                except Refusal as refusal:
                    if not _may_be_about_replacement(refusal):
                        raise
                    reason = problems.words(refusal.problem)
                    log.info("CA refused an order as a replacement", replaces=replaces, reason=reason)
            return self._session.post_as("newOrder", documents.body(payload), signer)

        answer = self._session.keeper.with_account(Resource.NEW_ORDER, ask)
        if not answer.location:
            raise unusable("the CA gave the new order no URL")
        return self._order(answer.location, answer, is_new=True)

    def look(self, url: str) -> Order:
        """See `ports.CertificateAuthority.order`."""
        try:
            return self._order(url, self._session.post(url, POST_AS_GET))
        except Refusal as refusal:
            if refusal.type == "orderNotReady" or is_forgotten(refusal):
                lost = Problem(ProblemType.ORDER_LOST, problems.words(refusal.problem))
                return Order(url, finalize_url="", authorization_urls=(), problem=lost)
            raise problems.from_refusal(refusal, self._session.clock(), Resource.ORDER) from None

    def finalize(self, order_url: str, finalize_url: str, csr: str) -> Order:
        """See `ports.CertificateAuthority`."""
        der = x509.load_pem_x509_csr(csr.encode()).public_bytes(Encoding.DER)
        body = json.dumps({"csr": encode_b64jose(der)}).encode()
        try:
            answer = self._session.post(finalize_url, body)
        except Refusal as refusal:
            refused = problems.from_refusal(refusal, self._session.clock(), Resource.FINALIZE)
            return self._after_refusal(order_url, refused, is_early=refusal.type == "orderNotReady")
        try:
            return self._order(order_url, answer)
        except Problem:
            # The CA has the CSR, and its answer is no order: the order itself says what came of it.
            return self.look(order_url)

    def _after_refusal(self, order_url: str, refused: Problem, *, is_early: bool) -> Order:
        """The order after its CSR was refused. If an interrupted run has sent the CSR before, the refusal is only about
        the second one. Raises Problem for any other refusal. is_early: the CA says that the order is not ready."""
        if refused.type in problems.OF_ANY_REQUEST and not refused.leaves_ca:
            raise refused
        placed = self.look(order_url)
        if not is_early and (placed.needs_csr or placed.problem):
            raise refused
        return placed

    def _profile(self, name: str) -> dict[str, str]:
        """The profile member of an order; `name` or the policy's. Raises Problem if the CA does not offer it."""
        profile = name or self._default_profile
        profiles = self._session.directory.meta().get("profiles")
        offered = sorted(profiles) if isinstance(profiles, dict) else []
        if profile and profile not in offered:
            shown = problems.plain(", ".join(offered))[:200] or "the CA offers none"
            hint = f"the operator must choose one of the CA's profiles: {shown}"
            raise Problem(ProblemType.CA_MISUNDERSTOOD, f"the CA has no profile {profile!a}", hint=hint)
        return {"profile": profile} if profile else {}

    def _order(self, url: str, answer: Answer, *, is_new: bool = False) -> Order:
        document = answer.json()
        order = documents.order(document, is_new=is_new)
        finalize_url, certificate_url = (answer.absolute(each or "") for each in (order.finalize, order.certificate))
        authorization_urls = tuple(answer.absolute(each) for each in order.authorizations or ())
        for order_url in filter(None, (url, finalize_url, *authorization_urls, certificate_url)):
            self._session.transport.require_own(order_url)
        lost = None
        if order.status == messages.STATUS_INVALID:
            error = document.get("error") or self._error_below(authorization_urls)
            lost = problems.from_document(error, ProblemType.ORDER_LOST)
        return Order(
            url,
            finalize_url=finalize_url,
            authorization_urls=authorization_urls,
            needs_csr=order.status == messages.STATUS_READY,
            certificate_url=certificate_url or None if order.status == messages.STATUS_VALID else None,
            problem=lost,
            ask_again_at=problems.retry_after(answer.headers, self._session.clock()),
        )

    def _error_below(self, authorization_urls: tuple[str, ...]) -> Any:
        """The error of a challenge below an order that has no error of its own; None if there is none."""
        for url in authorization_urls:
            try:
                errors = documents.errors(self._session.post(url, POST_AS_GET).json())
            except (Problem, Refusal):
                continue
            if errors:
                return errors[0]
        return None


def _may_be_about_replacement(refusal: Refusal) -> bool:
    """Whether a CA may have refused an order because of its member `replaces`. A failure of the CA, a rate limit, and
    what is clearly about something else, such as the name, say nothing about it."""
    status, type_ = refusal.answer.status, refusal.type
    if not type_ or status >= problems.SERVER_ERROR or status in problems.LATER:
        return False
    return type_ in ABOUT_REPLACEMENT or type_ not in TYPES or status == CONFLICT
