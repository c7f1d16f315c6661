"""A wrong ISSUER_ENCRYPTION_KEYS is told at once, and a lost key has a way out."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer import keys
from issuer.actions import authorities, stored_keys
from issuer.domain import Step
from issuer.ports import CaAccount, Services
from issuer.problem import Problem
from tests.api_client import ApiClient, issued, reach
from tests.databases import take_away
from tests.fakes import EDGE_TOKEN, NAME, FakeCa, below, fake_services

STRANGER = keys.Vault([keys.new_encryption_key()])


def with_account(services: Services, *, vault: keys.Vault | None = None, next_key: bool = False) -> CaAccount:
    """An account at the first CA, its key encrypted with `vault`; or only its next key."""
    own, vault = services.vault, vault or services.vault
    account = CaAccount(
        (own if next_key else vault).encrypt(b"account key"),
        url="https://ca.example/account/1",
        created_at=services.clock(),
        next_key=vault.encrypt(b"next key") if next_key else None,
    )
    return services.store.keep_ca_account(services.cas[0].directory_url, account, instead_of=None)


def damaged(services: Services, name: str, key: str) -> None:
    """The record of a name with another stored key."""
    record = services.store.load(name)
    spoilt = record.with_domain(certificate=replace(record.domain.certificate, key=key))
    services.store.update(name, spoilt.unless_changed, now=services.clock())


STORED: dict[str, tuple[Callable[[Services], object], str]] = {
    "an account": (lambda services: with_account(services, vault=STRANGER), "our account at https://ca.example/dir"),
    "a next account key": (lambda s: with_account(s, vault=STRANGER, next_key=True), "our account at https://ca.exam"),
    "a certificate": (lambda s: (issued(s), damaged(s, NAME, STRANGER.encrypt(b"key"))), f"certificate for {NAME}"),
    "a certificate after a rotation of the account key": (
        lambda s: (with_account(s), issued(s), damaged(s, NAME, STRANGER.encrypt(b"key"))),
        f"certificate for {NAME}",
    ),
}


@pytest.mark.parametrize(("store", "named"), STORED.values(), ids=STORED)
def test_n21_readyz_and_the_start_refuse_wrong_keys_and_say_which(store, named: str) -> None:
    services = fake_services()
    store(services)
    with capture_logs() as logs:
        answer = ApiClient(services).call("GET", "/readyz", "")
    assert (answer.status_code, answer.json["code"]) == (503, "undecryptable")
    assert named in answer.json["detail"]
    assert "ISSUER_ENCRYPTION_KEYS" in answer.json["hint"]
    reported = [line for line in logs if line["event"] != "request"]
    assert [(line["log_level"], line["path"], line["status"]) for line in reported] == [("error", "/readyz", 503)]
    started = time.perf_counter()
    with pytest.raises(SystemExit) as refused:
        stored_keys.refuse_wrong_keys(services)
    assert time.perf_counter() - started < 0.1
    assert named in refused.value.code
    assert "\n" not in refused.value.code


def _damage_account(services: Services) -> None:
    with_account(services)
    (key,) = services.store._redis.scan_iter("issuer:ca-account:*")
    services.store._redis.set(key, '{"key": 7')


FINE: dict[str, Callable[[Services], object]] = {
    "nothing stored": lambda _: None,
    "an account": with_account,
    "a certificate": issued,
    "both": lambda services: (with_account(services), issued(services)),
    "an issuance alone": lambda services: reach(services, Step.INSTALL),
    "a damaged record alone": lambda s: (issued(s), damaged(s, NAME, "cut")),
    "an undecryptable record among others": lambda s: (
        *(issued(s, name) for name in below("customer.example", 3)),
        damaged(s, "0.customer.example", STRANGER.encrypt(b"key")),
    ),
    "a damaged account": _damage_account,
    "a certificate that has ended": lambda s: (
        issued(s),
        damaged(s, NAME, STRANGER.encrypt(b"key")),
        s.clock.forward(400 * 86400),
    ),
}


@pytest.mark.parametrize("store", FINE.values(), ids=FINE)
@pytest.mark.parametrize("later", ["old", "new,old", "old,new"])
def test_n21_right_keys_are_ready(store, later: str) -> None:
    known = {name: keys.new_encryption_key() for name in ("old", "new")}
    services = replace(fake_services(), vault=keys.Vault([known["old"]]))
    store(services)
    services = replace(services, vault=keys.Vault([known[name] for name in later.split(",")]))
    assert ApiClient(services).call("GET", "/readyz", "").status_code == 200
    stored_keys.refuse_wrong_keys(services)


def test_n21_a_process_that_starts_without_redis_goes_on(services: Services) -> None:
    with_account(services, vault=STRANGER)
    take_away(services.store)
    with capture_logs() as logs:
        stored_keys.refuse_wrong_keys(services)
    assert [(line["log_level"], line["problem"]) for line in logs] == [("warning", "store-unavailable")]


class _Accounted(FakeCa):
    """A CA that replaces our account as the real one does."""

    def new_account(self) -> None:
        self.services.store.remove_ca_account(self.directory_url)
        with_account(self.services)


def test_n21_after_a_lost_key_new_accounts_are_the_way_out() -> None:
    services = fake_services(hosts=("ca.example", "other.example"))
    with_account(services, vault=STRANGER)
    issued(services)
    damaged(services, NAME, STRANGER.encrypt(b"lost"))
    services.clock.forward(60)
    ca = services.cas[0]
    ca.__class__, ca.services = _Accounted, services
    authorities.forget(services, ca.directory_url)
    stored_keys.refuse_wrong_keys(services)
    assert ApiClient(services).call("GET", "/readyz", "").status_code == 200
    issued(services, "later.customer.example")
    damaged(services, "later.customer.example", STRANGER.encrypt(b"lost again"))
    with pytest.raises(SystemExit, match=r"later\.customer\.example"):
        stored_keys.refuse_wrong_keys(services)


@pytest.mark.parametrize("directory", ["https://former.example/directory", "https://nobody.example/d", ""])
def test_n21_the_account_at_a_ca_no_longer_in_use_is_forgotten(services: Services, directory: str) -> None:
    former = "https://former.example/directory"
    services.store.keep_ca_account(former, CaAccount("key", None, 0), instead_of=None)
    if directory == former:
        authorities.forget(services, directory)
        assert services.store.ca_account(former) is None
    else:
        with pytest.raises(Problem, match=r"is not one of the CAs|more than one CA"):
            authorities.forget(services, directory)
        assert services.store.ca_account(former)


def _raise_unexpected(services: Services) -> None:
    raise ZeroDivisionError


def _away(services: Services) -> None:
    take_away(services.store)


def _damage(services: Services) -> None:
    issued(services)
    services.store._redis.hset(f"issuer:domain:{NAME}", "domain", "{")


FIVES: dict[str, tuple[str, Callable[[Services], object], int, str]] = {
    "a key that cannot be decrypted": (
        f"/edge/certificate?token={EDGE_TOKEN}&server_name={NAME}",
        lambda services: (issued(services), damaged(services, NAME, STRANGER.encrypt(b"key"))),
        500,
        "undecryptable",
    ),
    "no store": (f"/edge/ask?token={EDGE_TOKEN}&domain={NAME}", _away, 503, "store-unavailable"),
    "a damaged record": (f"/edge/certificate?token={EDGE_TOKEN}&server_name={NAME}", _damage, 503, "damaged-record"),
    "no store at all": ("/.well-known/acme-challenge/a-token", _away, 503, "store-unavailable"),
}


@pytest.mark.parametrize(("path", "spoil", "status", "code"), FIVES.values(), ids=FIVES)
def test_n21_every_5xx_is_an_error_in_the_log_without_the_query(path, spoil, status: int, code: str) -> None:
    services = fake_services()
    spoil(services)
    client = ApiClient(services).app.test_client()
    with capture_logs() as logs:
        assert client.get(path).status_code == status
    lines = [line for line in logs if line["event"] == "request failed"]
    assert [(line["log_level"], line["status"], line["code"]) for line in lines] == [("error", status, code)]
    assert lines[0]["path"] == path.partition("?")[0].replace("a-token", "[redacted]")
    assert EDGE_TOKEN not in str(logs)


def test_n21_a_fault_of_ours_is_logged_once_with_its_traceback() -> None:
    client = ApiClient()
    client.app.add_url_rule("/fault", view_func=lambda: _raise_unexpected(client.services))
    with capture_logs() as logs:
        assert client.app.test_client().get("/fault?token=secret").status_code == 500
    (reported,) = (line for line in logs if line["event"] != "request")
    assert (reported["log_level"], reported["code"], reported["path"]) == ("error", "ZeroDivisionError", "/fault")
    assert isinstance(reported["exc_info"], ZeroDivisionError)
    assert client.app.test_client().get("/nothing").status_code == 404


def test_n21_answers_below_500_are_no_errors_in_the_log() -> None:
    client = ApiClient().with_accounts()
    with capture_logs() as logs:
        for path in ("/v2/x509/a/status", "/nothing", "/edge/ask"):
            assert client.call("GET", path).status_code < 500
    assert {(line["event"], line["log_level"]) for line in logs} == {("request", "info")}
