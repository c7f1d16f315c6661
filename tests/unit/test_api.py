"""The contract's fixed part, word for word, over fakes."""

import datetime as dt
from dataclasses import replace
from urllib.parse import quote

import pytest

from issuer.domain import Step
from issuer.ports import Verdict
from issuer.problem import Problem, ProblemType
from tests.api_client import ApiClient, issued, renewing, worked
from tests.fakes import NAME, NOW, TARGET, opened

INITIATED = {"message": "Initiated x509 key pair generation", "location": f"/v2/x509/{NAME}/status"}
ALREADY = f"x509 key pair generation has already been initiated for {NAME}"
NOT_INITIATED = f"Please initiate x509 key pair generation at POST /v2/x509/{NAME}"
LATER = Problem(ProblemType.CA_UNAVAILABLE, "timed out", hint="wait")
REFUSED = Problem(ProblemType.CA_REFUSED, "policy")
CALLS = ["POST", "PUT"]


@pytest.fixture
def api_client() -> ApiClient:
    api_client = ApiClient().with_accounts()
    api_client.queued()
    return api_client


def expired(api_client: ApiClient) -> None:
    api_client.services.clock.now = issued(api_client.services).domain.certificate.not_after + 1


def failed(api_client: ApiClient, problem: Problem = REFUSED) -> None:
    worked(api_client.services, lambda issuance: issuance.fail(problem))


def waiting(api_client: ApiClient, seconds: float, problem: Problem = LATER) -> None:
    at = api_client.services.clock() + seconds
    worked(api_client.services, lambda issuance: issuance.retry(problem, at))


def limited_until(at: float) -> Problem:
    return Problem(ProblemType.RATE_LIMITED, "too many certificates", retry_at=at)


def initiate(api_client: ApiClient, method: str, **more):
    return api_client.call(method, f"/v2/x509/{NAME}", **more)


def assert_initiated(api_client: ApiClient, answer) -> None:
    assert (answer.status_code, answer.json, answer.headers["Location"]) == (202, INITIATED, INITIATED["location"])
    record = api_client.load()
    assert api_client.queued() == [("order", record.issuance.id)]
    assert record.issuance.step is Step.ORDER


def test_post_starts_an_issuance(api_client: ApiClient) -> None:
    assert_initiated(api_client, api_client.post())
    assert api_client.load().domain.account == "platform"


@pytest.mark.parametrize("state", [expired, failed])
@pytest.mark.parametrize("method", CALLS)
def test_post_and_put_start_again_without_a_valid_certificate(api_client: ApiClient, method: str, state) -> None:
    state(api_client)
    before = api_client.load().issuance.id
    assert_initiated(api_client, initiate(api_client, method))
    assert api_client.load().issuance.id != before


def test_post_and_put_of_a_bad_cname_say_what_is_there_and_what_to_create(api_client: ApiClient) -> None:
    api_client.services.resolver.verdicts[NAME] = Verdict.NO
    assert (api_client.post().status_code, api_client.load()) == (400, None)
    failed(api_client)
    for method in CALLS:
        answer = initiate(api_client, method)
        assert (answer.status_code, answer.json["message"]) == (400, "invalid CNAME record")
        assert answer.json["code"] == "invalid-cname"
        assert f"{NAME} as DNS has it" in answer.json["detail"]
        assert f"{NAME} CNAME {TARGET}" in answer.json["hint"]
    assert (api_client.queued(), api_client.load().issuance.step) == ([], Step.FAILED)


def test_unknown_dns_is_not_a_no(api_client: ApiClient) -> None:
    api_client.services.resolver.verdicts[NAME] = Verdict.UNKNOWN
    assert_initiated(api_client, api_client.post())


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a b.example", id="a03-blank"),
        pytest.param("a.example\n", id="a03-newline"),
        pytest.param("a.example\0.evil.example", id="a03-nul"),
        pytest.param("a.example..", id="a05-two-dots"),
        pytest.param("shop_1.customer.example", id="a07-underscore"),
        pytest.param("1.2.3.4", id="a09-ip"),
        pytest.param("[::1]", id="a09-ipv6"),
        pytest.param("a.example:443", id="a09-port"),
        pytest.param("http://a.example/x", id="a09-url"),
        pytest.param("localhost", id="a09-one-label"),
        pytest.param("co.uk", id="a09-suffix"),
        pytest.param(TARGET, id="a09-our-own"),
        pytest.param("*.customer.example", id="a13-wildcard"),
        pytest.param("*.foö.example", id="a13-wildcard-idn"),
        pytest.param("a.*.customer.example", id="a13-wildcard-inside"),
    ],
)
def test_a_name_that_no_certificate_can_be_had_for_is_400_with_a_reason(
    api_client: ApiClient, name: str, method: str
) -> None:
    answer = api_client.call(method, f"/v2/x509/{quote(name, safe='')}")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid-name")
    assert answer.json["message"] not in {"", "invalid CNAME record"}
    assert answer.json["detail"]
    assert answer.json["hint"]
    assert (api_client.services.resolver.asked, api_client.queued()) == ([], [])


@pytest.mark.parametrize("method", CALLS)
def test_without_the_plan_402(api_client: ApiClient, method: str) -> None:
    answer = initiate(api_client, method, account="small")
    assert (answer.status_code, answer.json["message"]) == (402, "upgrade your account to enable this feature")
    assert answer.json["cause"] == "the plan basic of the account small does not include certificates"
    assert "issuer accounts set-plan small https" in answer.json["hint"]
    assert api_client.load() is None


@pytest.mark.parametrize("state", [opened, issued])
@pytest.mark.parametrize("method", CALLS)
def test_another_accounts_name_is_404_and_does_not_name_the_holder(api_client: ApiClient, method: str, state) -> None:
    state(api_client.services)
    before = api_client.load()
    answer = initiate(api_client, method, account="other")
    assert (answer.status_code, answer.json["code"]) == (404, "not-found")
    assert not {"platform", before.issuance.id, "active", "processing"} & set(
        answer.text.replace('"must_act":"platform"', "").replace('"', " ").split()
    )
    status, unknown = api_client.status(account="other"), api_client.status("unknown.example", "other")
    assert (status.status_code, status.json["message"]) == (404, NOT_INITIATED)
    shown = status.json
    assert shown.pop("last_refusal")["hint"] == answer.json["hint"]
    assert str(shown) == str(unknown.json).replace("unknown.example", NAME)
    assert (api_client.load(), api_client.queued()) == (before, [])


@pytest.mark.parametrize("state", [opened, issued, renewing, lambda services: worked(services, lambda same: same)])
@pytest.mark.parametrize("method", CALLS)
def test_409_while_pending_or_valid(api_client: ApiClient, method: str, state) -> None:
    state(api_client.services)
    before = api_client.load()
    answer = initiate(api_client, method)
    assert (answer.status_code, answer.json["message"]) == (409, ALREADY)
    assert (api_client.load(), api_client.queued()) == (before, [])


@pytest.mark.parametrize("method", CALLS)
def test_409_to_the_last_second_of_the_certificate(api_client: ApiClient, method: str) -> None:
    expired(api_client)
    api_client.services.clock.forward(-0.5)
    assert initiate(api_client, method).status_code == 409
    api_client.services.clock.forward(0.5)
    assert initiate(api_client, method).status_code == 202


def test_put_and_status_of_an_unknown_name_are_404(api_client: ApiClient) -> None:
    for answer in (api_client.put(), api_client.status()):
        assert (answer.status_code, answer.json["message"]) == (404, NOT_INITIATED)
    assert (api_client.load(), api_client.queued()) == (None, [])


@pytest.mark.parametrize("state", [failed, lambda api_client, problem: waiting(api_client, 7200, problem)])
@pytest.mark.parametrize("method", CALLS)
def test_429_until_the_ca_allows_it(api_client: ApiClient, method: str, state) -> None:
    state(api_client, limited_until(NOW + 3600))
    answer = initiate(api_client, method)
    assert (answer.status_code, answer.json["message"]) == (429, "a rate limit of the CA has been reached")
    assert answer.headers["Retry-After"] == "3600"
    api_client.services.clock.forward(3599.5)
    assert initiate(api_client, method).headers["Retry-After"] == "1"
    assert api_client.queued() == []
    api_client.services.clock.forward(0.5)
    assert_initiated(api_client, initiate(api_client, method))


@pytest.mark.parametrize("method", CALLS)
def test_429_with_an_expired_certificate_too(api_client: ApiClient, method: str) -> None:
    expired(api_client)
    api_client.put()
    failed(api_client, limited_until(api_client.services.clock() + 60))
    answer = initiate(api_client, method)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")


@pytest.mark.parametrize("method", CALLS)
def test_between_attempts_a_request_wakes_the_same_issuance(api_client: ApiClient, method: str) -> None:
    worked(
        api_client.services, lambda issuance: issuance.advance(Step.CHALLENGE, order_url="https://ca.example/order/1")
    )
    waiting(api_client, 121)
    before = api_client.load().issuance
    assert api_client.status().json["status"] == "error"
    answer = initiate(api_client, method)
    assert (answer.status_code, answer.json) == (202, INITIATED)
    after = api_client.load().issuance
    assert (after.id, after.order_url, after.next_try_at) == (before.id, before.order_url, api_client.services.clock())
    assert api_client.queued() == [("challenge", before.id)]
    assert api_client.status().json["status"] == "processing"
    assert initiate(api_client, method).status_code == 409


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    ("status", "account", "name"),
    [
        pytest.param(401, "nobody", "a b", id="key-name"),
        pytest.param(400, "small", "a b", id="name-plan"),
        pytest.param(402, "small", NAME, id="plan-holder"),
        pytest.param(404, "other", NAME, id="holder-state"),
        pytest.param(409, "platform", NAME, id="state-cname"),
    ],
)
def test_the_checks_have_their_order(api_client: ApiClient, method: str, status: int, account: str, name: str) -> None:
    opened(api_client.services)
    api_client.services.resolver.asked.clear()
    api_client.services.resolver.verdicts[NAME] = Verdict.NO
    assert api_client.call(method, f"/v2/x509/{quote(name)}", account).status_code == status
    assert api_client.services.resolver.asked == []


def test_the_limit_and_the_existence_come_before_the_cname(api_client: ApiClient) -> None:
    api_client.services.resolver.verdicts[NAME] = Verdict.NO
    assert api_client.put().status_code == 404
    failed(api_client, limited_until(NOW + 60))
    assert [initiate(api_client, method).status_code for method in CALLS] == [429, 429]


def status_of(api_client: ApiClient) -> dict:
    answer = api_client.status()
    assert (answer.status_code, {"status", "message", "error", "certificate"} - set(answer.json)) == (200, set())
    return answer.json


def test_status_processing(api_client: ApiClient) -> None:
    api_client.post()
    body = status_of(api_client)
    assert body.pop("message")
    wait = "Waiting for x509 key pair generation"
    assert body == {"status": "processing", "error": wait, "certificate": None}
    waiting(api_client, 120)
    body = status_of(api_client)
    assert (body["status"], body["error"], body["certificate"]) == ("processing", wait, None)
    assert "timed out" in body["message"]


def test_status_processing_never_hides_the_certificate_in_force(api_client: ApiClient) -> None:
    chain = renewing(api_client.services).domain.certificate.chain
    body = status_of(api_client)
    assert (body["status"], body["certificate"]) == ("processing", chain)


def test_status_active_to_the_second_and_expired_after_it(api_client: ApiClient) -> None:
    certificate = issued(api_client.services).domain.certificate
    api_client.services.clock.now = certificate.not_after + 0.9
    body = status_of(api_client)
    assert (body["status"], body["error"], body["certificate"]) == ("active", None, certificate.chain)
    assert body["certificate"].count("BEGIN CERTIFICATE") == 2
    api_client.services.clock.now = certificate.not_after + 1
    body = status_of(api_client)
    assert (body["status"], body["error"]) == ("expired", "x509 certificate has expired")
    assert body["certificate"] == certificate.chain


def test_status_error_for_good(api_client: ApiClient) -> None:
    failed(api_client)
    body = status_of(api_client)
    assert (body["status"], body["certificate"], "next_attempt_at" in body) == ("error", None, False)
    assert "policy" in body["error"]


def test_status_error_between_attempts_has_the_time_of_the_next_one(api_client: ApiClient) -> None:
    waiting(api_client, 121)
    body = status_of(api_client)
    assert body["status"] == "error"
    assert "timed out" in body["error"]
    assert "wait" in body["error"]
    assert dt.datetime.fromisoformat(body["next_attempt_at"]).timestamp() == NOW + 121


def test_status_error_with_a_valid_certificate_in_hand_shows_it(api_client: ApiClient) -> None:
    chain = renewing(api_client.services).domain.certificate.chain
    failed(api_client)
    body = status_of(api_client)
    assert (body["status"], body["certificate"]) == ("error", chain)


def test_status_error_says_what_failed_also_when_it_is_the_ca_that_asks_for_a_long_wait(api_client: ApiClient) -> None:
    worked(api_client.services, lambda issuance: replace(issuance, is_answered=True).wait(NOW + 3600))
    body = status_of(api_client)
    assert body["status"] == "error"
    assert body["error"]
