"""The HTTP-01 responder (RFC 8555 §8.3): the exact stored token, from any process, and nothing else."""

from dataclasses import replace

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from issuer.store import RedisStore, connect
from tests.api_client import ApiClient
from tests.databases import empty_store
from tests.fakes import fake_services
from web.app import create_app

PATH = "/.well-known/acme-challenge/"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"
ANSWER = f"{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"


@pytest.fixture
def store() -> RedisStore:
    return empty_store()


@pytest.fixture
def app(store: RedisStore) -> Flask:
    store.put_token(TOKEN, ANSWER, seconds=60)
    return create_app(fake_services(store))


def get(app: Flask, path: str, method: str = "GET", **more) -> TestResponse:
    with app.test_client() as client:
        answer = client.open(path, method=method, **more)
        answer.get_data()
    return answer


def assert_the_answer(answer: TestResponse) -> None:
    assert (answer.status_code, answer.get_data()) == (200, ANSWER.encode())
    assert answer.content_type == "application/octet-stream"
    assert answer.headers["Content-Length"] == str(len(ANSWER))
    assert not {"Location", "Set-Cookie", "Content-Encoding", "WWW-Authenticate"} & set(answer.headers.keys())


def test_the_key_authorization_byte_for_byte(app: Flask) -> None:
    assert_the_answer(get(app, PATH + TOKEN))


@pytest.mark.parametrize(
    "host", ["shop.customer.example", "127.0.0.1", "[::1]:80", "A.EXAMPLE.:8080", "a b", "ä", "", "/"]
)
def test_d02_any_host(app: Flask, host: str) -> None:
    assert_the_answer(get(app, PATH + TOKEN, headers={"Host": host}))


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic !!!!"},
        {"Authorization": "Bearer wrong"},
        {"Accept": "text/html"},
        {"Accept-Encoding": "gzip, br"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"},
        {"Range": "bytes=0-3"},
        {"If-None-Match": "*"},
    ],
)
def test_d02_no_header_changes_it(app: Flask, headers: dict[str, str]) -> None:
    assert_the_answer(get(app, PATH + TOKEN, headers=headers))


def test_d02_a_query_changes_nothing(app: Flask) -> None:
    assert_the_answer(get(app, f"{PATH}{TOKEN}?p=1"))


def test_head_has_the_length_and_no_body(app: Flask) -> None:
    answer = get(app, PATH + TOKEN, "HEAD")
    assert (answer.status_code, answer.get_data(), answer.content_length) == (200, b"", len(ANSWER))


WRONG = {
    "blank": "",
    "parent": "..",
    "parent-encoded": "%2e%2e",
    "parent-of-token": f"x/../{TOKEN}",
    "parent-encoded-of-token": f"x%2f..%2f{TOKEN}",
    "dot": f"./{TOKEN}",
    "slash-before": f"/{TOKEN}",
    "slash-after": f"{TOKEN}/",
    "encoded-slash-after": f"{TOKEN}%2F",
    "newline-after": f"{TOKEN}%0A",
    "return-after": f"{TOKEN}%0D%0A",
    "blank-after": f"{TOKEN}%20",
    "blank-before": f"%20{TOKEN}",
    "nul-inside": "a%00b",
    "nul-after": f"{TOKEN}%00",
    "blank-inside": "a%20b",
    "not-utf-8": "%FF",
    "other-letters": "%C3%A4",
    "full-width": f"%EF%BC%A1{TOKEN}",
    "arabic-digit": "%D9%A1",
    "300-characters": "a" * 300,
    "70000-characters": "a" * 70_000,
    "scanner": "xmlrpc.php?p=",
    "scanner-encoded": "xmlrpc.php%3Fp=",
    "unknown": "A" * 43,
    "another-case": TOKEN.swapcase(),
    "a-part": TOKEN[:-1],
    "one-more": f"{TOKEN}A",
    "twice": f"{TOKEN},{TOKEN}",
    "with-answer": ANSWER,
    "padded": f"{TOKEN}=",
    "glob": "*",
    "glob-encoded": "%2A",
    "key": f"issuer:token:{TOKEN}",
    "another-key": "..:account:platform",
    "script": "%3Cscript%3Ealert(1)%3C/script%3E",
    "template": "%7B%7B7*7%7D%7D",
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_d02_anything_else_is_404(app: Flask, text: str, method: str) -> None:
    answer = get(app, PATH + text, method)
    assert (answer.status_code, answer.content_type) == (404, "application/json")
    assert "Location" not in answer.headers
    for part in (b"<", b"thumbprint", ANSWER.partition(".")[2].encode(), b"49", TOKEN.encode()):
        assert part not in answer.get_data()


def test_d02_what_is_no_token_never_reaches_the_store(store: RedisStore) -> None:
    asked = []

    class Asked:
        key_authorization = staticmethod(asked.append)

    app = create_app(replace(fake_services(store), store=Asked()))
    allowed = {"300-characters", "70000-characters", "unknown", "another-case", "a-part", "one-more"}
    for name, text in WRONG.items():
        get(app, PATH + text)
        assert not asked or name in allowed
        asked.clear()
    get(app, PATH + "a" * 257)
    assert asked == []
    get(app, PATH + "a" * 256)
    assert asked == ["a" * 256]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_d02_only_get_and_head(app: Flask, method: str) -> None:
    answer = get(app, PATH + TOKEN, method)
    assert (answer.status_code, answer.content_type) == (405, "application/json")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    assert TOKEN not in answer.text


def test_d02_a_token_answers_nowhere_else(app: Flask) -> None:
    for path in (
        f"/{TOKEN}",
        f"/.well-known/{TOKEN}",
        f"/.well-known/pki-validation/{TOKEN}",
        f"/.WELL-KNOWN{PATH[12:]}{TOKEN}",
    ):
        assert get(app, path).status_code == 404
    assert ApiClient().call("GET", PATH + TOKEN).status_code == 404


def test_d04_a_token_put_by_one_process_is_served_by_all(redis_url: str) -> None:
    def process() -> RedisStore:
        return RedisStore(connect(redis_url))

    apps = [create_app(fake_services(process())) for _ in range(2)]
    assert [get(app, PATH + TOKEN).status_code for app in apps] == [404, 404]
    process().put_token(TOKEN, ANSWER, seconds=60)
    for app in apps:
        assert_the_answer(get(app, PATH + TOKEN))


def test_several_tokens_live_side_by_side(app: Flask, store: RedisStore) -> None:
    store.put_token("second", "second.thumbprint", seconds=60)
    assert get(app, f"{PATH}second").get_data() == b"second.thumbprint"
    assert_the_answer(get(app, PATH + TOKEN))
