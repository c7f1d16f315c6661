"""The contract's fixed part, word for word, over fakes."""

import datetime as dt
from dataclasses import replace
from urllib.parse import quote

import pytest

from issuer.domain import Step
from issuer.ports import Verdict
from issuer.problem import Problem, ProblemType
from tests.fakes import NAME, NOW, TARGET, opened
from tests.front import Front, issued, renewing, worked

INITIATED = {"message": "Initiated x509 key pair generation", "location": f"/v2/x509/{NAME}/status"}
ALREADY = f"x509 key pair generation has already been initiated for {NAME}"
NOT_INITIATED = f"Please initiate x509 key pair generation at POST /v2/x509/{NAME}"
LATER = Problem(ProblemType.CA_UNAVAILABLE, "timed out", hint="wait")
REFUSED = Problem(ProblemType.CA_REFUSED, "policy")
CALLS = ["POST", "PUT"]


@pytest.fixture
def front() -> Front:
    front = Front().with_accounts()
    front.queued()
    return front


def expired(front: Front) -> None:
    front.services.clock.now = issued(front.services).domain.certificate.not_after + 1


def failed(front: Front, problem: Problem = REFUSED) -> None:
    worked(front.services, lambda issuance: issuance.fail(problem))


def waiting(front: Front, seconds: float, problem: Problem = LATER) -> None:
    at = front.services.clock() + seconds
    worked(front.services, lambda issuance: issuance.retry(problem, at))


def limited_until(at: float) -> Problem:
    return Problem(ProblemType.RATE_LIMITED, "too many certificates", retry_at=at)


def begun(front: Front, method: str, **more):
    return front.call(method, f"/v2/x509/{NAME}", **more)


def assert_initiated(front: Front, answer) -> None:
    assert (answer.status_code, answer.json, answer.headers["Location"]) == (202, INITIATED, INITIATED["location"])
    record = front.load()
    assert front.queued() == [("order", record.issuance.id)]
    assert record.issuance.step is Step.ORDER


def test_post_begins(front: Front) -> None:
    assert_initiated(front, front.post())
    assert front.load().domain.account == "platform"


@pytest.mark.parametrize("state", [expired, failed])
@pytest.mark.parametrize("method", CALLS)
def test_post_and_put_begin_again_without_a_valid_certificate(front: Front, method: str, state) -> None:
    state(front)
    before = front.load().issuance.id
    assert_initiated(front, begun(front, method))
    assert front.load().issuance.id != before


def test_post_and_put_of_a_bad_cname_say_what_is_there_and_what_to_create(front: Front) -> None:
    front.services.resolver.verdicts[NAME] = Verdict.NO
    assert (front.post().status_code, front.load()) == (400, None)
    failed(front)
    for method in CALLS:
        answer = begun(front, method)
        assert (answer.status_code, answer.json["message"]) == (400, "invalid CNAME record")
        assert answer.json["code"] == "invalid-cname"
        assert f"{NAME} as DNS has it" in answer.json["detail"]
        assert f"{NAME} CNAME {TARGET}" in answer.json["hint"]
    assert (front.queued(), front.load().issuance.step) == ([], Step.FAILED)


def test_dns_that_can_not_be_asked_is_no_no(front: Front) -> None:
    front.services.resolver.verdicts[NAME] = Verdict.UNKNOWN
    assert_initiated(front, front.post())


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
def test_a_name_that_no_certificate_can_be_had_for_is_400_with_a_reason(front: Front, name: str, method: str) -> None:
    answer = front.call(method, f"/v2/x509/{quote(name, safe='')}")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid-name")
    assert answer.json["message"] not in {"", "invalid CNAME record"}
    assert answer.json["detail"]
    assert answer.json["hint"]
    assert (front.services.resolver.asked, front.queued()) == ([], [])


@pytest.mark.parametrize("method", CALLS)
def test_without_the_plan_402(front: Front, method: str) -> None:
    answer = begun(front, method, account="small")
    assert (answer.status_code, answer.json["message"]) == (402, "upgrade your account to enable this feature")
    assert front.load() is None


@pytest.mark.parametrize("state", [opened, issued])
@pytest.mark.parametrize("method", CALLS)
def test_another_accounts_name_is_404_and_nothing_is_said_of_the_holder(front: Front, method: str, state) -> None:
    state(front.services)
    before = front.load()
    answer = begun(front, method, account="other")
    assert (answer.status_code, answer.json["code"]) == (404, "not-found")
    assert not {"platform", before.issuance.id, "active", "processing"} & set(answer.text.replace('"', " ").split())
    status, unknown = front.status(account="other"), front.status("unknown.example", "other")
    assert (status.status_code, status.json["message"]) == (404, NOT_INITIATED)
    assert status.text == unknown.text.replace("unknown.example", NAME)
    assert (front.load(), front.queued()) == (before, [])


@pytest.mark.parametrize("state", [opened, issued, renewing, lambda services: worked(services, lambda same: same)])
@pytest.mark.parametrize("method", CALLS)
def test_409_while_pending_or_valid(front: Front, method: str, state) -> None:
    state(front.services)
    before = front.load()
    answer = begun(front, method)
    assert (answer.status_code, answer.json["message"]) == (409, ALREADY)
    assert (front.load(), front.queued()) == (before, [])


@pytest.mark.parametrize("method", CALLS)
def test_409_to_the_last_second_of_the_certificate(front: Front, method: str) -> None:
    expired(front)
    front.services.clock.forward(-0.5)
    assert begun(front, method).status_code == 409
    front.services.clock.forward(0.5)
    assert begun(front, method).status_code == 202


def test_put_and_status_of_an_unknown_name_are_404(front: Front) -> None:
    for answer in (front.put(), front.status()):
        assert (answer.status_code, answer.json["message"]) == (404, NOT_INITIATED)
    assert (front.load(), front.queued()) == (None, [])


@pytest.mark.parametrize("state", [failed, lambda front, problem: waiting(front, 7200, problem)])
@pytest.mark.parametrize("method", CALLS)
def test_429_until_the_ca_lets_us(front: Front, method: str, state) -> None:
    state(front, limited_until(NOW + 3600))
    answer = begun(front, method)
    assert (answer.status_code, answer.json["message"]) == (429, "a rate limit of the CA has been reached")
    assert answer.headers["Retry-After"] == "3600"
    front.services.clock.forward(3599.5)
    assert begun(front, method).headers["Retry-After"] == "1"
    assert front.queued() == []
    front.services.clock.forward(0.5)
    assert_initiated(front, begun(front, method))


@pytest.mark.parametrize("method", CALLS)
def test_429_with_an_expired_certificate_too(front: Front, method: str) -> None:
    expired(front)
    front.put()
    failed(front, limited_until(front.services.clock() + 60))
    answer = begun(front, method)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")


@pytest.mark.parametrize("method", CALLS)
def test_between_attempts_a_request_wakes_the_same_issuance(front: Front, method: str) -> None:
    worked(front.services, lambda issuance: issuance.advance(Step.CHALLENGE, order_url="https://ca.example/order/1"))
    waiting(front, 121)
    before = front.load().issuance
    assert front.status().json["status"] == "error"
    answer = begun(front, method)
    assert (answer.status_code, answer.json) == (202, INITIATED)
    after = front.load().issuance
    assert (after.id, after.order_url, after.next_try_at) == (before.id, before.order_url, front.services.clock())
    assert front.queued() == [("challenge", before.id)]
    assert front.status().json["status"] == "processing"
    assert begun(front, method).status_code == 409


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
def test_the_checks_have_their_order(front: Front, method: str, status: int, account: str, name: str) -> None:
    opened(front.services)
    front.services.resolver.asked.clear()
    front.services.resolver.verdicts[NAME] = Verdict.NO
    assert front.call(method, f"/v2/x509/{quote(name)}", account).status_code == status
    assert front.services.resolver.asked == []


def test_the_limit_and_the_existence_come_before_the_cname(front: Front) -> None:
    front.services.resolver.verdicts[NAME] = Verdict.NO
    assert front.put().status_code == 404
    failed(front, limited_until(NOW + 60))
    assert [begun(front, method).status_code for method in CALLS] == [429, 429]


def status_of(front: Front) -> dict:
    answer = front.status()
    assert (answer.status_code, {"status", "message", "error", "certificate"} - set(answer.json)) == (200, set())
    return answer.json


def test_status_processing(front: Front) -> None:
    front.post()
    body = status_of(front)
    assert body.pop("message")
    wait = "Waiting for x509 key pair generation"
    assert body == {"status": "processing", "error": wait, "certificate": None}
    waiting(front, 120)
    body = status_of(front)
    assert (body["status"], body["error"], body["certificate"]) == ("processing", wait, None)
    assert "timed out" in body["message"]


def test_status_processing_while_a_worker_is_at_it_whenever_it_is_due(front: Front) -> None:
    waiting(front, 3600)
    now = front.services.clock()
    front.services.store.take(front.load().issuance.id, now=now, until=now + 70)
    assert status_of(front)["status"] == "processing"


def test_status_processing_never_hides_the_certificate_in_force(front: Front) -> None:
    chain = renewing(front.services).domain.certificate.chain
    body = status_of(front)
    assert (body["status"], body["certificate"]) == ("processing", chain)


def test_status_active_to_the_second_and_expired_after_it(front: Front) -> None:
    certificate = issued(front.services).domain.certificate
    front.services.clock.now = certificate.not_after + 0.9
    body = status_of(front)
    assert (body["status"], body["error"], body["certificate"]) == ("active", None, certificate.chain)
    assert body["certificate"].count("BEGIN CERTIFICATE") == 2
    front.services.clock.now = certificate.not_after + 1
    body = status_of(front)
    assert (body["status"], body["error"]) == ("expired", "x509 certificate has expired")
    assert body["certificate"] == certificate.chain


def test_status_error_for_good(front: Front) -> None:
    failed(front)
    body = status_of(front)
    assert (body["status"], body["certificate"], "next_attempt_at" in body) == ("error", None, False)
    assert "policy" in body["error"]


def test_status_error_between_attempts_tells_when_the_next_one_is(front: Front) -> None:
    waiting(front, 121)
    body = status_of(front)
    assert body["status"] == "error"
    assert "timed out" in body["error"]
    assert "wait" in body["error"]
    assert dt.datetime.fromisoformat(body["next_attempt_at"]).timestamp() == NOW + 121


def test_status_error_with_a_valid_certificate_in_hand_shows_it(front: Front) -> None:
    chain = renewing(front.services).domain.certificate.chain
    failed(front)
    body = status_of(front)
    assert (body["status"], body["certificate"]) == ("error", chain)


def test_status_error_says_what_failed_also_when_it_is_the_ca_that_asks_for_a_long_wait(front: Front) -> None:
    worked(front.services, lambda issuance: replace(issuance, is_answered=True).wait(NOW + 3600))
    body = status_of(front)
    assert body["status"] == "error"
    assert body["error"]
