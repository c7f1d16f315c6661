"""Whole issuances against Pebble, without the queue: lost answers, repeated steps, bad nonces."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from issuer import keys, tasks
from issuer.domain import CHAIN, Record, Status, Step, status
from issuer.ports import Services
from issuer.problem import ProblemType
from issuer.sandbox import Dns, Pebble, Sandbox, free_port
from issuer.wiring import build_services
from tests.real import issued, opened, published, run_to_end, run_to_step, settings_for
from tests.wire import Fault, Wire, cut
from web.app import create_app


@pytest.fixture
def services(redis_url: str, wire: Wire, dns: Dns, http_port: int, serve: Callable[..., None]) -> Services:
    settings = settings_for(redis_url, wire.directory_url, dns, acme_ca_bundle=str(wire.bundle))
    services = build_services(settings)
    serve(create_app(services, None), http_port)
    return services


@pytest.fixture
def certificates(pebble: Pebble) -> Callable[[], int]:
    """How many certificates Pebble says it has issued since the test began."""
    before = issued(pebble)
    return lambda: issued(pebble) - before


def expire_wait(services: Services, name: str) -> None:
    """Let a retry be due now: what an hour's wait would do."""
    record = services.store.load(name)
    if record.issuance.is_open and (record.issuance.next_try_at or 0) > services.clock():
        soon = replace(record.issuance, next_try_at=services.clock())
        services.store.open(record.domain, soon, version=record.version, look_again_at=services.clock())


def finish(services: Services, name: str) -> Record:
    for _ in range(10):
        record = run_to_end(services, services.store.load(name))
        if not record.issuance.is_open:
            return record
        expire_wait(services, name)
    raise AssertionError(f"never closed: {record.issuance}")


def test_from_an_open_record_to_an_active_domain(services: Services, dns: Dns, wire: Wire, pebble: Pebble) -> None:
    name = published(dns, "whole.customer.example")
    opened(services, name)
    record = finish(services, name)
    assert status(record, services.clock()) is Status.ACTIVE
    assert record.issuance.tries == 0
    key = services.vault.decrypt(record.domain.certificate.key)
    _, leaf = keys.read_chain(record.domain.certificate.chain, key=key, name=name, now=services.clock())
    assert leaf.subject.rfc4514_string() in {"", f"CN={name}"}


def test_a06_a_name_of_89_characters(services: Services, dns: Dns) -> None:
    name = published(dns, f"{'a' * 60}.{'b' * 20}.example")
    assert len(name) == 89
    opened(services, name)
    assert status(finish(services, name), services.clock()) is Status.ACTIVE


@pytest.mark.parametrize("path", ["/order-plz", "/authZ/", "/chalZ/", "/finalize-order/", "/my-order/", "/certZ/"])
def test_c02_an_answer_lost_on_the_wire_costs_no_second_certificate(
    services, dns, wire: Wire, certificates, path
) -> None:
    name = published(dns, f"lost-{path.strip('/').lower()}.customer.example")
    fault = wire.add(Fault(path, after=cut))
    opened(services, name)
    record = finish(services, name)
    assert status(record, services.clock()) is Status.ACTIVE
    assert fault.hits == 1
    assert certificates() == 1


@pytest.mark.parametrize("step", CHAIN)
def test_e01_each_step_run_twice_against_a_real_ca(services, dns: Dns, certificates, step: Step) -> None:
    name = published(dns, f"twice-{step}.customer.example")
    opened(services, name)
    record = run_to_step(services, name, step)
    tasks.STEPS[step](services, record)
    tasks.STEPS[step](services, replace(record, begun=2))
    assert status(finish(services, name), services.clock()) is Status.ACTIVE
    assert certificates() == 1


def test_a_domain_whose_name_does_not_lead_here_gets_words_for_its_owner(services: Services, dns: Dns) -> None:
    name = "astray.customer.example"
    dns.cname(name, "elsewhere.example")
    dns.addresses("elsewhere.example", "192.0.2.7")
    opened(services, name)
    record = run_to_end(services, services.store.load(name))
    assert record.issuance.problem.type is ProblemType.INVALID_CNAME
    assert "elsewhere.example" in record.issuance.problem.detail
    published(dns, name)
    assert status(finish(services, name), services.clock()) is Status.ACTIVE


def test_a_validation_that_fails_says_why_and_starts_over(services: Services, dns: Dns, wire: Wire) -> None:
    name = published(dns, "refused.customer.example")
    record = opened(services, name)
    real_put, published_wrong = services.store.put_token, []

    class WrongOnce:
        def __getattr__(self, method: str) -> object:
            return getattr(services.store, method)

        def put_token(self, token: str, key_authorization: str, *, seconds: int) -> None:
            wrong = "" if published_wrong else "wrong"
            published_wrong.append(token)
            real_put(token, wrong + key_authorization, seconds=seconds)

    astray = replace(services, store=WrongOnce())
    record = run_to_end(astray, record)
    assert record.issuance.problem.type is ProblemType.VALIDATION_FAILED
    assert "key authorization" in record.issuance.problem.detail.lower()
    assert (record.issuance.step, record.issuance.order_url) == (Step.ORDER, None)
    expire_wait(services, name)
    assert status(finish(services, name), services.clock()) is Status.ACTIVE


@pytest.mark.timeout(240)
def test_200_of_200_at_one_bad_nonce_in_five(
    module_sandbox: Sandbox, dns: Dns, redis_url: str, serve: Callable[..., None]
) -> None:
    port = free_port()
    pebble = module_sandbox.pebble(dns.server, port, {"PEBBLE_WFE_NONCEREJECT": "20"})
    wire = Wire(pebble.directory_url, pebble.bundle)
    settings = settings_for(redis_url, wire.directory_url, dns, acme_ca_bundle=str(pebble.bundle))
    services = build_services(settings)
    serve(create_app(services, None), port)
    names = [published(dns, f"nonce-{number}.customer.example") for number in range(200)]

    def issue(name: str) -> tuple[Status, int]:
        record = run_to_end(services, opened(services, name))
        return status(record, services.clock()), record.issuance.tries

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(issue, names))
    assert results == [(Status.ACTIVE, 0)] * 200
    assert wire.count("/order-plz") > 220, "the CA refused no nonces: the test shows nothing"
    wire.close()


def test_c07_authorizations_that_the_ca_reuses(
    module_sandbox: Sandbox, dns: Dns, redis_url: str, serve: Callable[..., None]
) -> None:
    port = free_port()
    pebble = module_sandbox.pebble(dns.server, port, {"PEBBLE_AUTHZREUSE": "100"})
    wire = Wire(pebble.directory_url, pebble.bundle)
    services = build_services(settings_for(redis_url, wire.directory_url, dns, acme_ca_bundle=str(pebble.bundle)))
    serve(create_app(services, None), port)
    name = published(dns, "again.customer.example")
    opened(services, name)
    first = finish(services, name)
    answers = wire.count("/chalZ/")
    fresh = replace(first.issuance, step=Step.ORDER, key=None, csr=None)
    services.store.open(first.domain, fresh, version=first.version, look_again_at=0)
    second = finish(services, name)
    assert second.domain.certificate.serial != first.domain.certificate.serial
    assert wire.count("/chalZ/") == answers
    wire.close()


@pytest.mark.parametrize("kind", ["ec-p384", "rsa-2048"])
def test_the_other_kinds_of_key(kind: str, redis_url: str, pebble: Pebble, dns: Dns, http_port: int, serve) -> None:
    settings = settings_for(redis_url, pebble.directory_url, dns, acme_ca_bundle=str(pebble.bundle), key_type=kind)
    services = build_services(settings)
    serve(create_app(services, None), http_port)
    name = published(dns, f"{kind}.customer.example")
    opened(services, name)
    certificate = finish(services, name).domain.certificate
    key = services.vault.decrypt(certificate.key)
    _, leaf = keys.read_chain(certificate.chain, key=key, name=name, now=services.clock())
    assert leaf.public_key().key_size == int(kind[-4:].strip("p-"))
