"""The four steps over a CA in memory: what each does, run once, run twice, and cut off in the middle."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from issuer import backoff, keys, outcomes, steps, tasks
from issuer.actions import authorities
from issuer.domain import CHAIN, Record, Status, Step, status
from issuer.ports import Services, Verdict
from issuer.problem import Problem, ProblemType
from tests.api_client import reach
from tests.fakes import NAME, as_asked, opened
from tests.writes import open_issuance, write


class Lost(BaseException):
    """The worker dies here: nothing below may catch it."""


def finish(services: Services) -> Record:
    """Attempt until closed, as queue and reconcile do together; leases of the dead run out."""
    for _ in range(100):
        record = services.store.load(NAME)
        if not record.issuance.is_open:
            return record
        services.clock.forward(
            max(record.lease_until, record.issuance.next_try_at or 0, services.clock()) - services.clock()
        )
        tasks.attempt(services, record.issuance.step, record.issuance.id)
    raise AssertionError("never closed")


def test_the_whole_chain_asks_the_ca_six_times_and_installs(services: Services) -> None:
    opened(services)
    record = finish(services)
    assert status(record, services.clock()) is Status.ACTIVE
    assert services.cas[0].calls == ["new_order", "authorization", "answer", "authorization", "finalize", "chain"]
    certificate = record.domain.certificate
    keys.read_chain(certificate.chain, key=services.vault.decrypt(certificate.key), name=NAME, now=services.clock())
    assert certificate.ca == services.cas[0].directory_url
    assert (record.issuance.key, record.issuance.csr, record.issuance.problem) == (None, None, None)


def test_key_and_csr_are_saved_before_the_ca_is_asked_for_anything(services: Services) -> None:
    opened(services)
    seen = []
    services.cas[0].before = lambda _: seen.append(services.store.load(NAME).issuance)
    tasks.attempt(services, Step.ORDER, services.store.load(NAME).issuance.id)
    assert seen[0].key
    assert seen[0].csr
    assert services.vault.decrypt(seen[0].key)


def test_d04_the_key_authorization_is_published_before_the_ca_validates(services: Services) -> None:
    record = reach(services, Step.CHALLENGE)
    found = []
    token = next(iter(services.cas[0].orders.values())).token
    services.cas[0].before = lambda method: found.append((method, services.store.key_authorization(token)))
    tasks.attempt(services, Step.CHALLENGE, record.issuance.id)
    assert found == [("authorization", None), ("answer", f"{token}.thumbprint")]


def test_d03_a_published_answer_outlives_the_proof(services: Services) -> None:
    opened(services)
    finish(services)
    token = next(iter(services.cas[0].orders.values())).token
    assert services.store.key_authorization(token) == f"{token}.thumbprint"


@pytest.mark.parametrize("step", CHAIN)
def test_e01_each_step_run_twice_with_the_same_record_is_harmless(services: Services, step: Step) -> None:
    record = reach(services, step)
    tasks.STEPS[step](services, record)
    tasks.STEPS[step](services, replace(record, attempts_started=2))
    assert services.store.load(NAME) == record
    finished = finish(services)
    assert status(finished, services.clock()) is Status.ACTIVE
    assert len(services.cas[0].certificates) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["new_order", "authorization", "answer", "finalize", "chain"])
def test_g05_cut_off_at_any_call_it_is_finished_with_one_certificate(
    services: Services, method: str, when: str
) -> None:
    opened(services)

    def die(called: str) -> None:
        if called == method:
            setattr(services.cas[0], when, lambda _: None)
            raise Lost

    setattr(services.cas[0], when, die)
    with pytest.raises(Lost):
        finish(services)
    assert services.store.load(NAME).lease_until > services.clock()
    record = finish(services)
    assert status(record, services.clock()) is Status.ACTIVE
    assert len(services.cas[0].certificates) == 1


def test_c02_after_a_lost_finalize_the_order_is_looked_at_first(services: Services) -> None:
    record = reach(services, Step.FINALIZE)

    def die(method: str) -> None:
        services.cas[0].after = lambda _: None
        raise Lost

    services.cas[0].after = die
    with pytest.raises(Lost):
        tasks.attempt(services, Step.FINALIZE, record.issuance.id)
    services.cas[0].calls.clear()
    assert status(finish(services), services.clock()) is Status.ACTIVE
    assert services.cas[0].calls == ["order", "chain"]


def test_c09_a_ca_that_is_slow_is_asked_again_and_finalize_is_sent_once(services: Services) -> None:
    services.cas[0].looks_until_ready = 6
    opened(services)
    assert status(finish(services), services.clock()) is Status.ACTIVE
    assert services.cas[0].calls.count("finalize") == 1
    assert services.cas[0].calls.count("answer") == 1
    assert services.cas[0].calls.count("order") == 6


@pytest.mark.parametrize("looks", [0, 1, 30])
def test_n03_a_challenge_that_an_older_release_has_answered_is_waited_for(services: Services, looks: int) -> None:
    services.cas[0].looks_until_ready = 10**6
    record = reach(services, Step.CHALLENGE)
    tasks.attempt(services, Step.CHALLENGE, record.issuance.id)
    record = services.store.load(NAME)
    former = replace(record.issuance, answered_at=None, waiting_since=None)
    write(services.store, record.with_issuance(former), now=services.clock())
    services.cas[0].orders[record.issuance.order_url].looks_left = looks
    services.cas[0].looks_until_ready = 0
    assert status(finish(services), services.clock()) is Status.ACTIVE
    assert services.cas[0].calls.count("answer") == 1
    assert services.store.load(NAME).issuance.tries == 0


def test_n01_waits_grow_and_the_ca_may_delay_one_by_two_minutes(services: Services) -> None:
    services.cas[0].looks_until_ready = 10**6
    record = reach(services, Step.CHALLENGE)
    pauses = []
    for _ in range(12):
        _, seconds = tasks.attempt(services, Step.CHALLENGE, record.issuance.id)
        pauses.append(round(seconds, 1))
        services.clock.forward(seconds)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0]
    leased, now = services.store.load(NAME), services.clock()
    for asked_for, waited in ((100, 100), (120, 120), (1000, 60), (86400, 60)):
        waiting = outcomes.success(services, leased, steps.Wait(leased, now + asked_for)).issuance
        assert waiting.next_try_at == now + waited
        assert "asks to wait until" in waiting.problem.detail or asked_for <= 120


def test_a_ca_that_is_slow_for_too_long_is_a_problem(services: Services) -> None:
    services.cas[0].looks_until_ready = 10**6
    record = reach(services, Step.CHALLENGE)
    tired = replace(record.issuance, waits=backoff.MAX_POLLS, is_answered=True)
    leased = record.with_issuance(tired)
    after = outcomes.success(services, leased, steps.challenge(services, leased)).issuance
    assert (after.problem.type, after.tries, after.waits) == (ProblemType.CA_SLOW, 1, 0)


def test_c07_an_order_that_is_proved_already_is_finalized_without_an_answer(services: Services) -> None:
    services.cas[0].authorizations_are_valid = True
    opened(services)
    assert status(finish(services), services.clock()) is Status.ACTIVE
    assert services.cas[0].calls == ["new_order", "authorization", "finalize", "chain"]


def test_a_failed_validation_starts_over_with_a_new_order_and_key(services: Services) -> None:
    record = reach(services, Step.CHALLENGE)
    next(iter(services.cas[0].orders.values())).problem = Problem(ProblemType.VALIDATION_FAILED, "connection refused")
    tasks.attempt(services, Step.CHALLENGE, record.issuance.id)
    failed = services.store.load(NAME).issuance
    assert (failed.step, failed.order_url, failed.key, failed.tries) == (Step.ORDER, None, None, 1)
    assert "connection refused" in str(failed.problem)
    assert status(finish(services), services.clock()) is Status.ACTIVE
    assert services.cas[0].calls.count("new_order") == 2


def _another_key(csr):
    return ec.generate_private_key(ec.SECP256R1()).public_key(), as_asked(csr)[1]


def _another_name(csr):
    return csr.public_key(), ["other.customer.example"]


@pytest.mark.parametrize("forge", [_another_key, _another_name])
def test_c01_a_certificate_for_something_else_is_never_installed(services: Services, forge) -> None:
    services.cas[0].forge = forge
    record = reach(services, Step.INSTALL)
    tasks.attempt(services, Step.INSTALL, record.issuance.id)
    refused = services.store.load(NAME)
    assert refused.domain.certificate is None
    assert refused.issuance.problem.type is ProblemType.BAD_CERTIFICATE
    assert (refused.issuance.step, refused.issuance.key) == (Step.ORDER, None)
    services.cas[0].forge = as_asked
    authorities.allow(services, services.cas[0].directory_url, NAME)
    assert status(finish(services), services.clock()) is Status.ACTIVE


@pytest.mark.parametrize("name", ["a" * 63 + "." + "b" * 20 + ".example", NAME])
def test_a06_a_long_name_goes_through(services: Services, name: str) -> None:
    record = opened(services, name)
    for step in (Step.ORDER, Step.CHALLENGE, Step.CHALLENGE, Step.FINALIZE, Step.INSTALL):
        _, seconds = tasks.attempt(services, step, record.issuance.id)
        services.clock.forward(seconds)
    assert services.store.load(name).issuance.step is Step.DONE


def test_a_clear_no_of_dns_costs_the_ca_nothing(services: Services) -> None:
    services.resolver.verdicts[NAME] = Verdict.NO
    record = opened(services)
    tasks.attempt(services, Step.ORDER, record.issuance.id)
    failed = services.store.load(NAME).issuance
    assert failed.problem.type is ProblemType.INVALID_CNAME
    assert "CNAME" in failed.problem.hint
    assert services.cas[0].calls == []
    services.resolver.verdicts[NAME] = Verdict.YES
    assert status(finish(services), services.clock()) is Status.ACTIVE


def test_b03_an_unknown_answer_of_dns_waits_once_and_then_lets_the_ca_look(services: Services) -> None:
    services.resolver.verdicts[NAME] = Verdict.UNKNOWN
    record = opened(services)
    tasks.attempt(services, Step.ORDER, record.issuance.id)
    assert services.store.load(NAME).issuance.problem.type is ProblemType.DNS_UNKNOWN
    assert services.cas[0].calls == []
    assert status(finish(services), services.clock()) is Status.ACTIVE


def test_f01_a_renewal_that_fails_leaves_the_pair_in_force_alone(services: Services) -> None:
    opened(services)
    before = finish(services)
    again = replace(before.issuance, step=Step.ORDER, next_try_at=None)
    open_issuance(services.store, before.domain, again, version=before.version, requeue_at=services.clock())
    for method in ("new_order", "finalize", "chain"):
        services.cas[0].before = _failing_at(method)
        record = services.store.load(NAME)
        while services.store.load(NAME).issuance.tries == record.issuance.tries:
            current = services.store.load(NAME)
            services.clock.now = max(services.clock(), current.issuance.next_try_at or 0)
            tasks.attempt(services, current.issuance.step, current.issuance.id)
        assert services.store.load(NAME).domain == before.domain
    services.cas[0].before = lambda _: None
    after = finish(services).domain.certificate
    assert after.serial != before.domain.certificate.serial
    key = services.vault.decrypt(after.key)
    assert keys.read_chain(after.chain, key=key, name=NAME, now=services.clock())


def _failing_at(method: str):
    def fail(called: str) -> None:
        if called == method:
            raise Problem(ProblemType.CA_UNAVAILABLE, "away")

    return fail


def test_f03_an_undecryptable_key_stops_and_makes_nothing_new(services: Services) -> None:
    record = reach(services, Step.INSTALL)
    stranger = replace(services, vault=keys.Vault([keys.new_encryption_key()]))
    tasks.attempt(stranger, Step.INSTALL, record.issuance.id)
    failed = services.store.load(NAME).issuance
    assert failed.problem.type is ProblemType.UNDECRYPTABLE
    assert failed.key == record.issuance.key
    assert status(finish(services), services.clock()) is Status.ACTIVE
