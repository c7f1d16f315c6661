"""What an operator types about CAs and single domains, on a real Redis and a real CA."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import redis
from click.testing import CliRunner

from issuer.cli import main
from issuer.domain import Rejection, Step
from issuer.keys import new_encryption_key
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.sandbox import Dns, Pebble
from issuer.wiring import build_services
from tests.real import opened, published, run_to_end, settings_for
from web.app import create_app

OTHER = "https://other-ca.example/directory"


@pytest.fixture
def services(
    redis_url: str,
    pebble: Pebble,
    dns: Dns,
    http_port: int,
    serve: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> Services:
    """Pebble first, then one that is not there."""
    cas = json.dumps([{"directory": pebble.directory_url}, {"directory": OTHER}])
    settings = settings_for(
        redis_url,
        pebble.directory_url,
        dns,
        acme_ca_bundle=str(pebble.bundle),
        cas=cas,
        self_check_test_port=http_port,
    )
    for name, value in (settings.as_environment() | {"COLUMNS": "300"}).items():
        monkeypatch.setenv(name, value)
    services = build_services(settings)
    serve(create_app(services), http_port)
    return services


def issuer(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    return result.exit_code, result.output


def test_the_cas_with_our_accounts_and_what_is_known_of_them(services: Services, pebble: Pebble) -> None:
    code, shown = issuer("ca", "list")
    assert code == 0
    assert shown.index(pebble.directory_url) < shown.index(OTHER)
    assert shown.count("none yet") == 2
    url = services.cas[0].account_url()
    for _ in range(3):
        services.limits.record_failure(OTHER, now=time.time())
    _, shown = issuer("ca", "list")
    known = services.cas[0].known_account()
    assert url in shown
    assert known.thumbprint in shown
    assert shown.count("none yet") == 1
    assert re.search(r"other-ca.*not asked until \d{4}-\d\d-\d\d \d\d:\d\d UTC", shown)
    assert services.store.ca_account(pebble.directory_url).key not in shown


def test_a_roll_over_gives_the_account_a_new_key(services: Services, pebble: Pebble) -> None:
    url, before = services.cas[0].account_url(), services.cas[0].known_account()
    code, said = issuer("ca", "roll-over", pebble.directory_url)
    after = services.cas[0].known_account()
    assert (code, after.url, after.thumbprint != before.thumbprint) == (0, url, True)
    assert after.thumbprint in said
    assert services.cas[0].new_order("after.customer.example").url


PROCESSES: dict[str, Callable[[], tuple[int, str]]] = {
    "web": lambda: imported("web.wsgi"),
    "worker, renewals, beat": lambda: imported("issuer.worker"),
    "edge-sync": lambda: issuer("edge", "sync", "--dir", "/nonexistent", "--once"),
}


def imported(module: str) -> tuple[int, str]:
    """What a process says that starts by importing a module."""
    ended = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def test_n21_with_another_encryption_key_no_process_starts_and_the_account_is_listed_and_forgotten(
    services: Services, pebble: Pebble, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = services.cas[0].account_url()
    monkeypatch.setenv("ISSUER_ENCRYPTION_KEYS", new_encryption_key())
    which = f"the key of our account at {pebble.directory_url}"
    for start in PROCESSES.values():
        code, said = start()
        assert (code, said.count("\n")) == (1, 1), said
        assert f"cannot be decrypted with the configured encryption keys: {which}" in said
    code, shown = issuer("ca", "list")
    assert code == 0
    assert re.search(rf"{re.escape(url)}.*cannot be decrypted", shown)
    assert issuer("ca", "forget", pebble.directory_url)[0] == 1, "not without being asked"
    code, said = issuer("ca", "forget", pebble.directory_url, "--yes")
    assert (code, "is forgotten" in said) == (0, True)
    assert "not registered at the CA yet" in issuer("ca", "list")[1]
    assert imported("web.wsgi") == (0, "")


@pytest.mark.parametrize("arguments", [(), ("https://nobody.example/directory",)])
def test_a_roll_over_wants_to_know_where(services: Services, arguments: tuple[str, ...]) -> None:
    code, said = issuer("ca", "roll-over", *arguments)
    assert (code, said.count("\n")) == (1, 1)
    assert OTHER in said


def test_a_roll_over_at_a_ca_that_is_away_ends_in_one_line(services: Services) -> None:
    code, said = issuer("ca", "roll-over", OTHER)
    assert code == 1
    assert f"the host name of the CA {OTHER} cannot be resolved" in said
    assert said.count("\n") == 1


def test_the_timeline_of_a_domain(services: Services, dns: Dns, pebble: Pebble) -> None:
    name = published(dns, "timeline.customer.example")
    record = run_to_end(services, opened(services, name))
    code, shown = issuer("status", name.upper())
    assert code == 0
    assert shown.startswith(f"{name}: active, held by platform")
    lines = re.findall(r"UTC  (.*)", shown)
    serial = record.domain.certificate.serial
    assert lines[0] == f"the CA is {pebble.directory_url}"
    assert lines[1].startswith("CAA records, yes: ")
    assert f"self-check, yes: http://{name} answers the challenge" in lines
    assert f"certificate {serial} is in force" in lines
    done = [line.split()[0] for line in lines if " done in " in line]
    assert done == ["order", "challenge", "finalize", "install"]
    assert lines[-1].startswith("the next renewal is planned for ")


def test_the_status_says_who_must_act(services: Services) -> None:
    record = opened(services, "astray.customer.example")
    leased = services.store.lease(record.issuance.id, now=time.time(), until=time.time() + 9)
    failed = leased.issuance.retry(Problem(ProblemType.CAA, "[red] says no"), time.time() + 600)
    services.store.save_and_release(leased.with_issuance(failed), requeue_at=time.time() + 600)
    _, shown = issuer("status", "astray.customer.example")
    assert "[red] says no [must act: owner]" in shown


def test_a_domain_may_have_a_chain_of_its_own(services: Services) -> None:
    name = "chain.customer.example"
    opened(services, name)
    code, said = issuer("prefer", name, "--chain", "Root X2")
    assert (code, services.store.load(name).domain.preferred_chain) == (0, "Root X2")
    assert "chain to Root X2" in said
    assert "chain to the usual one" in issuer("prefer", name, "--chain", "")[1]
    assert services.store.load(name).domain.preferred_chain is None


def test_a_domain_may_have_a_ca_and_a_profile_of_its_own(services: Services, pebble: Pebble) -> None:
    name = "chosen.customer.example"
    opened(services, name)
    assert issuer("prefer", name, "--ca", OTHER, "--profile", "shortlived")[0] == 0
    domain = services.store.load(name).domain
    assert (domain.ca, domain.profile) == (OTHER, "shortlived")
    assert issuer("prefer", name, "--ca", "")[0] == 0
    domain = services.store.load(name).domain
    assert (domain.ca, domain.profile) == (None, "shortlived")
    assert "profile tlsserver (required)" in issuer("prefer", name, "--required-profile", "tlsserver")[1]
    assert services.store.load(name).domain.required_profile == "tlsserver"
    assert services.store.load(name).issuance.step is Step.ORDER


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "nobody.customer.example"), "domain not found"),
        (("status", "no_name"), "no certificate can be had"),
        (("prefer", "nobody.customer.example", "--ca", OTHER), "domain not found"),
        (("prefer", "chosen.customer.example", "--ca", "https://nobody.example"), "is not one of the CAs"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(services: Services, arguments: tuple[str, ...], words: str) -> None:
    code, said = issuer(*arguments)
    assert (code, said.count("\n"), words in said) == (1, 1, True)


def test_an_operators_choice_does_not_wait_for_a_worker_nor_is_undone_by_it(services: Services) -> None:
    record = opened(services, "busy.customer.example")
    leased = services.store.lease(record.issuance.id, now=time.time(), until=time.time() + 60)
    code, _ = issuer("prefer", "busy.customer.example", "--ca", OTHER)
    assert code == 0
    services.store.save_and_release(leased, requeue_at=time.time())
    assert services.store.load("busy.customer.example").domain.ca == OTHER


def test_a_choice_of_nothing_changes_and_tells_nothing(services: Services) -> None:
    before = opened(services, "nothing.customer.example")
    assert issuer("prefer", "nothing.customer.example")[0] == 0
    assert services.store.load("nothing.customer.example") == before


def test_words_of_others_are_printed_as_they_are(services: Services) -> None:
    record = opened(services, "markup.customer.example")
    leased = services.store.lease(record.issuance.id, now=time.time(), until=time.time() + 9)
    failed = leased.issuance.fail(Problem(ProblemType.CA_REFUSED, "[/b] at [fd00::1]"))
    services.store.save_and_release(leased.with_issuance(failed), requeue_at=None)
    code, output = issuer("list", "--code", "ca-refused")
    assert code == 0
    assert "[/b]" in "".join(output.split())


@pytest.mark.parametrize("arguments", [("a.customer.example", "b.customer.example"), ("--all",)])
def test_n10_rejected_certificates_are_listed_and_others_allowed(
    services: Services, arguments: tuple[str, ...]
) -> None:
    names = ("a.customer.example", "b.customer.example")
    for name in names:
        rejected = opened(services, name).with_domain(rejections=(Rejection(OTHER, "[red] another key", time.time()),))
        services.store.update(name, lambda _, rejected=rejected: rejected, now=time.time())
    _, shown = issuer("ca", "rejected")
    assert [line.count(OTHER) for line in shown.splitlines() if "customer.example" in line] == [1, 1]
    assert "[red] another key" in shown
    command = f"issuer ca allow {OTHER} {names[0]}"
    assert command in issuer("status", names[0])[1]
    assert issuer("ca", "allow", OTHER)[0] == 2
    assert issuer("ca", "allow", OTHER, "c.customer.example")[0] == 1
    assert issuer("ca", "allow", OTHER, *arguments) == (0, f"2 domains may be ordered at {OTHER} again\n")
    assert "customer.example" not in issuer("ca", "rejected")[1]
    assert command not in issuer("status", names[0])[1]
    assert services.store.load(names[0]).timeline[-1].by == "operator"
    with redis.Redis.from_url(services.settings.celery_broker_url) as broker:
        assert broker.llen("interactive") == len(names), "nobody hears of it before the message would count as lost"
