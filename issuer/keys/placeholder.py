"""The placeholder certificate, which edges serve for names without one."""

import datetime as dt
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from issuer.keys.chains import INVALID_INPUT_ERRORS

PLACEHOLDER_NAME = "no-certificate-yet.invalid"
"""The only name in the placeholder certificate, which edges serve for names without one; nobody can own it
(RFC 2606 §2)."""


def placeholder_bundle() -> str:
    """The placeholder certificate with its key, PEM: self-signed, for handshakes for names without a certificate.

    It is not trusted and need not be: a CA that follows a redirect to HTTPS while it validates a name (RFC 8555 §8.3)
    does not verify it. It never expires (RFC 5280 §4.1.2.5).
    """
    start, end = dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    return "".join(self_signed("No certificate for this name yet", [x509.DNSName(PLACEHOLDER_NAME)], start, end))


def self_signed(
    common_name: str,
    alternatives: Sequence[x509.GeneralName],
    begins: dt.datetime,
    ends: dt.datetime,
    *,
    is_ca: bool = False,
) -> tuple[str, str]:
    """A self-signed certificate and its key, each PEM. is_ca: it may be trusted as a root."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), pem.decode()


def is_placeholder(certificate: x509.Certificate) -> bool:
    """True for a certificate that `placeholder_bundle` made."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.DNSName) == [PLACEHOLDER_NAME]
    except INVALID_INPUT_ERRORS:
        return False
