"""The command `issuer` as an operator types it, on a real Redis."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from issuer.actions import accounts, operators, withdraw
from issuer.cli import main
from issuer.config import PREFIX
from issuer.domain import Account, Certificate, Domain, Plan, Reason, Step, new_issuance
from issuer.keys import Vault
from issuer.ports import Services
from issuer.sandbox import Dns, free_port
from issuer.wiring import build_services
from tests.fakes import TARGET
from tests.real import settings_for
from tests.writes import open_issuance


@pytest.fixture
def services(redis_url: str, dns: Dns, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The services that the command has too: by the environment."""
    settings = settings_for(redis_url, "https://ca.example/directory", dns)
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    return build_services(settings)


def issuer(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def said(*arguments: str) -> str:
    result = issuer(*arguments)
    assert result.exit_code == 0, result.output
    return result.output.strip()


def refused(*arguments: str) -> str:
    result = issuer(*arguments)
    assert result.exit_code != 0
    return result.output


def test_a_made_accounts_key_opens_it(services: Services) -> None:
    key = said("accounts", "create", "alice")
    account = accounts.by_key(services, key)
    assert (account.id, account.plan) == ("alice", Plan.HTTPS)


def test_a_plan_can_be_named_and_changed(services: Services) -> None:
    key = said("accounts", "create", "alice", "--plan", "basic")
    assert accounts.by_key(services, key).plan is Plan.BASIC
    assert said("accounts", "set-plan", "alice", "https")
    assert accounts.by_key(services, key).plan is Plan.HTTPS


def test_a_rotated_key_ends_the_old_one(services: Services) -> None:
    old = said("accounts", "create", "alice")
    new = said("accounts", "rotate-key", "alice")
    assert accounts.by_key(services, old) is None
    assert accounts.by_key(services, new).id == "alice"


def test_the_list_shows_every_account_and_no_key_nor_hash(services: Services) -> None:
    keys = [said("accounts", "create", name) for name in ("alice", "bob")]
    shown = said("accounts", "list")
    assert re.search(r"alice .* https ", shown)
    assert re.search(r"bob .* https ", shown)
    for account in services.store.accounts():
        assert isinstance(account, Account)
        assert account.key_hash not in shown
    for key in keys:
        assert key.partition(".")[2] not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "taken"), "already exists"),
        (("create", "Not A Name"), "lower-case letters"),
        (("create", "a" * 41), "up to 40"),
        (("create", "x", "--plan", "gold"), "gold"),
        (("rotate-key", "nobody"), "no such account"),
        (("show", "nobody"), "no such account"),
        (("set-plan", "nobody", "https"), "no such account"),
        (("set-plan", "taken", "gold"), "gold"),
    ],
)
def test_what_can_not_be_done_is_a_line_and_not_zero(services: Services, arguments, words) -> None:
    accounts.create(services, "taken", Plan.HTTPS)
    text = refused("accounts", *arguments)
    assert words in text
    assert [one.id for one in services.store.accounts()] == ["taken"]


def test_an_account_is_shown_with_what_its_domains_must_have_in_dns(services: Services) -> None:
    key = said("accounts", "create", "alice")
    shown = said("accounts", "show", "alice")
    token = services.store.account("alice").token
    assert shown.startswith("alice: plan https, created ")
    assert f"DOMAIN CNAME {token}.{TARGET}" in shown
    assert f"_issuer.DOMAIN TXT {token}" in shown
    assert key.partition(".")[2] not in shown
    assert "no such account" in refused("accounts", "show", "nobody")


def test_an_account_from_before_tokens_is_shown_with_one_that_stays(services: Services) -> None:
    services.store.create_account(Account("old", Plan.HTTPS, "0" * 64, 0.0))
    assert said("accounts", "show", "old") == said("accounts", "show", "old")
    assert len(services.store.account("old").token) == 32


def test_a_name_that_was_given_up_is_shown_as_such(services: Services) -> None:
    now, name = services.clock(), "gone.customer.example"
    certificate = Certificate("CHAIN", "key", "0f", now, now + 90 * 86400, "https://ca.example/directory", now)
    issuance = new_issuance(name, Reason.FIRST, now)
    open_issuance(services.store, Domain(name, "alice", now, certificate), issuance, version=0, requeue_at=now)
    withdraw.withdraw(services, Account("alice", Plan.HTTPS, "", now), name, reason=1)
    shown = said("status", name)
    assert "gone.customer.example: withdrawn, held by alice" in shown
    assert "reserved for this account until" in shown
    assert "to be revoked: certificate 0f of https://ca.example/directory" in shown
    assert "withdrawn by its account" in shown
    assert "domain not found" in refused("prefer", name, "--profile", "shortlived")


def test_redis_away_is_a_line_too(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv(f"{PREFIX}REDIS_URL", f"redis://:hush@127.0.0.1:{port}/0")
    text = refused("accounts", "list")
    assert f"temporarily unavailable: Redis at 127.0.0.1:{port} (ISSUER_REDIS_URL) cannot be reached" in text
    assert text.count("\n") == 1
    assert "hush" not in text


def test_a_new_encryption_key_needs_no_settings_and_encrypts() -> None:
    first, second = said("new-encryption-key"), said("new-encryption-key")
    assert first != second
    assert Vault([first]).decrypt(Vault([first]).encrypt(b"text")) == b"text"


def test_plan_shows_stored_renewals_by_day(services: Services) -> None:
    assert said("plan") == "0 certificates with a planned renewal, 0 renewals open"
    now = services.clock()
    for number in range(3):
        name = f"{number}.customer.example"
        certificate = Certificate("", "", "0f", now, now + 90 * 86400, "https://ca.example/directory", now)
        domain = Domain(name, "alice", now, certificate, renew_at=now + 86400, moved_away_since=now, recheck_at=now)
        done = replace(new_issuance(name, Reason.FIRST, now), step=Step.DONE)
        open_issuance(services.store, domain, done, version=0, requeue_at=now)
    output = said("plan")
    assert "3 certificates with a planned renewal, 0 renewals open" in output
    assert (
        "3 domains have moved away: their DNS points to other servers (0.customer.example, 1.customer.example,"
        in output
    )
    day = datetime.fromtimestamp(now + 86400, UTC).date()
    assert re.search(rf"{day} │ ca\.example │ +3 │ █{{16}}", output)


def test_plan_imagines_a_herd(services: Services) -> None:
    output = said("plan", "--domains", "20000000", "--lifetime", "160h")
    assert "20,000,000 certificates" in output
    assert "days with more renewals than the pace of 20 a second allows" in output
    assert "█" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--domains", "5"),
        ("--lifetime", "90d"),
        ("--domains", "0", "--lifetime", "90d"),
        ("--domains", "5", "--lifetime", "90x"),
        ("--domains", "5", "--lifetime", "1e9"),
        ("--domains", "5", "--lifetime", "0h"),
        ("--domains", "5", "--lifetime", "99999d"),
        ("--domains", "5", "--lifetime", "-3d"),
    ],
)
def test_plan_says_what_is_wrong_with_its_options(services: Services, arguments: tuple[str, ...]) -> None:
    assert "Error: " in refused("plan", *arguments)


@pytest.mark.parametrize("damage", [("issuance", "null"), ("domain", '{"name": 7}'), ("version", ""), ("key", "text")])
def test_n25_commands_go_on_beside_a_damaged_record_and_name_it(services: Services, damage: tuple[str, str]) -> None:
    good, bad = (f"{label}.customer.example" for label in ("good", "bad"))
    for name in (good, bad):
        domain, issuance = Domain(name, "alice", 0), new_issuance(name, Reason.FIRST, 0)
        open_issuance(services.store, domain, issuance, version=0, requeue_at=0)
    redis, key = services.store._redis, f"issuer:domain:{bad}"
    if damage[0] == "key":
        redis.delete(key)
        redis.set(key, damage[1])
    else:
        redis.hset(key, *damage)
    assert [
        json.loads(line)["domain"] for line in issuer("list", "--account", "alice", "--json").stdout.splitlines()
    ] == [
        bad,
        good,
    ]
    assert "2 records, 1 of them damaged" in said("store", "reindex")
    (line,) = issuer("list", "--code", "damaged-record", "--json").stdout.splitlines()
    assert (json.loads(line)["domain"], json.loads(line)["code"]) == (bad, "damaged-record")
    assert bad in refused("status", bad)
    for arguments in (("status", good), ("plan",), ("list",)):
        assert said(*arguments)


def test_an_operator_key_is_made_listed_and_revoked(services: Services) -> None:
    key = said("operator-key", "create", "anna")
    assert operators.log_in(services, key, "192.0.2.1").session.name == "anna"
    assert re.search(r"anna .* UTC .* UTC", said("operator-key", "list"))
    assert "already exists" in refused("operator-key", "create", "anna")
    assert said("operator-key", "revoke", "anna") == "the operator key anna is revoked"
    assert "no such operator key" in refused("operator-key", "revoke", "anna")


def test_the_doctor_says_by_its_exit_code_what_it_has_found(services: Services) -> None:
    result = issuer("doctor", "--json")
    assert result.exit_code == 1
    found = {(check["code"], check["result"]) for check in json.loads(result.output)["checks"]}
    assert found >= {("redis", "ok"), ("ca-settings", "failed"), ("encryption-keys", "ok"), ("alarms", "ok")}
    assert issuer("doctor", "--nonsense").exit_code == 2


def test_a_test_alarm_is_sent_by_the_command_that_is_set(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "ISSUER_ALARM_COMMAND" in issuer("doctor", "--test-alarm").output
    monkeypatch.setenv("ISSUER_ALARM_COMMAND", f"tee {tmp_path / 'alarm'}")
    result = issuer("doctor", "--test-alarm")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "alarm").read_text())["event"] == "test"
