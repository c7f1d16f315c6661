"""Tokens, customers' accounts and accounts at the CA: the same over fakeredis and a real Redis (E16)."""

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer.domain import Account, Domain, Due, Plan, Reason, new_issuance
from issuer.ports import CaAccount
from issuer.problem import Problem, ProblemType
from issuer.store import RedisServers, RedisStore, texts
from issuer.store.scripts import SCRIPTS
from tests.checkout import CHECKOUT
from tests.fakes import NAME, NOW
from tests.writes import open_issuance

DIRECTORY = "https://ca.example/directory"
ALICE = Account("alice", Plan.HTTPS, "a" * 64, NOW + 0.25)
BOB = replace(ALICE, id="bob")
BOB = Account("bob", Plan.BASIC, "b" * 64, NOW)
CA_ACCOUNT = CaAccount("encrypted key", "https://ca.example/account/1", NOW + 0.5)


def wait_for(is_so: Callable[[], object], seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_so():
            return
        time.sleep(0.02)
    raise AssertionError("in vain")


def test_a_token_is_published_until_its_end(store: RedisStore) -> None:
    store.put_token("token-1", "token-1.thumbprint", seconds=3600)
    assert store.key_authorization("token-1") == "token-1.thumbprint"
    assert 3590 < store._redis.ttl("issuer:token:token-1") <= 3600


def test_a_token_ends_by_itself(store: RedisStore) -> None:
    store.put_token("token-1", "token-1.thumbprint", seconds=1)
    wait_for(lambda: store.key_authorization("token-1") is None)
    assert store._redis.keys() == []


def test_a_token_put_up_anew_ends_later(store: RedisStore) -> None:
    store.put_token("token-1", "old", seconds=5)
    store.put_token("token-1", "new", seconds=100)
    assert store.key_authorization("token-1") == "new"
    assert store._redis.ttl("issuer:token:token-1") > 90


@pytest.mark.parametrize("token", ["", "token", "token-11", "TOKEN-1", "*", "../account:alice"])
def test_d02_another_token_is_none(store: RedisStore, token: str) -> None:
    store.create_account(ALICE)
    store.put_token("token-1", "token-1.thumbprint", seconds=60)
    assert store.key_authorization(token) is None


def test_accounts_come_back_whole_and_in_order(store: RedisStore) -> None:
    assert (store.accounts(), store.account("alice")) == ([], None)
    store.create_account(BOB)
    store.create_account(ALICE)
    assert store.account("alice") == ALICE
    assert store.accounts() == [ALICE, BOB]
    assert [type(one.plan) for one in store.accounts()] == [Plan, Plan]


def test_an_account_is_made_once_and_the_first_stays(store: RedisStore) -> None:
    store.create_account(ALICE)
    with pytest.raises(Problem) as caught:
        store.create_account(replace(ALICE, plan=Plan.BASIC, key_hash="f" * 64, created_at=0))
    assert caught.value.type is ProblemType.ACCOUNT_EXISTS
    assert "f" * 64 not in str(caught.value)
    assert store.accounts() == [ALICE]


def test_a_change_of_an_account_changes_only_what_is_named(store: RedisStore) -> None:
    store.create_account(ALICE)
    store.create_account(BOB)
    store.change_account("alice", plan=Plan.BASIC)
    assert store.accounts() == [replace(ALICE, plan=Plan.BASIC), BOB]
    store.change_account("alice", key_hash="c" * 64)
    assert store.accounts() == [replace(ALICE, plan=Plan.BASIC, key_hash="c" * 64), BOB]


def test_changes_of_an_account_at_once_do_not_undo_each_other(store: RedisStore) -> None:
    store.create_account(ALICE)

    def rotate() -> None:
        for number in range(100):
            store.change_account("alice", key_hash=f"{number:064}")

    with ThreadPoolExecutor() as pool:
        rotated = pool.submit(rotate)
        while not rotated.done():
            store.change_account("alice", plan=Plan.BASIC)
        rotated.result()
    assert store.account("alice") == replace(ALICE, plan=Plan.BASIC, key_hash=f"{99:064}")


def test_a_change_of_what_is_missing_leaves_what_is_there(store: RedisStore) -> None:
    store.create_account(ALICE)
    for token in ("first", "second"):
        store.change_account("alice", only_missing=True, token=token, plan=Plan.BASIC)
        assert store.account("alice") == replace(ALICE, token="first")


def test_a_change_makes_no_account(store: RedisStore) -> None:
    store.change_account("alice", plan=Plan.BASIC)
    assert (store.account("alice"), store.accounts()) == (None, [])


def test_a_change_keeps_fields_of_a_newer_version(store: RedisStore) -> None:
    store.create_account(ALICE)
    key = "issuer:account:alice"
    store._redis.set(key, json.dumps(json.loads(store._redis.get(key)) | {"from_the_future": 1}))
    store.change_account("alice", plan=Plan.BASIC)
    assert json.loads(store._redis.get(key))["from_the_future"] == 1


def test_a_ca_account_comes_back_whole_one_per_directory(store: RedisStore) -> None:
    assert store.ca_account(DIRECTORY) is None
    assert store.keep_ca_account(DIRECTORY, CA_ACCOUNT, instead_of=None) == CA_ACCOUNT
    assert store.ca_account(DIRECTORY) == CA_ACCOUNT
    assert store.ca_account(f"{DIRECTORY}2") is None
    other = replace(CA_ACCOUNT, url=None)
    assert store.keep_ca_account(f"{DIRECTORY}2", other, instead_of=None) == other
    assert store.ca_account(DIRECTORY) == CA_ACCOUNT


@pytest.mark.parametrize("url", [None, "https://ca.example/account/2"])
def test_a_ca_account_is_kept_only_instead_of_the_one_that_is_there(store: RedisStore, url: str | None) -> None:
    new = CaAccount("encrypted other", url, NOW)
    store.keep_ca_account(DIRECTORY, CA_ACCOUNT, instead_of=None)
    for stale in (None, replace(CA_ACCOUNT, url=None), replace(CA_ACCOUNT, key="x"), new):
        assert store.keep_ca_account(DIRECTORY, new, instead_of=stale) == CA_ACCOUNT
    assert store.ca_account(DIRECTORY) == CA_ACCOUNT
    assert store.keep_ca_account(DIRECTORY, new, instead_of=CA_ACCOUNT) == new
    assert store.ca_account(DIRECTORY) == new


def test_a_loaded_ca_account_is_replaced_as_well_as_a_made_one(store: RedisStore) -> None:
    store.keep_ca_account(DIRECTORY, CA_ACCOUNT, instead_of=None)
    loaded = store.ca_account(DIRECTORY)
    assert store.keep_ca_account(DIRECTORY, replace(loaded, url="https://x"), instead_of=loaded).url == "https://x"


def test_a_ca_account_is_kept_also_where_the_expected_one_is_gone(store: RedisStore) -> None:
    kept = store.keep_ca_account(DIRECTORY, CA_ACCOUNT, instead_of=replace(CA_ACCOUNT, url=None))
    assert kept == store.ca_account(DIRECTORY) == CA_ACCOUNT


def test_one_holds_the_lock_of_a_directory(store: RedisStore) -> None:
    lock, other = (store.lock_ca_account(one, seconds=30) for one in (DIRECTORY, f"{DIRECTORY}2"))
    assert lock
    assert other
    assert store.lock_ca_account(DIRECTORY, seconds=30) is None
    store.unlock_ca_account(DIRECTORY, lock)
    assert store.lock_ca_account(DIRECTORY, seconds=30)
    assert store.lock_ca_account(f"{DIRECTORY}2", seconds=30) is None


def test_e06_a_lock_that_nobody_ends_ends_by_itself(store: RedisStore) -> None:
    lock = store.lock_ca_account(DIRECTORY, seconds=1)
    assert [0 < store._redis.pttl(key) <= 1000 for key in store._redis.scan_iter()] == [True]
    wait_for(lambda: store.lock_ca_account(DIRECTORY, seconds=30))
    store.unlock_ca_account(DIRECTORY, lock)
    assert store.lock_ca_account(DIRECTORY, seconds=30) is None, "who was late has not ended another's"


def test_fields_of_a_newer_version_are_left_out(store: RedisStore) -> None:
    store.create_account(ALICE)
    store.keep_ca_account(DIRECTORY, CA_ACCOUNT, instead_of=None)
    redis = store._redis
    for key in redis.scan_iter(match="issuer:*account:*"):
        redis.set(key, json.dumps(json.loads(redis.get(key)) | {"from_the_future": {"a": 1}}))
    assert (store.account("alice"), store.accounts()) == (ALICE, [ALICE])
    assert store.ca_account(DIRECTORY) == CA_ACCOUNT


def test_e16_scripts_that_the_server_has_forgotten_are_sent_again(store: RedisStore) -> None:
    store._redis.script_flush()
    issuance = new_issuance(NAME, Reason.FIRST, NOW)
    open_issuance(store, Domain(NAME, "alice", NOW), issuance, version=0, requeue_at=NOW)
    for _ in range(2):
        store._redis.script_flush()
        assert store.claim(Due.OPEN_INTERACTIVE, now=NOW, limit=1, requeue_at=NOW) == [NAME]
    store._redis.script_flush()
    assert store.save_and_release(store.lease(issuance.id, now=NOW, until=NOW + 9), requeue_at=None).version == 3


def test_every_key_is_below_issuer(store: RedisStore) -> None:
    open_issuance(store, Domain(NAME, "alice", NOW), new_issuance(NAME, Reason.FIRST, NOW), version=0, requeue_at=NOW)
    store.put_token("token", "token.thumbprint", seconds=9)
    store.create_account(ALICE)
    store.keep_ca_account(DIRECTORY, CA_ACCOUNT, instead_of=None)
    store.lock_ca_account(DIRECTORY, seconds=9)
    kept = store._redis.keys()
    assert len(kept) == 10
    assert all(key.startswith("issuer:") for key in kept)


RUN = r'(?:\brun\(\s*self\._redis,|\._guarded\()\s*"(\w+)"'


def test_the_scripts_have_only_the_names_that_the_store_calls() -> None:
    sources = [path.read_text() for path in (CHECKOUT / "issuer" / "store").glob("*.py")]
    called = {name for source in sources for name in re.findall(RUN, source)}
    assert set(SCRIPTS) == called


def test_a_server_that_can_be_written_is_left_as_it_was(store: RedisStore) -> None:
    RedisServers({"records": store._redis}).require_writable()
    assert store._redis.keys() == []


@pytest.mark.parametrize("one", [ALICE, CA_ACCOUNT], ids=["account", "ca account"])
def test_f02_no_repr_of_an_account_shows_its_key(one: Account | CaAccount) -> None:
    for text in (repr(one), str(one), repr([one])):
        assert "a" * 64 not in text
        assert "encrypted" not in text


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "{",
        "",
        '["a", "list"]',
        '{"id": "alice"}',
        '{"id": 7, "plan": "https"}',
        texts.account_text(BOB),
    ],
)
def test_n25_a_damaged_account_harms_no_other_and_can_be_created_again(store: RedisStore, text: str) -> None:
    store.create_account(ALICE)
    store.create_account(BOB)
    store._redis.set("issuer:account:alice", text)
    assert {account.id for account in store.accounts()} == {"bob"}
    assert store.account("bob")
    with pytest.raises(Problem) as raised:
        store.account("alice")
    assert raised.value.type is ProblemType.DAMAGED_RECORD
    assert "issuer accounts create" in raised.value.hint
    with pytest.raises(Problem):
        store.create_account(BOB)
    store.create_account(replace(ALICE, key_hash="b" * 64))
    assert store.account("alice").key_hash == "b" * 64


def test_n25_a_key_of_another_type_in_the_place_of_an_account_is_a_damaged_one(store: RedisStore) -> None:
    store.create_account(BOB)
    for write in (lambda key: store._redis.hset(key, "id", "alice"), lambda key: store._redis.rpush(key, "alice")):
        write("issuer:account:alice")
        with pytest.raises(Problem):
            store.account("alice")
        assert store.accounts() == [BOB]
        store.create_account(ALICE)
        assert store.account("alice") == ALICE
        store._redis.delete("issuer:account:alice")
        store._redis.srem("issuer:accounts", "alice")


@pytest.mark.parametrize(("instead_of", "lines"), [(None, 1), (CA_ACCOUNT, 0)])
def test_n36_a_new_account_at_a_ca_is_told(store: RedisStore, instead_of: CaAccount | None, lines: int) -> None:
    with capture_logs() as logs:
        for key in ("encrypted key", "another key", "a third key"):
            store.keep_ca_account("https://ca.example/", replace(CA_ACCOUNT, key=key), instead_of=instead_of)
    assert [entry["directory"] for entry in logs] == ["https://ca.example/"] * lines
