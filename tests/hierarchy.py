"""CA certificates: a root and an issuing CA below it, as files, for a CA that the tests run."""

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

YEARS = dt.timedelta(days=3650)
REISSUE_SECONDS = 0.5
SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Hierarchy:
    """A root and an issuing CA.

    lifetime: the remaining lifetime of the issuing CA's certificate (`file`), which is reissued every REISSUE_SECONDS
    with the same key and name so that it stays the same. None: years, without reissuing.
    """

    def __init__(self, folder: Path, lifetime: dt.timedelta | None) -> None:
        self.root_file, self.file, self.key_file = (folder / f"{name}.pem" for name in ("root", "ca", "ca-key"))
        self._lifetime = lifetime
        self._root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root_file.write_bytes(self._certificate("root", self._root_key, YEARS))
        self.key_file.write_bytes(self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self._issue()

    @contextmanager
    def kept_short(self) -> Iterator[None]:
        """Reissue the certificate while the context is open, if it has a short lifetime."""
        stop = threading.Event()

        def reissue() -> None:
            while not stop.wait(REISSUE_SECONDS):
                self._issue()

        thread = threading.Thread(target=reissue if self._lifetime else stop.wait)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _issue(self) -> None:
        draft = self.file.with_suffix(".new")
        draft.write_bytes(self._certificate("issuing CA", self._key, self._lifetime or YEARS))
        draft.rename(self.file)  # atomically, for readers

    def _certificate(self, name: str, key: ec.EllipticCurvePrivateKey, lifetime: dt.timedelta) -> bytes:
        made = authority(name, key.public_key(), "root", self._root_key, lifetime)
        return made.public_bytes(Encoding.PEM)


def authority(
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    by: str,
    by_key: ec.EllipticCurvePrivateKey,
    lifetime: dt.timedelta = YEARS,
) -> x509.Certificate:
    """A CA's certificate, signed by another or by itself, in force from an hour ago until `lifetime` from now."""
    subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]) for common in (name, by))
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + lifetime)
    for extension, is_critical in (
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (SIGNS, True),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(by_key, hashes.SHA256())
