"""A DNS server that is of no use is passed over for the next one, whatever is asked and however it fails."""

import dns.flags
import pytest

from issuer.challenges import HttpSelfCheck
from issuer.dns import DnsResolver
from issuer.ports import Finding
from tests.integration.dns_server import DnsServer, Zone, dns_server
from tests.integration.pointing import EDGE, NAME, NO, OURS, UNKNOWN, YES, chain

CA, TOKEN, SECONDS = "ca.example", "a-token", 1.5
LAME = ("REFUSED", "SERVFAIL", "NOTIMP", "FORMERR", "YXDOMAIN", "NOTAUTH", "LAME", "TRUNCATED", "GARBAGE", "SILENT")
GOOD: Zone = OURS | chain(1) | {(f"_issuer.{NAME}", "TXT"): [TOKEN], ("free.test", "CAA"): [f'0 issue "{CA}"']}


def lame(failure: str) -> Zone:
    return {(name, "*"): failure for name in (NAME, EDGE, "free.test", "test", f"_issuer.{NAME}", "h1.test")}


def resolver(*servers: DnsServer) -> DnsResolver:
    return DnsResolver([EDGE], [server.address for server in servers], seconds=SECONDS)


@pytest.mark.parametrize("failure", LAME)
def test_b03_a_lame_server_is_passed_over_for_the_next(failure: str) -> None:
    with dns_server(lame(failure)) as first, dns_server(GOOD) as second:
        assert resolver(first, second).points_here(NAME).verdict is YES
        assert resolver(first, second).has_proof(NAME, TOKEN).verdict is YES
        assert resolver(first, second).caa("free.test", [CA], "") == Finding(YES, f"free.test allows {CA}")
        checked = HttpSelfCheck([first.address, second.address], seconds=SECONDS).fetch(NAME, "t", "t.k")
    assert "has the address 192.0.2.1" in checked.summary or "has the address 2001:db8::1" in checked.summary


@pytest.mark.parametrize("failure", LAME)
def test_b03_a_lame_server_does_not_change_a_no(failure: str) -> None:
    with dns_server(lame(failure)) as first, dns_server(OURS) as second:
        finding = resolver(first, second).points_here(NAME)
    assert (finding.verdict, finding.summary) == (NO, f"{NAME} has no DNS record at all")


@pytest.mark.parametrize("failure", ["REFUSED", "LAME", "TRUNCATED"])
def test_b03_a_lame_server_is_asked_once_in_a_call(failure: str) -> None:
    with dns_server(lame(failure)) as first, dns_server(OURS | chain(2)) as second:
        assert resolver(first, second).points_here(NAME).verdict is YES
        assert {question for question, _ in first.questions} == {f"{NAME}."}


@pytest.mark.parametrize(
    ("failures", "reason"),
    [
        (("REFUSED", "SERVFAIL"), "REFUSED, SERVFAIL"),
        (("SERVFAIL", "LAME"), "SERVFAIL, only a referral"),
        (("SILENT", "REFUSED"), "no answer in time, REFUSED"),
        (("REFUSED", "REFUSED"), "REFUSED"),
    ],
)
def test_b03_if_all_servers_are_lame_each_reason_is_named(failures: tuple[str, str], reason: str) -> None:
    with dns_server(lame(failures[0])) as first, dns_server(lame(failures[1])) as second:
        finding = DnsResolver([EDGE], [first.address, second.address], seconds=0.4).points_here(NAME)
    assert (finding.verdict, finding.summary) == (UNKNOWN, f"DNS has no clear answer for {NAME} CNAME ({reason})")


@pytest.mark.parametrize("refusal", ["FORMERR", "NOTIMP", "SERVFAIL", "SILENT"])
def test_n43_a_server_without_edns_is_asked_without(refusal: str) -> None:
    with dns_server(GOOD, without_edns=refusal) as server:
        assert DnsResolver([EDGE], [server.address], seconds=3).points_here(NAME).verdict is YES


@pytest.mark.parametrize("name", [NAME, "free.test", "gone.test"])
def test_n43_every_query_says_that_we_understand_dnssec(name: str) -> None:
    with dns_server(GOOD) as server:
        resolver(server).points_here(name)
        resolver(server).caa(name, [CA], "")
        resolver(server).has_proof(name, TOKEN)
        assert server.flags
        assert all(flags == dns.flags.RD | dns.flags.AD for flags in server.flags)
