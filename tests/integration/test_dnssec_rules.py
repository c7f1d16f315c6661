"""N15: by what a stub resolver can tell broken DNSSEC from failing servers, rule by rule."""

import time

import pytest

from issuer.dns import DnsResolver
from issuer.ports import DnsFinding
from tests.integration.dns_server import Zone, dns_server
from tests.integration.pointing import NAME, OURS, UNKNOWN, chain, points_here

CA, TOKEN = "ca.example", "0" * 32
SERVFAIL: Zone = {(NAME, "*"): "SERVFAIL"}


def is_bogus(finding: DnsFinding, zone: str) -> bool:
    assert finding.verdict is UNKNOWN
    assert finding.is_bogus is finding.summary.endswith(f", as DNSSEC of the zone {zone} is broken")
    return finding.is_bogus


@pytest.mark.parametrize(
    ("zone", "broken"),
    [
        # An answer without the check of DNSSEC, and none with it.
        ({(NAME, "*"): "BOGUS"}, NAME),
        ({(NAME, "CNAME"): "BOGUS", (NAME, "A"): "SERVFAIL"}, NAME),
        ({(NAME, "A"): "BOGUS"}, NAME),
        ({(NAME, "AAAA"): "BOGUS", (NAME, "A"): "EMPTY"}, NAME),
        (chain(1, "h1.test.") | {("h1.test", "*"): "BOGUS"}, "h1.test"),
        # No answer at all, but an extended error that says so.
        *(({(NAME, "*"): f"EDE {code}"}, NAME) for code in range(6, 13)),
        # No answer at all, but one for the SOA record of a name above, without the check of DNSSEC alone.
        (SERVFAIL | {("test", "*"): "BOGUS"}, "test"),
        (SERVFAIL | {(NAME, "*"): "EDE 22", ("test", "SOA"): "BOGUS"}, "test"),
    ],
)
def test_n15_what_says_that_dnssec_is_broken(zone: Zone, broken: str) -> None:
    assert is_bogus(points_here(OURS | zone), broken)


@pytest.mark.parametrize(
    "zone",
    [
        SERVFAIL,
        SERVFAIL | {("test", "*"): "SERVFAIL"},
        SERVFAIL | {("test", "*"): "SERVFAIL", (".", "*"): "SERVFAIL"},
        {(NAME, "*"): "REFUSED"},
        {(NAME, "*"): "LAME", ("test", "*"): "BOGUS"},
        {(NAME, "*"): "TRUNCATED"},
        *({(NAME, "*"): f"EDE {code}"} for code in (0, 5, 13, 22, 23)),
    ],
)
def test_n15_other_failures_accuse_no_zone(zone: Zone) -> None:
    assert not is_bogus(points_here(OURS | zone), NAME)


@pytest.mark.parametrize("failure", ["BOGUS", "EDE 7"])
def test_n15_every_question_is_explained(failure: str) -> None:
    proof = f"_issuer.{NAME}"
    with dns_server({(name, "*"): failure for name in (NAME, proof)}) as server:
        resolver = DnsResolver(["edge.ours.test"], [server.address])
        assert resolver.points_here(NAME).is_bogus
        assert resolver.points_here(NAME, TOKEN).is_bogus
        assert resolver.has_proof(NAME, TOKEN).is_bogus
        assert resolver.caa(NAME, [CA], "").is_bogus


@pytest.mark.parametrize(
    "failures", [("REFUSED", "BOGUS"), ("BOGUS", "SILENT"), ("SILENT", "BOGUS"), ("BOGUS", "LAME")]
)
def test_n15_one_of_two_servers_is_enough_and_time_is_left(failures: tuple[str, str]) -> None:
    with dns_server({(NAME, "*"): failures[0]}) as first, dns_server({(NAME, "*"): failures[1]}) as second:
        started = time.monotonic()
        finding = DnsResolver(["edge.ours.test"], [first.address, second.address], seconds=1.2).points_here(NAME)
    assert is_bogus(finding, NAME)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("silent", ["SOA", "CAA", "CNAME"])
def test_n15_the_search_for_the_reason_ends_with_the_time_of_the_call(silent: str) -> None:
    zone: Zone = {(name, "*"): "SERVFAIL" for name in (NAME, "test", ".")}
    with dns_server(zone | {(name, silent): "SILENT" for name in (NAME, "test")}) as server:
        started = time.monotonic()
        resolver = DnsResolver(["edge.ours.test"], [server.address], seconds=0.6)
        assert not resolver.points_here(NAME).is_bogus
        assert not resolver.caa(NAME, [CA], "").is_bogus
    assert time.monotonic() - started < 2
