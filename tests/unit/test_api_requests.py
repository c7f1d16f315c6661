"""What clients may send to the API, good and bad: keys, paths, methods, bodies, spellings. Every answer is JSON."""

import base64
from dataclasses import replace
from urllib.parse import quote

import pytest

from tests.api_client import ApiClient
from tests.fakes import NAME

READABLE = quote("münchen.example")
SPELLINGS = [READABLE, "xn--mnchen-3ya.example", quote("MÜNCHEN.example"), "XN--MNCHEN-3YA.EXAMPLE", READABLE + "."]
STATUS = f"/v2/x509/{NAME}/status"
HSTS = f"/v2/x509/{NAME}/hsts"
ROUTES = {
    f"/v2/x509/{NAME}": {"POST", "PUT", "DELETE"},
    STATUS: {"GET", "HEAD"},
    HSTS: {"GET", "HEAD", "PUT", "DELETE"},
    "/.well-known/acme-challenge/token": {"GET", "HEAD"},
    "/healthz": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
}
ROUTES_TOO = {STATUS: {"POST", "PUT", "DELETE"}, HSTS: {"POST"}}
CALLS = [*((one, f"/v2/x509/{NAME}") for one in ("POST", "PUT", "DELETE")), ("GET", STATUS)]
CALLS += [(one, HSTS) for one in ("GET", "DELETE")]


@pytest.fixture
def api_client() -> ApiClient:
    api_client = ApiClient().with_accounts()
    api_client.queued()
    return api_client


def basic(user: str | bytes, key: str | bytes) -> str:
    user, key = (part if isinstance(part, bytes) else part.encode() for part in (user, key))
    return f"Basic {base64.b64encode(user + b':' + key).decode()}"


@pytest.mark.parametrize("scheme", ["Basic", "basic", "Bearer", "bearer"])
def test_the_key_by_basic_or_bearer(api_client: ApiClient, scheme: str) -> None:
    key = api_client.keys["platform"]
    credentials = basic("api", key).split()[1] if scheme.lower() == "basic" else key
    header = {"Authorization": f"{scheme} {credentials}"}
    assert api_client.post(account="", headers=header).status_code == 202
    assert api_client.call("GET", STATUS, "", headers=header).status_code == 200


HEADERS = {
    "none": None,
    "empty": "",
    "wrong-key": "Bearer platform.wrong",
    "no-such-account": "Bearer nobody.KEY",
    "key-of-nobody": "Bearer KEY",
    "account-only": "Bearer platform",
    "one-more": "Bearer {key}x",
    "one-less": "Bearer {short}",
    "in-quotes": 'Bearer "{key}"',
    "latin-1": "Bearer {key}\xff",
    "bearer-alone": "Bearer",
    "bearer-blank": "Bearer   ",
    "bearer-nul": "Bearer {key}\0",
    "bearer-glob": "Bearer *",
    "bearer-parameters": "Bearer key={key}",
    "huge": "Bearer " + "a" * 100_000,
    "huge-account": "Bearer " + "a" * 100_000 + ".b",
    "basic-alone": "Basic",
    "basic-no-base64": "Basic !!!!",
    "basic-bad-padding": "Basic YXBpOmE",
    "basic-no-colon": "Basic YXBp",
    "basic-not-utf-8": basic(b"api", b"\xff\xfe"),
    "basic-user-not-utf-8": basic(b"\xff", b"platform.x"),
    "basic-surrogate": basic(b"api", "platform.\ud800".encode("utf-8", "surrogatepass")),
    "basic-nul": basic(b"api", b"platform\0.x"),
    "basic-no-key": basic("api", ""),
    "digest": 'Digest username="api"',
    "unknown": "Key {key}",
    "key-alone": "{key}",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_anything_else_is_401(api_client: ApiClient, method: str, path: str, header: str | None) -> None:
    key = api_client.keys["platform"]
    text = None if header is None else header.replace("{key}", key).replace("{short}", key[:-1])
    answer = api_client.call(method, path, "", headers={} if text is None else {"Authorization": text})
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    assert (api_client.load(), api_client.queued()) == (None, [])


def test_a_401_says_how_to_log_in(api_client: ApiClient) -> None:
    """RFC 9110 §15.5.2: clients that wait to be asked for their key would never send it."""
    assert api_client.post(account="").headers["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("user", ["", "API", "platform", "api2", "other"])
def test_a_right_key_of_another_user_is_401(api_client: ApiClient, user: str) -> None:
    answer = api_client.post(account="", headers={"Authorization": basic(user, api_client.keys["platform"])})
    assert answer.status_code == 401


def test_a01_every_spelling_is_one_record_and_is_answered_in_the_canonical_form(api_client: ApiClient) -> None:
    canonical = "xn--mnchen-3ya.example"
    first = api_client.post(SPELLINGS[0])
    assert (first.status_code, first.json["location"]) == (202, f"/v2/x509/{canonical}/status")
    for spelling in SPELLINGS:
        for again in (api_client.post(spelling), api_client.put(spelling)):
            assert again.status_code == 409
            assert again.json["message"].endswith(f" for {canonical}")
        assert api_client.status(spelling).json["status"] == "processing"
        assert canonical in api_client.status(spelling, "other").json["message"]
    assert len(api_client.queued()) == 1


@pytest.mark.parametrize(("first", "second"), [("ExAmPle.example", "example.example"), ("a.example.", "A.example")])
def test_a04_a05_case_and_one_dot_at_the_end_are_the_same_name(api_client: ApiClient, first: str, second: str) -> None:
    assert api_client.post(first).json["location"] == f"/v2/x509/{second.lower()}/status"
    assert api_client.post(second).status_code == 409


METHODS = ["OPTIONS", "TRACE", "PATCH", "DELETE", "PROPFIND", "GET", "HEAD", "POST", "PUT"]
# Of a path that ends in /status or /hsts some are right ones, for a name that is wrong.
WRONG = [(one, path) for path in ROUTES for one in METHODS if one not in ROUTES[path] | ROUTES_TOO.get(path, set())]


@pytest.mark.parametrize(("method", "path"), WRONG)
def test_a_wrong_method_is_405_with_the_right_ones(api_client: ApiClient, method: str, path: str) -> None:
    answer = api_client.call(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == ROUTES[path] | ROUTES_TOO.get(path, set())


def test_head_answers_as_get_without_the_body(api_client: ApiClient) -> None:
    api_client.post()
    for path in (STATUS, "/healthz", "/readyz"):
        got, head = api_client.call("GET", path), api_client.call("HEAD", path)
        assert (head.status_code, head.get_data()) == (200, b"")
        assert head.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/",
        "/v2/x509/",
        "//v2/x509/a.example",
        "/v2//x509/a.example",
        "/v2/x509/../x509",
        "/V2/X509/a.example",
        "/v3/x509/a.example",
        "/static/app.js",
        "/favicon.ico",
        "/%",
        "/%FF%00%0A",
        "/<script>",
    ],
)
def test_a_wrong_path_is_404_or_405_and_goes_nowhere(api_client: ApiClient, method: str, path: str) -> None:
    answer = api_client.call(method, path)
    assert answer.status_code in {400, 404, 405}
    assert "Location" not in answer.headers
    assert api_client.queued() == []


ODD = ["%2F", "%0A", "%0D%0A", "%00", "%FF", "%ED%A0%80", "%20", "/", "//", "/status", "%25", "..", "%2e%2e", "%3Fx"]


@pytest.mark.parametrize("odd", [*ODD, "a" * 10_000, "%C3%A4" * 5000, ".a" * 5000])
def test_a03_odd_characters_in_a_name_start_nothing(api_client: ApiClient, odd: str) -> None:
    name = f"a.example{odd}"
    for answer in (api_client.post(name), api_client.put(name)):
        assert (answer.status_code, answer.json["code"]) == (400, "invalid-name")
    assert api_client.status(name).status_code in {400, 404}
    assert api_client.queued() == []


def test_a_query_changes_nothing(api_client: ApiClient) -> None:
    assert api_client.post(f"{NAME}?domain=b.example&x=%FF").json["location"] == STATUS
    assert api_client.call("GET", f"{STATUS}?x=%00").status_code == 200


JSON = "application/json"


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (202, JSON, b""),
        (202, JSON, b"{}"),
        (202, JSON, b'{"hsts": true}'),
        (202, "application/x-www-form-urlencoded", b"domain=a&x=%FF"),
        (202, "multipart/form-data; boundary=x", b"--x\r\nno part"),
        (202, "multipart/form-data", b"no boundary"),
        (202, "text/plain", b"\xff\x00"),
        (202, "nonsense", b"{"),
        (202, "", b"{"),
        (400, JSON, b"{"),
        (400, JSON, b"[]"),
        (400, JSON, b"null"),
        (400, JSON, b'"a"'),
        (400, JSON, b"\xff"),
        (400, f"{JSON}; charset=nonsense", b"{"),
        (400, "application/problem+json", b"[]"),
        (400, JSON, b"[" * 60_000),
        (400, JSON, b'{"a":' * 10_000),
        (400, JSON, b'{"a": ' + b"9" * 5000 + b"}"),
        (413, JSON, b"{" + b" " * 100_000 + b"}"),
    ],
)
def test_bodies(api_client: ApiClient, status: int, kind: str, body: bytes) -> None:
    answer = api_client.post(data=body, content_type=kind)
    assert answer.status_code == status
    assert len(api_client.queued()) == (status == 202)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_an_oversized_body_of_another_kind_is_not_read(api_client: ApiClient, kind: str) -> None:
    assert api_client.post(data=b"x" * 200_000, content_type=kind).status_code in {202, 413}


def test_a_bad_body_does_not_come_before_the_key(api_client: ApiClient) -> None:
    assert api_client.post(account="", data=b"{", content_type=JSON).status_code == 401


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_an_internal_error_is_500_in_json_without_details(api_client: ApiClient, method: str, path: str) -> None:
    def clock() -> float:
        raise RuntimeError("secret")

    broken = ApiClient(replace(api_client.services, clock=clock), keys=api_client.keys)
    api_client.post()
    answer = broken.call(method, path)
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text
