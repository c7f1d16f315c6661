"""A usable certificate is used, however the CA sends it."""

import datetime as dt
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.x509 import DNSName, IPAddress, RFC822Name, UniformResourceIdentifier
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from issuer import keys, tasks
from issuer.domain import Status, Step, status
from issuer.keys.chains import CLOCK_SKEW_SECONDS
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.store import texts
from tests.api_client import reach
from tests.fakes import NAME
from tests.hierarchy import authority
from tests.real import verified
from tests.scripted.chains import pem

DAY = dt.timedelta(days=1)
NOW = dt.datetime.now(dt.UTC)
KEY = keys.new_key(keys.KeyType.EC_P256)
OURS = load_der_private_key(KEY, None).public_key()
ROOT_KEY, OTHER_KEY, UPPER_KEY, LOWER_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
CN = NameOID.COMMON_NAME


def signed(
    *names: x509.GeneralName,
    key: ec.EllipticCurvePublicKey = OURS,
    issuer: str = "lower",
    by: ec.EllipticCurvePrivateKey = LOWER_KEY,
    begins: dt.datetime = NOW - DAY,
    subject: str = "",
    is_critical: bool = True,
) -> str:
    """A leaf, PEM."""
    attributes = [x509.NameAttribute(CN, subject)] if subject else []
    name = x509.Name([x509.NameAttribute(CN, issuer)])
    builder = x509.CertificateBuilder(name, x509.Name(attributes), key, x509.random_serial_number())
    builder = builder.not_valid_before(begins).not_valid_after(begins + 30 * DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName(names or [DNSName(NAME)]), critical=is_critical)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return pem(builder.sign(by, hashes.SHA256()))


def ca(name: str, key: ec.EllipticCurvePrivateKey, by: str, by_key: ec.EllipticCurvePrivateKey, days: int = 9) -> str:
    return pem(authority(name, key.public_key(), by, by_key, lifetime=days * DAY))


ROOT, OTHER_ROOT = ca("root", ROOT_KEY, "root", ROOT_KEY), ca("other", OTHER_KEY, "other", OTHER_KEY)
CROSS = ca("root", ROOT_KEY, "other", OTHER_KEY)
UPPER, LOWER = ca("upper", UPPER_KEY, "root", ROOT_KEY), ca("lower", LOWER_KEY, "upper", UPPER_KEY)
UPPER_AGAIN = ca("upper", UPPER_KEY, "root", ROOT_KEY, days=20)
LEAF, SHORT = signed(), signed(issuer="root", by=ROOT_KEY)
STRANGER = ca("stranger", OTHER_KEY, "other", OTHER_KEY)
STRANGE_LEAF = signed(key=OTHER_KEY.public_key())
FALSE_LOWER = ca("lower", OTHER_KEY, "upper", UPPER_KEY)
UNREADABLE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
WHOLE = LEAF + LOWER + UPPER

CHAINS = {
    "as it should be": (WHOLE, WHOLE),
    "an intermediate twice": (LEAF + LOWER + LOWER + UPPER, WHOLE),
    "all of it twice": (WHOLE + WHOLE, WHOLE),
    "the leaf twice": (LEAF + WHOLE, WHOLE),
    "the leaf last": (LOWER + UPPER + LEAF, WHOLE),
    "upside down": (UPPER + LOWER + LEAF, WHOLE),
    "with the root": (WHOLE + ROOT, WHOLE),
    "the root first": (ROOT + WHOLE, WHOLE),
    "the root between, twice": (LEAF + ROOT + UPPER + ROOT + LOWER, WHOLE),
    "a leaf below a root": (SHORT + ROOT, SHORT),
    "cross-signed": (WHOLE + CROSS, WHOLE + CROSS),
    "cross-signed, with both roots": (WHOLE + ROOT + CROSS + OTHER_ROOT, WHOLE + CROSS),
    "a stranger above": (WHOLE + STRANGER, WHOLE),
    "a stranger between": (LEAF + STRANGER + LOWER + OTHER_ROOT + UPPER, WHOLE),
    "strangers first": (STRANGER + OTHER_ROOT + WHOLE, WHOLE),
    "another's leaf first": (STRANGE_LEAF + WHOLE, WHOLE),
    "one of the same name that has not signed": (LEAF + FALSE_LOWER + LOWER + UPPER, WHOLE),
    "strangers alone above": (LEAF + STRANGER, LEAF),
    "one that cannot be read": (LEAF + LOWER + UNREADABLE + UPPER, WHOLE),
    "one that cannot be read, and the leaf below its root": (SHORT + UNREADABLE + ROOT, SHORT),
    "windows, text and blanks": (f"subject=x\r\n{WHOLE}\r\n".replace("\n", "\r\n"), WHOLE),
    "another label": (WHOLE.replace(" CERTIFICATE", " X509 CERTIFICATE"), WHOLE),
}


@pytest.mark.parametrize(("sent", "used"), CHAINS.values(), ids=CHAINS)
def test_n11_a_chain_is_built_from_our_leaf_up_and_the_rest_is_dropped(sent: str, used: str) -> None:
    assert keys.read_chain(sent, key=KEY, name=NAME, now=NOW.timestamp())[0] == used
    assert keys.is_complete(sent)
    if used.startswith(WHOLE):
        verified(used, ROOT if CROSS not in used else OTHER_ROOT, NAME)


def test_n11_of_two_intermediates_the_one_that_is_valid_leads_up() -> None:
    later = (NOW + 15 * DAY).timestamp()
    for sent in (LEAF + LOWER + UPPER + UPPER_AGAIN, LEAF + LOWER + UPPER_AGAIN + UPPER):
        assert keys.read_chain(sent, key=KEY, name=NAME, now=later)[0] == LEAF + LOWER + UPPER_AGAIN


CUT = {
    "a fourth one": f"{WHOLE}{LEAF[:300]}",
    "the last line": WHOLE[:-30],
    "the leaf": LEAF[:90],
    "the leaf alone": LEAF[:300] + LOWER + UPPER,
    "a page": "<html>",
    "nothing": "",
}


@pytest.mark.parametrize("sent", CUT.values(), ids=CUT)
def test_n11_what_was_cut_off_is_told_apart(sent: str) -> None:
    assert not keys.is_complete(sent)


def test_n11_of_several_leaves_for_our_key_the_usable_one_is_used() -> None:
    future, other = signed(begins=NOW + 9 * DAY), signed(DNSName("other.example"))
    for sent in (other + future + WHOLE, WHOLE + other, future + LOWER + UPPER + LEAF):
        assert keys.read_chain(sent, key=KEY, name=NAME, now=NOW.timestamp())[0] == WHOLE


EXTRAS = {
    "www": ([DNSName(NAME), DNSName(f"www.{NAME}")], f"www.{NAME}"),
    "another, first": ([DNSName("other.example"), DNSName(NAME)], "other.example"),
    "the registered domain and a wildcard": (
        [DNSName("customer.example"), DNSName("*.customer.example"), DNSName(NAME)],
        "customer.example, *.customer.example",
    ),
    "an address": ([DNSName(NAME), IPAddress(ip_address("192.0.2.1"))], "192.0.2.1"),
    "mail and web": (
        [DNSName(NAME), RFC822Name(f"root@{NAME}"), UniformResourceIdentifier("https://x.example")],
        f"root@{NAME}, https://x.example",
    ),
    "in capitals": ([DNSName(NAME.upper()), DNSName("OTHER.example")], "OTHER.example"),
}


@pytest.mark.parametrize(("names", "others"), EXTRAS.values(), ids=EXTRAS)
def test_n10_more_names_are_served_and_told(names: list[x509.GeneralName], others: str) -> None:
    chain, _ = keys.read_chain(signed(*names) + LOWER, key=KEY, name=NAME, now=NOW.timestamp())
    assert keys.deviations(chain, NAME) == [f"it is also for {others}"]


@pytest.mark.parametrize(
    ("leaf", "is_told"),
    [
        (signed(is_critical=False), True),
        (signed(DNSName(NAME.upper()), is_critical=False), True),
        (signed(is_critical=False, subject=NAME), False),
        (signed(is_critical=True, subject=NAME), False),
        (signed(DNSName(NAME), DNSName(NAME)), False),
        (signed(), False),
    ],
    ids=["not critical", "in capitals", "with a CN", "critical with a CN", "twice", "as asked"],
)
def test_n34_names_that_are_not_critical_below_an_empty_subject_are_told(leaf: str, is_told: bool) -> None:  # noqa: FBT001
    chain, _ = keys.read_chain(leaf + LOWER, key=KEY, name=NAME, now=NOW.timestamp())
    found = keys.deviations(chain, NAME)
    assert bool(found) == is_told
    assert all("not marked critical" in one for one in found)


@pytest.mark.parametrize("extra", ["www", "another, first", "the registered domain and a wildcard"])
def test_n10_it_is_put_in_force_with_a_warning_in_the_timeline(services: Services, extra: str) -> None:
    names, others = EXTRAS[extra]
    services.cas[0].forge = lambda csr: (csr.public_key(), [name.value for name in names])
    record = reach(services, Step.INSTALL)
    tasks.attempt(services, Step.INSTALL, record.issuance.id)
    record = services.store.load(NAME)
    assert status(record, services.clock()) is Status.ACTIVE
    (event,) = [event for event in record.timeline if event.type == "certificate.deviates"]
    serial = record.domain.certificate.serial
    assert event.text == f"certificate {serial} is used as it is, but it is also for {others}"
    assert event.is_kept


def test_n10_a_certificate_as_asked_for_leaves_no_warning(services: Services) -> None:
    record = reach(services, Step.INSTALL)
    tasks.attempt(services, Step.INSTALL, record.issuance.id)
    assert "certificate.deviates" not in texts.timeline_text(services.store.load(NAME).timeline)


@pytest.mark.parametrize("hours", [3, 24, 200])
def test_a_certificate_whose_time_has_not_come_says_when_it_will_be_used(hours: int) -> None:
    begins = (NOW + dt.timedelta(hours=hours)).replace(microsecond=0)
    with pytest.raises(Problem, match="not valid yet") as caught:
        keys.read_chain(signed(begins=begins), key=KEY, name=NAME, now=NOW.timestamp())
    assert caught.value.type is ProblemType.BAD_CERTIFICATE
    assert caught.value.retry_at == begins.timestamp() - CLOCK_SKEW_SECONDS
