"""Private keys of certificates, and CSRs for them."""

from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class KeyType(StrEnum):
    """The types of certificate key that can be configured."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    RSA_2048 = "rsa-2048"


def new_key(kind: KeyType) -> bytes:
    """A new private key, PKCS #8 DER."""
    key: PrivateKey
    match kind:
        case KeyType.EC_P256:
            key = ec.generate_private_key(ec.SECP256R1())
        case KeyType.EC_P384:
            key = ec.generate_private_key(ec.SECP384R1())
        case KeyType.RSA_2048:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def as_pem(key: bytes) -> str:
    """A private key (PKCS #8 DER) as PEM."""
    return load(key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def new_csr(key: bytes, name: str) -> str:
    """A CSR (PEM) for one name, only in the SAN: a CN has at most 64 characters (RFC 5280 ub-common-name).

    The SAN is critical, as it must be in a certificate with an empty subject (RFC 5280 §4.2.1.6): some CAs copy it, and
    many clients refuse a certificate in which it is not.
    """
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
    )
    return builder.sign(load(key), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def load(key: bytes) -> PrivateKey:
    """A private key (PKCS #8 DER) to work with."""
    loaded = load_der_private_key(key, password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise TypeError("not a type of key that this product makes")
    return loaded
