"""The web process of the Procfile: what gunicorn itself refuses, open connections, settings that end the start."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from issuer.actions import accounts
from issuer.config import load_settings
from issuer.domain import Plan
from issuer.keys import new_encryption_key
from issuer.sandbox import LOOPBACK, Sandbox, free_port
from issuer.store import RedisStore, connect
from tests.fakes import NAME, TARGET, fake_services

ENVIRONMENT = load_settings(encryption_keys=new_encryption_key(), cname_targets=TARGET).as_environment()
HOST = b"Host: api.platform.example\r\n"
CHUNKED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Web:
    port: int
    key: str


@pytest.fixture(scope="module")
def web(module_sandbox: Sandbox) -> Iterator[Web]:
    port, redis_url = free_port(), f"{module_sandbox.redis()}/0"
    client = connect(redis_url)
    key = accounts.create(fake_services(RedisStore(client)), "platform", Plan.HTTPS)
    client.close()
    part = module_sandbox.procfile("web", environment(port, ISSUER_REDIS_URL=redis_url))
    module_sandbox.wait_for_web(part, port)
    yield Web(port, key)
    assert part.process.poll() is None


def environment(port: int, **more: str) -> dict[str, str]:
    return {
        **ENVIRONMENT,
        "ISSUER_DNS_SERVERS": f"{LOOPBACK}:1",
        "ISSUER_ALLOW_RESERVED_NAMES": "true",
        "GUNICORN_CMD_ARGS": f"--bind {LOOPBACK}:{port}",
        "WEB_CONCURRENCY": "1",
        **more,
    }


def exchanged(web: Web, request: bytes) -> bytes:
    """Everything that comes back until the other side closes."""
    answer = b""
    with socket.create_connection((LOOPBACK, web.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        try:
            while part := connection.recv(65_536):
                answer += part
        except ConnectionResetError:
            pass  # closed with our bytes unread
    return answer


def get(*headers: bytes, line: bytes = b"GET /healthz HTTP/1.1") -> bytes:
    return b"\r\n".join([line, HOST + b"".join(header + b"\r\n" for header in headers)]) + b"\r\n"


def post(web: Web, remainder: bytes) -> bytes:
    return f"POST /v2/x509/{NAME} HTTP/1.1\r\nAuthorization: Bearer {web.key}\r\n".encode() + HOST + remainder


def assert_refused_in_json(answer: bytes) -> int:
    """Nothing (0), or one JSON answer that has a message and an error's status, which is returned."""
    assert b"<" not in answer
    if not answer:
        return 0
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in head.lower() + b"\r\n"
    assert head.lower().count(b"\r\ncache-control: no-store") == 1
    assert f"\r\ncontent-length: {len(body)}\r\n".encode() in head.lower() + b"\r\n"
    error = json.loads(body)
    assert error["message"]
    assert error["code"] != "invalid-name"
    return int(head.split(b" ")[1])


def assert_alive(web: Web) -> None:
    assert b'{"message":"alive"}' in exchanged(web, get())


GARBAGE = {
    "binary": (400, b"\x00\x01\x02\xff\r\n\r\n"),
    "word": (400, b"hello\r\n\r\n"),
    "markup": (400, b"<script>alert(1)</script> / HTTP/1.1\r\n\r\n"),
    "tls-hello": (400, bytes.fromhex("16030100a5010000a10303") + b"\0" * 160 + b"\r\n\r\n"),
    "http-2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "proxy-line": (400, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get()),
    "method": (400, get(line=b"G\xffT /healthz HTTP/1.1")),
    "version": (400, get(line=b"GET /healthz HTTP/9.9")),
    "no-version": (400, get(line=b"GET /healthz")),
    "raw-utf-8": (400, get(line="GET /v2/x509/münchen.example/status HTTP/1.1".encode())),
    "line-too-long": (414, get(line=b"GET /" + b"a" * 10_000 + b" HTTP/1.1")),
    "header-too-long": (431, get(b"X-Long: " + b"a" * 10_000)),
    "headers-too-many": (431, get(*(b"X-%d: a" % number for number in range(200)))),
    "header-without-colon": (400, get(b"nonsense")),
    "header-name": (400, get(b"X Y: a")),
    "header-nul": (400, get(b"X: a\0b")),
    "header-folded": (400, get(b"X: a\r\n b")),
    "two-hosts": (400, get(HOST.strip())),
    "two-schemes": (400, get(b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: off")),
    "expectation": (417, get(b"Expect: nonsense")),
}


@pytest.mark.parametrize(("status", "request_"), GARBAGE.values(), ids=GARBAGE)
def test_what_gunicorn_refuses_is_json(web: Web, status: int, request_: bytes) -> None:
    assert assert_refused_in_json(exchanged(web, request_)) == status
    assert_alive(web)


BODIES = {
    "length-word": (400, b"Content-Length: abc\r\n\r\n"),
    "length-negative": (400, b"Content-Length: -1\r\n\r\n"),
    "length-plus": (400, b"Content-Length: +2\r\n\r\n{}"),
    "two-lengths": (400, b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
    "length-and-chunked": (400, b"Content-Length: 2\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"),
    "unknown-coding": (501, b"Transfer-Encoding: nonsense\r\n\r\n"),
    "chunked-twice": (400, b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "chunk-size": (400, CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "chunk-size-negative": (400, CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n"),
    "chunk-size-huge": (400, CHUNKED + b"f" * 40 + b"\r\n{}\r\n0\r\n\r\n"),
    "chunk-extension": (400, CHUNKED + b"2;a=\0\r\n{}\r\n0\r\n\r\n"),
    "chunk-end": (400, CHUNKED + b"2\r\n{}XX0\r\n\r\n"),
    "chunk-cut-off": (400, CHUNKED + b"20\r\n{"),
}


@pytest.mark.parametrize(("status", "remainder"), BODIES.values(), ids=BODIES)
def test_a_body_that_cannot_be_read_is_the_clients_fault(web: Web, status: int, remainder: bytes) -> None:
    assert assert_refused_in_json(exchanged(web, post(web, remainder))) in {status, 0}
    assert_alive(web)


def test_what_follows_a_chunk_that_cannot_be_read_is_no_request(web: Web) -> None:
    assert_refused_in_json(exchanged(web, post(web, CHUNKED + b"zz\r\n" + get() + get())))


@pytest.mark.parametrize("request_", [b"", b"\r\n", b"GET /heal", get()[:-2]])
def test_a_connection_that_ends_early_harms_nobody(web: Web, request_: bytes) -> None:
    assert_refused_in_json(exchanged(web, request_))
    assert_alive(web)


@contextmanager
def kept_open(web: Web) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(LOOPBACK, web.port, timeout=10)
    connection.connect()
    # Should the server close it, the next request fails instead of opening another.
    connection.auto_open = 0
    yield connection
    connection.close()


def asked(connection: http.client.HTTPConnection, method: str, path: str, **more) -> int:
    connection.request(method, path, **more)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.version == 11
    assert answer.headers["Content-Type"] == "application/json"
    assert method == "HEAD" or json.loads(text)["message"]
    return answer.status


def test_a_connection_is_kept_open_over_answers_of_every_kind(web: Web) -> None:
    key = {"Authorization": f"Bearer {web.key}"}
    with kept_open(web) as connection:
        for _ in range(3):
            assert asked(connection, "GET", "/healthz") == 200
            assert asked(connection, "HEAD", "/readyz") == 200
            assert asked(connection, "GET", "/nowhere") == 404
            assert asked(connection, "OPTIONS", "/healthz") == 405
            assert asked(connection, "GET", f"/v2/x509/{NAME}/status") == 401
            assert asked(connection, "POST", "/v2/x509/a%20b", headers=key) == 400
            # A body that nobody reads is not taken for the next request.
            assert asked(connection, "POST", "/v2/x509/a%20b", headers=key, body=get()) == 400


def test_pipelined_requests_are_answered_in_order(web: Web) -> None:
    answers = exchanged(web, get() + get(line=b"GET /readyz HTTP/1.1") + get(b"Connection: close"))
    assert [answers.count(b"HTTP/1.1 200 OK"), answers.count(b'"ready"'), answers.count(b'"alive"')] == [3, 1, 2]
    assert answers.index(b'"alive"') < answers.index(b'"ready"') < answers.rindex(b'"alive"')


def test_connection_close_is_obeyed(web: Web) -> None:
    with socket.create_connection((LOOPBACK, web.port), timeout=10) as connection:
        connection.sendall(get(b"Connection: close"))
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    assert b"\r\nConnection: close\r\n" in answer


WRONG = {
    "ISSUER_KEY_TYPE": "nonsense",
    "ISSUER_ENCRYPTION_KEYS": "s3cr3t-but-no-key",
    "ISSUER_CNAME_TARGETS": "",
    "ISSUER_REDIS_URL": "http://user:s3cr3t@127.0.0.1/",
    "ISSUER_BROKER_URL": "amqp://user:s3cr3t@127.0.0.1/",
    "ISSUER_ACME_DIRECTORY": "nonsense",
    "ISSUER_ACME_CA_BUNDLE": "/there/is/no/such/file.pem",
    "ISSUER_DNS_SERVERS": "nonsense",
    "ISSUER_STEP_SECONDS": "nonsense",
    "ISSUER_LOG_FORMAT": "nonsense",
    "ISSUER_LOG_LEVEL": "nonsense",
}


def assert_ends_with_one_line_that_names(variable: str, sandbox: Sandbox, values: dict[str, str]) -> None:
    part = sandbox.procfile("web", values)
    assert part.process.wait(10) not in {0, None}
    (line,) = part.log.read_text().strip().splitlines()
    assert line.startswith(variable)
    assert "s3cr3t" not in line


@pytest.mark.parametrize("variable", WRONG)
def test_a_wrong_setting_ends_the_start_and_is_named(tmp_path, variable: str) -> None:
    with Sandbox(tmp_path) as sandbox:
        values = environment(free_port(), **{variable: WRONG[variable]})
        assert_ends_with_one_line_that_names(variable, sandbox, values)


@pytest.mark.parametrize("variable", ["ISSUER_ENCRYPTION_KEYS", "ISSUER_CNAME_TARGETS"])
def test_a_missing_setting_ends_the_start_and_is_named(tmp_path, monkeypatch, variable: str) -> None:
    monkeypatch.delenv(variable, raising=False)
    values = environment(free_port())
    del values[variable]
    with Sandbox(tmp_path) as sandbox:
        assert_ends_with_one_line_that_names(variable, sandbox, values)


def test_the_page_is_html_also_where_a_form_is_cut_off(web: Web) -> None:
    close = b"Connection: close\r\n"
    first = exchanged(web, b"GET / HTTP/1.1\r\n" + HOST + close + b"\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert b"issuer operator-key create NAME" in first
    form = b"Content-Type: application/x-www-form-urlencoded\r\n"
    for body in (b"Content-Length: 50\r\n\r\nkey=a", b"Transfer-Encoding: chunked\r\n\r\nzz\r\nkey=a"):
        answer = exchanged(web, b"POST /operators/log-in HTTP/1.1\r\n" + HOST + form + close + body)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert b"Content-Type: text/html; charset=utf-8" in answer
        assert answer.count(b"<h1") == 1
