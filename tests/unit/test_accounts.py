"""Customers' accounts: a key that is shown once, known again by its hash alone."""

import hashlib
from collections.abc import Callable

import pytest

from issuer.actions import accounts
from issuer.domain import Account, Plan
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from tests.fakes import NOW


@pytest.fixture
def key(services: Services) -> str:
    """The API key of alice."""
    return accounts.create(services, "alice", Plan.HTTPS)


def stored(services: Services) -> str:
    """Everything that Redis holds, as text."""
    redis = services.store._redis
    look = {"hash": redis.hgetall, "string": redis.get, "set": redis.smembers}
    return repr([(name, look[redis.type(name)](name)) for name in redis.scan_iter()])


def test_an_account_is_made_with_a_key_that_opens_it(services: Services, key: str) -> None:
    account = services.store.account("alice")
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert account == Account("alice", Plan.HTTPS, digest, NOW, token=account.token)
    assert accounts.by_key(services, key) == account
    assert key.startswith("alice.")
    assert len(key) >= len("alice.") + 43
    assert key.isascii()
    assert ":" not in key


def test_f02_the_key_is_nowhere_in_the_store(services: Services, key: str) -> None:
    new = accounts.rotate_key(services, "alice")
    accounts.set_plan(services, "alice", Plan.BASIC)
    text = stored(services)
    assert "alice" in text
    for secret in (key, new):
        assert secret not in text
        assert secret.partition(".")[2] not in text
    assert hashlib.sha256(new.encode()).hexdigest() in text


WRONG: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "the name alone": lambda _: "alice",
    "no secret": lambda _: "alice.",
    "no name": lambda key: key.removeprefix("alice"),
    "the secret alone": lambda key: key.removeprefix("alice."),
    "one letter less": lambda key: key[:-1],
    "one letter more": lambda key: f"{key}A",
    "one letter other": lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
    "other case": lambda key: key.swapcase(),
    "name in upper case": lambda key: key.replace("alice", "ALICE"),
    "space before": lambda key: f" {key}",
    "line end after": lambda key: f"{key}\n",
    "NUL after": lambda key: f"{key}\0",
    "nobody's": lambda key: key.replace("alice", "nobody"),
    "its hash": lambda key: f"alice.{hashlib.sha256(key.encode()).hexdigest()}",
    "only zeros": lambda _: "0" * 64,
    "key of Redis": lambda key: f"*.{key}",
    "colons": lambda key: f"a:b:c.{key}",
    "line end in the name": lambda key: key.replace("alice.", "alice\n."),
    "digits of another script": lambda _: "\u0663.x",
    "accents": lambda _: "älice.ü",
    "a lone surrogate in the name": lambda _: "\ud800.x",
    "a lone surrogate in the secret": lambda _: "alice.\udcff",
    "an emoji": lambda _: "alice.\U0001f511",
    "very long": lambda _: "a" * 1_000_000,
    "very long secret": lambda key: key + "a" * 1_000_000,
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
def test_a_key_that_is_not_right_opens_nothing(services: Services, key: str, spoil: Callable[[str], str]) -> None:
    assert accounts.by_key(services, spoil(key)) is None
    assert accounts.by_key(services, key)


def test_a_key_opens_its_own_account_alone(services: Services, key: str) -> None:
    bobs = accounts.create(services, "bob", Plan.BASIC)
    assert accounts.by_key(services, bobs).id == "bob"
    assert accounts.by_key(services, f"alice.{bobs.partition('.')[2]}") is None
    assert accounts.by_key(services, f"bob.{key.partition('.')[2]}") is None
    assert accounts.by_key(services, key).id == "alice"


def test_no_account_no_key(services: Services) -> None:
    for text in ("", ".", "alice.x", f"alice.{accounts.NO_HASH}"):
        assert accounts.by_key(services, text) is None


def test_a_new_key_ends_the_old_one_and_changes_nothing_else(services: Services, key: str) -> None:
    before = services.store.account("alice")
    services.clock.forward(100)
    new = accounts.rotate_key(services, "alice")
    assert new != key
    assert accounts.by_key(services, key) is None
    after = accounts.by_key(services, new)
    assert (after.id, after.plan, after.created_at) == (before.id, before.plan, before.created_at)


def test_a_new_plan_keeps_the_key(services: Services, key: str) -> None:
    for plan in (Plan.BASIC, Plan.HTTPS):
        accounts.set_plan(services, "alice", plan)
        assert accounts.by_key(services, key).plan is plan


def test_an_account_is_made_once(services: Services, key: str) -> None:
    with pytest.raises(Problem) as caught:
        accounts.create(services, "alice", Plan.BASIC)
    assert caught.value.type is ProblemType.ACCOUNT_EXISTS
    assert accounts.by_key(services, key).plan is Plan.HTTPS


@pytest.mark.parametrize("change", [accounts.rotate_key, lambda *args: accounts.set_plan(*args, Plan.BASIC)])
@pytest.mark.parametrize("account_id", ["nobody", "", "ALICE", "alice "])
def test_an_unknown_account_cannot_be_changed(
    services: Services, key: str, change: Callable[..., object], account_id: str
) -> None:
    before = stored(services)
    with pytest.raises(Problem) as caught:
        change(services, account_id)
    assert caught.value.type is ProblemType.NOT_FOUND
    assert "account" in caught.value.message
    assert stored(services) == before


@pytest.mark.parametrize("account_id", ["a", "0", "a-b", "platform-2", "a" * 40, "a-", "9lives"])
def test_ids_that_are_allowed(services: Services, account_id: str) -> None:
    key = accounts.create(services, account_id, Plan.HTTPS)
    assert accounts.by_key(services, key).id == account_id


@pytest.mark.parametrize(
    "account_id",
    ["", "-a", "A", "a.b", "a b", "a/b", "a:b", "a_b", "a\n", "\n", "a\0", "ä", "\u0663", "\ud800", "*", "a" * 41],
)
def test_ids_that_are_not(services: Services, account_id: str) -> None:
    with pytest.raises(Problem) as caught:
        accounts.create(services, account_id, Plan.HTTPS)
    assert caught.value.type is ProblemType.INVALID_REQUEST
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()
    assert services.store.accounts() == []


def test_a_very_long_id_is_refused_in_a_short_sentence(services: Services) -> None:
    with pytest.raises(Problem) as caught:
        accounts.create(services, "\ud800" * 1_000_000, Plan.HTTPS)
    assert len(str(caught.value)) < 1000
