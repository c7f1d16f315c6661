"""Renewal info (RFC 9773) at acme2certifier, an ACME server unrelated to Pebble."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.json_util import encode_b64jose

from issuer import keys, renewal
from issuer.actions import renew
from issuer.domain import Certificate, Reason, Record, Status, new_issuance, status
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.sandbox import Sandbox
from issuer.wiring import build_services
from tests.acme2certifier import WEB_PORT, SecondCa, second_ca, why_not
from tests.real import opened, published, run_to_end, settings_for
from tests.wire import Fault, Wire, cut
from tests.writes import open_issuance
from web.app import create_app

DAY = 86400


@pytest.fixture
def services_at(redis_url: str, serve: Callable[..., None]) -> Callable[[SecondCa], Services]:
    """The product and its web process, for one CA."""

    def build(ca: SecondCa) -> Services:
        services = build_services(
            settings_for(redis_url, ca.directory_url, ca.dns, acme_contact="operator@platform.example")
        )
        serve(create_app(services), WEB_PORT, host=ca.web)
        return services

    return build


@pytest.fixture
def services(services_at: Callable[[SecondCa], Services], other_ca: SecondCa) -> Services:
    return services_at(other_ca)


@pytest.fixture
def issue(services: Services, other_ca: SecondCa) -> Callable[[str], Certificate]:
    return lambda name: active(services, opened(services, published(other_ca.dns, name)))


@pytest.fixture
def moved_window(other_ca: SecondCa) -> Iterator[Callable[..., None]]:
    """Change the CA's renewal window until the test ends."""

    def move(**renewal_info: object) -> None:
        other_ca.stop()
        other_ca.start(**renewal_info)

    yield move
    move()


def active(services: Services, record: Record) -> Certificate:
    """The record after its open issuance has succeeded without a failure."""
    record = run_to_end(services, record)
    assert status(record, services.clock()) is Status.ACTIVE, record.issuance.problem
    assert record.issuance.tries == 0, record.issuance.problem
    return record.domain.certificate


def certificate_id(certificate: Certificate) -> str:
    """By RFC 9773 §4.1, and not by the product's code: the serial's DER is its two's complement."""
    leaf = x509.load_pem_x509_certificate(certificate.chain.encode())
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    digits = f"{leaf.serial_number:x}"
    serial = bytes.fromhex(digits.zfill(len(digits) + len(digits) % 2))
    serial = b"\0" + serial if serial[0] & 0x80 else serial
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (authority, serial))


def asked(ca: SecondCa, certificate_id: str) -> urllib3.BaseHTTPResponse:
    directory = urllib3.request("GET", ca.directory_url, retries=False).json()
    return urllib3.request("GET", f"{directory['renewalInfo']}/{certificate_id}", retries=False)


def window(answer: urllib3.BaseHTTPResponse) -> tuple[float, float]:
    start, end = (datetime.fromisoformat(answer.json()["suggestedWindow"][which]) for which in ("start", "end"))
    return start.timestamp(), end.timestamp()


def test_renewal_info_of_a_certificate(services: Services, other_ca: SecondCa, issue) -> None:
    certificate = issue("renewal-info.customer.example")
    id_ = certificate_id(certificate)
    assert keys.certificate_id(certificate.chain) == id_
    answer = asked(other_ca, id_)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["Retry-After"] == str(DAY)
    assert list(answer.json()) == ["suggestedWindow"]
    start, end = window(answer)
    assert (start, end) == (certificate.not_before + 0.85 * 90 * DAY, certificate.not_after)
    assert services.cas[0].has_renewal_info()
    info = services.cas[0].renewal_info(id_)
    assert (info.window.start, info.window.end) == (start, end)
    assert info.ask_again_at == pytest.approx(services.clock() + DAY, abs=2)


def test_an_id_of_no_certificate_has_no_renewal_info(services: Services, other_ca: SecondCa, issue) -> None:
    authority, serial = certificate_id(issue("ids.customer.example")).split(".")
    wrong = {
        f"{'_' * 26}8.{serial}": 404,
        f"{authority}.{'_' * 21}w": 404,
        f"{authority}.{serial}.{serial}": 404,
        f"{authority}.AAAA": 400,
        "": 400,
        f"{'_' * 26}8": 400,  # not that of its own key: one in 1700 has bytes by which it knows an older form of ids
    }
    for id_, code in wrong.items():
        answer = asked(other_ca, id_)
        assert (answer.status, answer.json()["type"]) == (code, "urn:ietf:params:acme:error:malformed"), id_
        with pytest.raises(Problem) as caught:
            services.cas[0].renewal_info(id_)
        assert caught.value.type is ProblemType.NO_RENEWAL_INFO


def test_it_takes_any_replaces_and_minds_none(services: Services, other_ca: SecondCa, issue) -> None:
    name = "replaced.customer.example"
    first = issue(name)
    id_ = certificate_id(first)
    before = window(asked(other_ca, id_))
    for replaces in (id_, id_, "unknown.AAAA"):
        assert services.cas[0].new_order(name, replaces).authorization_urls
    record = services.store.load(name)
    again = new_issuance(name, Reason.RENEWAL, services.clock())
    record = open_issuance(services.store, record.domain, again, version=record.version, requeue_at=0)
    assert active(services, record).serial != first.serial
    assert window(asked(other_ca, id_)) == before
    assert services.cas[0].new_order(name, id_).authorization_urls
    assert "alreadyReplaced" not in other_ca.part.log.read_text()


def test_n45_a_revoked_certificate_keeps_its_window_and_is_renewed_by_force(
    services: Services, other_ca: SecondCa, issue
) -> None:
    name = "revoked.customer.example"
    certificate = issue(name)
    renewal.refresh(services, name)
    planned = services.store.load(name).domain
    before = window(asked(other_ca, certificate_id(certificate)))
    der = x509.load_pem_x509_certificate(certificate.chain.encode()).public_bytes(Encoding.DER)
    body = json.dumps({"certificate": encode_b64jose(der), "reason": 1}).encode()
    assert services.cas[0]._session.post_as("revokeCert", body, services.cas[0]._session.keeper.signer()).status == 200
    assert window(asked(other_ca, certificate_id(certificate))) == before
    renewal.refresh(services, name)
    assert services.store.load(name).domain.renew_at == planned.renew_at > services.clock() + DAY
    assert renewal.start(services, name) is None
    issuing = x509.load_pem_x509_certificates(certificate.chain.encode())[1]
    common_name = str(issuing.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
    for named_by in (
        other_ca.directory_url,
        common_name,
        f"{issuing.serial_number:X}",
        issuing.subject.rfc4514_string(),
    ):
        *_, tally = renew.mark(services, renew.begin(services, renew.Selection(issued_by=named_by)))
        assert tally.selected == [name]
    renewed = active(services, renewal.start(services, name))
    assert renewed.serial != certificate.serial
    assert services.vault.decrypt(renewed.key) != services.vault.decrypt(certificate.key)


def test_a_window_that_has_passed_puts_the_renewal_as_early_as_may_be(
    services: Services, moved_window: Callable[..., None], issue
) -> None:
    name = "passed.customer.example"
    certificate = issue(name)
    renewal.refresh(services, name)
    planned = services.store.load(name).domain
    assert planned.window.start < planned.renew_at < planned.window.end
    moved_window(renewalthreshold_pctg=-50, renewal_window_duration=3600, retry_after_timeout=7)
    renewal.refresh(services, name)
    domain = services.store.load(name).domain
    assert domain.window.end - domain.window.start == 3600
    assert domain.window.end < certificate.not_before
    assert domain.renew_at == certificate.installed_at + renewal.FLOOR_SECONDS
    assert domain.ask_at == pytest.approx(services.clock() + 60, abs=2)


def test_a_certificate_of_seconds_is_renewed_in_the_cas_window(
    module_sandbox: Sandbox, services_at: Callable[[SecondCa], Services]
) -> None:
    if reason := why_not():
        pytest.skip(reason)
    name = "short.customer.example"
    with second_ca(module_sandbox, timedelta(seconds=20), renewalthreshold_pctg=0, renewal_window_duration=1) as ca:
        services = services_at(ca)
        first = active(services, opened(services, published(ca.dns, name)))
        assert first.not_after - first.not_before == pytest.approx(20, abs=1)
        renewal.refresh(services, name)
        domain = services.store.load(name).domain
        assert (domain.window.start, domain.window.end) == (first.not_before, first.not_before + 1)
        time.sleep(max(0, domain.renew_at - services.clock()))
        second = active(services, renewal.start(services, name))
        assert second.serial != first.serial
        assert second.not_before < first.not_before + 9, "the lifetime alone would have put it off to half of it"
        assert ca.issued() == 2


def test_n44_a_roll_over_that_was_cut_off_after_the_ca_did_it_heals_at_the_next_order(
    redis_url: str, other_ca: SecondCa
) -> None:
    """It refuses the old key with 403 and a type that is a sentence."""
    with closing(Wire(other_ca.directory_url)) as wire:
        settings = settings_for(redis_url, wire.directory_url, other_ca.dns, acme_contact="operator@platform.example")
        (ca,) = build_services(settings).cas
        url, former = ca.account_url(), ca.known_account()
        wire.add(Fault("/acme/key-change", after=cut))
        with pytest.raises(Problem):
            ca.roll_over()
        assert ca.known_account().is_rolling_over
        assert ca.new_order("rolled-over.customer.example").url
        after = ca.known_account()
    assert (after.url, after.is_rolling_over, after.thumbprint != former.thumbprint) == (url, False, True)
    assert wire.count("/acme/key-change") == 1
