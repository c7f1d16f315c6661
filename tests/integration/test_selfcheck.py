"""The self-check against servers that answer: as web servers do, and as none should."""

import gzip
import random
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from issuer.challenges import HttpSelfCheck
from issuer.ports import SelfCheck
from issuer.sandbox import LOOPBACK, free_port
from issuer.sandbox.processes import _own_tls
from tests.databases import empty_store
from tests.fakes import fake_services
from tests.integration.dns_server import dns_server
from tests.integration.fetches import (
    HERE,
    KEY,
    NAME,
    NO,
    OTHER,
    PATH,
    SECONDS,
    SOMETHING_ELSE,
    TOKEN,
    UNKNOWN,
    UNREADABLE,
    YES,
    expected,
    http,
    once,
    redirect,
    self_check,
    self_check_at,
)
from tests.integration.raw_server import Reply, raw_server
from web.app import create_app


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS, with an untrusted certificate for another name."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*_own_tls(tmp_path_factory.mktemp("tls")))
    return context


# The plain case


def test_the_product_s_own_answer_is_yes_and_without_it_no(serve: Callable[..., None]) -> None:
    port, store = free_port(), empty_store()
    serve(create_app(fake_services(store)), port)
    with dns_server(HERE) as dns:
        check: SelfCheck = HttpSelfCheck([dns.address], test_port=port)
        assert check.fetch(NAME, TOKEN, KEY) == expected(NO, "answers 404")
        store.put_token(TOKEN, KEY, seconds=60)
        assert check.fetch(NAME, TOKEN, KEY) == expected(YES, "answers the challenge")
        assert check.fetch(NAME, TOKEN, f"{TOKEN}.another") == expected(NO, SOMETHING_ELSE)


def test_the_request_is_a_ca_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, f"http://{LOOPBACK}:{free_port()}")
    with raw_server(http()) as web:
        assert self_check_at(web).verdict is YES
    first, *fields = web.heads[0].removesuffix("\r\n\r\n").split("\r\n")
    assert first == f"GET {PATH} HTTP/1.1"
    assert fields == [f"Host: {NAME}", "User-Agent: issuer", "Accept: */*", "Connection: close"]


RIGHT = {
    "plain": http(),
    "whitespace-after": http(f"{KEY} \t\r\n\n"),
    "127-bytes": http(KEY.ljust(127)),
    "until-closed": b"HTTP/1.0 200\r\n\r\n" + KEY.encode(),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%x;x=y\r\n%s\r\n" % (len(part), part) for part in (KEY[:20].encode(), KEY[20:].encode(), b"")),
    "html-by-its-type": http(Content_Type="text/html", Content_Encoding="identity"),
    "continue-first": b"HTTP/1.1 100 Continue\r\n\r\n" + http(),
    "no-valid-length": http(Content_Length="9" * 5000),
}


@pytest.mark.parametrize("answer", RIGHT.values(), ids=RIGHT)
def test_the_key_authorization_is_yes(answer: bytes) -> None:
    assert self_check(answer) == expected(YES, "answers the challenge")


def test_a_key_authorization_may_be_longer_than_let_s_encrypt_s() -> None:
    key = f"{TOKEN}.{'k' * 200}"
    assert self_check(http(f"{key}\r\n"), key=key).verdict is YES
    assert self_check(http(f"{key}   "), key=key).verdict is NO


@pytest.mark.parametrize("status", [201, 204, 206, 401, 403, 404, 410, 418, 500, 503, 999])
def test_another_status_is_no_whatever_the_body(status: int) -> None:
    assert self_check(http(status=status)) == expected(NO, f"answers {status}")


@pytest.mark.parametrize("status", [300, 303, 304, 305])
def test_other_redirects_are_not_followed(status: int) -> None:
    finding = self_check(once(f"http://{OTHER}{PATH}", status))
    assert finding == expected(NO, f"answers {status}, a redirect that CAs do not follow")


OTHER_BODIES = {
    "empty": b"",
    "page": b"<!DOCTYPE html><title>Welcome</title>",
    "another": f"{TOKEN}.another".encode(),
    "token-only": TOKEN.encode(),
    "bom-before": b"\xef\xbb\xbf" + KEY.encode(),
    "blank-before": f" {KEY}".encode(),
    "more-after": f"{KEY} more".encode(),
    "another-case": KEY.swapcase().encode(),
    "128-bytes": KEY.ljust(128).encode(),
    "endless-blanks": KEY.ljust(5_000_000).encode(),
    "not-text": bytes(range(100)),
    "gzip-unsaid": gzip.compress(KEY.encode()),
}


@pytest.mark.parametrize("body", OTHER_BODIES.values(), ids=OTHER_BODIES)
def test_another_body_is_no(body: bytes) -> None:
    assert self_check(http(body)) == expected(NO, SOMETHING_ELSE)


def test_a_body_that_is_compressed_unasked_is_unknown() -> None:
    finding = self_check(http(gzip.compress(KEY.encode()), Content_Encoding="GZIP"))
    assert finding == expected(UNKNOWN, "compresses its answer without being asked, and not every CA can read that")


# D01, redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_d01_a_redirect_is_followed_and_no_certificate_verified(status: int, tls: ssl.SSLContext) -> None:
    asked = []
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    with raw_server(once(f"https://{OTHER}{PATH}", status), tls=tls) as web:
        finding = self_check_at(web)
    assert finding == expected(YES, f"redirects to https://{OTHER}, which answers the challenge")
    assert asked == [OTHER]
    assert [head.split("\r\n")[1] for head in web.heads] == [f"Host: {NAME}", f"Host: {OTHER}"]


@pytest.mark.parametrize(
    ("location", "host", "target"),
    [
        (f"https://{NAME}{PATH}", NAME, PATH),
        (f"HTTPS://{OTHER.upper()}.:443{PATH}", OTHER, PATH),
        (f"http://{OTHER}:80/a?b=c&d=%2F#e", OTHER, "/a?b=c&d=%2F"),
        (f"http://{OTHER}:443/a", f"{OTHER}:443", "/a"),
        (f"https://{OTHER}", OTHER, "/"),
        (f"//{OTHER}/a//b/", OTHER, "/a//b/"),
        ("/a b/ä", NAME, "/a%20b/%E4"),
        ("a?b", NAME, "/.well-known/acme-challenge/a?b"),
        ("../x", NAME, "/.well-known/x"),
        ("?again", NAME, f"{PATH}?again"),
        (f"http://{OTHER}/a\x00\x7f\x0b{{}}", OTHER, "/a%00%7F%0B%7B%7D"),
        ("/a\r\n b: c", NAME, "/a%20b:%20c"),
    ],
)
def test_d01_the_target_of_a_redirect(location: str, host: str, target: str, tls: ssl.SSLContext) -> None:
    tls.sni_callback = None
    with raw_server(once(location), tls=tls) as web:
        assert self_check_at(web).verdict is YES
    assert web.heads[1].startswith(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (
            f"https://{NAME}:8443{PATH}",
            f"redirects to https://{NAME}:8443, but CAs follow redirects only to ports 80 and 443",
        ),
        (f"http://{NAME}:8080/", f"redirects to http://{NAME}:8080, but CAs follow redirects only to ports 80 and 443"),
        (f"http://{NAME}:0/", f"redirects to http://{NAME}:0, but CAs follow redirects only to ports 80 and 443"),
        (
            f"https://{NAME}{PATH[1:]}",
            f"redirects to https://{NAME}.well-known: a slash is missing after the host name",
        ),
        ("ftp://a.example/x", "redirects to ftp://a.example, but CAs follow redirects only to http and https URLs"),
        ("javascript:alert(1)", "redirects to javascript://, but CAs follow redirects only to http and https URLs"),
        ("https:///x", "redirects to https://, but CAs follow redirects only to http and https URLs"),
        ("http://a.example:99999/", "redirects to http://a.example:99999/, which is not a URL"),
        ("http://a.example:port/", "redirects to http://a.example:port/, which is not a URL"),
        ("http://[x", "redirects to http://[x, which is not a URL"),
        (f"http://[{KEY}ä\x1b[0m", "redirects to http://[…\\xe4\\x1b[0m, which is not a URL"),
        (f"http://[{'x' * 9000}", f"redirects to http://[{'x' * 112}…, which is not a URL"),
        ("", "redirects in a loop"),
        (PATH, "redirects in a loop"),
        (f"http://{NAME.upper()}:80{PATH}#x", "redirects in a loop"),
    ],
)
def test_d01_a_redirect_that_no_ca_follows_is_no(location: str, words: str) -> None:
    with raw_server(once(location)) as web:
        assert self_check_at(web) == expected(NO, words)
    assert web.connections == 1


@pytest.mark.parametrize(
    "location",
    [
        f"http://{LOOPBACK}/",
        "https://[::1]/",
        "http://2130706433/",
        "http://localhost/",
        f"http://user:password@{OTHER}/",
        f"http://@{OTHER}/",
        "http://ä.example/",
        "http://a..example/",
        "http://a b.example/",
        f"http://{'a' * 64}.example/",
        "http://%77ww.example/",
        "http://a.example\\@b.example/",
    ],
)
def test_d01_a_redirect_to_what_is_no_host_name_is_unknown_and_not_followed(location: str) -> None:
    with raw_server(once(location)) as web:
        finding = self_check_at(web)
    assert finding.verdict is UNKNOWN
    assert finding.summary.endswith("a URL that not every CA follows")
    assert "password" not in finding.summary
    assert web.connections == 1


def test_d01_a_redirect_without_a_location_is_no() -> None:
    assert self_check(http(status=301)) == expected(NO, "answers 301 without a Location header")


def test_d01_ten_redirects_are_followed_and_an_eleventh_is_not() -> None:
    def steps(count: int) -> Reply:
        answers = iter([redirect(f"/{number + 1}", 307) for number in range(count)])
        return lambda _: next(answers, http())

    assert self_check(steps(10)) == expected(YES, f"redirects to http://{NAME}/10, which answers the challenge")
    assert self_check(steps(11)) == expected(
        NO, f"redirects to http://{NAME}/10, which redirects again after 10 redirects"
    )


def test_d01_a_loop_of_two_hosts_is_no(tls: ssl.SSLContext) -> None:
    def reply(head: str) -> bytes:
        return redirect(f"https://{OTHER}{PATH}" if f"Host: {NAME}" in head else f"http://{NAME}{PATH}")

    with raw_server(reply, tls=tls) as web:
        assert self_check_at(web) == expected(NO, f"redirects to https://{OTHER}, which redirects in a loop")
    assert web.connections == 2


def test_d01_the_summary_names_the_target_of_a_redirect() -> None:
    answers = [redirect("/login?next=1"), http("<html>"), redirect(f"{PATH}/?a"), http("", 404)]
    replies = iter(answers)
    with raw_server(lambda _: next(replies)) as web:
        assert self_check_at(web) == expected(NO, f"redirects to http://{NAME}/login, which {SOMETHING_ELSE}")
        assert self_check_at(web) == expected(
            NO, f"redirects to http://{NAME}/.well-known/acme-challenge/…, which answers 404"
        )


def test_d01_no_cookie_is_kept() -> None:
    answers = iter([http("", 302, Location="/b", Set_Cookie="a=b"), http()])
    with raw_server(lambda _: next(answers)) as web:
        assert self_check_at(web).verdict is YES
    assert not any("a=b" in head for head in web.heads)


# Whatever a server sends

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNREADABLE_ANSWERS = {
    "nothing": b"",
    "half-a-status": b"HTTP/1.1 2",
    "half-a-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half-a-location": b"HTTP/1.1 302 Found\r\nLocation: http://www.cust",
    "no-line": KEY.encode(),
    "nul": b"\x00",
    "http-2": b"HTTP/2 200\r\n\r\n" + KEY.encode(),
    "long-status": b"HTTP/1.1 200 " + b"a" * 70_000,
    "long-header": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
    "many-headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    "large-headers": b"HTTP/1.1 200 OK\r\n" + (b"A: " + b"b" * 9000 + b"\r\n") * 20 + b"\r\n",
    "endless-headers": b"HTTP/1.1 200 OK\r\n" + b"A: " + b"b" * 50_000_000,
    "short-body": http(Content_Length=100),
    "chunk-size-missing": CHUNKED + KEY.encode(),
    "chunk-size-negative": CHUNKED + b"-5\r\n" + KEY.encode(),
    "chunk-size-most-negative": CHUNKED + b"-" + b"f" * 5000 + b"\r\n" + KEY.encode(),
    "chunk-all-there-is": CHUNKED + b"-1\r\n" + b"a" * 50_000_000,
    "chunk-cut-off": CHUNKED + b"57\r\n" + KEY.encode()[:30],
    "no-last-chunk": CHUNKED + b"57\r\n" + KEY.encode() + b"\r\n",
    "long-chunk-size": CHUNKED + b"0" * 70_000,
}


@pytest.mark.parametrize("answer", UNREADABLE_ANSWERS.values(), ids=UNREADABLE_ANSWERS)
def test_an_answer_that_cannot_be_read_is_unknown(answer: bytes) -> None:
    assert self_check(answer) == expected(UNKNOWN, UNREADABLE)


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x03\x00\x02\x02\x28\n", b"\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"],
)
def test_an_answer_that_is_not_http_is_no(answer: bytes) -> None:
    assert self_check(answer) == expected(NO, "does not answer with HTTP")


def test_no_answer_raises() -> None:
    chance = random.Random(8555)
    answers = [
        *RIGHT.values(),
        *UNREADABLE_ANSWERS.values(),
        redirect(f"https://{OTHER}:443{PATH}?a=b#c"),
        http("", 302),
    ]

    def broken(_: str) -> bytes:
        answer = bytearray(chance.choice(answers)[:2000])
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(answer) + 1)
            answer[place : place + chance.randint(0, 3)] = chance.choice(
                [
                    b"",
                    b"\r\n",
                    b"\n",
                    b"\r",
                    b":",
                    b" ",
                    b"\x00",
                    b"\xff",
                    b"-",
                    b"[",
                    b"%",
                    bytes([chance.randrange(256)]),
                ]
            )
        return bytes(answer)

    with raw_server(broken) as web, dns_server(HERE) as dns:
        check = HttpSelfCheck([dns.address], seconds=SECONDS, test_port=web.port)
        findings = [check.fetch(NAME, TOKEN, KEY) for _ in range(400)]
    assert {finding.verdict for finding in findings} == {YES, NO, UNKNOWN}
    for finding in findings:
        assert TOKEN not in finding.summary
        assert finding.summary.replace("…", "").isascii()


@pytest.mark.parametrize(
    "name", ["a..test", ".", "", "x" * 64 + ".test", "\ud800.test", "a\\", "\x00.test", "a b.test"]
)
@pytest.mark.parametrize("token", ["", "\ud800", "a/../b", "(", "ä\r\n"])
def test_no_name_and_no_token_raises(name: str, token: str) -> None:
    with dns_server({(".", "*"): "SERVFAIL"}) as dns:
        check = HttpSelfCheck([dns.address], test_port=free_port())
        assert check.fetch(name, token, f"{token}.thumbprint").verdict is UNKNOWN


def test_threads_share_one_self_check() -> None:
    def reply(head: str) -> bytes:
        return http() if f"Host: {NAME}" in head else http("", 404)

    zone = HERE | {("broken.example", "*"): "SERVFAIL"}
    wanted = {NAME: YES, OTHER: NO, "broken.example": UNKNOWN}
    with raw_server(reply) as web, dns_server(zone) as dns, ThreadPoolExecutor(8) as pool:
        check = HttpSelfCheck([dns.address], test_port=web.port)
        names = list(wanted) * 10
        findings = list(pool.map(lambda name: check.fetch(name, TOKEN, KEY), names))
    assert [finding.verdict for finding in findings] == [wanted[name] for name in names]


def test_a_server_is_an_address() -> None:
    with pytest.raises(ValueError, match="IP address"):
        HttpSelfCheck(["dns.example"])
