"""B01: names without a CNAME."""

import pytest

from issuer.dns import DnsResolver
from issuer.ports import DnsFinding
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


@pytest.mark.parametrize(
    "addresses",
    [
        {(NAME, "A"): [OUR_A]},
        {(NAME, "AAAA"): ["2001:DB8:0::1"]},
        {(NAME, "A"): [OUR_A], (NAME, "AAAA"): [OUR_AAAA]},
    ],
)
def test_b01_an_apex_with_our_addresses_is_yes(addresses: Zone) -> None:
    answer = points_here(OURS | addresses)
    assert answer.verdict is YES
    assert answer.summary.startswith(f"{NAME} has no CNAME and the address")


def test_b01_a_foreign_chain_that_ends_at_our_addresses_is_yes() -> None:
    answer = points_here(OURS | chain(1, "flat.dns.test.") | {("flat.dns.test", "A"): [OUR_A]})
    assert answer.verdict is YES
    assert answer.summary == f"{NAME} is a CNAME to flat.dns.test, which has the address {OUR_A}"


def test_b01_addresses_of_several_targets_count_together() -> None:
    zone = OURS | {("two.ours.test", "A"): ["192.0.2.2"], (NAME, "A"): ["192.0.2.2", OUR_A]}
    assert points_here(zone, targets=(EDGE, "two.ours.test")).verdict is YES


def test_b01_a_target_behind_a_cname_has_the_addresses_of_its_end() -> None:
    zone: Zone = {(EDGE, "CNAME"): ["LB.cloud.test."], ("lb.cloud.test", "A"): [OUR_A], (NAME, "A"): [OUR_A]}
    assert points_here(zone).verdict is YES
    assert points_here(zone, follow=True).verdict is YES


def test_b01_a_foreign_address_is_no() -> None:
    answer = points_here(OURS | {(NAME, "A"): [FOREIGN_A]})
    summary = f"{NAME} has no CNAME and the address {FOREIGN_A}"
    required = f"{NAME} CNAME {EDGE}"
    former = f"{NAME} A {FOREIGN_A}"
    assert answer == DnsFinding(
        NO, summary, required, answer.advice, is_elsewhere=True, records=(required,), former=former
    )


@pytest.mark.parametrize(
    "addresses",
    [
        {(NAME, "A"): [OUR_A, FOREIGN_A]},
        {(NAME, "A"): [OUR_A, FOREIGN_A], (NAME, "AAAA"): [OUR_AAAA]},
        {(NAME, "A"): [OUR_A], (NAME, "AAAA"): [FOREIGN_AAAA]},
        {(NAME, "A"): [OUR_A], (NAME, "AAAA"): [OUR_AAAA, FOREIGN_AAAA]},
    ],
)
def test_b01_one_foreign_address_among_ours_is_no_and_named(addresses: Zone) -> None:
    answer = points_here(OURS | addresses)
    assert answer.verdict is NO
    assert (FOREIGN_A in answer.summary) != (FOREIGN_AAAA in answer.summary)
    assert OUR_A not in answer.summary


def test_b01_a_foreign_aaaa_is_no_when_we_have_none() -> None:
    zone: Zone = {(EDGE, "A"): [OUR_A], (NAME, "A"): [OUR_A], (NAME, "AAAA"): [FOREIGN_AAAA]}
    assert points_here(zone).verdict is NO


def test_b01_many_addresses_come_over_tcp_and_are_not_all_listed() -> None:
    many = [f"198.51.100.{n}" for n in range(60)]
    answer = points_here(OURS | {(NAME, "A"): many})
    assert answer.verdict is NO
    assert answer.summary.endswith("the addresses 198.51.100.0, 198.51.100.1, 198.51.100.10, …")
    assert points_here({(EDGE, "A"): many, (NAME, "A"): many}).verdict is YES


def test_b01_a_name_that_is_not_there_is_no() -> None:
    answer = points_here(OURS)
    assert (answer.verdict, answer.summary) == (NO, f"{NAME} has no DNS record at all")


@pytest.mark.parametrize("zone", [{(NAME, "TXT"): ['"here"']}, {(NAME, "A"): "NXDOMAIN", (NAME, "CNAME"): "EMPTY"}])
def test_b01_a_name_without_an_address_is_no(zone: Zone) -> None:
    answer = points_here(OURS | zone)
    assert (answer.verdict, answer.summary) == (NO, f"{NAME} has no CNAME and no address")


def test_b01_without_any_address_of_ours_there_is_nothing_to_compare_with() -> None:
    answer = points_here({(NAME, "A"): [FOREIGN_A]})
    assert (answer.verdict, answer.summary) == (UNKNOWN, f"our own target {EDGE} does not exist in DNS")


FOREIGN: Zone = {(NAME, "A"): [FOREIGN_A], (NAME, "AAAA"): [FOREIGN_AAAA]}


@pytest.mark.parametrize(
    ("zone", "is_elsewhere"),
    [
        (FOREIGN, True),
        ({(NAME, "A"): [FOREIGN_A]}, True),
        ({(NAME, "AAAA"): [FOREIGN_AAAA]}, True),
        ({(NAME, "A"): [FOREIGN_A, "203.0.113.10"], (NAME, "AAAA"): "SERVFAIL"}, True),
        (chain(2, "cdn.test.") | {("cdn.test", "A"): [FOREIGN_A]}, True),
        (FOREIGN | {(NAME, "A"): [FOREIGN_A, OUR_A]}, False),
        (FOREIGN | {(NAME, "A"): [OUR_A]}, False),
        (FOREIGN | {(NAME, "AAAA"): [OUR_AAAA]}, False),
        (chain(1, "gone.test."), False),
        (chain(1, f"{NAME}."), False),
        ({(NAME, "TXT"): ['"here"']}, False),
    ],
)
def test_n17_a_name_is_elsewhere_if_all_of_its_addresses_are_foreign(zone: Zone, *, is_elsewhere: bool) -> None:
    answer = points_here(OURS | zone)
    assert (answer.verdict, answer.is_elsewhere) == (NO, is_elsewhere)


@pytest.mark.parametrize(
    ("zone", "is_elsewhere"),
    [
        (FOREIGN, True),
        ({(NAME, "A"): [FOREIGN_A]}, True),
        (chain(1, "cdn.test.") | {("cdn.test", "A"): [FOREIGN_A]}, True),
        ({(NAME, "A"): [OUR_A]}, False),
        (chain(1), False),
        ({(NAME, "A"): "SERVFAIL", (NAME, "TXT"): ['"here"']}, False),
    ],
)
def test_n17_addresses_are_compared_also_where_a_cname_alone_counts(zone: Zone, *, is_elsewhere: bool) -> None:
    with dns_server(OURS | {("token.edge.ours.test", "A"): [OUR_A]} | zone) as server:
        answer = DnsResolver([EDGE], [server.address]).points_here(NAME, "token")
    assert (answer.verdict, answer.is_elsewhere) == (NO, is_elsewhere)
