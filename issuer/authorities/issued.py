"""An order's own key, and the certificate that a CA has issued for it.

A key that cannot be decrypted costs that key and its order, and is found before anything is ordered or finalized.
"""

from issuer import keys
from issuer.backoff import DAY
from issuer.domain import Certificate, Issuance, Record, Step
from issuer.ports import CertificateAuthority, Services
from issuer.problem import Problem, ProblemType

INSTALL_PAUSES = 12
"""How often a certificate that was issued waits for an encryption key before it is given up: one to two hours."""


def has_key(services: Services, issuance: Issuance) -> bool:
    """Whether an issuance without an order has a key of its own. One that cannot be decrypted costs nothing yet."""
    try:
        return issuance.key is not None and bool(services.vault.decrypt(issuance.key))
    except Problem:
        return False


def require_key(services: Services, record: Record, ca: CertificateAuthority) -> bytes:
    """The private key of an order. Raises Problem(undecryptable) if the encryption keys are wrong, and then nothing is
    lost; Problem(order-lost) if they are right, and the order was placed while others were configured: nobody can use
    its certificate. Once that is issued, others who may still have those encryption keys get some time to install it.
    """
    issuance = record.issuance
    assert issuance.key
    try:
        return services.vault.decrypt(issuance.key, f"the new key of {record.domain.name}")
    except Problem:
        ca.account_url()  # raises the same Problem if it is the encryption keys that are wrong
        if issuance.step is Step.INSTALL and issuance.pauses < INSTALL_PAUSES:
            raise
    raise Problem(
        ProblemType.ORDER_LOST,
        "its key was encrypted with an encryption key that is no longer in ISSUER_ENCRYPTION_KEYS",
        message="the order cannot be used any more, and a new one is placed",
    )


def certificate(services: Services, record: Record, ca: CertificateAuthority) -> Certificate:
    """The certificate that was issued. Raises Problem(bad-certificate) if it cannot be used; but if it will be usable
    within a day, was usable when it was issued, or is for another issuance, that is not the CA's fault."""
    issuance, name = record.issuance, record.domain.name
    assert issuance.certificate_url
    key, now = require_key(services, record, ca), services.clock()
    pem = ca.chain(issuance.certificate_url, record.domain.preferred_chain or "")
    try:
        return keys.as_certificate(pem, key=key, name=name, ca=ca.directory_url, vault=services.vault, now=now)
    except keys.ExpiredError as problem:
        if (issuance.ordered_at or problem.ended_at) < problem.ended_at:
            raise Problem(ProblemType.ORDER_LOST, problem.detail, message="the certificate came too late") from None
        raise
    except Problem as problem:
        if issuance.was_finalized:
            raise Problem(ProblemType.ORDER_LOST, f"another issuance has finalized it ({problem.detail})") from None
        if problem.retry_at and problem.retry_at <= now + DAY:
            raise Problem(ProblemType.CA_SLOW, problem.detail, retry_at=problem.retry_at) from None
        raise
