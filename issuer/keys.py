"""Certificate keys and CSRs, reading what the CA sent back, and encryption at rest."""

import datetime as dt
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from issuer.domain import Certificate
from issuer.problem import Problem, ProblemType

CLOCK_SKEW_SECONDS = 7200
"""How far a certificate's notBefore may lie ahead of our clock, which may be an hour wrong after a time change."""

INVALID_INPUT_ERRORS = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

PEM_BEGIN, PEM_END = "-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n"

PLACEHOLDER_NAME = "no-certificate-yet.invalid"
"""The only name in the placeholder certificate, which edges serve for names without one; nobody can own it
(RFC 2606 §2)."""

TOKEN_FRAME = 1 + 8 + 16 + 32
"""The bytes of a Fernet token beside its blocks of 16: version, time, IV and HMAC."""

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class KeyType(StrEnum):
    """The types of certificate key that can be configured."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    RSA_2048 = "rsa-2048"


class Vault:
    """Encryption at rest (Fernet): the first key encrypts, all keys decrypt, so that keys can be rotated."""

    def __init__(self, keys: Sequence[str]) -> None:
        """keys: Fernet keys, URL-safe base64. Raises ValueError for an invalid key, without repeating it."""
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise ValueError("an encryption key is not 32 bytes in URL-safe base64") from None

    def encrypt(self, secret: bytes) -> str:
        """The Fernet token of a secret; only our keys decrypt it."""
        return self._fernet.encrypt(secret).decode()

    def decrypt(self, token: str) -> bytes:
        """The secret of a token. Raises Problem(undecryptable) if no key decrypts it; then the operator must act, and
        nothing that is stored may be replaced."""
        try:
            return self._fernet.decrypt(token)
        except (InvalidToken, ValueError):
            raise Problem(
                ProblemType.UNDECRYPTABLE,
                hint="the operator must add the key that encrypted it to ISSUER_ENCRYPTION_KEYS again",
            ) from None


def is_token(text: str) -> bool:
    """Whether a text can be a Fernet token at all, of whatever key; False if it is cut off."""
    try:
        token = urlsafe_b64decode(text.encode())
    except ValueError:
        return False
    return token[:1] == b"\x80" and len(token) > TOKEN_FRAME and (len(token) - TOKEN_FRAME) % 16 == 0


def new_encryption_key() -> str:
    """A new key for `Vault`."""
    return Fernet.generate_key().decode()


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
    return _load(key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


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


def new_csr(key: bytes, name: str) -> str:
    """A CSR (PEM) for one name, only in the SAN: a CN has at most 64 characters (RFC 5280 ub-common-name)."""
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return builder.sign(_load(key), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def read_chain(pem: str, *, key: bytes, name: str, now: float) -> tuple[str, x509.Certificate]:
    """Verify a chain that a CA sent; returns it as normalized PEM (leaf first), and the leaf.

    Raises Problem(bad-certificate) unless it parses, every certificate is signed by the next, the leaf's public key
    is that of `key`, its only name is `name`, and it is valid at `now` (epoch seconds).
    """
    chain, names = _verified(pem, _load(key))
    leaf = chain[0]
    if [(type(entry), str(entry.value).lower()) for entry in names] != [(x509.DNSName, name)]:
        raise _bad(f"the certificate is not for {name} alone")
    if leaf.not_valid_before_utc.timestamp() > now + CLOCK_SKEW_SECONDS:
        raise _bad("the certificate is not valid yet")
    if leaf.not_valid_after_utc.timestamp() + 1 <= now:
        raise _bad("the certificate has already expired")
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in chain), leaf


def require_whole(bundle: str) -> x509.SubjectAlternativeName:
    """The names in a PEM of chain and key. Raises Problem(bad-certificate) unless it is whole: every certificate is
    signed by the next, and the leaf is for the key. An expired certificate is accepted."""
    try:
        key = load_pem_private_key(bundle.encode(), password=None)
    except INVALID_INPUT_ERRORS as error:
        raise _bad(f"its key cannot be read ({type(error).__name__})") from None
    _, names = _verified(bundle, key)
    if bundle.count(PEM_BEGIN) != bundle.count(PEM_END):
        raise _bad("its chain is cut off")
    return names


def verify_bundle(bundle: str, name: str) -> None:
    """Raise Problem(bad-certificate) unless a PEM of chain and key is whole, and the leaf is for `name`."""
    names = require_whole(bundle)
    if name not in (dns_name.lower() for dns_name in names.get_values_for_type(x509.DNSName)):
        raise _bad(f"the certificate is not for {name}")


def as_certificate(pem: str, *, key: bytes, name: str, ca: str, vault: Vault, now: float) -> Certificate:
    """The record of a chain that `read_chain` accepts, with its key encrypted. Raises Problem(bad-certificate)."""
    chain, leaf = read_chain(pem, key=key, name=name, now=now)
    return Certificate(
        chain=chain,
        key=vault.encrypt(key),
        serial=f"{leaf.serial_number:x}",
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        ca=ca,
        installed_at=now,
    )


def certificate_id(chain: str) -> str | None:
    """The identifier of the leaf of a chain for renewal info (RFC 9773 §4.1); None if it names no authority key, or
    cannot be read."""
    try:
        leaf = x509.load_pem_x509_certificate(chain.encode())
        authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except INVALID_INPUT_ERRORS:
        return None
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1)  # as DER has it: signed
    return f"{_base64url(authority)}.{_base64url(serial)}" if authority else None


def top_issuer(chain: str) -> str:
    """The common name of the issuer of a chain's last certificate; empty if it has none, or if a certificate is not
    signed by the next."""
    try:
        certificates = x509.load_pem_x509_certificates(chain.encode())
        for lower, upper in pairwise(certificates):
            lower.verify_directly_issued_by(upper)
        names = certificates[-1].issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    except INVALID_INPUT_ERRORS:
        return ""
    return str(names[0].value) if names else ""


def is_same_leaf(chain: str, other: str) -> bool:
    """True if two valid chains (PEM) have the same leaf."""
    return x509.load_pem_x509_certificate(chain.encode()) == x509.load_pem_x509_certificate(other.encode())


def issuer_name(chain: str) -> str:
    """The issuer of the leaf of a chain, for people."""
    leaf = x509.load_pem_x509_certificate(chain.encode())
    common_names = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common_names[0].value) if common_names else leaf.issuer.rfc4514_string()


def _base64url(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _verified(pem: str, key: PrivateKeyTypes) -> tuple[list[x509.Certificate], x509.SubjectAlternativeName]:
    """The chain in a PEM, each certificate signed by the next and the leaf for `key`, and the leaf's names."""
    try:
        chain = x509.load_pem_x509_certificates(pem.encode())
        names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for lower, upper in pairwise(chain):
            lower.verify_directly_issued_by(upper)
        public_key = _public_bytes(chain[0].public_key())
    except INVALID_INPUT_ERRORS as error:
        raise _bad(f"it is not a certificate chain with a name in its leaf ({type(error).__name__})") from None
    if public_key != _public_bytes(key.public_key()):
        raise _bad("the certificate is for another key")
    return chain, names


def _load(key: bytes) -> PrivateKey:
    loaded = load_der_private_key(key, password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise TypeError("not a type of key that this product makes")
    return loaded


def _public_bytes(key: object) -> bytes:
    public_bytes = getattr(key, "public_bytes")  # noqa: B009 - the union of public key types has no common base
    return bytes(public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _bad(detail: str) -> Problem:
    return Problem(ProblemType.BAD_CERTIFICATE, detail)
