"""DELETE with ?revoke=true at Pebble, whose own status of the certificate is checked."""

import pytest
import urllib3

from issuer.actions import withdraw
from issuer.domain import Account, Plan, Record
from issuer.ports import Services
from issuer.sandbox import Dns, Pebble
from issuer.wiring import build_services
from tests.api_client import ApiClient
from tests.fakes import queue_at
from tests.real import opened, published, run_to_end, settings_for
from tests.simulated_fleet import SimulatedFleet
from web.app import create_app

ACCOUNT = Account("platform", Plan.HTTPS, "0" * 64, 0.0)


@pytest.fixture
def at_pebble(redis_url: str, pebble: Pebble, dns: Dns, http_port: int, serve) -> Services:
    settings = settings_for(redis_url, pebble.directory_url, dns, acme_ca_bundle=str(pebble.bundle))
    services = build_services(settings, queue=queue_at())
    serve(create_app(services), http_port)
    return services


def issued(services: Services, dns: Dns, name: str) -> Record:
    record = run_to_end(services, opened(services, published(dns, name)))
    assert record.domain.certificate, record.issuance.problem
    return record


def status_at(pebble: Pebble, serial: str) -> dict[str, object]:
    with urllib3.PoolManager(ca_certs=str(pebble.bundle)) as pool:
        return pool.request("GET", f"{pebble.management}/cert-status-by-serial/{serial}", retries=False).json()


def test_a_certificate_is_revoked_at_pebble(at_pebble: Services, pebble: Pebble, dns: Dns) -> None:
    api_client = ApiClient(at_pebble).with_accounts()
    name = "revoked.customer.example"
    serial = issued(at_pebble, dns, name).domain.certificate.serial
    assert status_at(pebble, serial)["Status"] == "Valid"
    answer = api_client.call("DELETE", f"/v2/x509/{name}?revoke=true&reason=superseded")
    assert (answer.status_code, answer.json["revocation"]) == (200, "pending")
    assert status_at(pebble, serial)["Status"] == "Valid"
    SimulatedFleet(at_pebble).scan()
    shown = status_at(pebble, serial)
    assert (shown["Status"], shown["Reason"]) == ("Revoked", 4)
    assert at_pebble.store.load(name).domain.revocations == ()


def test_without_it_the_certificate_stays_valid(at_pebble: Services, pebble: Pebble, dns: Dns) -> None:
    name = "kept.customer.example"
    serial = issued(at_pebble, dns, name).domain.certificate.serial
    withdraw.withdraw(at_pebble, ACCOUNT, name)
    SimulatedFleet(at_pebble).scan()
    assert status_at(pebble, serial)["Status"] == "Valid"


def test_what_was_revoked_otherwise_is_done(at_pebble: Services, pebble: Pebble, dns: Dns) -> None:
    name = "twice.customer.example"
    chain = issued(at_pebble, dns, name).domain.certificate.chain
    at_pebble.cas[0].revoke(chain, 1)
    withdraw.withdraw(at_pebble, ACCOUNT, name, reason=0)
    SimulatedFleet(at_pebble).scan()
    assert at_pebble.store.load(name).domain.revocations == ()
