"""What a CSR asks for, which certificates are installed, and when they are renewed."""

import datetime as dt

import pytest
from cryptography import x509

from issuer import keys, renewal
from issuer.actions import authorities
from issuer.domain import Status, status
from issuer.ports import Services
from issuer.problem import ProblemType
from tests.fakes import NAME, FakeClock, with_settings
from tests.real import opened, verified
from tests.scripted import ScriptedCa
from tests.scripted.chains import Signing, pem
from tests.time_travel import DAY, issued, lived, renewed, shown


@pytest.mark.parametrize("key_type", keys.KeyType)
def test_c18_a_csr_asks_for_names_and_nothing_else(services: Services, ca: ScriptedCa, key_type) -> None:
    issued(with_settings(services, key_type=key_type))
    assert ca.certificates.extensions == {x509.SubjectAlternativeName.oid}


def test_of_two_chains_the_first_is_installed_whole(services: Services, ca: ScriptedCa) -> None:
    ca.alternates = True
    record = issued(services)
    chain = record.domain.certificate.chain
    root = ca.certificates.signing.root
    assert "".join(map(pem, verified(chain, root, NAME))) == chain + root
    assert ca.count("/certificate/") == 1


STRANGER = Signing().root
SENT = {
    "an intermediate twice": lambda leaf, above: leaf + above + above,
    "upside down": lambda leaf, above: above + leaf,
    "the leaf twice, and a stranger": lambda leaf, above: leaf + STRANGER + leaf + above,
}


@pytest.mark.parametrize("order", SENT.values(), ids=SENT)
def test_n10_n11_a_usable_certificate_is_used(services: Services, ca: ScriptedCa, order) -> None:
    ca.chain_sent = lambda chain: order(*map(pem, x509.load_pem_x509_certificates(chain.encode())))
    ca.foreign_names = (NAME, f"www.{NAME}")
    record = issued(services)
    chain = record.domain.certificate.chain
    assert len(verified(chain, ca.certificates.signing.root, NAME)) == 3
    assert chain.count("BEGIN") == 2
    assert len(ca.certificates.log) == 1
    assert [event.data["deviations"] for event in record.timeline if event.type == "certificate.deviates"] == [
        f"it is also for www.{NAME}"
    ]


def test_n11_a_chain_that_is_cut_off_is_fetched_again_and_no_other_is_bought(
    services: Services, ca: ScriptedCa
) -> None:
    answers = [lambda chain: chain[:-30], lambda chain: chain[:100], lambda _: "<html>"]

    def chain_sent(chain: str) -> str:
        return answers.pop()(chain) if answers else chain

    ca.chain_sent = chain_sent
    opened(services, NAME)
    assert status(lived(services, DAY), services.clock()) is Status.ACTIVE
    assert len(ca.certificates.log) == 1


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"foreign_key": True}, "another key"),
        ({"foreign_names": ("other.customer.example",)}, f"not for {NAME}"),
        ({"lifetime": dt.timedelta(minutes=59)}, "already expired"),
    ],
)
def test_a_certificate_that_is_not_the_one_asked_for_takes_no_place(
    services: Services, ca: ScriptedCa, switches, words: str
) -> None:
    held = issued(services).domain.certificate
    usual = {switch: getattr(ca, switch) for switch in switches}
    for switch, value in switches.items():
        setattr(ca, switch, value)
    record = renewed(services)
    assert (record.domain.certificate, record.issuance.problem.type) == (held, ProblemType.BAD_CERTIFICATE)
    assert words in shown(services)["error"]
    lived(services, 10 * DAY)
    assert len(ca.certificates.log) == 2, "one before, and one of the renewal"
    for switch, value in usual.items():
        setattr(ca, switch, value)
    authorities.allow(services, ca.directory_url, NAME)
    replacement = lived(services, DAY).domain.certificate
    assert replacement.serial == f"{ca.certificates.log[-1][1]:x}"
    assert replacement.serial != held.serial


@pytest.mark.parametrize(
    ("not_before", "lifetime", "share"),
    [
        (dt.timedelta(hours=-1), dt.timedelta(days=90), 2 / 3),
        (dt.timedelta(hours=-1), dt.timedelta(days=45), 2 / 3),
        (dt.timedelta(hours=-1), dt.timedelta(hours=160), 1 / 2),
        (dt.timedelta(0), dt.timedelta(hours=1), 1 / 2),
        (dt.timedelta(days=-60), dt.timedelta(days=90), 2 / 3),
    ],
)
def test_g02_a_renewal_is_planned_by_what_is_left_of_the_lifetime(
    services: Services, ca: ScriptedCa, not_before, lifetime, share: float
) -> None:
    ca.not_before, ca.lifetime = not_before, lifetime
    domain = issued(services).domain
    begin, end = domain.certificate.installed_at, domain.certificate.not_after + 1
    assert end - begin == pytest.approx((lifetime + not_before).total_seconds(), abs=5)
    assert (domain.renew_at - begin) / (end - begin) == pytest.approx(share, abs=0.012)
    assert renewed(services).domain.certificate.serial != domain.certificate.serial


def test_a_window_of_the_ca_is_kept_and_the_order_says_what_it_replaces(
    services: Services, ca: ScriptedCa, clock: FakeClock
) -> None:
    start = int(clock()) + 10 * DAY
    ca.renewal_window = (start, start + DAY)
    held = issued(services).domain.certificate
    renewal.refresh(services, NAME)
    assert start <= services.store.load(NAME).domain.renew_at <= start + DAY
    record = renewed(services)
    assert record.domain.certificate.serial != held.serial
    replaced = keys.certificate_id(held.chain)
    assert [one.replaces for one in ca.orders.made.values()] == [None, replaced]
    assert services.cas[0].new_order(NAME, replaced).url, (
        "a second replacement is refused, and an order without it is not"
    )
    assert [one.replaces for one in ca.orders.made.values()] == [None, replaced, None]
