"""Authorizations and the challenges below them (RFC 8555 §7.5)."""

from issuer.ca import documents, meanings, problems
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
        if problem := documents.ended(document):
            return Authorization(problem=problem)
        challenge = documents.challenge(document)
        if challenge is None:
            raise Problem(ProblemType.CA_REFUSED, "the CA offers no HTTP-01 challenge for the domain")
        if challenge.status == "invalid":
            return Authorization(problem=documents.failure(document, "the challenge is invalid"))
        error = problems.from_document(challenge.error, ProblemType.VALIDATION_FAILED) if challenge.error else None
        # Whoever has failed to validate may be asked to try again, also where it goes on trying by itself (§8.2).
        is_to_answer = challenge.status == "pending" or (challenge.status == "processing" and error is not None)
        to_answer = self._to_answer(answer, challenge) if is_to_answer else None
        return Authorization(challenge=to_answer, ask_again_at=ask_again_at, error=error)

    def answer(self, challenge: Challenge) -> Problem | None:
        """See `ports.CertificateAuthority`."""

        def respond(signer: Signer) -> Answer:
            if challenge.key_authorization != f"{challenge.token}.{thumbprint(signer.key)}":
                raise Problem(ProblemType.BUSY, "our account has a new key, so the answer must be computed again")
            return self._session.post_to(challenge.url, b"{}", signer)

        try:
            answer = self._session.keeper.signed(respond)
        except Refusal as refusal:
            return self._after_refusal(refusal)
        if documents.is_challenge(answer):
            return None
        detail = f"its answer to a challenge ({answer.status}) is none of a CA, but perhaps a proxy's"
        return Problem(ProblemType.CA_UNAVAILABLE, detail, hint="the challenge is answered again automatically")

    def _after_refusal(self, refusal: Refusal) -> Problem | None:
        """Why the CA may not know that the response is ready. Raises Problem if it is certain that it does not.

        If it is validating the challenge, or has done so, the authorization has the result. Then a second answer is a
        conflict at some CAs, and «malformed» at others; and a CA that validates at once may refuse the answer itself.
        """
        if refusal.answer.status == problems.CONFLICT:
            return None
        problem = problems.from_refusal(refusal, self._session.clock(), Resource.CHALLENGE)
        if problem.type in problems.OF_ANY_REQUEST:
            raise problem
        if refusal.type == "conflict" or meanings.is_of_validation(refusal.type):
            return None
        if refusal.type == "malformed":
            return problem
        raise problem

    def _to_answer(self, answer: Answer, challenge: documents.HttpChallenge) -> Challenge:
        url, token = answer.absolute(challenge.url), challenge.token
        self._session.transport.require_own(url)
        return Challenge(url, token, f"{token}.{thumbprint(self._session.keeper.signer().key)}")
