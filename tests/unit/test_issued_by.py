"""By which words an operator may name the issuer of certificates."""

import datetime as dt
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from issuer.actions.issued_by import canonical, is_issued_by, issuer_of
from issuer.domain import Certificate
from tests.scripted.chains import pem

CA = "https://acme.ca.example/directory"
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("leaf", "low", "high", "root")}
SUBJECTS = {
    "leaf": [],
    "low": [(NameOID.COUNTRY_NAME, "US"), (NameOID.ORGANIZATION_NAME, "Let's, Inc"), (NameOID.COMMON_NAME, "YR1")],
    "high": [(NameOID.COUNTRY_NAME, "US"), (NameOID.COMMON_NAME, "Root YR")],
    "root": [(NameOID.COMMON_NAME, "Old Root X1")],
}


def signed(name: str, by: str, serial: int) -> x509.Certificate:
    now = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
    subject, issuer = (x509.Name([x509.NameAttribute(*part) for part in SUBJECTS[who]]) for who in (name, by))
    public_key, by_key = KEYS[name].public_key(), KEYS[by]
    builder = x509.CertificateBuilder(issuer, subject, public_key, serial, now, now + dt.timedelta(days=9))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key())
    return builder.add_extension(authority, critical=False).sign(by_key, hashes.SHA256())


LEAF, LOW, HIGH = signed("leaf", "low", 0xABC), signed("low", "high", 0x0F00BA12), signed("high", "root", 3)
CERTIFICATE = Certificate(pem(LEAF, LOW, HIGH), "key", "abc", 0, 9, CA)
ALONE = replace(CERTIFICATE, chain=pem(LEAF))
SHA256, SHA1 = LOW.fingerprint(hashes.SHA256()).hex(), LOW.fingerprint(hashes.SHA1()).hex()
KEY_ID = LOW.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()


def with_colons(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)).upper()


FORMS = [
    CA,
    f"{CA}/",
    "acme.ca.example",
    "ACME.CA.Example",
    "YR1",
    " yr1 ",
    "CN = YR1",
    "CN=YR1,O=Let's\\, Inc,C=US",
    'C = US, O = "Let\'s, Inc", CN = YR1',
    'issuer=C = US, O = "Let\'s, Inc", CN = YR1',
    "/C=US/O=Let's, Inc/CN=YR1",
    "0f00ba12",
    "F00BA12",
    "0x0F00BA12",
    "0f:00:ba:12",
    "serial=0F00BA12",
    SHA256,
    with_colons(SHA256),
    f"sha256 Fingerprint={with_colons(SHA256)}",
    with_colons(SHA1),
    with_colons(KEY_ID),
    f"keyid:{with_colons(KEY_ID)}",
    "Root YR",
    "Old Root X1",
]
OTHERS = [
    "",
    " ",
    "YR2",
    "YR",
    "US",
    "abc",
    "CN=YR2",
    "other.ca.example",
    "https://acme.ca.example/",
    SHA256[:-2],
    "0f00ba1",
]
ALONE_FORMS = ["YR1", "C=US, O=Let's, Inc, CN=YR1", with_colons(KEY_ID), CA]


@pytest.mark.parametrize("text", FORMS, ids=range(len(FORMS)))
def test_n22_an_issuer_may_be_named_by_all_that_an_operator_has_in_hand(text: str) -> None:
    assert is_issued_by(CERTIFICATE, text)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["YR1", " yr1 ", "CN = YR1", "issuer=CN=YR1", '"YR1"'], "yr1"),
        (["0f00ba12", "F00BA12", "0x0F00BA12", "0f:00:ba:12", "serial=0F00BA12"], "f00ba12"),
        ([with_colons(SHA256), f"sha256 Fingerprint={with_colons(SHA256)}"], SHA256.lstrip("0")),
        (["100000000000000000000", "56BC75E2D63100000"], "56bc75e2d63100000"),
        ([CA, f"{CA}/", CA.upper()], CA),
        (["C = US, O = X, CN = YR1", "C=US,O=X,CN=YR1"], "c=us,o=x,cn=yr1"),
        (["", " "], ""),
    ],
    ids=range(7),
)
def test_n22_one_issuer_in_several_spellings_is_the_same(texts: list[str], expected: str) -> None:
    assert {canonical(text) for text in texts} == {expected}


@pytest.mark.parametrize("text", OTHERS, ids=range(len(OTHERS)))
def test_n22_nothing_else_is_its_name(text: str) -> None:
    assert not is_issued_by(CERTIFICATE, text)


@pytest.mark.parametrize("text", ALONE_FORMS, ids=range(len(ALONE_FORMS)))
def test_n22_a_leaf_alone_names_its_issuer(text: str) -> None:
    assert is_issued_by(ALONE, text)
    assert not is_issued_by(ALONE, "Root YR")


def test_n22_a_serial_number_may_be_in_decimal_digits() -> None:
    long = signed("low", "high", 0x1234567890ABCDEF1234567890ABCDEF)
    certificate = replace(CERTIFICATE, chain=pem(LEAF, long))
    assert is_issued_by(certificate, str(long.serial_number))
    assert not is_issued_by(certificate, str(long.serial_number + 1))


@pytest.mark.parametrize("chain", ["", "CHAIN", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_n22_a_chain_that_cannot_be_read_has_no_issuer_but_its_ca(chain: str) -> None:
    damaged = replace(CERTIFICATE, chain=chain)
    assert (is_issued_by(damaged, "YR1"), is_issued_by(damaged, CA), issuer_of(damaged)) == (False, True, "")


def test_n22_the_issuer_for_people() -> None:
    assert (issuer_of(CERTIFICATE), issuer_of(ALONE)) == ("YR1", "YR1")
