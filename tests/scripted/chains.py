"""Real certificates: a root, another root that has cross-signed it, and an intermediate that issues."""

import datetime as dt
from base64 import urlsafe_b64encode

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.hierarchy import authority


class Signing:
    """root, other_root: the ends of the chains, PEM."""

    def __init__(self) -> None:
        root, other_root, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.root = pem(authority("root", root.public_key(), "root", root))
        self.other_root = pem(authority("other root", other_root.public_key(), "other root", other_root))
        self._intermediate = authority("intermediate", self._key.public_key(), "root", root)
        self._cross = authority("root", root.public_key(), "other root", other_root)

    def chains(self, leaf: x509.Certificate) -> list[str]:
        """To the root, and to the other root."""
        return [pem(leaf, self._intermediate), pem(leaf, self._intermediate, self._cross)]

    def leaf(
        self, public_key: ec.EllipticCurvePublicKey, names: list[str], not_before: dt.datetime, lifetime: dt.timedelta
    ) -> x509.Certificate:
        """lifetime: including the last second (RFC 5280 §4.1.2.5)."""
        builder = x509.CertificateBuilder(
            issuer_name=self._intermediate.subject,
            subject_name=x509.Name([]),
            public_key=public_key,
            serial_number=x509.random_serial_number(),
            not_valid_before=not_before,
            not_valid_after=not_before + lifetime - dt.timedelta(seconds=1),
        )
        for extension, is_critical in (
            (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), True),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical=is_critical)
        return builder.sign(self._key, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> str:
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def certificate_id(leaf: x509.Certificate) -> str:
    """RFC 9773 §4.1, of a leaf. The serial number is as in DER: with a zero byte before a leading bit of 1."""
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    size = leaf.serial_number.bit_length() // 8 + 1
    parts = authority, leaf.serial_number.to_bytes(size)
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
