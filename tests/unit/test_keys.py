"""Keys and CSRs, verification of a CA's chains, and encryption at rest."""

import datetime as dt
import re
import traceback
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from cryptography.x509 import DNSName, RFC822Name, UniformResourceIdentifier
from cryptography.x509.oid import NameOID

from issuer.keys import (
    CLOCK_SKEW_SECONDS,
    KeyType,
    Vault,
    as_certificate,
    as_pem,
    certificate_id,
    is_same_leaf,
    issuer_name,
    new_csr,
    new_encryption_key,
    new_key,
    read_chain,
    top_issuer,
    verify_bundle,
)
from issuer.problem import Problem, ProblemType
from tests.fakes import NAME, NOW

KEYS = {kind: new_key(kind) for kind in KeyType}
KEY = KEYS[KeyType.EC_P256]
CA_KEY = ec.generate_private_key(ec.SECP256R1())
NAME_89 = f"{'a' * 63}.{'b' * 17}.example"
CA = "https://ca.example/directory"
DAY = 86400


def sign(
    *sans: x509.GeneralName,
    key: bytes = KEY,
    ca_key: ec.EllipticCurvePrivateKey = CA_KEY,
    subject: str = "",
    issuer: str = "Test CA",
    not_before: float = NOW - DAY,
    not_after: float = NOW + DAY,
    alternatives: Sequence[x509.GeneralName] = (),
) -> str:
    subjects = [x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subjects))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(load_der_private_key(key, None).public_key())
        .serial_number(0x0ABC)
        .not_valid_before(dt.datetime.fromtimestamp(not_before, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(not_after, dt.UTC))
    )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    if alternatives:
        builder = builder.add_extension(x509.IssuerAlternativeName(alternatives), critical=False)
    return builder.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


LEAF = sign(DNSName(NAME))
ROOT = sign(key=new_key(KeyType.EC_P256), ca_key=CA_KEY, subject="Test CA")
ISSUER_KEY = new_key(KeyType.RSA_2048)
INTERMEDIATE = sign(key=ISSUER_KEY, subject="Middle CA")
LEAF_BELOW = sign(DNSName(NAME), ca_key=load_der_private_key(ISSUER_KEY, None), issuer="Middle CA")


def refused(pem: str, **more: object) -> str:
    with pytest.raises(Problem) as caught:
        read_chain(pem, **{"key": KEY, "name": NAME, "now": NOW} | more)
    assert caught.value.type is ProblemType.BAD_CERTIFICATE
    return caught.value.detail


def read(pem: str, **more: object) -> str:
    return read_chain(pem, **{"key": KEY, "name": NAME, "now": NOW} | more)[0]


@pytest.mark.parametrize("name", [NAME, NAME_89, "xn--mnchen-3ya.example"])
@pytest.mark.parametrize("kind", KeyType)
def test_a06_n34_a_csr_has_its_name_in_the_san_alone(kind: KeyType, name: str) -> None:
    csr = x509.load_pem_x509_csr(new_csr(KEYS[kind], name).encode())
    assert list(csr.subject) == []
    assert [type(one.value) for one in csr.extensions] == [x509.SubjectAlternativeName]  # so no must-staple (C18)
    assert list(csr.extensions[0].value) == [DNSName(name)]
    assert csr.extensions[0].critical
    assert csr.is_signature_valid
    assert csr.public_key() == load_der_private_key(KEYS[kind], None).public_key()


def test_a06_the_long_name_is_longer_than_a_cn_can_be() -> None:
    assert len(NAME_89) == 89


def test_each_key_type_gives_its_kind_of_key() -> None:
    loaded = {kind: load_der_private_key(key, None) for kind, key in KEYS.items()}
    assert isinstance(loaded[KeyType.EC_P256].curve, ec.SECP256R1)
    assert isinstance(loaded[KeyType.EC_P384].curve, ec.SECP384R1)
    assert isinstance(loaded[KeyType.RSA_2048], rsa.RSAPrivateKey)
    assert loaded[KeyType.RSA_2048].key_size == 2048
    assert new_key(KeyType.EC_P256) != new_key(KeyType.EC_P256)


@pytest.mark.parametrize("kind", KeyType)
def test_a_leaf_alone_of_each_kind_of_key_is_read(kind: KeyType) -> None:
    pem = sign(DNSName(NAME), key=KEYS[kind])
    assert read(pem, key=KEYS[kind]) == pem


def test_a_chain_is_read_in_its_order() -> None:
    chain, leaf = read_chain(LEAF_BELOW + INTERMEDIATE, key=KEY, name=NAME, now=NOW)
    assert chain == LEAF_BELOW + INTERMEDIATE
    assert leaf == x509.load_pem_x509_certificate(LEAF_BELOW.encode())


@pytest.mark.parametrize("text", ["", "\n\n", "subject=CN = x\nissuer=CN = y\n", "-- a comment --\n"])
def test_text_around_the_certificates_is_dropped(text: str) -> None:
    assert read(f"{text}{LEAF_BELOW}{text}{INTERMEDIATE}{text}") == LEAF_BELOW + INTERMEDIATE


def test_line_ends_of_windows_are_read_and_not_kept() -> None:
    assert read(LEAF.replace("\n", "\r\n")) == LEAF


def test_a_san_in_upper_case_is_the_same_name() -> None:
    pem = sign(DNSName(NAME.upper()))
    assert read(pem) == pem


def test_a_long_name_is_accepted() -> None:
    assert read(sign(DNSName(NAME_89)), name=NAME_89)


@pytest.mark.parametrize("kind", KeyType)
def test_c01_a_certificate_for_another_key_is_refused(kind: KeyType) -> None:
    other = new_key(kind)
    assert "another key" in refused(sign(DNSName(NAME), key=other), key=KEYS[kind])


@pytest.mark.parametrize(
    "sans",
    [
        [DNSName("other.example")],
        [DNSName(f"www.{NAME}")],
        [DNSName("customer.example")],
        [DNSName("*.customer.example")],
        [DNSName("other.example"), DNSName("*.customer.example")],
        [DNSName(f"{NAME}.")],
        [UniformResourceIdentifier(NAME)],
        [RFC822Name(NAME)],
    ],
    ids=lambda sans: " ".join(f"{type(one).__name__}={one.value}" for one in sans),
)
def test_c01_n10_without_the_name_itself_it_is_refused(sans: list[x509.GeneralName]) -> None:
    assert refused(sign(*sans)) == f"the certificate is not for {NAME}"


def test_a_name_in_the_cn_alone_is_refused() -> None:
    assert "it is not a certificate chain with a name in its leaf" in refused(sign(subject=NAME))


@pytest.mark.parametrize(
    ("not_before", "not_after", "says"),
    [
        (NOW + CLOCK_SKEW_SECONDS + 1, NOW + DAY, "not valid yet"),
        (NOW - DAY, NOW - 1, "expired"),
        (NOW - DAY, NOW - DAY / 2, "expired"),
    ],
)
def test_an_expired_or_future_certificate_is_refused(not_before: float, not_after: float, says: str) -> None:
    assert says in refused(sign(DNSName(NAME), not_before=not_before, not_after=not_after))


@pytest.mark.parametrize(
    ("not_before", "not_after"),
    [(NOW + CLOCK_SKEW_SECONDS, NOW + DAY), (NOW - DAY, NOW + 1), (NOW - DAY, NOW), (NOW - 9999 * DAY, NOW + DAY)],
)
def test_a_certificate_is_read_up_to_the_limits_of_its_validity(not_before: float, not_after: float) -> None:
    assert read(sign(DNSName(NAME), not_before=not_before, not_after=not_after))


def spoilt(old: bytes, new: bytes, *more: x509.GeneralName) -> str:
    """A leaf with changed bytes; the signature of a single certificate is not checked."""
    der = x509.load_pem_x509_certificate(sign(DNSName(NAME), alternatives=more).encode()).public_bytes(Encoding.DER)
    assert der.count(old) == 1
    return x509.load_der_x509_certificate(der.replace(old, new)).public_bytes(Encoding.PEM).decode()


SAN = NAME.encode()
Y = load_der_private_key(KEY, None).public_key().public_numbers().y.to_bytes(32, "big")
KIND = bytes.fromhex("2a8648ce3d0201")

GARBAGE = {
    "empty": "",
    "html": "<!DOCTYPE html><html><body>503 try later</body></html>",
    "garbage": "\x00\x01\x02 no PEM",
    "not ascii": "Zertifikat für Dich ✓",
    "surrogate": "\ud800",
    "empty pem": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    "no base64": "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
    "no der": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "a csr": new_csr(KEY, NAME),
    "cut off": LEAF[: len(LEAF) // 2],
    "no end": LEAF.replace("-----END CERTIFICATE-----\n", ""),
    "leaf, then garbage": f"{LEAF}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "no names": sign(subject="Test CA"),
    "key that is no point": spoilt(Y, bytes([Y[0] ^ 1]) + Y[1:]),
    "key of an unknown kind": spoilt(KIND, KIND[:-1] + b"\x7f"),
    "name of an unknown kind": spoilt(b"\x82" + bytes([len(SAN)]) + SAN, b"\xa5" + bytes([len(SAN)]) + SAN),
    "name that is not ascii": spoilt(SAN, b"\xff" + SAN[1:]),
    "names twice": spoilt(bytes.fromhex("0603551d12"), bytes.fromhex("0603551d11"), DNSName("other.example")),
}


@pytest.mark.parametrize("pem", GARBAGE.values(), ids=GARBAGE)
def test_an_invalid_chain_raises_only_a_problem(pem: str) -> None:
    assert refused(pem).isprintable()


@pytest.mark.parametrize("kind", KeyType)
def test_the_record_of_a_certificate_has_the_leafs_facts_and_its_key_encrypted(kind: KeyType) -> None:
    vault, pem = Vault([new_encryption_key()]), sign(DNSName(NAME), key=KEYS[kind])
    made = as_certificate(f"text\n{pem}", key=KEYS[kind], name=NAME, ca=CA, vault=vault, now=NOW)
    assert (made.chain, made.serial, made.ca) == (pem, "abc", CA)
    assert (made.not_before, made.not_after) == (NOW - DAY, NOW + DAY)
    assert vault.decrypt(made.key) == KEYS[kind]
    assert made.key not in repr(made)
    assert issuer_name(made.chain) == "Test CA"


@pytest.mark.parametrize(
    "secret", [b"", b"secret", bytes(range(256)), *KEYS.values()], ids=["none", "short", "any bytes", *KEYS]
)
def test_f03_a_secret_comes_back(secret: bytes) -> None:
    vault = Vault([new_encryption_key()])
    token = vault.encrypt(secret)
    assert vault.decrypt(token) == secret
    assert re.fullmatch(r"[\w=-]+", token, re.ASCII)
    assert token != vault.encrypt(secret)


def test_f03_after_a_rotation_the_first_key_encrypts_and_all_decrypt() -> None:
    old, new = new_encryption_key(), new_encryption_key()
    before = Vault([old]).encrypt(b"secret")
    both = Vault([new, old])
    assert both.decrypt(before) == b"secret"
    assert Vault([new]).decrypt(both.encrypt(b"secret")) == b"secret"
    with pytest.raises(Problem):
        Vault([old]).decrypt(both.encrypt(b"secret"))


@pytest.mark.parametrize("spoil", [lambda token: token, lambda token: token[:-4], lambda _: "", lambda _: "tökén"])
def test_f03_what_no_key_decrypts_is_a_problem_without_the_secret(spoil) -> None:
    old, new = new_encryption_key(), new_encryption_key()
    token = spoil(Vault([old]).encrypt(b"the secret"))
    with pytest.raises(Problem) as caught:
        Vault([new]).decrypt(token)
    problem = caught.value
    assert (problem.type, problem.is_permanent, problem.drops_order) == (ProblemType.UNDECRYPTABLE, False, False)
    assert "ISSUER_ENCRYPTION_KEYS" in problem.hint
    texts = [str(problem), repr(problem), repr(problem.args), repr(problem.as_dict()), repr(vars(problem))]
    texts += traceback.format_exception(problem)
    for secret in filter(None, (token, old, new, "the secret")):
        assert not any(secret in text for text in texts)


@pytest.mark.parametrize("key", ["", "not-a-key", "A" * 44, "ü" * 44, "A" * 42])
def test_f02_a_wrong_encryption_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="32 bytes in URL-safe base64") as caught:
        Vault([new_encryption_key(), key])
    assert not key or key not in "".join([*traceback.format_exception(caught.value), repr(caught.value.args)])


def test_f02_the_repr_of_a_vault_shows_no_key() -> None:
    key = new_encryption_key()
    vault = Vault([key])
    for text in (repr(vault), str(vault), f"{vault}"):
        assert key not in text


def with_serial_and_authority(serial: int, authority: bytes | None) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(dt.datetime.fromtimestamp(NOW, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(NOW + 9, dt.UTC))
    )
    if authority is not None:
        extension = x509.AuthorityKeyIdentifier(authority or None, None, None)
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


AUTHORITY = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")


@pytest.mark.parametrize(
    ("serial", "authority", "expected"),
    [
        (0x87654321, AUTHORITY, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"),  # the example of RFC 9773 §4.1
        (0x7F, AUTHORITY, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.fw"),
        (0x80, AUTHORITY, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIA"),
        (1, b"\x01", "AQ.AQ"),
        (1, None, None),
    ],
)
def test_the_renewal_info_id_of_a_certificate(serial: int, authority: bytes | None, expected: str | None) -> None:
    assert certificate_id(with_serial_and_authority(serial, authority)) == expected


@pytest.mark.parametrize(
    ("chain", "name"),
    [
        (LEAF, "Test CA"),
        (LEAF + ROOT, "Test CA"),
        (LEAF_BELOW, "Middle CA"),
        (LEAF_BELOW + INTERMEDIATE, "Test CA"),
        (LEAF_BELOW + ROOT, "Middle CA"),
        (INTERMEDIATE + LEAF_BELOW, "Test CA"),
        (LEAF_BELOW + INTERMEDIATE + LEAF_BELOW + INTERMEDIATE, "Test CA"),
        (sign(DNSName(NAME), issuer="Zoë"), "Zoë"),
        (LEAF.replace("MII", "AII", 1), ""),
        ("-----BEGIN CERTIFICATE-----", ""),
        ("", ""),
    ],
)
def test_the_top_issuer_of_a_chain(chain: str, name: str) -> None:
    assert top_issuer(chain) == name


def test_chains_for_one_certificate() -> None:
    assert is_same_leaf(LEAF_BELOW, LEAF_BELOW + INTERMEDIATE)
    assert is_same_leaf(LEAF_BELOW + INTERMEDIATE, INTERMEDIATE + LEAF_BELOW)
    assert not is_same_leaf(LEAF, LEAF_BELOW)
    assert not is_same_leaf(LEAF, "no certificate")


def bundle(chain: str, key: bytes = KEY) -> str:
    return chain + as_pem(key)


def test_h02_a_bundle_is_accepted_when_it_has_expired_or_has_more_names() -> None:
    verify_bundle(bundle(sign(DNSName(NAME), not_after=NOW - 1)), NAME)
    verify_bundle(bundle(sign(DNSName("other.example"), DNSName(NAME.upper()))), NAME)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (bundle(sign(DNSName(NAME)), KEYS[KeyType.RSA_2048]), "another key"),
        (bundle(sign(DNSName("other.example"))), f"not for {NAME}"),
        (bundle(sign(DNSName(NAME)) + sign(DNSName(NAME), ca_key=CA_KEY, issuer="other")), "not a certificate chain"),
        (bundle(sign()), "not a certificate chain"),
        (bundle(""), "not a certificate chain"),
        (sign(DNSName(NAME)), "its key"),
        ("", "its key"),
    ],
    ids=["another key", "another name", "out of order", "no name", "no chain", "no key", "nothing"],
)
def test_f01_a_bundle_that_does_not_fit_is_refused(text: str, says: str) -> None:
    with pytest.raises(Problem, match=says) as refused:
        verify_bundle(text, NAME)
    assert refused.value.type is ProblemType.BAD_CERTIFICATE
    assert "PRIVATE" not in str(refused.value)
