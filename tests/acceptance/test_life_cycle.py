"""Whole lives in real time: certificates of seconds from a real CA, renewed by the Procfile's own processes."""

import json
import os
import signal
import time
from collections.abc import Callable

import pytest
from cryptography import x509

from issuer.domain import Step
from issuer.ports import Services
from issuer.sandbox import Dns, Pebble, Sandbox
from tests.acceptance.conftest import Platform, Running
from tests.acceptance.test_main_path import WHERE
from tests.real import issued, published
from tests.wire import Answer, Fault, Hold, Wire

LIFETIME = 16
HALF = LIFETIME / 2


@pytest.fixture(scope="module")
def pebble(module_sandbox: Sandbox, dns: Dns, http_port: int) -> Pebble:
    """A CA whose certificates end after seconds, and that wants each renewal to be proved anew."""
    environment = {"PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
    return module_sandbox.pebble(dns.server, http_port, environment, certificateValidityPeriod=LIFETIME)


@pytest.fixture
def renewals(platform: Platform, running: Running) -> Platform:
    """All of the Procfile runs."""
    running.start("renewals")
    return platform


def leaf(body: dict[str, str]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(body["certificate"].encode())


def refusal() -> Answer:
    problem = {"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "policy"}
    return 403, {"Content-Type": "application/problem+json"}, json.dumps(problem).encode()


def looks(platform: Platform, name: str, until: Callable[[dict[str, str]], bool], seconds: float) -> list[dict]:
    """What the status says from now on, look by look, to the one that `until` waits for."""
    found = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _, body, _ = platform.call("GET", f"/v2/x509/{name}/status")
        found.append(body | {"at": time.time()})
        if until(body):
            return found
        time.sleep(0.05)
    raise AssertionError(f"in vain: {found[-1]}")


def test_active_processing_active_and_never_a_moment_without_a_valid_certificate(
    renewals: Platform, dns: Dns, pebble: Pebble
) -> None:
    name = published(dns, "renewed.customer.example")
    renewals.call("POST", f"/v2/x509/{name}")
    first = renewals.wait_until(name, "active")
    before = issued(pebble)
    serials = {leaf(first).serial_number}

    def has_third_certificate(body: dict[str, str]) -> bool:
        serials.add(leaf(body).serial_number)
        return len(serials) == 3 and body["status"] == "active"

    bodies = looks(renewals, name, has_third_certificate, 4 * LIFETIME)
    assert {body["status"] for body in bodies} <= {"active", "processing"}
    assert all(leaf(body).not_valid_after_utc.timestamp() + 1 > body["at"] for body in bodies)
    assert issued(pebble) - before == 2
    assert bodies[-1]["at"] - bodies[0]["at"] >= 2 * HALF - 3


def test_expired_the_second_after_its_end_and_active_again_when_the_ca_is_back(
    renewals: Platform, dns: Dns, wire: Wire
) -> None:
    name = published(dns, "expires.customer.example")
    renewals.call("POST", f"/v2/x509/{name}")
    end = leaf(renewals.wait_until(name, "active")).not_valid_after_utc.timestamp()
    refused = wire.add(Fault("/order-plz", times=10_000, before=refusal))
    bodies = looks(renewals, name, lambda body: body["status"] == "expired", 3 * LIFETIME)
    assert bodies[-1]["at"] >= end + 1
    assert bodies[-1]["error"] == "x509 certificate has expired"
    assert leaf(bodies[-1]).not_valid_after_utc.timestamp() == end
    assert all(body["at"] > end + 0.5 for body in bodies if body["status"] == "expired")
    assert {body["status"] for body in bodies} <= {"active", "processing", "error", "expired"}
    assert "the CA refuses to issue" in next(body for body in bodies if body["status"] == "error")["error"]
    assert refused.hits >= 2
    refused.times = 0
    looks(renewals, name, lambda body: body["status"] == "active", 2 * LIFETIME)


@pytest.mark.parametrize("step", list(WHERE))
def test_g05_sigkill_in_each_step_of_a_renewal(
    renewals: Platform, running: Running, services: Services, dns: Dns, pebble: Pebble, wire: Wire, step: Step
) -> None:
    name = published(dns, f"killed-{step}.customer.example")
    renewals.call("POST", f"/v2/x509/{name}")
    first = leaf(renewals.wait_until(name, "active")).serial_number
    before, hold = issued(pebble), Hold()
    wire.add(Fault(WHERE[step], after=hold))
    assert hold.reached.wait(LIFETIME), "the step was never reached"
    record = services.store.load(name)
    assert (record.issuance.step, record.issuance.reason) == (step, "renewal")
    # A slow machine may have renewed it once before the fault was there.
    in_force = int(record.domain.certificate.serial, 16)
    before += in_force != first
    running.kill("renewals")
    hold.let_go.set()
    body = renewals.call("GET", f"/v2/x509/{name}/status")[1]
    assert (body["status"], leaf(body).serial_number) == ("processing", in_force)
    running.start("renewals")
    bodies = looks(
        renewals,
        name,
        lambda body: body["status"] == "active" and leaf(body).serial_number != in_force,
        3 * LIFETIME,
    )
    assert issued(pebble) - before <= 2
    assert bodies


def test_e09_two_beats_and_one_that_was_stopped_for_a_while_renew_each_once(
    renewals: Platform, running: Running, services: Services, dns: Dns, pebble: Pebble
) -> None:
    second = running.sandbox.procfile("beat", running.environment)
    names = [published(dns, f"beaten-{number}.customer.example") for number in range(4)]
    for name in names:
        renewals.call("POST", f"/v2/x509/{name}")
    serials = {name: leaf(renewals.wait_until(name, "active")).serial_number for name in names}
    before = issued(pebble)
    os.kill(second.process.pid, signal.SIGSTOP)
    time.sleep(HALF / 2)
    os.kill(second.process.pid, signal.SIGCONT)
    for name, serial in serials.items():
        looks(renewals, name, lambda body, serial=serial: leaf(body).serial_number != serial, 2 * LIFETIME)
    assert issued(pebble) - before == len(names)
