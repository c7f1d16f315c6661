"""No cache on the way keeps an answer (RFC 9111 §5.2.2.5)."""

import pytest

from issuer.ports import Services
from tests.api_client import ApiClient, issued
from tests.databases import take_away
from tests.fakes import EDGE_TOKEN, NAME

CHALLENGE = "/.well-known/acme-challenge/"
EDGE = f"token={EDGE_TOKEN}"
ANSWERS = [
    (f"{CHALLENGE}known", 200),
    (f"{CHALLENGE}unknown", 404),
    (f"{CHALLENGE}a/../b", 404),
    (CHALLENGE, 404),
    (f"/edge/certificate?{EDGE}&server_name={NAME}", 200),
    (f"/edge/certificate?{EDGE}&server_name=other.example", 404),
    (f"/edge/certificate?{EDGE}&server_name=other.example&otherwise=neutral", 200),
    (f"/edge/certificate?server_name={NAME}", 401),
    (f"/edge/ask?{EDGE}&domain={NAME}", 200),
    (f"/edge/ask?{EDGE}&domain=other.example", 404),
    (f"/edge/headers?{EDGE}&domain={NAME}", 204),
    (f"/edge/headers?{EDGE}&domain=other.example", 404),
    ("/edge/none", 404),
    (f"/v2/x509/{NAME}/status", 401),
    ("/none", 404),
    ("/healthz", 200),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize(("path", "status"), ANSWERS)
def test_n31_no_answer_is_stored(services: Services, path: str, status: int, method: str) -> None:
    issued(services)
    services.store.put_token("known", "known.thumbprint", seconds=60)
    with ApiClient(services).app.test_client() as client:
        answer = client.open(path, method=method)
        assert answer.status_code == status or method in {"POST", "OPTIONS"}
        assert answer.headers.getlist("Cache-Control") == ["no-store"]


@pytest.mark.parametrize("path", [path for path, _ in ANSWERS if "known" in path or "/edge/" in path])
def test_n31_nor_one_without_the_store(services: Services, path: str) -> None:
    take_away(services.store)
    with ApiClient(services).app.test_client() as client:
        answer = client.get(path)
        assert answer.headers.getlist("Cache-Control") == ["no-store"]


@pytest.mark.parametrize("call", ["status", "post", "put"])
def test_n31_nor_what_an_account_gets(services: Services, call: str) -> None:
    api_client = ApiClient(services).with_accounts()
    for answer in (getattr(api_client, call)(), api_client.post(), getattr(api_client, call)()):
        assert answer.headers["Cache-Control"] == "no-store"
