"""The self-check without a clear result: no connection, no answer in time, no DNS, no public address."""

import re
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import dns.resolver
import pytest

from issuer.challenges import HttpSelfCheck
from issuer.challenges.addresses import is_public
from issuer.ports import Finding
from issuer.sandbox import LOOPBACK, free_port
from tests.acme2certifier import NEEDS_ROOT, _own_address
from tests.integration.dns_server import Zone, dns_server
from tests.integration.fetches import (
    HERE,
    KEY,
    LATE,
    NAME,
    NO,
    OTHER,
    PATH,
    SECONDS,
    TOKEN,
    UNKNOWN,
    YES,
    expected,
    http,
    once,
    redirect,
    self_check,
    self_check_at,
)
from tests.integration.raw_server import raw_server

# B09: what cannot be seen from here is unknown, within the time limit


def test_b09_a_port_that_refuses_is_unknown() -> None:
    with dns_server(HERE) as dns:
        finding = HttpSelfCheck([dns.address], test_port=free_port()).fetch(NAME, TOKEN, KEY)
    assert finding == expected(UNKNOWN, f"cannot be reached from here ({LOOPBACK}: Connection refused)")


def test_each_address_of_a_name_can_be_asked_on_its_own() -> None:
    """Whatever DNS says of the name; a private one in tests alone."""
    wrong = http("no", 404)
    with raw_server(http()) as web, raw_server(wrong, host="127.0.0.2", port=web.port), dns_server({}) as dns:
        check = HttpSelfCheck([dns.address], test_port=web.port)
        found = [check.fetch(NAME, TOKEN, KEY, address=f"127.0.0.{last}") for last in (1, 2, 3)]
        public_only = HttpSelfCheck([dns.address]).fetch(NAME, TOKEN, KEY, address="127.0.0.1")
    assert [finding.verdict for finding in found] == [YES, NO, UNKNOWN]
    assert found[1] == expected(NO, "answers 404")
    assert public_only == expected(UNKNOWN, "has the address 127.0.0.1, which cannot be reached from the internet")


def test_b09_tls_that_fails_is_unknown() -> None:
    finding = self_check(once(f"https://{OTHER}/"))
    assert finding == expected(UNKNOWN, f"redirects to https://{OTHER}, which cannot be reached over TLS from here")


@contextmanager
def full_port(host: str = LOOPBACK, port: int = 0) -> Iterator[int]:
    """A port whose queue is full: no further connection is accepted."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=0) as server, socket.socket(family) as first:
        first.connect(server.getsockname())
        yield server.getsockname()[1]


def test_b09_a_port_that_never_takes_the_connection_is_unknown_in_time() -> None:
    with full_port() as port, dns_server(HERE) as dns:
        started = time.monotonic()
        finding = HttpSelfCheck([dns.address], seconds=SECONDS, test_port=port).fetch(NAME, TOKEN, KEY)
    assert finding == expected(UNKNOWN, f"cannot be reached from here ({LOOPBACK}: no answer in time)")
    assert time.monotonic() - started < SECONDS + 1


DRIPS = {
    "silence": (b"", b""),
    "status": (b"HTTP/1.1 2", b"0"),
    "header": (b"HTTP/1.1 200 OK\r\nA: ", b"b"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"a"),
    "until-closed": (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
    "right-and-open": (b"HTTP/1.1 200 OK\r\n\r\n" + KEY.encode(), b""),
    "chunk-size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "trailer": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
}


@pytest.mark.parametrize(("start", "piece"), DRIPS.values(), ids=DRIPS)
def test_b09_a_server_that_drips_is_unknown_in_time(start: bytes, piece: bytes) -> None:
    with raw_server(b"") as web:
        web.reply = lambda _: web.drip(start, piece=piece)
        assert self_check_at(web, seconds=SECONDS) == expected(UNKNOWN, LATE)


@pytest.mark.parametrize(("start", "piece"), [(b"", b""), (b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\x00")])
def test_b09_a_tls_handshake_that_drips_is_unknown_in_time(start: bytes, piece: bytes) -> None:
    with raw_server(once(f"https://{OTHER}/")) as web, socket.create_server(("127.0.0.2", web.port)) as listener:
        listener.settimeout(2)
        with ThreadPoolExecutor() as pool:
            connection = pool.submit(drip_once, listener, web.drip(start, piece=piece))
            finding = self_check_at(web, HERE | {(OTHER, "A"): ["127.0.0.2"]}, seconds=SECONDS)
            web.over.set()
            connection.result()
    assert finding == expected(UNKNOWN, f"redirects to https://{OTHER}, which cannot be reached over TLS from here")


def drip_once(listener: socket.socket, pieces: Iterable[bytes]) -> None:
    connection, _ = listener.accept()
    with connection, suppress(OSError):
        for piece in pieces:
            connection.sendall(piece)


def test_b09_one_deadline_holds_for_all_redirects() -> None:
    with raw_server(b"") as web:

        def reply(_: str) -> bytes:
            web.over.wait(0.15)
            return redirect(f"/{web.connections}")

        web.reply = reply
        finding = self_check_at(web, seconds=SECONDS)
    assert finding.verdict is UNKNOWN
    assert "in time" in finding.summary, "in DNS or at the web server, wherever the time ends"
    assert 1 < web.connections < 5


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("NXDOMAIN", "the name does not exist"),
        ("SERVFAIL", "no clear answer"),
        ("REFUSED", "no clear answer"),
        ("GARBAGE", "no answer in time"),
        ("SILENT", "no answer in time"),
    ],
)
def test_b09_dns_that_fails_is_unknown_in_time(failure: str, words: str) -> None:
    finding = self_check(http(), {(NAME, "*"): failure}, seconds=SECONDS)
    assert finding == expected(UNKNOWN, f"has no address in DNS as seen from here ({words})")
    finding = self_check(once(f"http://{OTHER}/"), HERE | {(OTHER, "A"): failure, (OTHER, "AAAA"): failure}, seconds=1)
    assert finding == expected(
        UNKNOWN, f"redirects to http://{OTHER}, which has no address in DNS as seen from here ({words})"
    )


def test_b09_a_name_without_an_address_is_unknown() -> None:
    assert self_check(http(), {(NAME, "TXT"): ['"here"']}) == expected(
        UNKNOWN, "has no address in DNS as seen from here"
    )
    loop = {(NAME, "CNAME"): [f"{OTHER}."], (OTHER, "CNAME"): [f"{NAME}."]}
    assert self_check(http(), loop).verdict is UNKNOWN


@pytest.mark.parametrize("failure", ["NXDOMAIN", "SERVFAIL", "REFUSED", "SILENT"])
def test_one_family_without_an_answer_leaves_the_other(failure: str) -> None:
    assert self_check(http(), {(NAME, "A"): [LOOPBACK], (NAME, "AAAA"): failure}, seconds=1).verdict is YES


def test_a_cname_that_the_server_does_not_follow_is_followed() -> None:
    zone = {(NAME, "CNAME"): ["Edge.platform.example."], ("edge.platform.example", "A"): [LOOPBACK]}
    assert self_check(http(), zone).verdict is YES


def test_b09_a_system_without_resolv_conf_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read = dns.resolver.Resolver.read_resolv_conf
    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", lambda self, _: read(self, str(tmp_path / "none")))
    finding = HttpSelfCheck().fetch(NAME, TOKEN, KEY)
    assert finding == Finding(UNKNOWN, "DNS could not be queried: this machine has no DNS server configured")


# IPv6 first


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


BOTH: Zone = {(NAME, "AAAA"): ["::1"], (NAME, "A"): [LOOPBACK]}


def test_ipv4_is_asked_where_ipv6_takes_no_connection() -> None:
    assert self_check(http(), BOTH).verdict is YES


def test_ipv4_is_asked_in_time_where_ipv6_leaves_us_waiting() -> None:
    with raw_server(http()) as web, full_port("::1" if has_ipv6() else "127.0.0.2", web.port):
        assert self_check_at(web, BOTH, seconds=1).verdict is YES


def test_ipv6_comes_first_and_one_address_of_each_family_is_asked() -> None:
    zone = {(NAME, "A"): [LOOPBACK, "127.0.0.2"], (NAME, "AAAA"): ["::1"]}
    with dns_server(zone) as dns:
        finding = HttpSelfCheck([dns.address], test_port=free_port()).fetch(NAME, TOKEN, KEY)
    assert finding.verdict is UNKNOWN
    assert re.search(r"here \(::1: [^,]+, 127\.0\.0\.[12]: Connection refused\)$", finding.summary)


def test_ipv4_is_not_asked_when_ipv6_answers_wrongly() -> None:
    # Without IPv6 on this machine there is no connection either, and so IPv4 is right.
    host, verdict = ("::1", NO) if has_ipv6() else ("127.0.0.2", YES)
    with raw_server(http()) as right, raw_server(http("", 404), host=host, port=right.port) as wrong:
        assert self_check_at(right, BOTH).verdict is verdict
    assert (right.connections, wrong.connections) == ((0, 1) if verdict is NO else (1, 0))


def test_ipv4_is_not_asked_after_a_redirect() -> None:
    finding = self_check(once(f"http://{OTHER}/"), HERE | {(OTHER, "AAAA"): ["::1"]})
    assert finding.verdict is UNKNOWN
    assert finding.summary.startswith(
        f"http://{NAME} redirects to http://{OTHER}, which cannot be reached from here (::1"
    )
    assert LOOPBACK not in finding.summary


# Addresses that are not of the internet

NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.169.254",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:2::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PRIVATE = ["127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "::1", "fd00::1"]


def kind(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def shown(address: str) -> str:
    return str(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NEVER + PRIVATE)
def test_b09_an_address_that_is_not_of_the_internet_is_unknown_and_not_asked(address: str) -> None:
    with dns_server({(NAME, kind(address)): [address]}) as dns:
        finding = HttpSelfCheck([dns.address]).fetch(NAME, TOKEN, KEY)
    # After an attempt to connect, the summary would say how it ended.
    assert finding == expected(UNKNOWN, f"has the address {shown(address)}, which cannot be reached from the internet")


def test_b09_no_connection_to_port_80_of_this_machine() -> None:
    try:
        address = _own_address(80)
    except PermissionError:
        pytest.skip(NEEDS_ROOT)
    with raw_server(http(), host=address, port=80) as web:
        for zone in ({(NAME, "A"): [address]}, {(NAME, "AAAA"): [f"::ffff:{address}"]}):
            with dns_server(zone) as dns:
                assert HttpSelfCheck([dns.address]).fetch(NAME, TOKEN, KEY).verdict is UNKNOWN
    assert web.connections == 0


@pytest.mark.parametrize("address", NEVER)
def test_no_test_port_opens_any_other_address_also_after_a_redirect(address: str) -> None:
    words = f"has the address {shown(address)}, which cannot be reached from the internet"
    zone = {(NAME, "A"): [LOOPBACK], (OTHER, kind(address)): [address]}
    with raw_server(once(f"http://{OTHER}{PATH}")) as web:
        assert self_check_at(web, zone) == expected(UNKNOWN, f"redirects to http://{OTHER}, which {words}")
        assert self_check_at(web, {(NAME, kind(address)): [address]}) == expected(UNKNOWN, words)
    assert web.connections == 1


def test_an_address_that_may_be_asked_is_found_among_others() -> None:
    zone = {(NAME, "AAAA"): ["fe80::1", "::ffff:127.0.0.1"], (NAME, "A"): ["169.254.169.254", "0.0.0.0", LOOPBACK]}
    assert self_check(http(), zone).verdict is YES


class Turning(list[str]):
    """A record that changes with each query, until the last."""

    def __iter__(self):
        return iter([self.pop(0) if len(self) > 1 else self[0]])


def test_the_connection_goes_to_the_checked_address_whatever_dns_says_next() -> None:
    zone = {(NAME, "A"): Turning([LOOPBACK, "127.0.0.2"])}
    with raw_server(http()) as checked, raw_server(http(), host="127.0.0.2", port=checked.port) as rebound:
        with dns_server(zone) as dns:
            assert HttpSelfCheck([dns.address], test_port=checked.port).fetch(NAME, TOKEN, KEY).verdict is YES
        assert dns.questions == [(f"{NAME}.", "AAAA"), (f"{NAME}.", "A")]
    assert (checked.connections, rebound.connections) == (1, 0)


def test_a_redirect_is_looked_up_and_checked_again() -> None:
    zone = {(NAME, "A"): Turning([LOOPBACK, "0.0.0.0"])}
    with raw_server(once("/again")) as web:
        finding = self_check_at(web, zone)
    assert finding.verdict is UNKNOWN
    assert "has the address 0.0.0.0" in finding.summary
    assert web.connections == 1
