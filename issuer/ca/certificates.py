"""Issued certificates: their chains (RFC 8555 §7.4.2), their revocation (§7.6), and when to renew them (RFC 9773)."""

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.json_util import encode_b64jose

from issuer import keys
from issuer.ca import documents, problems
from issuer.ca.meanings import Resource
from issuer.ca.session import Session
from issuer.ca.signing import Signer
from issuer.ca.transport import SERVER_ERROR, Answer, Refusal, unusable
from issuer.ports import RenewalInfo
from issuer.problem import Problem, ProblemType

MAX_ALTERNATES = 5

log = structlog.get_logger(__name__)


class Certificates:
    """The certificates that a CA has issued for us. preferred_chain: see `ports.CaPolicy`."""

    def __init__(self, session: Session, *, preferred_chain: str) -> None:
        self._session = session
        self._preferred_chain = preferred_chain

    def chain(self, url: str, preferred: str) -> str:
        """See `ports.CertificateAuthority`."""
        text, alternates = self._chain(url)
        issuer = preferred or self._preferred_chain
        if issuer and keys.top_issuer(text) != issuer:
            text = self._alternate(issuer, text, alternates[:MAX_ALTERNATES]) or text
        return text

    def revoke(self, chain: str, reason: int) -> None:
        """See `ports.CertificateAuthority`. If the CA does not accept the reason, it is asked again without one."""
        der = x509.load_pem_x509_certificate(chain.encode()).public_bytes(Encoding.DER)
        payload = {"certificate": encode_b64jose(der)}

        def ask(signer: Signer, with_reason: dict[str, int]) -> Answer:
            try:
                return self._session.post_as("revokeCert", documents.body(payload | with_reason), signer)
            except Refusal as refusal:
                if refusal.type == "badRevocationReason" and with_reason:
                    ca = self._session.directory_url
                    log.warning("CA does not accept the revocation reason", ca=ca, **with_reason)
                    return ask(signer, {})
                if refusal.type != "alreadyRevoked":
                    raise
                return refusal.answer

        answer = self._session.keeper.with_account(Resource.REVOKE_CERT, lambda signer: ask(signer, {"reason": reason}))
        answer.require_no_page()

    def renewal_info(self, certificate_id: str) -> RenewalInfo:
        """See `ports.CertificateAuthority`."""
        url = self._session.directory.resource("renewalInfo").rstrip("/")
        try:
            answer = self._session.transport.get(f"{url}/{certificate_id}")
        except Refusal as refusal:
            if refusal.answer.status < SERVER_ERROR and refusal.answer.status not in problems.LATER:
                raise Problem(ProblemType.NO_RENEWAL_INFO, f"status {refusal.answer.status}") from None
            raise problems.from_refusal(refusal, self._session.clock(), Resource.RENEWAL_INFO) from None
        window = documents.window(certificate_id, answer.json())
        return RenewalInfo(window, ask_again_at=problems.retry_after(answer.headers, self._session.clock()))

    def _chain(self, url: str) -> tuple[str, list[str]]:
        """A chain, and the URLs of the alternate chains for its leaf."""
        answer = self._session.fetch(url, Resource.CERTIFICATE)
        text = answer.body.decode("ascii", "replace")
        if not keys.is_complete(text):
            # A page of a proxy in front of the CA, or a part of an answer: the certificate exists, and must be fetched.
            raise unusable("the CA's certificate is not PEM, or was cut off")
        return text, list(answer.links("alternate"))

    def _alternate(self, issuer: str, text: str, alternates: list[str]) -> str | None:
        """The alternate chain that leads to `issuer`, if the CA offers one. None on any failure: a preference must not
        cost the certificate."""
        reason = "the CA does not offer one"
        try:
            for alternate in alternates:
                other, _ = self._chain(alternate)
                if keys.top_issuer(other) == issuer and keys.is_same_leaf(text, other):
                    return other
        except (Problem, ValueError) as error:
            reason = str(error)
        ca = self._session.directory_url
        log.warning("no chain to the preferred issuer", preferred=issuer, ca=ca, reason=reason)
        return None
