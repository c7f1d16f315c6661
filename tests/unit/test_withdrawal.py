"""DELETE /v2/x509/{domain}: the answer, who may have the name afterwards, and what is revoked."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from issuer.actions import withdraw
from issuer.domain import Hsts, Step
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from tests.api_client import ApiClient, issued, renewing, worked
from tests.fakes import NAME, fake_services, opened, with_settings
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet
from tests.writes import write

PATH = f"/v2/x509/{NAME}"
NOT_INITIATED = f"Please initiate x509 key pair generation at POST {PATH}"


@pytest.fixture
def api_client() -> ApiClient:
    api_client = ApiClient().with_accounts()
    api_client.queued()
    return api_client


def delete(api_client: ApiClient, query: str = "", account: str = "platform", name: str = NAME):
    return api_client.call("DELETE", f"/v2/x509/{name}{query}", account)


def failed(services: Services) -> None:
    worked(services, lambda issuance: issuance.fail(Problem(ProblemType.CA_REFUSED, "policy")))


@pytest.mark.parametrize("state", [opened, issued, renewing, failed])
def test_a_name_can_be_withdrawn_in_any_state_and_the_answer_says_what_happens(api_client: ApiClient, state) -> None:
    state(api_client.services)
    answer = delete(api_client)
    assert answer.status_code == 200
    assert f"{NAME} is no longer served or renewed" in answer.json["message"]
    assert "reserved for your account" in answer.json["message"]
    held_until = datetime.fromtimestamp(int(api_client.services.clock() + 30 * DAY), UTC)
    assert (answer.json["held_until"], answer.json["revocation"]) == (held_until.isoformat(), None)
    for again in (api_client.status(), api_client.put(), delete(api_client), delete(api_client, "?revoke=true")):
        assert (again.status_code, again.json["message"]) == (404, NOT_INITIATED)
    assert api_client.queued() == []


@pytest.mark.parametrize("state", [opened, issued])
def test_b04_another_accounts_name_cannot_be_withdrawn(api_client: ApiClient, state) -> None:
    unknown = delete(api_client, account="other")
    state(api_client.services)
    before = api_client.load()
    answer = delete(api_client, "?revoke=true", "other")
    assert (answer.status_code, answer.json) == (404, unknown.json)
    assert answer.json["message"] == NOT_INITIATED
    assert api_client.load() == before


def test_b04_a_withdrawn_name_is_reserved_for_its_account(api_client: ApiClient) -> None:
    issued(api_client.services)
    delete(api_client)
    api_client.services.clock.forward(30 * DAY - 1)
    for answer in (api_client.post(account="other"), api_client.put(account="other")):
        assert (answer.status_code, answer.json["code"]) == (404, "not-found")
        assert "platform" not in str({**answer.json, "must_act": "…"})
    assert api_client.status(account="other").json["message"] == NOT_INITIATED
    withdrawn_record = api_client.load()
    assert api_client.post().status_code == 202
    record = api_client.load()
    assert (record.version, record.issuance.step) == (withdrawn_record.version + 1, Step.ORDER)
    assert (record.domain.created_at, record.domain.is_withdrawn) == (api_client.services.clock(), False)
    assert api_client.status().json["status"] == "processing"
    assert api_client.post(account="other").status_code == 404


@pytest.mark.parametrize("is_scanned", [True, False])
def test_after_the_hold_anybody_may_have_it_whether_or_not_it_has_been_forgotten(
    api_client: ApiClient, *, is_scanned
) -> None:
    issued(api_client.services)
    delete(api_client)
    api_client.services.clock.forward(30 * DAY + (HOUR if is_scanned else 0))
    if is_scanned:
        withdraw.remove(api_client.services, NAME)
        assert api_client.load() is None
    assert api_client.put(account="other").status_code == 404
    assert api_client.post(account="other").status_code == 202
    assert api_client.load().domain.account == "other"
    assert (api_client.post().status_code, api_client.status().status_code) == (404, 404)
    assert api_client.status(account="other").json["status"] == "processing"


def test_without_a_hold_it_is_free_at_once(api_client: ApiClient) -> None:
    free = ApiClient(with_settings(api_client.services, hold_days=0), keys=api_client.keys)
    issued(free.services)
    answer = delete(free)
    assert ("held" in answer.json["message"], answer.json["held_until"]) == (False, None)
    version = free.load().version
    assert free.post(account="other").status_code == 202
    assert free.load().version == version + 1, "a stale writer is refused"


def test_withdrawing_and_asking_again_has_the_limit_of_a_name_that_is_tried(api_client: ApiClient) -> None:
    answers = []
    for _ in range(5):
        answers.append(api_client.post().status_code)
        delete(api_client)
    assert answers == [202, 202, 202, 202, 429]


def test_a_name_whose_hold_is_over_counts_as_a_new_one() -> None:
    api_client = ApiClient(fake_services(new_names_per_registered_domain=1)).with_accounts()
    api_client.post()
    delete(api_client)
    api_client.services.clock.forward(31 * DAY)
    assert api_client.post(account="other").status_code == 202
    assert api_client.post(f"b.{NAME}", account="other").status_code == 429


def test_a_name_that_is_no_longer_allowed_can_be_withdrawn(api_client: ApiClient) -> None:
    issued(api_client.services)
    strict = with_settings(api_client.services, allow_reserved_names=False)
    strict = replace(strict, own_names=("customer.example",))
    assert delete(ApiClient(strict, keys=api_client.keys)).status_code == 200


def test_the_answer_says_how_long_browsers_use_only_https(api_client: ApiClient) -> None:
    opened(api_client.services)
    assert "warning" not in delete(api_client).json
    api_client.post()
    record = issued_again(api_client)
    write(api_client.services.store, record.with_domain(hsts=Hsts(DAY)), now=api_client.services.clock())
    until = datetime.fromtimestamp(int(api_client.services.clock() + DAY), UTC).isoformat()
    assert until in delete(api_client).json["warning"]


def issued_again(api_client: ApiClient):
    fleet = SimulatedFleet(api_client.services)
    fleet.scan()
    api_client.services.clock.forward(HOUR)
    fleet.run(60)
    return api_client.load()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("?revoke=true", 0),
        ("?revoke=true&reason=keyCompromise", 1),
        ("?revoke=true&reason=1", 1),
        ("?revoke=true&reason=superseded", 4),
        ("?revoke=true&reason=4", 4),
        ("?revoke=true&reason=cessationOfOperation", 5),
        ("?reason=0&revoke=true", 0),
    ],
)
def test_what_was_in_force_is_revoked_where_it_was_issued(api_client: ApiClient, query: str, reason: int) -> None:
    certificate = issued(api_client.services).domain.certificate
    answer = delete(api_client, query)
    assert (answer.status_code, answer.json["revocation"]) == (200, "pending")
    assert "revoke" not in api_client.services.cas[0].calls, "not while the caller waits"
    fleet = SimulatedFleet(api_client.services)
    fleet.run(60)
    assert api_client.services.cas[0].revoked == {certificate.chain: reason}
    assert api_client.load().domain.revocations == ()
    fleet.run(DAY)
    assert api_client.services.cas[0].calls.count("revoke") == 1


@pytest.mark.parametrize(
    "query",
    [
        "?revoke",
        "?revoke=",
        "?revoke=1",
        "?revoke=yes",
        "?revoke=TRUE",
        "?revoke=true&revoke=false",
        "?reason=1",
        "?revoke=false&reason=1",
        "?revoke=true&reason=",
        "?revoke=true&reason=2",
        "?revoke=true&reason=3",
        "?revoke=true&reason=affiliationChanged",
        "?revoke=true&reason=KEYCOMPROMISE",
        "?revoke=true&reason=1&reason=4",
        "?revoke=true&reason=%FF%0A",
    ],
)
def test_an_unclear_query_is_400_and_withdraws_nothing(api_client: ApiClient, query: str) -> None:
    issued(api_client.services)
    before = api_client.load()
    answer = delete(api_client, query)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid-request")
    assert answer.json["detail"]
    assert answer.json["hint"]
    assert api_client.load() == before


def test_without_a_certificate_that_is_valid_there_is_nothing_to_revoke(api_client: ApiClient) -> None:
    opened(api_client.services)
    answer = delete(api_client, "?revoke=true")
    assert ("no valid certificate to revoke" in answer.json["message"], answer.json["revocation"]) == (True, None)
    api_client.post()
    record = issued_again(api_client)
    api_client.services.clock.now = record.domain.certificate.not_after + 1
    assert delete(api_client, "?revoke=true").json["revocation"] is None


def withdrawn(api_client: ApiClient, reason: int = 1) -> SimulatedFleet:
    """A withdrawn name with a certificate to revoke."""
    issued(api_client.services)
    account = api_client.services.store.account("platform")
    withdraw.withdraw(api_client.services, account, NAME, reason=reason)
    return SimulatedFleet(api_client.services)


def refusing(api_client: ApiClient, problem: Problem, times: int) -> list[float]:
    """The times at which the CA was asked to revoke."""
    asked = []

    def refuse(method: str) -> None:
        if method == "revoke":
            asked.append(api_client.services.clock())
            if len(asked) <= times:
                raise problem

    api_client.services.cas[0].before = refuse
    return asked


def test_it_is_asked_for_again_at_growing_pauses_until_it_is_done(api_client: ApiClient) -> None:
    asked = refusing(api_client, Problem(ProblemType.CA_MISUNDERSTOOD, "what?"), times=6)
    fleet = withdrawn(api_client)
    fleet.run(3 * DAY)
    pauses = [after - before for before, after in pairwise(asked)]
    expected = [60, 600, 6000, 6 * HOUR, 6 * HOUR, 6 * HOUR]
    assert len(pauses) == len(expected)
    assert all(0.8 * one <= pause <= 1.2 * one for one, pause in zip(expected, pauses, strict=True))
    assert len(api_client.services.cas[0].revoked) == 1
    assert api_client.load().domain.revocations == ()


def test_a_retry_after_of_the_ca_is_respected(api_client: ApiClient) -> None:
    later = api_client.services.clock() + 2 * DAY
    asked = refusing(api_client, Problem(ProblemType.RATE_LIMITED, "later", retry_at=later), times=1)
    withdrawn(api_client).run(3 * DAY)
    assert asked[1] >= later


def test_an_unavailable_ca_is_asked_again_when_it_is_available(api_client: ApiClient) -> None:
    asked = refusing(api_client, Problem(ProblemType.CA_UNAVAILABLE, "away"), times=4)
    fleet = withdrawn(api_client)
    fleet.run(3 * DAY)
    assert (len(asked), len(api_client.services.cas[0].revoked)) == (5, 1)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_hold_lasts_until_it_is_revoked_or_the_certificate_has_ended(
    api_client: ApiClient, *, is_known: bool
) -> None:
    api_client.services = with_settings(api_client.services, hold_days=0)
    api_client = ApiClient(api_client.services, keys=api_client.keys)
    refusing(api_client, Problem(ProblemType.CA_MISUNDERSTOOD, "what?"), times=10**6)
    fleet = withdrawn(api_client)
    if not is_known:
        fleet.services = replace(api_client.services, cas=())
    fleet.run(60)
    (revocation,) = api_client.load().domain.revocations
    assert api_client.post(account="other").status_code == 404
    fleet.run(revocation.not_after - api_client.services.clock())
    assert api_client.post(account="other").status_code == 404
    fleet.run(2)
    assert api_client.load().domain.revocations == ()
    assert api_client.load().domain.remove_at == pytest.approx(api_client.services.clock() + HOUR, abs=3)
    assert api_client.post(account="other").status_code == 202


def test_what_is_to_be_revoked_continues_when_the_name_is_requested_again(api_client: ApiClient) -> None:
    asked = refusing(api_client, Problem(ProblemType.CA_MISUNDERSTOOD, "what?"), times=1)
    fleet = withdrawn(api_client)
    first = api_client.load().domain.revocations[0].chain
    fleet.scan()
    assert api_client.post().status_code == 202
    fleet.run(HOUR)
    record = api_client.load()
    assert (len(asked), api_client.services.cas[0].revoked) == (2, {first: 1})
    assert (record.issuance.step, record.domain.revocations) == (Step.DONE, ())
    assert record.domain.certificate.chain != first
    second = record.domain.certificate.chain
    delete(api_client, "?revoke=true&reason=4")
    fleet.run(60)
    assert api_client.services.cas[0].revoked == {first: 1, second: 4}


def test_a_revocation_while_a_worker_has_the_record_is_asked_for_again_and_done(api_client: ApiClient) -> None:
    fleet = withdrawn(api_client)
    api_client.post()
    issuance_id, now = api_client.load().issuance.id, api_client.services.clock()
    api_client.services.store.lease(issuance_id, now=now, until=now + 70)
    fleet.scan()
    assert len(api_client.load().domain.revocations) == 1
    fleet.run(HOUR)
    assert api_client.load().domain.revocations == ()
    assert api_client.services.cas[0].calls.count("revoke") == 2


@pytest.mark.parametrize("account", ["platform", "other"])
def test_the_operator_withdraws_a_name_of_any_account_and_the_timeline_says_who(
    services: Services, account: str
) -> None:
    opened(services, NAME, account)
    former, after = withdraw.withdraw(services, None, NAME.upper())
    assert (former.is_withdrawn, after.is_withdrawn, after.account) == (False, True, account)
    event = services.store.load(NAME).timeline[-1]
    assert (event.by, event.text) == ("operator", "the operator has withdrawn the domain")
    for name, words in ((NAME, "the domain has been withdrawn"), ("other.example", "domain not found")):
        with pytest.raises(Problem, match=words):
            withdraw.withdraw(services, None, name)
