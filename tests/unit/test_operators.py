"""Keys of operators, and the sessions that they begin."""

import hashlib

import pytest

from issuer.actions import operators
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.store.keys import OPERATOR_KEYS, OPERATOR_KEYS_USED
from tests.fakes import NOW

ADDRESS = "192.0.2.1"


@pytest.fixture
def key(services: Services) -> str:
    """The key of anna."""
    return operators.create_key(services, "anna")


def stored(services: Services) -> str:
    redis = services.store._redis
    look = {"hash": redis.hgetall, "string": redis.get}
    return repr([(name, look[redis.type(name)](name)) for name in redis.scan_iter()])


def test_a_key_is_listed_with_its_name_and_its_last_use_and_stored_as_a_hash(services: Services, key: str) -> None:
    (listed,) = operators.list_keys(services)
    assert (listed.name, listed.created_at, listed.last_used_at) == ("anna", NOW, None)
    services.clock.forward(10)
    begun = operators.log_in(services, key, ADDRESS)
    assert operators.list_keys(services)[0].last_used_at == NOW + 10
    assert hashlib.sha256(key.encode()).hexdigest() in stored(services)
    for secret in (key, key.partition(".")[2], begun.token):
        assert secret not in stored(services)
        assert secret not in repr((begun, operators.list_keys(services)))


def test_a_use_is_recorded_once_a_minute(services: Services, key: str) -> None:
    token = operators.log_in(services, key, ADDRESS).token
    for seconds, recorded in ((30, NOW), (29, NOW), (1, NOW + 60), (-3600, NOW - 3540)):
        services.clock.forward(seconds)
        assert operators.session_of(services, token).name == "anna"
        assert operators.list_keys(services)[0].last_used_at == recorded


def test_a_store_that_takes_no_writes_can_be_looked_at(services: Services, key: str) -> None:
    token = operators.log_in(services, key, ADDRESS).token
    services.clock.forward(3600)
    services.store._redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        assert operators.session_of(services, token).name == "anna"
        with pytest.raises(Problem) as caught:
            operators.log_in(services, key, ADDRESS)
        assert caught.value.type is ProblemType.STORE_UNAVAILABLE
    finally:
        services.store._redis.execute_command("REPLICAOF", "NO", "ONE")


def test_a_session_ends_by_log_out_by_time_and_with_its_key(services: Services, key: str) -> None:
    one, other, third = (operators.log_in(services, key, ADDRESS).token for _ in range(3))
    operators.log_out(services, one)
    assert operators.session_of(services, one) is None
    assert operators.session_of(services, other)
    name = next(key for key in services.store._redis.scan_iter("issuer:operator-session:*"))
    assert 0 < services.store._redis.ttl(name) <= operators.SESSION_SECONDS
    operators.revoke_key(services, "anna")
    operators.create_key(services, "anna")  # the same name, and another key
    assert operators.session_of(services, other) is None
    assert operators.session_of(services, third) is None
    assert operators.list_keys(services)[0].last_used_at is None


WRONG = [
    "",
    "anna",
    "anna.",
    ".",
    "nobody.x",
    "*.x",
    "anna\n.x",
    "\ud800.x",
    "anna.\udcff",
    "a" * 100_000,
    "ä.ö",
    "0" * 64,
]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_a_wrong_key_begins_nothing(services: Services, key: str, wrong: str) -> None:
    for text in {wrong, f"{key} ", f"{key}x", key[:-1], key.upper()}:
        with pytest.raises(Problem) as caught:
            operators.log_in(services, text, "192.0.2.2" if text == wrong else ADDRESS)
        assert caught.value.type is ProblemType.UNAUTHORIZED
    assert not list(services.store._redis.scan_iter("issuer:operator-session:*"))


def test_log_ins_from_one_address_are_limited_and_others_are_not(services: Services, key: str) -> None:
    for _ in range(operators.LOG_INS_AT_ONCE):
        with pytest.raises(Problem, match="not a valid operator key"):
            operators.log_in(services, "anna.wrong", ADDRESS)
    with pytest.raises(Problem, match="too many attempts") as caught:
        operators.log_in(services, key, ADDRESS)
    assert caught.value.retry_at > NOW
    assert operators.log_in(services, key, "192.0.2.2")
    services.clock.forward(operators.LOG_IN_SECONDS + 1)
    assert operators.log_in(services, key, ADDRESS)


def test_names_and_keys_that_are_refused(services: Services, key: str) -> None:
    for name in ("", "Anna", "a b", "a" * 41, "-a", "anna\n", "<b>"):
        with pytest.raises(Problem, match="cannot be called"):
            operators.create_key(services, name)
    with pytest.raises(Problem, match="already exists"):
        operators.create_key(services, "anna")
    with pytest.raises(Problem, match="no such operator key"):
        operators.revoke_key(services, "nobody")
    assert [key.name for key in operators.list_keys(services)] == ["anna"]


HASHED = '"key_hash": "0"'
DAMAGED = [
    "",
    "[]",
    "{}",
    "null",
    "\x00",
    "[" * 100_000,
    '{"name": "anna"}',
    f'{{"name": 5, {HASHED}, "created_at": 1}}',
]
DAMAGED += [f'{{"name": "anna", {HASHED}, "created_at": {at}}}' for at in ("null", "NaN", "1e300", "[]", "-1")]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_key_or_session_opens_nothing_and_can_be_revoked(services: Services, key: str, damage: str) -> None:
    redis, token = services.store._redis, operators.log_in(services, key, ADDRESS).token
    (session,) = redis.scan_iter("issuer:operator-session:*")
    kept = redis.get(session)
    redis.set(session, damage)
    assert operators.session_of(services, token) is None
    redis.set(session, kept)
    redis.hset(OPERATOR_KEYS, "anna", damage)
    assert operators.session_of(services, token) is None
    assert operators.list_keys(services) == []
    with pytest.raises(Problem, match="not a valid operator key"):
        operators.log_in(services, key, ADDRESS)
    operators.revoke_key(services, "anna")
    assert not operators.is_set_up(services)


def test_members_of_a_newer_release_and_a_damaged_time_do_not_matter(services: Services, key: str) -> None:
    redis = services.store._redis
    text = redis.hget(OPERATOR_KEYS, "anna")
    redis.hset(OPERATOR_KEYS, "anna", text.replace("{", '{"newer": [1], ', 1))
    redis.hset(OPERATOR_KEYS_USED, "anna", "soon")
    assert operators.list_keys(services)[0].last_used_at is None
    assert operators.log_in(services, key, ADDRESS).session.name == "anna"


def test_no_key_in_a_foreign_store_is_told_as_that(services: Services) -> None:
    assert not operators.is_set_up(services)
    services.store._redis.flushdb()
    services.clock.forward(2)
    services.store._seen_at = -1e9
    with pytest.raises(Problem) as caught:
        operators.is_set_up(services)
    assert caught.value.type is ProblemType.FOREIGN_STORE
