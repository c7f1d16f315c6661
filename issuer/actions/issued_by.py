"""What the issuer of a certificate may be called by an operator who has read of it in an incident report, or has its
certificate: its common name, subject, serial number, fingerprint or key identifier, or the CA's directory URL or host.
"""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from issuer.domain import Certificate
from issuer.keys import INVALID_INPUT_ERRORS
from issuer.problem import Problem, ProblemType

PREFIX = re.compile(r"^(subject|issuer|serial(?: ?number)?|keyid|sha-?(?:1|256)(?: fingerprint)?) ?[:=] ?")
"""What `openssl x509` prints before a value."""
HEX = re.compile(r"(0x)?[0-9a-f]+([: ][0-9a-f]{2})*")
DECIMAL = re.compile(r"[0-9]{20,49}")
"""A serial number in decimal digits: too long to be meant as anything else."""
FINGERPRINTS = (hashes.SHA256(), hashes.SHA1())  # noqa: S303 - names a certificate, protects nothing
END = re.compile(r"-----END CERTIFICATE-----\s*")


def is_issued_by(certificate: Certificate, text: str) -> bool:
    """Whether a text names the CA, or one of the issuers in the certificate's chain. Upper and lower case are the same,
    and so are a number with and without colons."""
    return bool(_spellings(text) & (_of_ca(certificate.ca) | _of_chain(certificate.chain)))


def fingerprint(data: bytes) -> str:
    """The SHA-256 fingerprint of the (first) certificate in a file, PEM or DER, which names it as an issuer. Raises
    Problem(invalid-request) if there is none."""
    load = x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
    try:
        return load(data).fingerprint(hashes.SHA256()).hex()
    except INVALID_INPUT_ERRORS:
        raise Problem(ProblemType.INVALID_REQUEST, "the file has no certificate, neither PEM nor DER") from None


def is_directory(directory_url: str, text: str) -> bool:
    """Whether a text names a CA by its directory URL or host."""
    return bool(_spellings(text) & _of_ca(directory_url))


def canonical(text: str) -> str:
    """One of the forms of a text, the same for most of the ways to write it: without upper case, colons and what
    OpenSSL prints before it; a common name also without `CN=`."""
    value = PREFIX.sub("", _normal(text)).rstrip("/")
    if DECIMAL.fullmatch(value):
        return _hex(f"{int(value):x}")
    if HEX.fullmatch(value):
        return _hex(value)
    return value.removeprefix("cn=") if value.count("=") == 1 else value


def issuer_of(certificate: Certificate) -> str:
    """The common name of the issuer of the leaf, else its subject, for people; empty if the chain cannot be read."""
    above = _above_leaf(certificate.chain)
    return _name(above, is_subject=True) if above else _name(certificate.chain, is_subject=False)


@lru_cache(maxsize=16)
def _spellings(text: str) -> frozenset[str]:
    """The forms in which a text may be in `_of_ca` or `_of_issuers`."""
    plain = _normal(text)
    value = PREFIX.sub("", plain)
    found = {plain, plain.rstrip("/"), value}
    if HEX.fullmatch(value):
        found.add(_hex(value))
    if DECIMAL.fullmatch(value):
        found.add(_hex(f"{int(value):x}"))
    return frozenset(found - {""})


@lru_cache(maxsize=256)
def _of_ca(directory_url: str) -> frozenset[str]:
    return frozenset({_normal(directory_url).rstrip("/"), _normal(urlsplit(directory_url).netloc)} - {""})


def _of_chain(chain: str) -> frozenset[str]:
    """What names an issuer in a chain. All about the issuer of the leaf is in its own certificate, which many chains
    have in common; so the leaf itself is read only if it is alone."""
    above = _above_leaf(chain)
    return _of_issuers(above, is_leaf=False) if above else _of_issuers(chain, is_leaf=True)


def _above_leaf(chain: str) -> str:
    end = END.search(chain)
    return chain[end.end() :] if end else ""


@lru_cache(maxsize=256)
def _of_issuers(pem: str, *, is_leaf: bool) -> frozenset[str]:
    """What names the issuers in a PEM, and the issuer of its last certificate. is_leaf: it is a leaf alone."""
    found: set[str] = set()
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except INVALID_INPUT_ERRORS:
        return frozenset()
    for certificate in [] if is_leaf else certificates:
        found |= _of_name(certificate.subject)
        found.add(_hex(f"{certificate.serial_number:x}"))
        found |= {_hex(certificate.fingerprint(algorithm).hex()) for algorithm in FINGERPRINTS}
        found |= _key_identifiers(certificate, x509.SubjectKeyIdentifier, "digest")
    found |= _of_name(certificates[-1].issuer)
    found |= _key_identifiers(certificates[-1], x509.AuthorityKeyIdentifier, "key_identifier")
    return frozenset(found - {""})


def _of_name(name: x509.Name) -> set[str]:
    """The common names of a subject, and the ways in which it is written: RFC 4514, and two of OpenSSL's."""
    parts = [f"{attribute.rfc4514_attribute_name}={attribute.value!s}" for attribute in name]
    written = {name.rfc4514_string(), ",".join(parts), "".join(f"/{part}" for part in parts)}
    common = {str(attribute.value) for attribute in name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)}
    return {_normal(text) for text in {*written, *common, *(f"CN={text}" for text in common)}}


def _key_identifiers(certificate: x509.Certificate, kind: type, member: str) -> set[str]:
    try:
        value: bytes | None = getattr(certificate.extensions.get_extension_for_class(kind).value, member)
    except INVALID_INPUT_ERRORS:
        return set()
    return {_hex(value.hex())} if value else set()


@lru_cache(maxsize=256)
def _name(pem: str, *, is_subject: bool) -> str:
    try:
        certificate = x509.load_pem_x509_certificates(pem.encode())[0]
    except INVALID_INPUT_ERRORS:
        return ""
    name = certificate.subject if is_subject else certificate.issuer
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _normal(text: str) -> str:
    """A text in lower case, with single spaces, none around separators, and without quotes and escapes."""
    plain = re.sub(r"[\\\"]", "", text.strip().casefold())
    return re.sub(r" ?([=,+]) ?", r"\1", re.sub(r"\s+", " ", plain))


def _hex(text: str) -> str:
    """A number in hexadecimal digits, without colons, spaces and leading zeros."""
    return re.sub(r"[: ]", "", text.lower().removeprefix("0x")).lstrip("0")
