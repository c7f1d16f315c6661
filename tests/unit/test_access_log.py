"""One line for a request, with an id that goes on to the lines of its steps; no token in any line."""

import re
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from issuer.domain import CHAIN, Step
from issuer.ports import Services
from issuer.tasks import _body
from tests.api_client import ApiClient
from tests.databases import take_away
from tests.fakes import EDGE_TOKEN, NAME

Lines = list[MutableMapping[str, Any]]
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
ID = "from-the-load-balancer.1"


@pytest.fixture
def client(services: Services) -> ApiClient:
    return ApiClient(services).with_accounts()


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as found:
        yield found


def requests(lines: Lines) -> Lines:
    return [line for line in lines if line["event"] == "request"]


def test_each_request_is_one_line(client: ApiClient, lines: Lines) -> None:
    answer = client.call("DELETE", f"/v2/x509/{NAME}?revoke=true&reason=superseded")
    (line,) = requests(lines)
    assert (
        line.items()
        >= {
            "method": "DELETE",
            "path": f"/v2/x509/{NAME}",
            "query": "revoke=true&reason=superseded",
            "status": 404,
            "account": "platform",
            "request_id": answer.headers["X-Request-Id"],
            "remote": "127.0.0.1",
            "log_level": "info",
        }.items()
    )
    assert 0 <= line["seconds"] < 10
    client.call("GET", "/no/such/page", account="")
    assert (requests(lines)[-1]["status"], "account" in requests(lines)[-1]) == (404, False)


@pytest.mark.parametrize("given", [ID, "a", "A" * 64])
def test_a_harmless_id_is_taken_and_answered(client: ApiClient, lines: Lines, given: str) -> None:
    answer = client.call("GET", "/healthz", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == requests(lines)[0]["request_id"] == given


@pytest.mark.parametrize("given", ["", "A" * 65, "a b", "a\tb", '{"a":1}', "ä", "a,b", "\x1b[31m"])
def test_any_other_id_is_replaced(client: ApiClient, lines: Lines, given: str) -> None:
    answers = [client.call("GET", "/healthz", headers={"X-Request-Id": given}) for _ in range(2)]
    made = [answer.headers["X-Request-Id"] for answer in answers]
    assert [line["request_id"] for line in requests(lines)] == made
    assert all(re.fullmatch(r"[0-9a-f]{16}", one) for one in made)
    assert made[0] != made[1]


def test_the_id_goes_on_to_all_lines_of_the_steps(client: ApiClient, services: Services, lines: Lines) -> None:
    client.call("POST", f"/v2/x509/{NAME}", headers={"X-Request-Id": ID})
    structlog.contextvars.clear_contextvars()

    class RetryError(Exception):
        pass

    class Task:
        def retry(self, countdown: float) -> Exception:
            services.clock.forward(countdown)
            return RetryError()

    services.cas[0].looks_until_ready = 1
    while (step := client.load().issuance.step) in CHAIN:
        try:
            _body(step, lambda: services)(Task(), client.load().issuance.id)
        except RetryError:
            assert step is not Step.ORDER
    of_steps = [line for line in lines if line.get("domain") == NAME]
    assert {line["request_id"] for line in of_steps} == {ID}
    done = [line["step"] for line in of_steps if line["event"] == "issuance.step_done"]
    assert done == [step.value for step in CHAIN]


@pytest.mark.parametrize(
    "path",
    [
        f"/edge/certificate?server_name={NAME}&token={EDGE_TOKEN}",
        f"/edge/ask?token={EDGE_TOKEN}&domain={NAME}",
        f"/.well-known/acme-challenge/{TOKEN}",
        f"/.well-known/acme-challenge/{TOKEN}/x",
        f"/.well-known//acme-challenge/{TOKEN}",
        f"/v2/x509/{NAME}/status?api_key={EDGE_TOKEN}&{TOKEN}",
        f"/?{TOKEN}={EDGE_TOKEN}",
    ],
)
@pytest.mark.parametrize("is_away", [False, True], ids=["", "without Redis"])
def test_no_line_has_a_token(client: ApiClient, services: Services, lines: Lines, path: str, *, is_away: bool) -> None:
    if is_away:
        take_away(services.store)
    with client.app.test_client() as browser:
        browser.get(path)
    assert len(requests(lines)) == 1
    assert EDGE_TOKEN not in str(lines)
    assert TOKEN not in str(lines)
    assert NAME in str(lines) or "x509" not in path


def test_a_long_path_is_cut(client: ApiClient, lines: Lines) -> None:
    client.call("POST", f"/v2/x509/{'x' * 5000}?domain={'y' * 5000}")
    (line,) = requests(lines)
    assert len(line["path"]) <= 301
    assert len(line["query"]) <= 300
