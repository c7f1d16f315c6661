"""The same tests over the fake CA and over Pebble: what the steps may rely on."""

import time
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from issuer import keys
from issuer.keys import KeyType
from issuer.ports import CertificateAuthority, Order, Services
from issuer.problem import Problem, ProblemType
from issuer.wiring import build_services
from tests.fakes import fake_services
from tests.real import settings_for
from web.app import create_app

KEY = keys.new_key(KeyType.EC_P256)


@pytest.fixture(params=["fake", "pebble"])
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    if request.param == "fake":
        yield fake_services()
        return
    real = request.getfixturevalue
    pebble = real("pebble")
    settings = settings_for(
        real("redis_url"), pebble.directory_url, real("dns"), acme_ca_bundle=str(pebble.bundle), broker_url="redis://x"
    )
    services = build_services(settings)
    real("serve")(create_app(services), real("http_port"))
    yield services
    services.store._redis.close()


@pytest.fixture
def ca(services: Services) -> CertificateAuthority:
    return services.cas[0]


def wait_for(look: Callable[[], object], is_there: Callable[[object], object]) -> object:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if is_there(found := look()):
            return found
        time.sleep(0.05)
    raise AssertionError(f"in vain: {found}")


def proved(services: Services, name: str) -> Order:
    """An order whose authorization has been proved."""
    order = services.cas[0].new_order(name)
    (url,) = order.authorization_urls
    challenge = services.cas[0].authorization(url, name).challenge
    services.store.put_token(challenge.token, challenge.key_authorization, seconds=60)
    services.cas[0].answer(challenge)
    wait_for(lambda: services.cas[0].authorization(url, name), lambda found: found.is_valid)
    return order


def test_n37_a_ca_that_works_can_be_reached(ca: CertificateAuthority) -> None:
    assert ca.is_reachable()


def test_an_order_has_a_url_a_finalize_url_and_one_authorization(ca: CertificateAuthority) -> None:
    order = ca.new_order("a.customer.example")
    assert order.url != order.finalize_url
    assert len(order.authorization_urls) == 1
    assert not order.needs_csr
    assert order.certificate_url is None
    assert order.problem is None


def test_an_authorization_has_a_challenge_to_answer(ca: CertificateAuthority) -> None:
    order = ca.new_order("b.customer.example")
    found = ca.authorization(order.authorization_urls[0], "b.customer.example")
    assert not found.is_valid
    assert found.problem is None
    assert found.challenge.key_authorization.startswith(f"{found.challenge.token}.")


def test_a_proved_order_needs_the_csr_and_gives_the_certificate(services: Services) -> None:
    name = "c.customer.example"
    order = proved(services, name)
    found = wait_for(lambda: services.cas[0].order(order.url), lambda found: found.needs_csr)
    found = services.cas[0].finalize(order.url, found.finalize_url, keys.new_csr(KEY, name))
    assert found.problem is None
    done = wait_for(lambda: services.cas[0].order(order.url), lambda found: found.certificate_url)
    chain, leaf = keys.read_chain(services.cas[0].chain(done.certificate_url), key=KEY, name=name, now=services.clock())
    assert chain.count("BEGIN CERTIFICATE") >= 2
    assert leaf.not_valid_after_utc.timestamp() > services.clock() + 89 * 86400


def test_c02_finalize_sent_twice_looks_at_the_order_instead(services: Services) -> None:
    name = "d.customer.example"
    order = proved(services, name)
    csr = keys.new_csr(KEY, name)
    services.cas[0].finalize(order.url, order.finalize_url, csr)
    done = wait_for(lambda: services.cas[0].order(order.url), lambda found: found.certificate_url)
    again = services.cas[0].finalize(order.url, order.finalize_url, csr)
    assert again.certificate_url == done.certificate_url
    assert again.was_finalized


def test_c10_finalize_before_the_proof_is_no_failure(ca: CertificateAuthority) -> None:
    name = "e.customer.example"
    order = ca.new_order(name)
    early = ca.finalize(order.url, order.finalize_url, keys.new_csr(KEY, name))
    assert (early.needs_csr, early.certificate_url, early.problem) == (False, None, None)


def test_a_wrong_answer_fails_the_authorization_with_a_reason(services: Services) -> None:
    name = "f.customer.example"
    order = services.cas[0].new_order(name)
    (url,) = order.authorization_urls
    services.cas[0].answer(services.cas[0].authorization(url, name).challenge)
    found = wait_for(lambda: services.cas[0].authorization(url, name), lambda found: found.problem)
    assert found.problem.type is ProblemType.VALIDATION_FAILED
    assert found.problem.detail
    assert found.problem.drops_order


def test_an_order_that_the_ca_does_not_know_is_lost_and_no_fault(ca: CertificateAuthority) -> None:
    order = ca.new_order("g.customer.example")
    found = ca.order(order.url[:-4] + "zzzz")
    assert found.problem.type is ProblemType.ORDER_LOST


def test_c07_an_authorization_once_proved_stays_so(services: Services) -> None:
    name = "h.customer.example"
    order = proved(services, name)
    (url,) = order.authorization_urls
    found = services.cas[0].authorization(url, name)
    assert found.is_valid
    assert found.challenge is None


def test_a_certificate_is_revoked_and_a_second_revocation_succeeds(services: Services) -> None:
    name = "i.customer.example"
    order = proved(services, name)
    wait_for(lambda: services.cas[0].order(order.url), lambda found: found.needs_csr)
    services.cas[0].finalize(order.url, order.finalize_url, keys.new_csr(KEY, name))
    done = wait_for(lambda: services.cas[0].order(order.url), lambda found: found.certificate_url)
    chain = services.cas[0].chain(done.certificate_url)
    for reason in (1, 4):
        services.cas[0].revoke(chain, reason)
    foreign = fake_services().cas[0]._intermediate.public_bytes(Encoding.PEM).decode()
    with pytest.raises(Problem) as refused:
        services.cas[0].revoke(foreign, 1)
    assert refused.value.detail
