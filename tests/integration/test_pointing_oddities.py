"""N16: servers that do not know a question type; N23: our address beside a stray one."""

import pytest

from issuer.dns import DnsResolver
from issuer.ports import Verdict
from tests.integration.dns_server import Zone, dns_server
from tests.integration.pointing import (
    EDGE,
    FOREIGN_A,
    FOREIGN_AAAA,
    NAME,
    NO,
    OUR_A,
    OUR_AAAA,
    OURS,
    UNKNOWN,
    YES,
    chain,
    points_here,
)

USELESS = ("NXDOMAIN", "SERVFAIL", "NOTIMP", "REFUSED", "FORMERR", "TRUNCATED", "LAME")
ODD_SERVERS = pytest.mark.parametrize("failure", USELESS)
TOKEN = "0" * 32


def without(*types: str, answer: str) -> Zone:
    return {(NAME, kind): answer for kind in types}


@ODD_SERVERS
@pytest.mark.parametrize(
    ("addresses", "odd"),
    [
        ({(NAME, "A"): [OUR_A]}, ("CNAME",)),
        ({(NAME, "A"): [OUR_A], (NAME, "AAAA"): [OUR_AAAA]}, ("CNAME",)),
        ({(NAME, "A"): [OUR_A]}, ("CNAME", "AAAA")),
        ({(NAME, "AAAA"): [OUR_AAAA]}, ("CNAME", "A")),
        ({(NAME, "A"): [OUR_A]}, ("AAAA",)),
        ({(NAME, "AAAA"): [OUR_AAAA]}, ("A",)),
    ],
)
def test_n16_the_address_decides_where_another_type_fails(addresses: Zone, odd: tuple[str, ...], failure: str) -> None:
    finding = points_here(OURS | addresses | without(*odd, answer=failure))
    assert finding.verdict is YES
    assert finding.summary.startswith(f"{NAME} has no CNAME and the address")


@ODD_SERVERS
@pytest.mark.parametrize("odd", [("CNAME",), ("CNAME", "AAAA"), ("AAAA",)])
def test_n16_a_foreign_address_is_named_where_another_type_fails(odd: tuple[str, ...], failure: str) -> None:
    finding = points_here(OURS | {(NAME, "A"): [FOREIGN_A]} | without(*odd, answer=failure))
    assert (finding.verdict, finding.summary) == (NO, f"{NAME} has no CNAME and the address {FOREIGN_A}")


@ODD_SERVERS
def test_n16_at_the_end_of_a_cname_too(failure: str) -> None:
    zone = OURS | chain(1, "lb.test.") | {("lb.test", "CNAME"): failure, ("lb.test", "A"): [OUR_A]}
    finding = points_here(zone)
    assert (finding.verdict, finding.summary) == (YES, f"{NAME} is a CNAME to lb.test, which has the address {OUR_A}")


@pytest.mark.parametrize("failure", [*USELESS, "EMPTY"])
@pytest.mark.parametrize("below", ["", TOKEN])
@pytest.mark.parametrize("follow", [False, True])
def test_n16_a_cname_before_the_addresses_is_followed(failure: str, below: str, follow: bool) -> None:  # noqa: FBT001
    target = f"{below}.{EDGE}." if below else f"{EDGE}."
    zone = OURS | {(target, "A"): [OUR_A], (NAME, "CNAME"): [target]}
    with dns_server(zone, follow=follow, odd=("CNAME", failure)) as server:
        assert DnsResolver([EDGE], [server.address]).points_here(NAME, below).verdict is YES


@ODD_SERVERS
@pytest.mark.parametrize("length", [1, 2, 3])
def test_n16_a_cname_whose_target_does_not_exist_is_there_all_the_same(failure: str, length: int) -> None:
    with dns_server(OURS | chain(length, "gone.test."), follow=True, odd=("CNAME", failure)) as server:
        finding = DnsResolver([EDGE], [server.address]).points_here(NAME)
    hops = f"{NAME} is a CNAME to {'h1' if length > 1 else 'gone'}.test"
    assert finding.verdict is (NO if failure == "NXDOMAIN" else UNKNOWN)
    assert finding.summary.startswith(hops)


@pytest.mark.parametrize("below", ["", TOKEN])
@pytest.mark.parametrize("odd", [("CNAME", "NXDOMAIN"), ("CNAME", "SERVFAIL"), ("", "")])
def test_n16_a_server_that_does_not_know_our_target_shows_the_cname(below: str, odd: tuple[str, str]) -> None:
    target = f"{below}.{EDGE}" if below else EDGE
    with dns_server({(NAME, "CNAME"): [f"{target}."]}, follow=True, odd=odd) as server:
        finding = DnsResolver([EDGE], [server.address]).points_here(NAME, below)
    assert finding.verdict is UNKNOWN, "it is our target that has no address"
    assert "create" not in finding.hint
    assert finding.summary.startswith(f"{NAME} is a CNAME to {target}; ")


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ({"CNAME": "NXDOMAIN", "A": "SERVFAIL", "AAAA": "NXDOMAIN"}, UNKNOWN),
        ({"CNAME": "NXDOMAIN", "A": "NXDOMAIN", "AAAA": "REFUSED"}, UNKNOWN),
        ({"CNAME": "SERVFAIL", "A": "NXDOMAIN", "AAAA": "NXDOMAIN"}, UNKNOWN),
        ({"CNAME": "SERVFAIL", "A": "EMPTY", "AAAA": "EMPTY"}, UNKNOWN),
        ({"CNAME": "NXDOMAIN", "A": "EMPTY", "AAAA": "EMPTY"}, NO),
        ({"CNAME": "NXDOMAIN", "A": "NXDOMAIN", "AAAA": "NXDOMAIN"}, NO),
    ],
)
def test_n16_without_any_address_an_error_stays_one(answers: dict[str, str], verdict: Verdict) -> None:
    assert points_here(OURS | {(NAME, kind): answer for kind, answer in answers.items()}).verdict is verdict


@pytest.mark.parametrize(
    ("failure", "expected", "is_unanswered"),
    [
        ("NXDOMAIN", (YES, f"neither {NAME} nor a name above it has a CAA record"), False),
        ("EMPTY", (YES, f"neither {NAME} nor a name above it has a CAA record"), False),
        ("SERVFAIL", (UNKNOWN, f"DNS has no clear answer for {NAME} CAA (SERVFAIL)"), True),
        ("SILENT", (UNKNOWN, f"DNS has no clear answer for {NAME} CAA (no answer in time)"), True),
        ("NOTIMP", (UNKNOWN, f"DNS has no clear answer for {NAME} CAA (NOTIMP)"), False),
    ],
)
def test_n16_a_failure_for_caa_alone_forbids_nothing(
    failure: str, expected: tuple[Verdict, str], *, is_unanswered: bool
) -> None:
    with dns_server({(NAME, "A"): [OUR_A], (NAME, "CAA"): failure}) as server:
        finding = DnsResolver([EDGE], [server.address], seconds=0.5).caa(NAME, ["ca.example"], "")
    assert (finding.verdict, finding.summary) == expected
    assert finding.is_unanswered is is_unanswered, "which a CA takes for a no"


@pytest.mark.parametrize(
    ("records", "named"),
    [
        ({"A": [OUR_A], "AAAA": [FOREIGN_AAAA]}, FOREIGN_AAAA),
        ({"A": [FOREIGN_A], "AAAA": [OUR_AAAA]}, FOREIGN_A),
        ({"A": [OUR_A, FOREIGN_A]}, FOREIGN_A),
        ({"AAAA": [OUR_AAAA, FOREIGN_AAAA]}, FOREIGN_AAAA),
    ],
)
@pytest.mark.parametrize("length", [0, 1, 2])
def test_n23_a_stray_address_is_named(records: dict[str, list[str]], named: str, length: int) -> None:
    end = "alias.test" if length else NAME
    hops = chain(length, "alias.test.") if length else {}
    finding = points_here(OURS | hops | {(end, kind): addresses for kind, addresses in records.items()})
    assert finding.verdict is NO
    has = "which has" if length else "has no CNAME and"
    assert finding.summary.endswith(f" {has}, beside ours, the address {named}")
