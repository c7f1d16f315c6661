"""Authorizations and the challenges below them (RFC 8555 §7.5)."""

from issuer.ca import documents, problems
from issuer.ca.account import thumbprint
from issuer.ca.meanings import Resource
from issuer.ca.session import Session
from issuer.ca.signing import Signer
from issuer.ca.transport import Answer, Refusal
from issuer.ports import Authorization, Challenge
from issuer.problem import Problem, ProblemType


class Authorizations:
    """The authorizations of our account at a CA."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def look(self, url: str, name: str) -> Authorization:
        """See `ports.CertificateAuthority.authorization`."""
        answer = self._session.fetch(url, Resource.AUTHORIZATION)
        document = answer.json()
        state = documents.authorization_state(document, name)
        ask_again_at = problems.retry_after(answer.headers, self._session.clock())
        if state == "valid":
            return Authorization(is_valid=True)
        if state not in documents.UNFINISHED:
            return Authorization(problem=documents.failure(document, state))
        return Authorization(challenge=self._http_01(answer), ask_again_at=ask_again_at)

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
                raise problems.from_refusal(refusal, self._session.clock(), Resource.CHALLENGE) from None

    def _http_01(self, answer: Answer) -> Challenge | None:
        """The challenge to answer; None while the CA is validating it."""
        challenge = documents.challenge(answer.json())
        if challenge is None:
            raise Problem(ProblemType.CA_REFUSED, "the CA offers no HTTP-01 challenge for the domain")
        if not challenge.is_pending:
            return None
        url, token = answer.absolute(challenge.url), challenge.token
        self._session.transport.require_own(url)
        return Challenge(url, token, f"{token}.{thumbprint(self._session.keeper.signer().key)}")
