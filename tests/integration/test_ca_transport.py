"""Limits for a CA's answers: time, size, and no redirects."""

import ssl
import time
from contextlib import suppress

import pytest

from issuer.ca.transport import MAX_ANSWER_BYTES, Refusal, Transport
from issuer.metrics import CA_PROBLEMS, CA_REQUESTS, TALLY
from issuer.problem import Problem, ProblemType
from issuer.sandbox import LOOPBACK, Pebble
from tests.integration.answers import JSON, NAME, problem_of
from tests.integration.raw_server import RawServer, raw_server
from tests.wire import Answer, Fault, Wire

SECONDS = 0.4
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("status", [301, 308])
@pytest.mark.parametrize("path", ["/dir", "/nonce-plz", "/sign-me-up", "/order-plz", "/my-order/"])
def test_no_redirect_is_followed_nor_its_body_believed(new_ca, wire: Wire, path: str, status: int) -> None:
    ca = new_ca()
    with raw_server(OK + b"\r\n{}") as server:
        location = {"Location": f"https://{LOOPBACK}:{server.port}/"}
        wire.add(Fault(path, after=lambda answer: (status, answer[1] | location, answer[2])))
        problem = problem_of(lambda: ca.order(ca.new_order(NAME).url))
    type_ = ProblemType.CA_SETTINGS if path == "/dir" else ProblemType.CA_UNAVAILABLE
    assert (problem.type, server.connections) == (type_, 0)
    assert wire.count(path) == 1


@pytest.mark.parametrize("over", [0, 1, 5_000_000])
def test_an_answer_has_a_largest_size(new_ca, wire: Wire, over: int) -> None:
    def padded(answer: Answer) -> Answer:
        status, headers, body = answer
        return status, headers, body + b" " * (MAX_ANSWER_BYTES + over - len(body))

    wire.add(Fault("/order-plz", after=padded))
    ca = new_ca()
    if over:
        problem = problem_of(lambda: ca.new_order(NAME))
        assert (problem.type, "1,000,000" in problem.detail) == (ProblemType.CA_UNAVAILABLE, True)
    assert ca.new_order(NAME).url


def test_a_compressed_answer_is_none(new_ca, wire: Wire) -> None:
    bomb = b"\x1f\x8b\x08" + bytes(100)
    wire.add(Fault("/order-plz", before=lambda: (201, JSON | {"Content-Encoding": "gzip"}, bomb)))
    assert problem_of(lambda: new_ca().new_order(NAME)).type is ProblemType.CA_UNAVAILABLE


DRIPS = {
    "nothing": (b"", b""),
    "a status line": (b"HTTP/1.1 200 ", b"O"),
    "headers": (OK, b"X-Drip: 1\r\n"),
    "one header": (OK + b"X-Drip: ", b"x"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": (OK + b"Content-Length: 9999\r\n\r\n", b"{"),
    "a body without a length": (OK + b"\r\n", b" "),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
    "a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n", b"{"),
    "an error": (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("what", DRIPS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_drips_is_given_up_in_time(pebble: Pebble, scheme: str, what: str) -> None:
    start, piece = DRIPS[what]
    servers: list[RawServer] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pebble.bundle, pebble.bundle.with_name("tls-key.pem"))
    with raw_server(lambda _: servers[0].drip(start, piece=piece), tls=context) as server:
        servers.append(server)
        url = f"{scheme}://{LOOPBACK}:{server.port}/dir"
        transport = Transport(url, ca_bundle=str(pebble.bundle), timeout_seconds=SECONDS)
        began = time.monotonic()
        problem = problem_of(lambda: transport.get(url))
        took = time.monotonic() - began
    assert problem.type is ProblemType.CA_UNAVAILABLE
    assert SECONDS / 2 < took < 3 * SECONDS


def test_an_answer_in_pieces_that_comes_in_time_is_whole(pebble: Pebble) -> None:
    pieces = [OK, b"Content-", b"Length: 9\r\n\r\n", b'{"a"', b": ", b"[]}"]
    with raw_server(lambda _: iter(pieces)) as server:
        url = f"http://{LOOPBACK}:{server.port}/dir"
        assert Transport(url, timeout_seconds=SECONDS).get(url).json() == {"a": []}


def test_bad_nonces_that_come_slowly_are_given_up_in_time(new_ca, wire: Wire) -> None:
    ca = new_ca()
    ca.account_url()
    ca._session.transport._longest_seconds = 3 * SECONDS

    def slow() -> Answer:
        time.sleep(SECONDS)
        return 400, JSON, b'{"type": "urn:ietf:params:acme:error:badNonce"}'

    wire.add(Fault("/order-plz", times=99, before=slow))
    assert problem_of(lambda: ca.new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    assert wire.count("/order-plz") <= 4


@pytest.mark.parametrize(
    ("answer", "status", "type_"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "200", None),
        (b'HTTP/1.1 429 no\r\n\r\n{"type": "urn:ietf:params:acme:error:rateLimited"}', "429", "rateLimited"),
        (b'HTTP/1.1 400 no\r\n\r\n{"type": "urn:x:made-up"}', "400", "other"),
        (b"HTTP/1.1 503 no\r\n\r\n<html>", "503", "none"),
        (b"", "none", None),
    ],
)
def test_requests_to_a_ca_are_counted_by_status_and_by_type_of_problem(
    answer: bytes, status: str, type_: str | None
) -> None:
    with raw_server(answer) as server:
        url = f"http://{LOOPBACK}:{server.port}/dir"
        TALLY.take()
        with suppress(Refusal, Problem):
            Transport(url, timeout_seconds=SECONDS).get(url)
    problems = CA_PROBLEMS.once(url, type_) if type_ else {}
    assert TALLY.take() == {**CA_REQUESTS.once(url, status), **problems}
