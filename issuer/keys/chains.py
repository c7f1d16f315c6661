"""Chains of certificates: building and verifying what a CA sends, and what is read from them.

CAs send certificates twice, in another order, with a root or with others that do not belong there. So a chain is built
from the leaf for our key up, out of whatever was sent, and the rest is dropped.
"""

import datetime as dt
import re
from base64 import urlsafe_b64encode
from itertools import pairwise
from warnings import catch_warnings

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from issuer.domain import Certificate
from issuer.keys.private import load
from issuer.keys.vault import Vault
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


class ExpiredError(Problem):
    """The certificate has expired. ended_at: when (epoch seconds)."""

    def __init__(self, ended_at: float) -> None:
        at = dt.datetime.fromtimestamp(ended_at, dt.UTC)
        super().__init__(
            ProblemType.BAD_CERTIFICATE, f"the certificate has already expired, at {at:%Y-%m-%d %H:%M} UTC"
        )
        self.ended_at = ended_at


BEGIN = re.compile(r"-----BEGIN (?:X509 )?CERTIFICATE-----")
BLOCK = re.compile(rf"{BEGIN.pattern}[^-]*-----END (?:X509 )?CERTIFICATE-----")


def is_complete(text: str) -> bool:
    """Whether a text has certificates in PEM, and each that begins also ends: nothing was cut off on the way."""
    return 0 < len(BEGIN.findall(text)) == len(BLOCK.findall(text))


def read_chain(pem: str, *, key: bytes, name: str, now: float) -> tuple[str, x509.Certificate]:
    """Build the chain of a leaf out of the certificates that a CA sent; returns it as normalized PEM (leaf first,
    without a root, as in RFC 8446 §4.4.2), and the leaf.

    Raises Problem(bad-certificate) unless there is a leaf whose public key is that of `key`, which has `name` among its
    names, and which is valid at `now` (epoch seconds). If only its time has not come yet, the Problem has a retry_at.
    """
    certificates, unreadable = _certificates(pem)
    leaf = _leaf(certificates, load(key), name, now)
    chain = _path(leaf, certificates, now)
    if unreadable and len(chain) == 1 and not any(_is_issued_by(leaf, other) for other in certificates):
        raise _bad("a certificate above it cannot be read")
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in chain), leaf


def deviations(chain: str, name: str) -> list[str]:
    """How the leaf of a chain differs from what was asked for, or from RFC 5280, although it can be used; in words."""
    leaf = x509.load_pem_x509_certificate(chain.encode())
    extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    with catch_warnings(action="ignore"):  # a CN of over 64 characters is the CA's affair
        is_nameless = not list(leaf.subject)
    others = [_shown(entry) for entry in extension.value if not _is_named(entry, name)]
    found = [f"it is also for {', '.join(others)}"] if others else []
    if is_nameless and not extension.critical:
        found.append("its names are not marked critical though its subject is empty, and some clients refuse that")
    return found


def require_whole(bundle: str) -> x509.SubjectAlternativeName:
    """The names in a PEM of chain and key. Raises Problem(bad-certificate) unless it is whole: every certificate is
    signed by the next, and the leaf is for the key. An expired certificate is accepted."""
    try:
        key = load_pem_private_key(bundle.encode(), password=None)
    except INVALID_INPUT_ERRORS as error:
        raise _bad(f"its key cannot be read ({type(error).__name__})") from None
    try:
        chain = x509.load_pem_x509_certificates(bundle.encode())
        names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for lower, upper in pairwise(chain):
            lower.verify_directly_issued_by(upper)
    except INVALID_INPUT_ERRORS as error:
        raise _unnamed(error) from None
    if not _is_for(chain[0], key):
        raise _bad("the certificate is for another key")
    if not is_complete(bundle):
        raise _bad("its chain is cut off")
    return names


def verify_bundle(bundle: str, name: str) -> None:
    """Raise Problem(bad-certificate) unless a PEM of chain and key is whole, and the leaf is for `name`."""
    if not any(_is_named(entry, name) for entry in require_whole(bundle)):
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
    """The common name of the issuer that the certificates which a CA sent lead to; empty if there is none."""
    certificates, _ = _certificates(chain)
    if not certificates:
        return ""
    top = _path(_lowest(certificates), certificates, now=None)[-1]
    names = top.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def is_same_leaf(chain: str, other: str) -> bool:
    """True if what a CA sent twice, as two chains (PEM), has the same leaf."""
    first, second = (_certificates(each)[0] for each in (chain, other))
    return bool(first) and bool(second) and _lowest(first) == _lowest(second)


def issuer_name(chain: str) -> str:
    """The issuer of the leaf of a chain, for people."""
    leaf = x509.load_pem_x509_certificate(chain.encode())
    common_names = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common_names[0].value) if common_names else leaf.issuer.rfc4514_string()


def _base64url(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _certificates(pem: str) -> tuple[list[x509.Certificate], int]:
    """The certificates in a text, each once, in their order; and how many more cannot be read."""
    found: list[x509.Certificate] = []
    unreadable = len(BEGIN.findall(pem))
    for block in BLOCK.findall(pem):
        try:
            certificate = x509.load_pem_x509_certificate(block.encode())
        except INVALID_INPUT_ERRORS:
            continue
        unreadable -= 1
        if certificate not in found:
            found.append(certificate)
    return found, unreadable


def _leaf(certificates: list[x509.Certificate], key: PrivateKeyTypes, name: str, now: float) -> x509.Certificate:
    """The first certificate for a key and a name that is valid. Raises the Problem of the first one for the key."""
    if not certificates:
        raise _unnamed(ValueError())
    ours = [certificate for certificate in certificates if _is_for(certificate, key)]
    problems = [_fault(certificate, name, now) for certificate in ours]
    for certificate, problem in zip(ours, problems, strict=True):
        if problem is None:
            return certificate
    raise problems[0] if problems and problems[0] else _bad("the certificate is for another key")


def _fault(leaf: x509.Certificate, name: str, now: float) -> Problem | None:
    """Why a certificate for our key cannot be used; None if it can."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    except INVALID_INPUT_ERRORS as error:
        return _unnamed(error)
    if not any(_is_named(entry, name) for entry in names):
        return _bad(f"the certificate is not for {name}")
    if begin.timestamp() > now + CLOCK_SKEW_SECONDS:
        detail = f"the certificate is not valid yet, but from {begin:%Y-%m-%d %H:%M} UTC on"
        return Problem(ProblemType.BAD_CERTIFICATE, detail, retry_at=begin.timestamp() - CLOCK_SKEW_SECONDS)
    if end.timestamp() + 1 <= now:
        return ExpiredError(end.timestamp())
    return None


def _path(leaf: x509.Certificate, others: list[x509.Certificate], now: float | None) -> list[x509.Certificate]:
    """The certificates from a leaf up, without a root. Where two lead up, one that is valid at `now` is preferred, and
    one that is no root: a client that does not know the root may know who has cross-signed it."""

    def rank(certificate: x509.Certificate) -> tuple[bool, bool]:
        return not _is_valid(certificate, now), _is_issued_by(certificate, certificate)

    path, above = [leaf], sorted(others, key=rank)
    while upper := next((each for each in above if each not in path and _is_issued_by(path[-1], each)), None):
        if _is_issued_by(upper, upper):
            break
        path.append(upper)
    return path


def _lowest(certificates: list[x509.Certificate]) -> x509.Certificate:
    """The first certificate that has issued none of the others."""
    for certificate in certificates:
        if not any(_is_issued_by(other, certificate) for other in certificates if other != certificate):
            return certificate
    return certificates[0]


def _is_issued_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except INVALID_INPUT_ERRORS:
        return False
    return True


def _is_valid(certificate: x509.Certificate, now: float | None) -> bool:
    """Whether a certificate is valid at a time; None: at whatever time."""
    try:
        begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    except INVALID_INPUT_ERRORS:
        return False
    return now is None or begin - CLOCK_SKEW_SECONDS <= now <= end


def _is_for(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    try:
        return _public_bytes(certificate.public_key()) == _public_bytes(key.public_key())
    except INVALID_INPUT_ERRORS:
        return False


def _is_named(entry: x509.GeneralName, name: str) -> bool:
    return isinstance(entry, x509.DNSName) and entry.value.lower() == name


def _shown(entry: x509.GeneralName) -> str:
    """A name of a certificate, for people: without control characters, as the CA can write what it likes."""
    value = entry.value.rfc4514_string() if isinstance(entry.value, x509.Name) else str(entry.value)
    return "".join(letter if letter.isprintable() else "?" for letter in value)


def _public_bytes(key: object) -> bytes:
    public_bytes = getattr(key, "public_bytes")  # noqa: B009 - the union of public key types has no common base
    return bytes(public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _unnamed(error: Exception) -> Problem:
    return _bad(f"it is not a certificate chain with a name in its leaf ({type(error).__name__})")


def _bad(detail: str) -> Problem:
    return Problem(ProblemType.BAD_CERTIFICATE, detail)
