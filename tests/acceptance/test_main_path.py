"""A POST becomes a certificate, with the Procfile's own processes, real Redis and a real ACME CA."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import pytest
import urllib3
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from issuer.config import child_environment
from issuer.domain import Step
from issuer.events import EventType
from issuer.ports import Services
from issuer.sandbox import Dns, Pebble
from tests.acceptance.conftest import Platform, Running, for_a_whole_file
from tests.real import issued, published
from tests.wire import Fault, Hold, Wire

own_sandbox, settings, services, running, platform_key, redis_url, wire = for_a_whole_file()

WHERE = {
    Step.ORDER: "/order-plz",
    Step.CHALLENGE: "/chalZ/",
    Step.FINALIZE: "/finalize-order/",
    Step.INSTALL: "/certZ/",
}


def test_from_post_to_a_chain_that_leads_to_the_cas_root(platform: Platform, dns: Dns, pebble: Pebble) -> None:
    name = published(dns, "track.customer.example")
    status, body, headers = platform.call("POST", f"/v2/x509/{name}")
    location = f"/v2/x509/{name}/status"
    assert (status, body["location"], headers["Location"]) == (202, location, location)
    active = platform.wait_until(name, "active")
    assert active["error"] is None
    leaf, *others = x509.load_pem_x509_certificates(active["certificate"].encode())
    root = x509.load_pem_x509_certificate(pebble.root().encode())
    verifier = PolicyBuilder().store(Store([root])).build_server_verifier(x509.DNSName(name))
    assert verifier.verify(leaf, others)[-1] == root
    assert platform.call("POST", f"/v2/x509/{name}")[0] == 409
    assert platform.call("PUT", f"/v2/x509/{name}")[0] == 409
    assert "PRIVATE KEY" not in str(active)


def test_the_command_issues_and_shows_each_step_on_a_terminal(platform: Platform, running: Running, dns: Dns) -> None:
    name = published(dns, "terminal.customer.example")
    command = [sys.executable, "-m", "issuer.cli", "issue", name, "--account", "platform", "--wait"]
    seen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = child_environment(running.environment | {"TERM": "xterm"})
    with subprocess.Popen(command, env=environment, stdout=terminal) as issuing:
        os.close(terminal)
        text = _all_of(seen)
    os.close(seen)
    assert issuing.returncode == 0, text
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()
    assert lines[-1].startswith(f"{name}: active, until ")
    assert max(map(len, lines)) <= 80
    for step in WHERE:
        assert any(line.startswith(f"✓  {step}") for line in lines), lines


def _all_of(terminal: int) -> str:
    """What is written to a terminal until everybody has closed it."""
    data = b""
    with suppress(OSError):
        while part := os.read(terminal, 65536):
            data += part
    return data.decode()


def test_d01_the_challenge_is_plain_http_for_any_host(platform: Platform, services: Services) -> None:
    services.store.put_token("dG9rZW4", "dG9rZW4.thumbprint", seconds=60)
    url = f"{platform.url}/.well-known/acme-challenge/dG9rZW4"
    for host in ("track.customer.example", "other.example:8080", "127.0.0.1"):
        answer = urllib3.request("GET", url, headers={"Host": host}, redirect=False, retries=False)
        assert (answer.status, answer.data) == (200, b"dG9rZW4.thumbprint")
        assert "Strict-Transport-Security" not in answer.headers


def test_a01_both_spellings_are_one_domain(platform: Platform, dns: Dns) -> None:
    name = published(dns, "xn--mnchen-3ya.example")
    status, body, _ = platform.call("POST", "/v2/x509/M%C3%9CNCHEN.example.")
    assert (status, body["location"]) == (202, f"/v2/x509/{name}/status")
    platform.wait_until(name, "active")
    assert platform.call("POST", f"/v2/x509/{name}")[0] == 409
    assert platform.call("GET", "/v2/x509/m%C3%BCnchen.example/status")[1]["status"] == "active"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", list(WHERE))
def test_e03_sigkill_in_each_step(
    platform: Platform,
    running: Running,
    services: Services,
    dns: Dns,
    pebble: Pebble,
    wire: Wire,
    step: Step,
    moment: str,
) -> None:
    name = published(dns, f"killed-{step}-{moment}.customer.example")
    before, hold = issued(pebble), Hold()
    wire.add(Fault(WHERE[step], **{moment: hold}))
    assert platform.call("POST", f"/v2/x509/{name}")[0] == 202
    assert hold.reached.wait(20), "the step was never reached"
    record = services.store.load(name)
    assert record.issuance.step is step
    assert record.lease_until > 0
    running.kill("worker")
    hold.let_go.set()
    assert platform.call("GET", f"/v2/x509/{name}/status")[1]["status"] == "processing"
    assert platform.call("POST", f"/v2/x509/{name}")[0] == 409
    running.start("worker")
    platform.wait_until(name, "active", seconds=60)
    assert issued(pebble) - before <= 2
    assert services.store.load(name).issuance.tries == 0


def test_n22_renew_is_killed_in_the_middle_called_again_and_renews_each_once(
    platform: Platform, running: Running, services: Services, dns: Dns, pebble: Pebble
) -> None:
    names = [published(dns, f"forced-{number}.customer.example") for number in range(4)]
    for name in names:
        platform.call("POST", f"/v2/x509/{name}")
    first = {name: platform.wait_until(name, "active")["certificate"] for name in names}
    running.start("renewals")
    command = [sys.executable, "-m", "issuer.cli", "renew", *names, "--pace", "1"]
    options = {"env": child_environment(running.environment), "stdout": subprocess.PIPE, "text": True}
    before = issued(pebble)
    with subprocess.Popen(command, **options) as killed:
        while issued(pebble) == before:
            assert killed.poll() is None
            assert platform.call("GET", f"/v2/x509/{names[-1]}/status")[1]["certificate"] == first[names[-1]]
        killed.kill()
    again = subprocess.run(command, **options, timeout=150, check=True)
    assert again.stdout.startswith("going on with the same call of "), again.stdout
    assert again.stdout.endswith(
        "4 of 4 renewed, 0 in progress, 0 waiting for their turn, 0 delayed\nrenewed: 4 certificates\n"
    )
    assert issued(pebble) - before == 4
    for name in names:
        certificate = platform.wait_until(name, "active")["certificate"]
        assert public_key(certificate) != public_key(first[name])
        types = [event.type for event in services.store.load(name).timeline]
        assert types.count(EventType.RENEWAL_FORCED) == 1


def public_key(certificate: str) -> object:
    return x509.load_pem_x509_certificate(certificate.encode()).public_key()


def test_e03_sigkill_of_the_process_that_runs_the_step(
    platform: Platform, running: Running, services: Services, dns: Dns, pebble: Pebble, wire: Wire
) -> None:
    name = published(dns, "child.customer.example")
    before, hold = issued(pebble), Hold()
    wire.add(Fault(WHERE[Step.FINALIZE], after=hold))
    platform.call("POST", f"/v2/x509/{name}")
    assert hold.reached.wait(20)
    running.kill_children("worker")
    hold.let_go.set()
    platform.wait_until(name, "active", seconds=60)
    assert issued(pebble) - before == 1
    assert running.parts["worker"].process.poll() is None


def test_e13_each_step_is_done_once_though_some_wait_and_every_line_says_whose_it_is(
    platform: Platform, running: Running, services: Services, dns: Dns
) -> None:
    name = published(dns, "logged.customer.example")
    platform.call("POST", f"/v2/x509/{name}")
    platform.wait_until(name, "active")
    issuance = services.store.load(name).issuance.id
    lines = [line for line in running.log("worker") if line.get("logger") in {"issuer.tasks", "issuer.events"}]
    done = [line["step"] for line in lines if line["event"] == "issuance.step_done" and line["domain"] == name]
    assert done == ["order", "challenge", "finalize", "install"]
    assert all(line["issuance"] == issuance for line in lines if line["domain"] == name)
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line["timestamp"]) for line in lines)
