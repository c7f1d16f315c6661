"""B04: a name must show whose it is, where the operator wants that."""

from dataclasses import replace

import pytest

from issuer import accounts, holder, renewal, tasks
from issuer.domain import Step
from issuer.ports import Account, HolderProof, Plan, Services, Verdict
from issuer.problem import Problem, ProblemType
from tests.fakes import NAME, TARGET, fake_services, opened
from tests.front import Front, issued

PROOFS = [HolderProof.CNAME, HolderProof.TXT]


@pytest.fixture(params=PROOFS)
def front(request: pytest.FixtureRequest) -> Front:
    front = Front(replace(fake_services(), holder_proof=request.param)).with_accounts()
    front.queued()
    return front


def token(front: Front, account: str = "platform") -> str:
    return front.services.store.account(account).token


def prove(front: Front, account: str = "platform", verdict: Verdict = Verdict.YES) -> None:
    front.services.resolver.proofs[NAME] = (token(front, account), verdict)


def record_to_create(front: Front) -> str:
    own = token(front)
    by_cname = front.services.holder_proof is HolderProof.CNAME
    return f"{NAME} CNAME {own}.{TARGET}" if by_cname else f"_issuer.{NAME} TXT {own}"


def test_each_account_has_a_token_of_its_own_that_is_a_label(front: Front) -> None:
    tokens = {token(front, account) for account in ("platform", "other", "small")}
    assert len(tokens) == 3
    assert all(len(one) == 32 and one.isalnum() and one.islower() for one in tokens)


@pytest.mark.parametrize("shown", ["nothing", "another account's"])
def test_b04_who_can_not_show_that_it_is_theirs_is_told_which_record_to_create(front: Front, shown: str) -> None:
    if shown != "nothing":
        prove(front, "other")
    answer = front.post()
    assert (answer.status_code, answer.json["message"], answer.json["code"]) == (
        400,
        "invalid CNAME record",
        "invalid-cname",
    )
    assert record_to_create(front) in answer.json["hint"]
    assert token(front, "other") not in answer.text
    assert front.load() is None


def test_b04_who_can_show_it_gets_a_certificate(front: Front) -> None:
    prove(front)
    assert front.post().status_code == 202
    record = front.load()
    assert tasks.attempt(front.services, Step.ORDER, record.issuance.id)[0] is tasks.Onward.NEXT


def test_b04_put_asks_for_it_too(front: Front) -> None:
    prove(front)
    front.services.clock.now = issued(front.services).domain.certificate.not_after + 1
    front.services.resolver.proofs.clear()
    answer = front.put()
    assert (answer.status_code, record_to_create(front) in answer.json["hint"]) == (400, True)
    prove(front)
    assert front.put().status_code == 202


def test_b04_the_order_step_looks_again(front: Front) -> None:
    prove(front)
    front.post()
    front.services.resolver.proofs.clear()
    tasks.attempt(front.services, Step.ORDER, front.load().issuance.id)
    problem = front.load().issuance.problem
    assert (problem.type, record_to_create(front) in problem.hint) == (ProblemType.INVALID_CNAME, True)
    assert front.services.cas[0].calls == []


def test_b04_what_dns_does_not_answer_is_no_refusal_and_no_proof(front: Front) -> None:
    prove(front, verdict=Verdict.UNKNOWN)
    assert front.post().status_code == 202
    issuance_id = front.load().issuance.id
    for _ in range(4):
        front.services.clock.now = front.load().issuance.next_try_at or front.services.clock()
        tasks.attempt(front.services, Step.ORDER, issuance_id)
        assert front.load().issuance.problem.type is ProblemType.DNS_UNKNOWN
    assert front.services.cas[0].calls == []


def test_b03_a_name_that_has_shown_it_is_renewed_when_dns_does_not_answer(front: Front) -> None:
    prove(front)
    record = issued(front.services)
    prove(front, verdict=Verdict.UNKNOWN)
    front.services.clock.now = record.domain.renew_at
    issuance_id = renewal.begin(front.services, NAME).issuance.id
    for _ in range(2):
        front.services.clock.now = max(front.services.clock(), front.load().issuance.next_try_at or 0)
        tasks.attempt(front.services, Step.ORDER, issuance_id)
    assert front.load().issuance.step is Step.CHALLENGE


def test_b04_a_name_that_led_elsewhere_comes_back_only_with_its_proof(front: Front) -> None:
    prove(front)
    record = issued(front.services)
    away = {"away_since": front.services.clock(), "recheck_at": front.services.clock()}
    front.services.store.amend(record.with_domain(**away), now=front.services.clock())
    prove(front, "other")
    renewal.recheck(front.services, NAME)
    assert front.load().domain.away_since is not None
    prove(front)
    renewal.recheck(front.services, NAME)
    assert front.load().domain.away_since is None


def test_with_txt_the_cname_counts_as_before_and_both_records_are_told_at_once() -> None:
    front = Front(replace(fake_services(), holder_proof=HolderProof.TXT)).with_accounts()
    front.services.resolver.verdicts[NAME] = Verdict.NO
    assert f"{NAME} CNAME {TARGET} and _issuer.{NAME} TXT {token(front)}" in front.post().json["hint"]
    prove(front)
    answer = front.post()
    assert (answer.status_code, "TXT" in answer.json["hint"]) == (400, False)


def test_without_it_nothing_is_asked_for() -> None:
    front = Front().with_accounts()
    assert front.post().status_code == 202
    assert front.services.resolver.asked == [NAME]


def test_an_account_that_is_not_there_proves_nothing(front: Front) -> None:
    with pytest.raises(Problem) as caught:
        holder.pointing(front.services, NAME, "nobody")
    assert caught.value.type is ProblemType.NOT_FOUND
    opened(front.services, account="nobody")
    tasks.attempt(front.services, Step.ORDER, front.load().issuance.id)
    assert front.load().issuance.step is Step.FAILED


def test_an_account_from_before_gets_its_token_when_it_is_needed(front: Front) -> None:
    services: Services = front.services
    services.store.create_account(Account("old", Plan.HTTPS, "0" * 64, 0.0))
    assert holder.token(services, "old") == holder.token(services, "old") == services.store.account("old").token
    assert accounts.by_id(services, "old").token == services.store.account("old").token
