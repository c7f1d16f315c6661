"""Our account at a CA: one for all workers, found again after every interruption (RFC 8555 §7.3)."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key
from structlog.testing import capture_logs

from issuer.ca import AcmeAuthority
from issuer.keys import Vault, new_encryption_key
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.fakes import FakeClock
from tests.integration.answers import NAME, problem_of, refusing
from tests.real import ENCRYPTION_KEY
from tests.wire import Answer, Fault, Wire, cut

DAY = 86400


def test_c06_eight_workers_at_once_make_one_account(new_ca, wire: Wire, real_store: RedisStore) -> None:
    def order(ca: AcmeAuthority) -> str:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                return ca.new_order(NAME).url
            except Problem as problem:
                assert problem.type is ProblemType.BUSY
                time.sleep(0.05)
        raise AssertionError("busy for ever")

    with ThreadPoolExecutor(8) as pool:
        urls = list(pool.map(order, [new_ca() for _ in range(8)]))
    assert len(urls) == 8
    assert wire.count("/sign-me-up") == 1
    assert real_store.ca_account(wire.directory_url).url


@pytest.mark.parametrize(("kept", "is_found"), [({"Location"}, True), (set(), False)])
def test_c06_a_found_account_needs_its_url_alone(new_ca, wire: Wire, real_store: RedisStore, kept, is_found) -> None:
    new_ca().new_order(NAME)
    known = real_store.ca_account(wire.directory_url)
    lost = real_store.keep_ca_account(wire.directory_url, replace(known, url=None), instead_of=known)

    def bare(answer: Answer) -> Answer:
        status, headers, _ = answer
        assert status == 200
        return status, {name: value for name, value in headers.items() if name in kept | {"Replay-Nonce"}}, b"{}"

    wire.add(Fault("/sign-me-up", after=bare))
    if is_found:
        assert new_ca().new_order(NAME).url
    else:
        assert problem_of(lambda: new_ca().new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    assert real_store.ca_account(wire.directory_url) == (known if is_found else lost)


def test_c06_a_new_account_without_a_status_is_none(new_ca, wire: Wire, real_store: RedisStore) -> None:
    wire.add(Fault("/sign-me-up", after=lambda answer: (*answer[:2], b"{}")))
    assert problem_of(lambda: new_ca().new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    assert real_store.ca_account(wire.directory_url).url is None


def test_c06_a_cut_registration_is_found_again(new_ca, wire: Wire, real_store: RedisStore) -> None:
    wire.add(Fault("/sign-me-up", after=cut))
    assert problem_of(lambda: new_ca().new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    key = real_store.ca_account(wire.directory_url).key
    new_ca().new_order(NAME)
    assert real_store.ca_account(wire.directory_url).key == key
    assert wire.count("/sign-me-up") == 2


def test_c06_a_ca_that_forgot_us_gets_the_same_key_again(
    new_ca, wire: Wire, real_store: RedisStore, module_sandbox, dns, http_port
) -> None:
    first, second = new_ca(), new_ca()
    first.new_order(NAME)
    second.new_order(NAME)
    known = real_store.ca_account(wire.directory_url)
    pebble = module_sandbox.pebble(dns.server, http_port)
    fresh = Wire(pebble.directory_url, pebble.bundle)
    wire._upstream, wire._pool = fresh._upstream, fresh._pool
    assert first.new_order(NAME).url
    assert real_store.ca_account(wire.directory_url).key == known.key
    assert second.new_order(NAME).url
    assert wire.count("/sign-me-up") == 2
    fresh.close()


def test_c06_a_deactivated_account_gets_a_new_key_and_an_alarm(new_ca, wire, real_store, clock: FakeClock) -> None:
    ca, other = new_ca(), new_ca()
    ca.new_order(NAME)
    other.new_order(NAME)
    known = real_store.ca_account(wire.directory_url)
    ca._session.post(known.url, b'{"status": "deactivated"}')
    clock.forward(2 * DAY)
    with capture_logs() as logs:
        assert ca.new_order(NAME).url
    assert [line["log_level"] for line in logs if line["event"] == "CA account deactivated"] == ["error"]
    now = real_store.ca_account(wire.directory_url)
    assert (now.key != known.key, now.url != known.url) == (True, True)
    assert other.new_order(NAME).url
    assert real_store.ca_account(wire.directory_url) == now


def test_c06_never_a_new_account_per_attempt(new_ca, wire, real_store) -> None:
    ca = new_ca()
    ca.new_order(NAME)
    known = real_store.ca_account(wire.directory_url)
    ca._session.post(known.url, b'{"status": "deactivated"}')
    for _ in range(3):
        problem = problem_of(lambda: ca.new_order(NAME))
        assert problem.type is ProblemType.CA_ACCOUNT
        assert problem.cause == f"our account at the CA {wire.directory_url} is deactivated"
        assert known.url in problem.detail
        assert f"'issuer ca forget {wire.directory_url}' makes a new account there" in problem.hint
    assert real_store.ca_account(wire.directory_url).key == known.key


def test_c06_unauthorized_for_another_reason_leaves_the_account_alone(new_ca, wire, real_store) -> None:
    ca = new_ca()
    ca.new_order(NAME)
    known = real_store.ca_account(wire.directory_url)
    wire.add(Fault("/order-plz", before=refusing(403, "unauthorized", "not today")))
    problem = problem_of(lambda: ca.new_order(NAME))
    assert "not today" in problem.detail
    assert real_store.ca_account(wire.directory_url) == known


@pytest.mark.parametrize(
    ("second", "type_"),
    [
        (refusing(429, "rateLimited"), ProblemType.RATE_LIMITED),
        (refusing(403, "unauthorized"), ProblemType.CA_ACCOUNT),
        (refusing(400, "externalAccountRequired"), ProblemType.CA_SETTINGS),
        (refusing(400, "malformed"), ProblemType.CA_ACCOUNT),
        (cut, ProblemType.CA_UNAVAILABLE),
    ],
)
def test_c06_a_refusal_of_the_account_after_a_deactivated_one_is_a_problem(
    new_ca, wire: Wire, real_store: RedisStore, clock: FakeClock, second, type_: ProblemType
) -> None:
    ca = new_ca()
    ca._session.post(ca.account_url(), b'{"status": "deactivated"}')
    clock.forward(2 * DAY)
    wire.add(Fault("/sign-me-up", times=2))
    wire.add(Fault("/sign-me-up", before=second))
    assert problem_of(lambda: ca.new_order(NAME)).type is type_
    fresh = real_store.ca_account(wire.directory_url)
    assert fresh.url is None
    assert new_ca().new_order(NAME).url
    assert real_store.ca_account(wire.directory_url).key == fresh.key


def test_c06_unauthorized_does_not_mean_deactivated_if_there_was_no_account(new_ca, wire, real_store, clock) -> None:
    wire.add(Fault("/sign-me-up", before=refusing(403, "unauthorized", "not from this address")))
    with capture_logs() as logs:
        problem = problem_of(lambda: new_ca().new_order(NAME))
    assert (problem.type, problem.detail) == (ProblemType.CA_ACCOUNT, "not from this address (unauthorized)")
    assert ("CNAME" in problem.hint, logs) == (False, [])
    key = real_store.ca_account(wire.directory_url).key
    clock.forward(2 * DAY)
    assert new_ca().new_order(NAME).url
    assert real_store.ca_account(wire.directory_url).key == key


@pytest.mark.parametrize(
    "answer",
    [
        refusing(403, "userActionRequired", "the terms have changed", instance="https://ca.example/terms/2"),
        refusing(
            403,
            "userActionRequired",
            "the terms have changed",
            {"Link": '<https://ca.example/dir>;rel="index", <https://ca.example/terms/2>;rel="terms-of-service"'},
        ),
    ],
)
@pytest.mark.parametrize("path", ["/order-plz", "/sign-me-up"])
def test_c15_new_terms_are_the_operators_and_no_domains_failure(new_ca, wire: Wire, answer, path: str) -> None:
    wire.add(Fault(path, before=answer))
    problem = problem_of(lambda: new_ca().new_order(NAME))
    assert (problem.type, problem.is_counted, problem.is_permanent) == (ProblemType.CA_SETTINGS, False, False)
    assert problem.detail == "the terms have changed (userActionRequired); https://ca.example/terms/2"
    assert "operator" in problem.hint
    assert wire.count(path) == 1, "asked once"


def spellings(der: bytes) -> set[str]:
    """A private key as it could stand in a text."""
    scalar = load_der_private_key(der, None).private_numbers().private_value
    raw = scalar.to_bytes(32, "big")
    forms = {one(part).decode() for one in (base64.b64encode, base64.urlsafe_b64encode) for part in (der, raw)}
    return {form[:40] for form in forms} | {der.hex(), f"{scalar:x}", str(scalar), "PRIVATE KEY"}


def test_f02_account_keys_are_in_redis_only_encrypted(new_ca, wire: Wire, real_store: RedisStore) -> None:
    ca = new_ca()
    ca.account_url()
    wire.add(Fault("/rollover-account-key", before=cut))
    problem_of(ca.roll_over)
    account = real_store.ca_account(wire.directory_url)
    kept = [json.dumps(real_store._redis.get(name)) for name in real_store._redis.scan_iter()]
    assert len(kept) == 1
    vault = Vault([ENCRYPTION_KEY])
    for encrypted in (account.key, account.next_key):
        assert encrypted in kept[0]
        for form in spellings(vault.decrypt(encrypted)):
            assert form not in kept[0]
            assert form not in f"{account!r} {ca.known_account()!r} {ca._session.keeper.signer()!r}"
        assert encrypted not in repr(account)


def test_f03_an_account_key_that_cannot_be_decrypted_is_not_replaced(new_ca, wire: Wire, real_store) -> None:
    new_ca().account_url()
    known = real_store.ca_account(wire.directory_url)
    other = new_ca()
    other._session.keeper._vault = Vault([new_encryption_key()])
    for call in (lambda: other.new_order(NAME), other.roll_over):
        assert problem_of(call).type is ProblemType.UNDECRYPTABLE
    assert (other.known_account().url, other.known_account().thumbprint) == (known.url, None)
    assert real_store.ca_account(wire.directory_url) == known
    assert wire.count("/sign-me-up") == 1


@pytest.mark.parametrize("stored", ["with another key", "damaged", "none"])
def test_n21_an_account_whose_key_is_lost_is_replaced_when_the_operator_says_so(
    new_ca, wire: Wire, real_store, stored: str
) -> None:
    former = new_ca().account_url()
    (key,) = real_store._redis.scan_iter("issuer:ca-account:*")
    if stored == "damaged":
        real_store._redis.set(key, '{"key": 7}')
    if stored == "none":
        real_store._redis.delete(key)
    other = new_ca()
    other._session.keeper._vault = Vault([new_encryption_key()])
    other.new_account()
    assert other.known_account().url is None
    assert other.known_account().thumbprint
    assert other.account_url() != former
    assert wire.count("/sign-me-up") == 2
