"""External Account Binding (RFC 8555 §7.3.4) at a CA that requires it: the hint names the settings."""

import base64
import json
import logging
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from issuer import tasks
from issuer.actions import authorities, repairs
from issuer.authorities import recovery
from issuer.ca import AcmeAuthority
from issuer.config import CaSettings
from issuer.domain import Reason, Step, new_issuance
from issuer.keys import Vault
from issuer.ports import CaAccount, CaPolicy, Services
from issuer.presenters import status_body
from issuer.problem import Problem, ProblemType
from issuer.sandbox import Dns, Pebble, Sandbox
from issuer.store import RedisStore
from issuer.wiring import build_services
from tests.fakes import FakeClock
from tests.integration.answers import KEY, NAME, payloads, problem_of, refusing
from tests.real import ENCRYPTION_KEY, opened, published, settings_for
from tests.wire import Fault, Wire
from tests.writes import write

MAC_KEYS = {f"kid-{size}": bytes(range(200, 200 + size)) for size in (32, 33, 34)}
WRONG = base64.urlsafe_b64encode(bytes(32)).decode()
RIGHT = base64.urlsafe_b64encode(MAC_KEYS["kid-32"]).decode()
HOUR = 3600


@pytest.fixture(scope="module")
def pebble(module_sandbox: Sandbox, dns: Dns, http_port: int) -> Pebble:
    texts = {kid: base64.urlsafe_b64encode(key).decode().rstrip("=") for kid, key in MAC_KEYS.items()}
    return module_sandbox.pebble(
        dns.server,
        http_port,
        {"PEBBLE_WFE_NONCEREJECT": "0"},
        externalAccountBindingRequired=True,
        externalAccountMACKeys=texts,
    )


def bound(kid: str = "kid-32", key: str = RIGHT) -> CaPolicy:
    return CaPolicy(eab_key_id=kid, eab_hmac_key=key)


@pytest.mark.parametrize("is_padded", [True, False])
@pytest.mark.parametrize("kid", MAC_KEYS)
def test_the_right_key_binds_the_account_once(new_ca, wire: Wire, pebble: Pebble, kid: str, *, is_padded) -> None:
    text = base64.urlsafe_b64encode(MAC_KEYS[kid]).decode()
    policy = bound(kid, text if is_padded else text.rstrip("="))
    before = pebble.part.log.read_text().count(f'using kid "{kid}"')
    for ca in (new_ca(policy), new_ca(policy)):
        assert ca.new_order(NAME).url
    assert pebble.part.log.read_text().count(f'using kid "{kid}"') == before + 1
    assert wire.count("/sign-me-up") == 1


NAMES = ("one.customer.example", "two.customer.example", "three.customer.example")


def go_on(services: Services, seconds: float) -> set[Step]:
    """What the scans and the workers do in this time. Returns the steps at which the names stand then."""
    end = services.clock() + seconds
    while services.clock() < end:
        services.clock.forward(10)
        for scan in (repairs.watch, recovery.wake_waiting, recovery.wake_waiting):
            scan(services)
            for name in NAMES:
                issuance = services.store.load(name).issuance
                if issuance.step is Step.ORDER and (issuance.next_try_at or 0) <= services.clock():
                    tasks.attempt(services, Step.ORDER, issuance.id)
    return {services.store.load(name).issuance.step for name in NAMES}


def test_names_that_wait_for_the_operator_go_on_within_a_minute_of_the_repair(
    redis_url: str, wire: Wire, dns: Dns, clock: FakeClock
) -> None:
    """First the binding is missing, then the CA deactivates the account."""

    def started(**more: object) -> Services:
        trust = str(wire.bundle)
        return build_services(settings_for(redis_url, wire.directory_url, dns, acme_ca_bundle=trust, **more), clock)

    services = started()
    for name in NAMES:
        opened(services, published(dns, name))
    assert go_on(services, 30) == {Step.ORDER}
    for name in NAMES:
        body = shown(services, name)
        assert (body["code"], body["must_act"]) == ("ca-settings", "platform")
        assert f"the CA {wire.directory_url} wants an External Account Binding" in body["cause"]
    ca = {"directory": wire.directory_url, "eab_key_id": "kid-32", "eab_hmac_key": RIGHT}
    services = started(cas=json.dumps([ca]))
    assert go_on(services, 60) == {Step.CHALLENGE}
    own = services.cas[0]
    own._session.post(own.account_url(), b'{"status": "deactivated"}')
    for name in NAMES:
        record = services.store.load(name)
        write(services.store, record.with_issuance(new_issuance(name, Reason.FIRST, clock())), now=clock())
    assert go_on(services, 30) == {Step.ORDER}
    body = shown(services, NAMES[0])
    assert (body["code"], body["must_act"]) == ("ca-account", "platform")
    assert f"our account at the CA {wire.directory_url} is deactivated" in body["cause"]
    assert f"issuer ca forget {wire.directory_url}" in body["hint"]
    authorities.forget(services, wire.directory_url)
    assert go_on(services, 30) == {Step.CHALLENGE}


def shown(services: Services, name: str) -> dict[str, str]:
    return status_body(services.store.load(name), services.clock())


def test_without_one_the_problem_names_the_settings(new_ca, wire: Wire) -> None:
    problem = problem_of(lambda: new_ca().new_order(NAME))
    assert problem.type is ProblemType.CA_SETTINGS
    assert wire.directory_url in problem.cause
    assert "externalAccountRequired" in problem.detail
    assert all(word in problem.hint for word in ("operator", "eab_key_id", "eab_hmac_key", "ISSUER_CAS"))
    assert "externalAccountBinding" not in next(payloads(wire, "/sign-me-up"))


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (bound("kid-unknown"), "not known to the ACME server"),
        (bound(key=WRONG), "JWS verification error"),
        (bound("kid-33"), "JWS verification error"),
        (bound(key="AA"), "JWS verification error"),
    ],
)
def test_a_wrong_one_is_the_operators_and_our_key_stays(
    new_ca, wire: Wire, real_store: RedisStore, clock: FakeClock, policy: CaPolicy, words: str
) -> None:
    keys = set()
    with capture_logs() as logs:
        for _ in range(3):
            problem = problem_of(lambda: new_ca(policy).new_order(NAME))
            assert (problem.type, problem.is_counted) == (ProblemType.CA_SETTINGS, False)
            assert words in problem.detail
            assert "eab_hmac_key" in problem.hint
            keys.add(real_store.ca_account(wire.directory_url).key)
            clock.forward(2 * HOUR)
    assert len(keys) == 1, "no key a try"
    assert [line for line in logs if "deactivated" in line["event"]] == []
    assert new_ca(bound()).new_order(NAME).url
    assert real_store.ca_account(wire.directory_url).key in keys


@pytest.mark.parametrize("type_", ["unauthorized", "malformed", "externalAccountRequired", "badPublicKey", "newWord"])
def test_whatever_a_ca_calls_it_the_settings_are_named(new_ca, wire: Wire, type_: str) -> None:
    wire.add(Fault("/sign-me-up", before=refusing(403, type_, "no such binding")))
    problem = problem_of(lambda: new_ca(bound()).new_order(NAME))
    assert (problem.type, problem.detail) == (ProblemType.CA_SETTINGS, f"no such binding ({type_})")
    assert "eab_key_id" in problem.hint


def test_c06_a_wrong_binding_does_not_cost_the_key_of_an_account_that_the_ca_has_forgotten(
    new_ca, wire: Wire, real_store: RedisStore
) -> None:
    key = Vault([ENCRYPTION_KEY]).encrypt(KEY)
    forgotten = CaAccount(key, f"https://{wire.host}/my-account/unknown", created_at=0)
    real_store.keep_ca_account(wire.directory_url, forgotten, instead_of=None)
    for _ in range(2):
        problem = problem_of(lambda: new_ca(bound(key=WRONG)).new_order(NAME))
        assert (problem.type, "eab_hmac_key" in problem.hint) == (ProblemType.CA_SETTINGS, True)
        assert real_store.ca_account(wire.directory_url) == forgotten
    assert new_ca(bound()).new_order(NAME).url
    assert real_store.ca_account(wire.directory_url).key == key


def test_c06_a_deactivated_account_is_followed_by_a_bound_one(
    new_ca, wire: Wire, real_store: RedisStore, clock: FakeClock
) -> None:
    ca = new_ca(bound())
    ca._session.post(ca.account_url(), b'{"status": "deactivated"}')
    former = real_store.ca_account(wire.directory_url)
    clock.forward(2 * HOUR)
    assert ca.new_order(NAME).url
    assert real_store.ca_account(wire.directory_url).url != former.url
    assert ["externalAccountBinding" in one for one in payloads(wire, "/sign-me-up")] == [True, True, False, True]


def test_the_key_of_a_bound_account_can_be_changed(new_ca, wire: Wire, real_store: RedisStore) -> None:
    ca = new_ca(bound())
    url = ca.account_url()
    ca.roll_over()
    assert new_ca().new_order(NAME).url, "a binding is for a new account alone"
    assert real_store.ca_account(wire.directory_url).url == url
    assert sum("externalAccountBinding" in one for one in payloads(wire, "/sign-me-up")) == 1


def test_f02_the_hmac_key_is_shown_nowhere(
    new_ca: Callable[..., AcmeAuthority], wire: Wire, real_store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    with capture_logs() as logs:
        for policy in (bound("kid-unknown"), bound()):
            try:
                new_ca(policy).new_order(NAME)
            except Problem as problem:
                seen += [repr(problem), str(problem), str(problem.as_dict())]
    settings = CaSettings(directory=wire.directory_url, eab_key_id="kid-32", eab_hmac_key=RIGHT)
    seen += [repr(settings), str(settings.model_dump()), repr(bound()), str(bound())]
    seen += [str(logs), caplog.text, *map(str, wire.bodies)]
    seen += [str(real_store._redis.get(name)) for name in real_store._redis.scan_iter()]
    key = MAC_KEYS["kid-32"]
    forms = (RIGHT.rstrip("="), base64.b64encode(key).decode().rstrip("="), key.hex(), repr(key)[2:-1])
    assert "kid-32" in "".join(seen)
    assert [form for form in forms if form in "".join(seen)] == []
