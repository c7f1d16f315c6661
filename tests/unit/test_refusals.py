"""Refused requests leave a trace: for the account that was refused, and for the operator."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer.metrics import REFUSED_REQUESTS
from issuer.ports import MAX_REFUSALS, REFUSAL_SECONDS, Refusal, Services, Verdict
from tests.api_client import ApiClient
from tests.command_line import command_over
from tests.databases import take_away
from tests.fakes import NAME, NOW
from tests.unit.test_metrics import scrape

NOT_INITIATED = f"Please initiate x509 key pair generation at POST /v2/x509/{NAME}"


@pytest.fixture
def client(services: Services) -> ApiClient:
    return ApiClient(services).with_accounts()


def refused(code: str = "invalid-cname", name: str = NAME, at: float = NOW, account: str = "platform") -> Refusal:
    return Refusal(account, name, at, code, "the cause", "the hint", "owner")


def counted(services: Services) -> dict[str, float]:
    return {key[1]: value for key, value in scrape(services).items() if key[0] == REFUSED_REQUESTS.name}


def test_the_account_reads_in_the_404_why_its_last_request_was_refused(client: ApiClient, services: Services) -> None:
    assert "last_refusal" not in client.status().json
    services.resolver.verdicts[NAME] = Verdict.NO
    with capture_logs() as lines:
        answer = client.post(NAME.upper())
    assert answer.status_code == 400
    services.clock.forward(60)
    shown = client.status()
    assert (shown.status_code, shown.json["message"], shown.json["code"]) == (404, NOT_INITIATED, "not-initiated")
    said = {member: answer.json[member] for member in ("code", "cause", "hint", "must_act")}
    assert shown.json["last_refusal"] == said | {"at": "2026-09-21T14:13:20+00:00"}
    (line,) = [line for line in lines if line["event"] == "request refused"]
    assert (line["account"], line["domain"], line["code"]) == ("platform", NAME, "invalid-cname")
    assert counted(services) == {"invalid-cname": 1}


def test_no_other_account_reads_it_and_each_reads_its_own(client: ApiClient, services: Services) -> None:
    services.resolver.verdicts[NAME] = Verdict.NO
    client.post()
    assert "last_refusal" not in client.status(account="other").json
    assert client.post(account="small").status_code == 402
    assert client.status(account="small").json["last_refusal"]["code"] == "plan"
    assert client.status().json["last_refusal"]["code"] == "invalid-cname"


def test_who_asks_for_another_accounts_name_reads_only_what_it_was_answered(client: ApiClient) -> None:
    client.post(account="other")
    answer = client.post()
    assert answer.status_code == 404
    last = client.status().json["last_refusal"]
    assert last["hint"] == answer.json["hint"]
    assert "other" not in str(client.status().json)


@pytest.mark.parametrize(
    ("path", "name"),
    [("*.example.com", "*.example.com"), ("a%0Ab", r"a\nb"), ("%E2%80%AEx..", r"\u202ex.."), ("x" * 3000, "x" * 100)],
)
def test_what_is_no_name_is_kept_as_a_short_printable_text(
    client: ApiClient, services: Services, path: str, name: str
) -> None:
    assert client.post(path).json["code"] == "invalid-name"
    kept = services.store.refusal("platform", name, now=services.clock())
    assert (kept.name, kept.code) == (name, "invalid-name")


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_each_way_to_be_refused_is_counted_by_its_code(client: ApiClient, services: Services, method: str) -> None:
    client.call(method, f"/v2/x509/{NAME}", data="[", content_type="application/json")
    client.call(method, f"/v2/x509/{NAME}", account="small")
    client.call(method, f"/v2/x509/{NAME}", account="nobody")
    client.post()
    client.call(method, f"/v2/x509/{NAME}")
    assert counted(services) == {"invalid-request": 1, "plan": 1, "already-initiated": 1}


def test_a_refusal_is_kept_for_a_day(client: ApiClient, services: Services) -> None:
    services.store.keep_refusal(refused())
    client = replace(client)
    services.clock.forward(REFUSAL_SECONDS - 1)
    assert client.status().json["last_refusal"]["cause"] == "the cause"
    services.clock.forward(2)
    assert "last_refusal" not in client.status().json
    assert 0 < services.store._redis.ttl("issuer:refused:platform") <= REFUSAL_SECONDS


def test_an_account_has_at_most_so_many_and_the_oldest_are_dropped(services: Services) -> None:
    for number in range(MAX_REFUSALS + 3):
        services.store.keep_refusal(refused(name=f"n{number}.example", at=NOW + number))
    services.store.keep_refusal(refused(account="other"))
    assert services.store._redis.hlen("issuer:refused:platform") == MAX_REFUSALS
    names = [f"n{number}.example" for number in (0, 2, 3, MAX_REFUSALS + 2)]
    kept = [services.store.refusal("platform", name, now=NOW) is not None for name in names]
    assert kept == [False, False, True, True]


@pytest.mark.parametrize("text", ["{", "[]", '{"at": 1}', "null", '{"at": "x"}'])
def test_a_damaged_refusal_is_none(client: ApiClient, services: Services, text: str) -> None:
    services.store._redis.hset("issuer:refused:platform", NAME, text)
    assert "last_refusal" not in client.status().json


def test_without_redis_the_answer_is_the_same_503(client: ApiClient, services: Services) -> None:
    take_away(services.store)
    assert client.post().json["code"] == "store-unavailable"


def test_the_operator_reads_of_which_account_a_request_was_refused(
    client: ApiClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = command_over(services, monkeypatch)
    services.store.keep_refusal(refused(at=NOW - 60, account="other"))
    services.store.keep_refusal(refused("plan"))
    for command in ("show", "status"):
        line = issuer.refused(command, NAME)
        assert "of the account platform, was refused at 2026-09-21 14:13:20 UTC: plan: the cause (the hint)" in line
    client.post()
    body = issuer.json("show", NAME)
    assert [(each["account"], each["code"]) for each in body["refusals"]] == [
        ("platform", "plan"),
        ("other", "invalid-cname"),
    ]
    assert any("plan: the cause" in line for line in issuer.said("status", NAME))
