"""B04: if the operator requires it, a name must prove which account it belongs to."""

import pytest

from issuer import renewal, tasks
from issuer.actions import accounts
from issuer.domain import Account, Plan, Step
from issuer.edge import ownership
from issuer.events import EventType
from issuer.ports import DnsFinding, HolderProof, Services, Verdict
from issuer.problem import Actor, Problem, ProblemType
from tests.api_client import ApiClient, issued
from tests.fakes import NAME, TARGET, fake_services, opened, with_settings
from tests.unit.test_proxied_names import accepting, behind_a_proxy, ordered
from tests.writes import write

PROOFS = [HolderProof.CNAME, HolderProof.TXT]


@pytest.fixture(params=PROOFS)
def api_client(request: pytest.FixtureRequest) -> ApiClient:
    api_client = ApiClient(with_settings(fake_services(), holder_proof=request.param)).with_accounts()
    api_client.queued()
    return api_client


def token(api_client: ApiClient, account: str = "platform") -> str:
    return api_client.services.store.account(account).token


def prove(api_client: ApiClient, account: str = "platform", verdict: Verdict = Verdict.YES) -> None:
    api_client.services.resolver.proofs[NAME] = (token(api_client, account), verdict)


def record_to_create(api_client: ApiClient) -> str:
    own = token(api_client)
    by_cname = api_client.services.settings.holder_proof is HolderProof.CNAME
    return f"{NAME} CNAME {own}.{TARGET}" if by_cname else f"_issuer.{NAME} TXT {own}"


def test_each_account_has_its_own_token_that_is_a_label(api_client: ApiClient) -> None:
    tokens = {token(api_client, account) for account in ("platform", "other", "small")}
    assert len(tokens) == 3
    assert all(len(token) == 32 and token.isalnum() and token.islower() for token in tokens)


@pytest.mark.parametrize("proof", ["nothing", "another account's"])
def test_b04_without_proof_the_hint_names_the_record_to_create(api_client: ApiClient, proof: str) -> None:
    if proof != "nothing":
        prove(api_client, "other")
    answer = api_client.post()
    assert (answer.status_code, answer.json["message"], answer.json["code"]) == (
        400,
        "invalid CNAME record",
        "invalid-cname",
    )
    assert record_to_create(api_client) in answer.json["hint"]
    assert token(api_client, "other") not in answer.text
    assert api_client.load() is None


def test_b04_with_proof_there_is_a_certificate(api_client: ApiClient) -> None:
    prove(api_client)
    assert api_client.post().status_code == 202
    record = api_client.load()
    assert tasks.attempt(api_client.services, Step.ORDER, record.issuance.id)[0] is tasks.Outcome.ADVANCED


def test_b04_put_asks_for_it_too(api_client: ApiClient) -> None:
    prove(api_client)
    api_client.services.clock.now = issued(api_client.services).domain.certificate.not_after + 1
    api_client.services.resolver.proofs.clear()
    answer = api_client.put()
    assert (answer.status_code, record_to_create(api_client) in answer.json["hint"]) == (400, True)
    prove(api_client)
    assert api_client.put().status_code == 202


def test_b04_the_order_step_checks_again(api_client: ApiClient) -> None:
    prove(api_client)
    api_client.post()
    api_client.services.resolver.proofs.clear()
    tasks.attempt(api_client.services, Step.ORDER, api_client.load().issuance.id)
    problem = api_client.load().issuance.problem
    assert (problem.type, record_to_create(api_client) in problem.hint) == (ProblemType.INVALID_CNAME, True)
    assert api_client.services.cas[0].calls == []


def test_b04_what_dns_does_not_answer_is_no_refusal_and_no_proof(api_client: ApiClient) -> None:
    prove(api_client, verdict=Verdict.UNKNOWN)
    assert api_client.post().status_code == 202
    issuance_id = api_client.load().issuance.id
    for _ in range(4):
        api_client.services.clock.now = api_client.load().issuance.next_try_at or api_client.services.clock()
        tasks.attempt(api_client.services, Step.ORDER, issuance_id)
        assert api_client.load().issuance.problem.type is ProblemType.DNS_UNKNOWN
    assert api_client.services.cas[0].calls == []


def test_b03_a_proved_name_is_renewed_when_dns_does_not_answer(api_client: ApiClient) -> None:
    prove(api_client)
    record = issued(api_client.services)
    prove(api_client, verdict=Verdict.UNKNOWN)
    api_client.services.clock.now = record.domain.renew_at
    issuance_id = renewal.start(api_client.services, NAME).issuance.id
    for _ in range(2):
        api_client.services.clock.now = max(api_client.services.clock(), api_client.load().issuance.next_try_at or 0)
        tasks.attempt(api_client.services, Step.ORDER, issuance_id)
    assert api_client.load().issuance.step is Step.CHALLENGE


def test_b04_a_name_that_moved_away_comes_back_only_with_its_proof(api_client: ApiClient) -> None:
    prove(api_client)
    record = issued(api_client.services)
    moved_away = {"moved_away_since": api_client.services.clock(), "recheck_at": api_client.services.clock()}
    write(api_client.services.store, record.with_domain(**moved_away), now=api_client.services.clock())
    prove(api_client, "other")
    renewal.recheck(api_client.services, NAME)
    assert api_client.load().domain.moved_away_since is not None
    prove(api_client)
    renewal.recheck(api_client.services, NAME)
    assert api_client.load().domain.moved_away_since is None


def test_with_txt_the_cname_counts_as_before_and_the_hint_names_both_records() -> None:
    api_client = ApiClient(with_settings(fake_services(), holder_proof=HolderProof.TXT)).with_accounts()
    api_client.services.resolver.verdicts[NAME] = Verdict.NO
    proof = f"create the record _issuer.{NAME} TXT {token(api_client)}"
    assert api_client.post().json["hint"] == f"create the record {NAME} CNAME {TARGET}, and {proof}"
    prove(api_client)
    answer = api_client.post()
    assert (answer.status_code, "TXT" in answer.json["hint"]) == (400, False)


def test_without_it_nothing_is_asked_for() -> None:
    api_client = ApiClient().with_accounts()
    assert api_client.post().status_code == 202
    assert api_client.services.resolver.asked == [NAME]


def test_an_account_that_is_not_there_proves_nothing(api_client: ApiClient) -> None:
    with pytest.raises(Problem) as caught:
        ownership.points_here(api_client.services, NAME, "nobody", had_certificate=False)
    assert caught.value.type is ProblemType.NOT_FOUND
    opened(api_client.services, account="nobody")
    tasks.attempt(api_client.services, Step.ORDER, api_client.load().issuance.id)
    assert api_client.load().issuance.step is Step.FAILED


def test_an_account_from_before_gets_its_token_when_it_is_needed(api_client: ApiClient) -> None:
    services: Services = api_client.services
    services.store.create_account(Account("old", Plan.HTTPS, "0" * 64, 0.0))
    assert ownership.token(services, "old") == ownership.token(services, "old") == services.store.account("old").token
    assert accounts.by_id(services, "old").token == services.store.account("old").token


@pytest.fixture
def of_accounts() -> ApiClient:
    return ApiClient().with_accounts()


def proved(api_client: ApiClient, by: HolderProof) -> ApiClient:
    """The application with proof required, and given by `txt`; a proxy hides that of `cname`."""
    api_client = accepting(api_client, holder_proof=by)
    token = api_client.services.store.account("platform").token
    api_client.services.resolver.proofs[NAME] = (token, Verdict.YES)
    return api_client


def test_n17_a_probe_is_no_proof_of_the_account(of_accounts: ApiClient) -> None:
    api_client = proved(of_accounts, HolderProof.CNAME)
    issued(api_client.services)
    behind_a_proxy(api_client)
    finding = ownership.points_here(api_client.services, NAME, "platform", had_certificate=True)
    token = api_client.services.store.account("platform").token
    assert finding.verdict is Verdict.NO
    assert finding.hint.startswith("a proxy (CDN) is on")
    assert finding.hint.endswith(f"{NAME} CNAME {token}.{TARGET}")


def test_n17_with_a_txt_record_as_proof_a_probe_decides_where_the_name_points(of_accounts: ApiClient) -> None:
    api_client = proved(of_accounts, HolderProof.TXT)
    behind_a_proxy(api_client)
    assert api_client.post().status_code == 202
    (text,) = [event.text for event in ordered(api_client).timeline if event.type == EventType.DOMAIN_PROXIED]
    assert text == f"behind a proxy: {NAME} as DNS has it, but requests to it arrive here"
    api_client.services.resolver.proofs.clear()
    answer = api_client.post("other.example")
    assert answer.status_code == 400
    assert f"{NAME} TXT" not in answer.json["hint"]


def test_n17_the_txt_record_is_asked_for_beside_switching_the_proxy_off(of_accounts: ApiClient) -> None:
    services = with_settings(of_accounts.services, holder_proof=HolderProof.TXT)
    api_client = ApiClient(services, keys=of_accounts.keys)
    behind_a_proxy(api_client)
    hint = api_client.post().json["hint"]
    assert hint.startswith("a proxy (CDN) is on")
    assert f"and create the record _issuer.{NAME} TXT" in hint


@pytest.mark.parametrize("must_act", [Actor.PLATFORM, Actor.OWNER])
@pytest.mark.parametrize("advice", ["", "the operator must check it; the owner of the domain need do nothing"])
def test_n24_nobody_is_told_to_do_nothing_and_to_create_a_record(
    of_accounts: ApiClient, must_act: Actor, advice: str
) -> None:
    services = with_settings(of_accounts.services, holder_proof=HolderProof.TXT)
    unknown = DnsFinding(Verdict.UNKNOWN, "as DNS has it", f"{NAME} CNAME {TARGET}", advice, must_act=must_act)
    services.resolver.points_here = lambda *_: unknown
    finding = ownership.points_here(services, NAME, "platform", had_certificate=False)
    assert (finding.verdict, finding.must_act) == (Verdict.UNKNOWN, must_act)
    assert ("create the record" in finding.hint) is (must_act is Actor.OWNER and advice != "")
