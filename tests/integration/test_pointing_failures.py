"""B03: an error is never a no, a clear answer never unknown."""

import time
from pathlib import Path

import dns.resolver
import pytest

from issuer.dns import DnsResolver
from issuer.sandbox import free_port
from tests.integration.dns_server import Zone, dns_server
from tests.integration.pointing import (
    EDGE,
    FAILURES,
    FOREIGN_A,
    FOREIGN_AAAA,
    NAME,
    NO,
    OUR_A,
    OUR_AAAA,
    OURS,
    SECONDS,
    UNKNOWN,
    YES,
    chain,
    points_here,
)

APEX: Zone = OURS | {(NAME, "A"): [OUR_A], (NAME, "AAAA"): [OUR_AAAA]}
POSITIONS = [
    (OURS | chain(1), (NAME, "CNAME")),
    (OURS | chain(2), ("h1.test", "CNAME")),
    (OURS | chain(2, "gone.test."), ("gone.test", "CNAME")),
    (OURS | chain(1), (EDGE, "*")),
    (chain(1), (EDGE, "A")),
    (chain(1), (EDGE, "AAAA")),
    (APEX, (EDGE, "A")),
    (APEX, (EDGE, "AAAA")),
    (OURS | {(NAME, "TXT"): ['"here"']}, (NAME, "A")),
    (OURS | {(NAME, "TXT"): ['"here"']}, (NAME, "AAAA")),
    (OURS | {(NAME, "A"): [FOREIGN_A]}, (EDGE, "A")),
    (OURS | chain(1, "other.test.") | {("other.test", "A"): [FOREIGN_A]}, ("other.test", "A")),
]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(("zone", "position"), POSITIONS)
def test_b03_a_failure_at_any_position_is_unknown(zone: Zone, position: tuple[str, str], failure: str) -> None:
    owner, kind = position
    kept = {key: answers for key, answers in zone.items() if kind != "*" or key[0] != owner}
    started = time.monotonic()
    answer = points_here({**kept, position: failure}, seconds=SECONDS if failure == "SILENT" else 3)
    assert answer.verdict is UNKNOWN
    assert owner in answer.summary
    assert answer.required_record == ("" if owner == EDGE else f"{NAME} CNAME {EDGE}")
    assert time.monotonic() - started < 2.5


@pytest.mark.parametrize("kind", ["CNAME", "A", "AAAA"])
def test_b03_silence_for_one_type_is_unknown(kind: str) -> None:
    assert points_here({**APEX, (NAME, kind): "SILENT"}, seconds=SECONDS).verdict is UNKNOWN


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        ("SERVFAIL", "SERVFAIL"),
        ("REFUSED", "REFUSED"),
        ("SILENT", "no answer in time"),
        ("GARBAGE", "no answer in time"),
        ("LAME", "only a referral"),
        ("TRUNCATED", "no usable answer"),
    ],
)
def test_b03_unknown_says_what_was_asked_and_how_it_failed(failure: str, word: str) -> None:
    answer = points_here(OURS | chain(2) | {("h1.test", "CNAME"): failure}, seconds=SECONDS)
    assert answer.summary == f"{NAME} is a CNAME to h1.test; DNS has no clear answer for h1.test CNAME ({word})"


@pytest.mark.parametrize("failure", FAILURES)
def test_b03_a_foreign_a_is_no_whatever_aaaa_does(failure: str) -> None:
    zone = OURS | {(NAME, "A"): [FOREIGN_A], (NAME, "AAAA"): failure, (EDGE, "AAAA"): failure}
    assert points_here(zone, seconds=SECONDS).verdict is NO


@pytest.mark.parametrize("failure", ["SERVFAIL", "REFUSED", "LAME", "TRUNCATED"])
def test_b03_a_foreign_aaaa_is_no_whatever_a_does(failure: str) -> None:
    assert points_here(OURS | {(NAME, "A"): failure, (NAME, "AAAA"): [FOREIGN_AAAA]}).verdict is NO


def test_b03_a_family_the_name_does_not_use_need_not_be_known_of_ours() -> None:
    assert points_here({(EDGE, "A"): [OUR_A], (EDGE, "AAAA"): "SERVFAIL", (NAME, "A"): [OUR_A]}).verdict is YES


def test_b03_a_match_with_one_target_needs_no_answer_for_the_other() -> None:
    zone = OURS | {("two.ours.test", "*"): "SERVFAIL", (NAME, "A"): [OUR_A]}
    assert points_here(zone, targets=("two.ours.test", EDGE)).verdict is YES
    assert points_here(zone | {(NAME, "A"): [FOREIGN_A]}, targets=("two.ours.test", EDGE)).verdict is UNKNOWN


@pytest.mark.parametrize("count", [1, 3])
def test_b03_silent_servers_are_unknown_within_the_bound(count: int) -> None:
    with dns_server({(NAME, "*"): "SILENT"}) as server:
        started = time.monotonic()
        answer = DnsResolver([EDGE], [server.address] * count, seconds=0.4).points_here(NAME)
    assert answer.verdict is UNKNOWN
    assert time.monotonic() - started < 1.5


def test_b03_one_deadline_holds_for_all_questions() -> None:
    slow: Zone = {(name, "*"): "SILENT" for name in ("a.ours.test", "b.ours.test", "c.ours.test")}
    started = time.monotonic()
    answer = points_here(
        slow | {(NAME, "A"): [OUR_A]}, targets=("a.ours.test", "b.ours.test", "c.ours.test"), seconds=0.4
    )
    assert answer.verdict is UNKNOWN
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("zone", [OURS | chain(2), APEX])
def test_b03_a_silent_first_server_does_not_silence_the_second(zone: Zone) -> None:
    silent: Zone = {(name, "*"): "SILENT" for name in (NAME, "h1.test", EDGE)}
    with dns_server(silent) as first, dns_server(zone) as second:
        answer = DnsResolver([EDGE], [first.address, second.address], seconds=1.5).points_here(NAME)
    assert answer.verdict is YES


def test_b03_a_server_that_is_not_there_is_unknown() -> None:
    started = time.monotonic()
    answer = DnsResolver([EDGE], [f"127.0.0.1:{free_port()}"], seconds=SECONDS).points_here(NAME)
    assert answer.verdict is UNKNOWN
    assert time.monotonic() - started < 1.5


def test_b03_a_system_without_resolv_conf_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read = dns.resolver.Resolver.read_resolv_conf
    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", lambda self, _: read(self, str(tmp_path / "none")))
    answer = DnsResolver([EDGE]).points_here(NAME)
    assert answer.verdict is UNKNOWN
    assert answer.summary.startswith("ISSUER_DNS_SERVERS is not set and this machine has no DNS server configured, ")


@pytest.mark.parametrize(
    "name",
    ["a..test", ".", "", "x" * 64 + ".test", "\ud800.test", "a\\", ".".join(["a" * 60] * 5), "\x00.test"],
)
def test_b03_no_name_raises(name: str) -> None:
    assert points_here({(".", "*"): "SERVFAIL", ("\\000.test", "*"): "SERVFAIL"}, name).verdict is UNKNOWN
