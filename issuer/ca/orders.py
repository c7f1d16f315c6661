"""Orders: placed, looked at, and finalized (RFC 8555 §7.4)."""

import json
import re
from dataclasses import replace
from typing import Any

from acme import messages
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.json_util import encode_b64jose

from issuer import names
from issuer.ca import documents, meanings, problems, wishes
from issuer.ca.meanings import Resource
from issuer.ca.session import POST_AS_GET, Session
from issuer.ca.signing import Signer
from issuer.ca.transport import Answer, Refusal, unusable
from issuer.ca.wishes import Profiles
from issuer.ports import Order
from issuer.problem import Actor, Problem, ProblemType

OF_ANY_CA = re.compile(
    r"public suffix|icann|\btld\b|top.level domain|invalid character|malformed|not a valid|not valid|too long|too many"
    r"|label|underscore|wildcard|ip address|reserved|special.use|punycode|idn|fully qualified",
    re.IGNORECASE,
)
"""Words about what a name is, and not about what this CA does not want to issue for."""


class Orders:
    """The orders of our account at a CA."""

    def __init__(self, session: Session, profiles: Profiles) -> None:
        self._session = session
        self._default_profiles = profiles

    def place(self, name: str, replaces: str | None, profiles: Profiles) -> Order:
        """See `ports.CertificateAuthority.new_order`. Every issuance starts here, so the account is found or created
        here."""
        identifier = messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name)
        required = messages.NewOrder(identifiers=[identifier]).to_json()
        optional = {"replaces": replaces} if replaces else {}
        profile, is_required = wishes.profile(profiles, self._default_profiles, self._offered_profiles())
        if is_required:
            required |= profile
        else:
            optional |= profile

        def ask(signer: Signer) -> Answer:
            def post(payload: dict[str, Any]) -> Answer:
                return self._session.post_as("newOrder", documents.body(payload), signer)

            return wishes.ask(post, required, optional)

        try:
            answer = self._session.keeper.with_account(Resource.NEW_ORDER, ask)
        except Problem as problem:
            raise _explained(problem, name) from None
        if not answer.location:
            raise unusable("the CA gave the new order no URL")
        return self._order(answer.location, answer, is_new=True)

    def look(self, url: str) -> Order:
        """See `ports.CertificateAuthority.order`."""
        try:
            return self._order(url, self._session.post(url, POST_AS_GET))
        except Refusal as refusal:
            if refusal.type == "orderNotReady" or self._session.is_lost(refusal):
                return _lost(url, refusal)
            raise problems.from_refusal(refusal, self._session.clock(), Resource.ORDER) from None

    def finalize(self, order_url: str, finalize_url: str, csr: str) -> Order:
        """See `ports.CertificateAuthority`."""
        der = x509.load_pem_x509_csr(csr.encode()).public_bytes(Encoding.DER)
        body = json.dumps({"csr": encode_b64jose(der)}).encode()
        try:
            answer = self._session.post(finalize_url, body)
        except Refusal as refusal:
            if self._session.is_lost(refusal):
                return _lost(order_url, refusal)
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
        try:
            placed = self.look(order_url)
        except Problem:
            raise refused from None
        if not is_early and (placed.needs_csr or placed.problem):
            raise refused
        return replace(placed, was_finalized=not placed.needs_csr)

    def _offered_profiles(self) -> list[str]:
        profiles = self._session.directory.meta().get("profiles")
        return sorted(profiles) if isinstance(profiles, dict) else []

    def _order(self, url: str, answer: Answer, *, is_new: bool = False) -> Order:
        document = answer.json()
        order = documents.order(document, is_new=is_new)
        finalize_url, certificate_url = (answer.absolute(each or "") for each in (order.finalize, order.certificate))
        authorization_urls = tuple(answer.absolute(each) for each in order.authorizations or ())
        for order_url in filter(None, (url, finalize_url, *authorization_urls, certificate_url)):
            self._session.transport.require_own(order_url)
        error, lost = document.get("error"), None
        failed = problems.from_document(error, ProblemType.ORDER_LOST) if isinstance(error, dict) and error else None
        if order.status == messages.STATUS_INVALID:
            lost = failed or self._problem_below(authorization_urls) or documents.without_reason(document)
        return Order(
            url,
            finalize_url=finalize_url,
            authorization_urls=authorization_urls,
            needs_csr=order.status == messages.STATUS_READY,
            certificate_url=certificate_url or None if order.status == messages.STATUS_VALID else None,
            problem=lost,
            ask_again_at=problems.retry_after(answer.headers, self._session.clock()),
            error=failed,
        )

    def _problem_below(self, authorization_urls: tuple[str, ...]) -> Problem | None:
        """Why an order that gives no reason itself has failed: the first authorization of it that gives one, or that
        has ended; None if there is none."""
        found = []
        for url in authorization_urls:
            try:
                document = self._session.post(url, POST_AS_GET).json()
            except (Problem, Refusal):
                continue
            if documents.errors(document):
                return documents.ended(document) or documents.failure(document, "", ProblemType.ORDER_LOST)
            found.append(documents.ended(document))
        return next(filter(None, found), None)


def _lost(url: str, refusal: Refusal) -> Order:
    """An order that the CA no longer has for us."""
    problem = Problem(ProblemType.ORDER_LOST, problems.words(refusal.problem))
    return Order(url, finalize_url="", authorization_urls=(), problem=problem)


def _explained(problem: Problem, name: str) -> Problem:
    """The same problem; if a name is refused, with who can do what about it, by the CA's words. They decide nothing
    else."""
    if problem.type is not ProblemType.CA_REFUSED:
        return problem
    if names.looks_crawled(name):
        why = "the name looks as if a crawler had followed a wildcard record into itself, and CAs refuse such names"
        cause, hint = f"{why}: {problem.detail}", meanings.CRAWLED
        return Problem(problem.type, cause, cause=cause, hint=hint, actor=Actor.OWNER)
    if OF_ANY_CA.search(problem.detail):
        return Problem(problem.type, problem.detail, cause=problem.cause, hint=meanings.OTHER_NAME, actor=Actor.OWNER)
    return problem
