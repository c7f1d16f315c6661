"""Authorizations and the challenges below them (RFC 8555 §7.5)."""

from typing import Any

from acme import messages

from issuer.ca import documents, problems
from issuer.ca.account import thumbprint
from issuer.ca.session import Session
from issuer.ca.transport import Answer, Refusal, Signer
from issuer.ports import Authorization, Challenge
from issuer.problem import Problem, ProblemType


class Authorizations:
    """The authorizations of our account at a CA."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def look(self, url: str, name: str) -> Authorization:
        """See `ports.CertificateAuthority.authorization`."""
        answer = self._session.fetch(url)
        document = answer.json()
        state = documents.authorization_state(document, name)
        ask_again_at = problems.retry_after(answer.headers, self._session.clock())
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
            return self._session.post_to(challenge.url, b"{}", signer)

        try:
            self._session.keeper.signed(respond)
        except Refusal as refusal:
            # An interrupted run has already answered: the authorization holds the result.
            if refusal.type != "malformed":
                raise problems.from_refusal(refusal, self._session.clock()) from None

    def _http_01(self, authorization: dict[str, Any]) -> Challenge | None:
        """The challenge to answer; None while the CA is validating it."""
        challenge = documents.challenge(authorization)
        if challenge is None:
            raise Problem(ProblemType.CA_REFUSED, "the CA offers no HTTP-01 challenge for the domain")
        if challenge.status != messages.STATUS_PENDING:
            return None
        self._session.transport.require_own(challenge.uri)
        token = challenge.chall.encode("token")
        return Challenge(challenge.uri, token, f"{token}.{thumbprint(self._session.keeper.signer().key)}")
