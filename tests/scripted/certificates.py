"""Certificates: checks of CSRs, signing, renewal info (RFC 9773), and revocation."""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from josepy.errors import Error as JoseError
from josepy.json_util import decode_b64jose

from tests.scripted.answers import Refused, json_answer, malformed
from tests.scripted.chains import Signing, certificate_id
from tests.scripted.records import Account, Issued, Order, instant, owned
from tests.scripted.signed import Jws
from tests.scripted.switches import Switches
from tests.wire import Answer

RENEWAL_INFO_SECONDS = 21600


class Certificates:
    """log: name and serial number of all issued certificates. extensions: all that CSRs have asked for."""

    def __init__(self, switches: Switches, origin: str) -> None:
        self.signing = Signing()
        self.log: list[tuple[str, int]] = []
        self.extensions: set[x509.ObjectIdentifier] = set()
        self._switches, self._origin = switches, origin
        self._issued: dict[str, Issued] = {}

    def csr(self, text: object, order: Order) -> x509.CertificateSigningRequest:
        """Read a CSR, and check that it fits the order (RFC 8555 §7.4)."""
        try:
            csr = x509.load_der_x509_csr(decode_b64jose(text))
            names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (JoseError, ValueError, TypeError, x509.ExtensionNotFound):
            raise Refused(400, "badCSR", "it is not a CSR with a name in it") from None
        self.extensions |= {extension.oid for extension in csr.extensions}
        if not csr.is_signature_valid:
            raise Refused(400, "badCSR", "its signature is wrong")
        if sorted(names.get_values_for_type(x509.DNSName)) != order.names or len(names) != len(order.names):
            raise Refused(400, "badCSR", "its names are not those of the order")
        if _same(csr.public_key(), order.account.key.key):
            raise Refused(400, "badCSR", "its key is that of the account")
        return csr

    def issue(self, number: str, order: Order, csr: x509.CertificateSigningRequest) -> None:
        switches = self._switches
        leaf = self.signing.leaf(
            ec.generate_private_key(ec.SECP256R1()).public_key() if switches.foreign_key else csr.public_key(),
            list(switches.foreign_names) or order.names,
            dt.datetime.now(dt.UTC) + switches.not_before,
            switches.lifetime,
        )
        self._issued[number] = Issued(order.account, leaf, order.names)
        self.log.append((order.names[0], leaf.serial_number))

    def chain(self, account: Account, jws: Jws, number: str) -> Answer:
        """§7.4.2; the alternate chains are below the URL, by number."""
        number, _, which = number.partition("/")
        issued = owned(self._issued.get(number), account)
        chains = self.signing.chains(issued.leaf)[: 2 if self._switches.alternates else 1]
        if which not in {"", *(str(index) for index in range(1, len(chains)))}:
            raise malformed("there is no such chain", 404)
        url = f"{self._origin}/certificate/{number}"
        others = [f"{url}/{index}".removesuffix("/0") for index in range(len(chains)) if index != int(which or 0)]
        headers = {"Content-Type": "application/pem-certificate-chain"}
        if others:
            headers["Link"] = ", ".join(f'<{other}>;rel="alternate"' for other in others)
        return 200, headers, self._switches.chain_sent(chains[int(which or 0)]).encode()

    def renewal_info(self, certificate: str) -> Answer:
        """RFC 9773 §4.1 and §4.2; unsigned."""
        window = self._switches.renewal_window
        leaf = self._by_id(certificate).leaf
        times = window(leaf) if callable(window) else window
        start, end = (instant(dt.datetime.fromtimestamp(at, dt.UTC)) for at in times)
        suggested = {"suggestedWindow": {"start": start, "end": end}}
        return json_answer(suggested, headers={"Retry-After": str(RENEWAL_INFO_SECONDS)})

    def mark_replaced(self, certificate: str, order: Order) -> None:
        """RFC 9773 §5."""
        issued = self._by_id(certificate)
        owned(issued, order.account)
        if not set(order.names).intersection(issued.names):
            raise malformed("it replaces a certificate for other names")
        if issued.replaced_by and issued.replaced_by.status != "invalid":
            raise Refused(409, "alreadyReplaced", f"{issued.replaced_by.url} replaces it")
        issued.replaced_by = order

    def revoke(self, account: Account | None, jws: Jws, _: str) -> Answer:
        """RFC 8555 §7.6. Without an account it is signed with the certificate's key."""
        payload = jws.json()
        try:
            leaf = x509.load_der_x509_certificate(decode_b64jose(payload.get("certificate")))
        except (JoseError, ValueError, TypeError, AttributeError):
            raise malformed("it is not a certificate") from None
        issued = next((issued for issued in self._issued.values() if issued.leaf == leaf), None)
        if issued is None:
            raise malformed("it is not a certificate of this CA", 404)
        if account is None and not _same(leaf.public_key(), jws.new_key().key):
            raise Refused(403, "unauthorized", "it is not signed with the key of the certificate")
        if account is not None:
            owned(issued, account)
        if payload.get("reason", 0) not in {0, 1, 3, 4, 5}:
            raise Refused(400, "badRevocationReason", "give another reason")
        if issued.is_revoked:
            raise Refused(400, "alreadyRevoked", "it has been revoked before")
        issued.is_revoked = True
        return 200, {}, b""

    def _by_id(self, certificate: str) -> Issued:
        for issued in self._issued.values():
            if certificate_id(issued.leaf) == certificate:
                return issued
        raise malformed("there is no such certificate", 404)


def _same(one: object, other: object) -> bool:
    first, second = (key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in (one, other))
    return first == second
