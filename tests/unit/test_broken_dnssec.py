"""N15, N43: a name in a zone whose DNSSEC is broken: what the status says, and when the CA is asked."""

import pytest

from issuer import tasks
from issuer.domain import Reason, Record, Status, Step, new_issuance, status
from issuer.edge import ownership
from issuer.ports import HolderProof, Services, Verdict
from issuer.presenters import status_body
from issuer.problem import Actor, ProblemType
from tests.api_client import ApiClient
from tests.fakes import NAME, TARGET, fake_services, opened, with_settings
from tests.unit.test_steps import finish
from tests.writes import open_issuance


def attempted(services: Services, times: int = 1) -> Record:
    """The record after some attempts at its order, each of them when it was due."""
    for _ in range(times):
        record = services.store.load(NAME)
        services.clock.forward(max((record.issuance.next_try_at or 0) - services.clock(), 0))
        tasks.attempt(services, record.issuance.step, record.issuance.id)
    return services.store.load(NAME)


def renewal(services: Services) -> None:
    opened(services)
    record = finish(services)
    renewed = new_issuance(NAME, Reason.RENEWAL, services.clock())
    open_issuance(services.store, record.domain, renewed, version=record.version, requeue_at=services.clock())


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_n15_a_new_name_is_told_so_after_a_second_look_and_costs_the_ca_nothing(services: Services, tries: int) -> None:
    services.resolver.bogus.add(NAME)
    opened(services)
    record = attempted(services, times=2 * tries)
    problem = record.issuance.problem
    assert (problem.type, problem.actor, problem.message) == (
        ProblemType.DNS_UNKNOWN,
        Actor.OWNER,
        "DNSSEC of the zone is broken",
    )
    assert (problem.detail, problem.hint) == (f"{NAME} is bogus", "mend DNSSEC")
    assert record.issuance.tries == tries
    assert services.cas[0].calls == []
    body = status_body(record, services.clock())
    assert "DNSSEC of the zone is broken" in body["message"] + (body["error"] or "")


@pytest.mark.parametrize("seconds", [2, 60, 660])
def test_n15_a_zone_that_is_mended_meanwhile_goes_on(services: Services, seconds: float) -> None:
    services.resolver.bogus.add(NAME)
    opened(services)
    start = services.clock()
    while services.clock() < start + seconds:
        attempted(services)
        services.clock.forward(2)
    services.resolver.bogus.clear()
    assert status(finish(services), services.clock()) is Status.ACTIVE


def test_n15_the_first_look_alone_accuses_nobody_and_blocks_no_worker(services: Services) -> None:
    services.resolver.bogus.add(NAME)
    record = opened(services)
    outcome, seconds = tasks.attempt(services, Step.ORDER, record.issuance.id)
    assert (outcome, seconds) == (tasks.Outcome.RETRY, 2.0)
    assert services.store.load(NAME).issuance.problem is None


@pytest.mark.parametrize("where", ["bogus", "bogus_caa"])
def test_n15_a_renewal_is_left_to_the_ca_after_a_problem(services: Services, where: str) -> None:
    renewal(services)
    getattr(services.resolver, where).add(NAME)
    services.cas[0].calls.clear()
    record = attempted(services, times=2)
    assert record.issuance.problem.message == "DNSSEC of the zone is broken"
    assert services.cas[0].calls == []
    assert finish(services).issuance.step is Step.DONE


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_n15_broken_caa_answers_alone_hold_a_new_name_back_too(services: Services, tries: int) -> None:
    services.resolver.bogus_caa.add(NAME)
    opened(services)
    record = attempted(services, times=2 * tries)
    problem = record.issuance.problem
    assert (problem.type, problem.message) == (ProblemType.DNS_UNKNOWN, "DNSSEC of the zone is broken")
    assert problem.hint == "mend DNSSEC"
    assert "new_order" not in services.cas[0].calls
    services.resolver.bogus_caa.clear()
    assert status(finish(services), services.clock()) is Status.ACTIVE


@pytest.mark.parametrize("where", ["bogus", "bogus_caa"])
@pytest.mark.parametrize("failures", [1, 2])
def test_n15_the_wait_for_a_second_look_says_nothing_about_the_ca(
    services: Services, where: str, failures: int
) -> None:
    getattr(services.resolver, where).add(NAME)
    opened(services)
    ca, now = services.cas[0].directory_url, services.clock()
    for _ in range(failures):
        services.limits.record_failure(ca, now=now, until=None)
    assert attempted(services).issuance.waits == 1
    cooldowns = [services.limits.record_failure(ca, now=now, until=None) for _ in range(3 - failures)]
    assert cooldowns[-1] is not None


@pytest.mark.parametrize("verdict", [Verdict.NO, Verdict.YES, Verdict.UNKNOWN])
def test_n15_other_verdicts_wait_for_no_second_look(services: Services, verdict: Verdict) -> None:
    services.resolver.verdicts[NAME] = verdict
    opened(services)
    issuance = attempted(services).issuance
    assert issuance.waits == 0
    assert (issuance.problem is None) is (verdict is Verdict.YES)
    assert issuance.problem is None or issuance.problem.message != "DNSSEC of the zone is broken"


@pytest.mark.parametrize(
    ("pointing", "proof", "told"),
    [
        (Verdict.NO, Verdict.NO, f"create the record {NAME} CNAME {TARGET}"),
        (Verdict.NO, Verdict.UNKNOWN, f"create the record {NAME} CNAME {TARGET}"),
        (Verdict.NO, Verdict.YES, f"create the record {NAME} CNAME {TARGET}"),
        (Verdict.YES, Verdict.NO, f"create the record _issuer.{NAME} TXT "),
        (Verdict.YES, Verdict.UNKNOWN, "the name servers of the domain must answer"),
    ],
)
def test_n24_nobody_is_told_to_create_a_proof_that_may_be_there(pointing: Verdict, proof: Verdict, told: str) -> None:
    api_client = ApiClient(with_settings(fake_services(), holder_proof=HolderProof.TXT)).with_accounts()
    services = api_client.services
    token = services.store.account("platform").token
    services.resolver.verdicts[NAME] = pointing
    services.resolver.proofs[NAME] = (
        "" if proof is Verdict.NO else token,
        Verdict.YES if proof is Verdict.NO else proof,
    )
    hint = ownership.points_here(services, NAME, "platform", had_certificate=False).hint
    assert hint.startswith(told)
    assert ("TXT" in hint) is (proof is Verdict.NO)
