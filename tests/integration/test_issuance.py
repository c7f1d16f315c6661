"""Whole issuances without the queue, at each of three CAs: lost answers, repeated steps, bad nonces."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from issuer import keys, tasks
from issuer.challenges import Http01
from issuer.domain import CHAIN, Record, Status, Step, status
from issuer.ports import Services
from issuer.problem import Actor, ProblemType
from issuer.sandbox import Dns, Sandbox, free_port
from issuer.wiring import build_services
from tests.any_ca import LOSABLE, AnyCa
from tests.real import opened, published, run_to_end, run_to_step, settings_for, verified
from tests.wire import Fault, Wire, cut
from tests.writes import open_issuance
from web.app import create_app

DAY = 86400


@pytest.fixture
def product(redis_url: str, any_ca: AnyCa) -> Callable[..., Services]:
    """What one of its processes has."""

    def build(**more: str) -> Services:
        return build_services(settings_for(redis_url, any_ca.wire.directory_url, any_ca.dns, **any_ca.settings, **more))

    return build


@pytest.fixture
def services(product: Callable[..., Services], any_ca: AnyCa, serve: Callable[..., None]) -> Services:
    services, (address, port) = product(), any_ca.web
    serve(create_app(services), port, host=address)
    return services


@pytest.fixture
def certificates(any_ca: AnyCa) -> Callable[[], int]:
    """How many certificates the CA has issued since the test began."""
    before = any_ca.issued()
    return lambda: any_ca.issued() - before


def expire_wait(services: Services, name: str) -> None:
    """Let a retry be due now: what an hour's wait would do."""
    record = services.store.load(name)
    if record.issuance.is_open and (record.issuance.next_try_at or 0) > services.clock():
        soon = replace(record.issuance, next_try_at=services.clock())
        open_issuance(services.store, record.domain, soon, version=record.version, requeue_at=services.clock())


def finish(services: Services, name: str) -> Record:
    for _ in range(10):
        record = run_to_end(services, services.store.load(name))
        if not record.issuance.is_open:
            return record
        expire_wait(services, name)
    raise AssertionError(f"never closed: {record.issuance}")


def issue(services: Services, ca: AnyCa, name: str) -> Record:
    """Without one failure on its way."""
    record = run_to_end(services, opened(services, published(ca.dns, name)))
    assert status(record, services.clock()) is Status.ACTIVE, record.issuance.problem
    assert record.issuance.tries == 0, record.issuance.problem
    return record


def test_a_whole_issuance_whose_chain_leads_to_the_root(services: Services, any_ca: AnyCa) -> None:
    name = "whole.customer.example"
    certificate = issue(services, any_ca, name).domain.certificate
    key = services.vault.decrypt(certificate.key)
    chain, leaf = keys.read_chain(certificate.chain, key=key, name=name, now=services.clock())
    assert len(verified(chain, any_ca.root(), name)) == 3
    assert leaf.subject.rfc4514_string() in {"", f"CN={name}"}
    assert certificate.not_after + 1 - certificate.not_before == pytest.approx(90 * DAY, abs=1)


@pytest.mark.parametrize("any_ca", ["pebble", "scripted"], indirect=True)  # acme2certifier puts the name into a CN
def test_a06_a_name_of_89_characters(services: Services, any_ca: AnyCa) -> None:
    name = f"{'a' * 60}.{'b' * 20}.example"
    assert len(name) == 89
    assert issue(services, any_ca, name).domain.certificate


def test_many_at_once(services: Services, any_ca: AnyCa, certificates) -> None:
    names = [f"many-{number}.customer.example" for number in range(24)]
    with ThreadPoolExecutor(6) as pool:
        records = list(pool.map(lambda name: issue(services, any_ca, name), names))
    assert len({record.domain.certificate.serial for record in records}) == 24
    assert certificates() == 24


@pytest.mark.parametrize(
    ("any_ca", "resource"),
    [(ca, resource) for ca, resources in LOSABLE.items() for resource in resources],
    indirect=["any_ca"],
)
def test_c02_an_answer_lost_on_the_wire_costs_no_second_certificate(
    services: Services, any_ca: AnyCa, certificates, resource: str
) -> None:
    name = published(any_ca.dns, f"lost-{resource.lower()}.customer.example")
    fault = any_ca.wire.add(Fault(any_ca.paths[resource], after=cut))
    opened(services, name)
    record = finish(services, name)
    assert status(record, services.clock()) is Status.ACTIVE
    assert (fault.hits, record.issuance.tries) == (1, 1)
    assert certificates() == 1


@pytest.mark.parametrize("step", CHAIN)
def test_e01_each_step_run_twice_gives_one_certificate(services, any_ca: AnyCa, certificates, step: Step) -> None:
    name = published(any_ca.dns, f"twice-{step}.customer.example")
    opened(services, name)
    record = run_to_step(services, name, step)
    tasks.STEPS[step](services, record)
    tasks.STEPS[step](services, replace(record, attempts_started=2))
    assert status(finish(services, name), services.clock()) is Status.ACTIVE
    assert certificates() == 1


def test_c06_an_account_whose_url_was_lost_is_found_by_its_key(product: Callable[..., Services], any_ca) -> None:
    first, directory_url = product(), any_ca.wire.directory_url
    assert first.cas[0].new_order("account.customer.example").url
    known = first.store.ca_account(directory_url)
    first.store.keep_ca_account(directory_url, replace(known, url=None), instead_of=known)
    assert product().cas[0].new_order("account.customer.example").url
    assert first.store.ca_account(directory_url) == known


def test_a_name_that_does_not_point_here_has_a_reason_for_its_owner(services: Services, any_ca: AnyCa) -> None:
    name = "astray.customer.example"
    any_ca.dns.cname(name, "other.example")
    any_ca.dns.addresses("other.example", "192.0.2.7")
    opened(services, name)
    record = run_to_end(services, services.store.load(name))
    assert record.issuance.problem.type is ProblemType.INVALID_CNAME
    assert "other.example" in record.issuance.problem.detail
    published(any_ca.dns, name)
    assert status(finish(services, name), services.clock()) is Status.ACTIVE


def test_a_validation_that_fails_says_why_and_starts_over(services: Services, any_ca: AnyCa) -> None:
    name = published(any_ca.dns, "refused.customer.example")
    real_put, published_wrong = services.store.put_token, []

    class WrongOnce:
        def __getattr__(self, method: str) -> object:
            return getattr(services.store, method)

        def put_token(self, token: str, key_authorization: str, *, seconds: int) -> None:
            wrong = "" if published_wrong else "wrong"
            published_wrong.append(token)
            real_put(token, wrong + key_authorization, seconds=seconds)

    solver = Http01(WrongOnce(), services.solver.self_check)
    record = run_to_end(replace(services, solver=solver), opened(services, name))
    assert record.issuance.problem.type is ProblemType.CA_CANNOT_CONNECT, "as the name leads to us"
    assert any_ca.reason in record.issuance.problem.detail.lower()
    assert "port 80" in record.issuance.problem.hint
    assert record.issuance.problem.actor is Actor.PLATFORM
    assert (record.issuance.step, record.issuance.order_url) == (Step.ORDER, None)
    expire_wait(services, name)
    assert status(finish(services, name), services.clock()) is Status.ACTIVE


@pytest.mark.parametrize("kind", ["ec-p384", "rsa-2048"])
def test_the_other_kinds_of_key(kind: str, product: Callable[..., Services], services, any_ca: AnyCa) -> None:
    name = f"{kind}.customer.example"
    certificate = issue(product(key_type=kind), any_ca, name).domain.certificate
    key = services.vault.decrypt(certificate.key)
    _, leaf = keys.read_chain(certificate.chain, key=key, name=name, now=services.clock())
    assert leaf.public_key().key_size == int(kind[-4:].strip("p-"))


@pytest.mark.timeout(240)
def test_200_of_200_at_one_bad_nonce_in_two(
    module_sandbox: Sandbox, dns: Dns, redis_url: str, serve: Callable[..., None]
) -> None:
    port = free_port()
    pebble = module_sandbox.pebble(dns.server, port, {"PEBBLE_WFE_NONCEREJECT": "50"})
    wire = Wire(pebble.directory_url, pebble.bundle)
    settings = settings_for(redis_url, wire.directory_url, dns, acme_ca_bundle=str(pebble.bundle))
    services = build_services(settings)
    serve(create_app(services), port)
    names = [published(dns, f"nonce-{number}.customer.example") for number in range(200)]

    def issue(name: str) -> tuple[Status, int]:
        record = run_to_end(services, opened(services, name))
        return status(record, services.clock()), record.issuance.tries

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(issue, names))
    assert results == [(Status.ACTIVE, 0)] * 200
    assert wire.count("/order-plz") > 300, "the CA refused no nonces: the test shows nothing"
    wire.close()


def test_c07_authorizations_that_the_ca_reuses(
    module_sandbox: Sandbox, dns: Dns, redis_url: str, serve: Callable[..., None]
) -> None:
    port = free_port()
    pebble = module_sandbox.pebble(dns.server, port, {"PEBBLE_AUTHZREUSE": "100"})
    wire = Wire(pebble.directory_url, pebble.bundle)
    services = build_services(settings_for(redis_url, wire.directory_url, dns, acme_ca_bundle=str(pebble.bundle)))
    serve(create_app(services), port)
    name = published(dns, "again.customer.example")
    opened(services, name)
    first = finish(services, name)
    answers = wire.count("/chalZ/")
    fresh = replace(first.issuance, step=Step.ORDER, key=None, csr=None)
    open_issuance(services.store, first.domain, fresh, version=first.version, requeue_at=0)
    second = finish(services, name)
    assert second.domain.certificate.serial != first.domain.certificate.serial
    assert wire.count("/chalZ/") == answers
    wire.close()
