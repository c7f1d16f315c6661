"""B05: the chain, case, dots; and the answers of a real DNS server."""

import pytest

from issuer.dns import DnsResolver
from issuer.ports import DnsFinding
from issuer.sandbox import Dns
from tests.integration.dns_server import Zone, dns_server
from tests.integration.pointing import (
    AND,
    CLOSED,
    EDGE,
    FOREIGN_A,
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


def test_b05_one_hop_to_our_target_is_yes() -> None:
    answer = points_here(OURS | chain(1))
    assert answer == DnsFinding(YES, f"{NAME} is a CNAME to {EDGE}", f"{NAME} CNAME {EDGE}")


def test_b05_a_chain_through_other_zones_is_yes() -> None:
    zone = OURS | {(NAME, "CNAME"): ["b.other.example."], ("b.other.example", "CNAME"): [f"{EDGE}."]}
    answer = points_here(zone)
    assert answer.verdict is YES
    assert answer.summary == f"{NAME} is a CNAME to b.other.example, which is a CNAME to {EDGE}"


@pytest.mark.parametrize("follow", [False, True])
def test_b05_any_hop_may_be_our_target(follow: bool) -> None:  # noqa: FBT001
    zone = chain(1) | {(EDGE, "CNAME"): ["lb.cloud.test."], ("lb.cloud.test", "A"): [OUR_A]}
    assert points_here(zone, follow=follow).verdict is YES


@pytest.mark.parametrize("target", [EDGE, "EDGE.Ours.TEST", "Edge.ours.test."])
@pytest.mark.parametrize("answer", ["edge.ours.test.", "EDGE.ours.Test."])
@pytest.mark.parametrize("name", [NAME, "SHOP.test", "Shop.Test."])
def test_b05_case_and_dots_do_not_matter(target: str, answer: str, name: str) -> None:
    zone = OURS | {("shop.test", "CNAME"): ["B.Other.test."], ("b.other.test", "CNAME"): [answer]}
    assert points_here(zone, name, (target,)) == DnsFinding(
        YES, f"{NAME} is a CNAME to b.other.test, which is a CNAME to {EDGE}", f"{NAME} CNAME {EDGE}"
    )


def test_b05_names_are_asked_in_lower_case() -> None:
    with dns_server(OURS | {(NAME, "CNAME"): ["EDGE.ours.TEST."]}) as server:
        DnsResolver([EDGE], [server.address]).points_here("SHOP.test")
    assert server.questions == [("shop.test.", "CNAME"), ("edge.ours.test.", "A")]


def test_b05_sixteen_hops_are_followed() -> None:
    answer = points_here(OURS | chain(16))
    assert answer.verdict is YES
    assert answer.summary.endswith(f"which is a CNAME to h3.test, which continues to {EDGE}")


@pytest.mark.parametrize("length", [17, 20])
def test_b05_more_than_sixteen_hops_are_no(length: int) -> None:
    answer = points_here(OURS | chain(length))
    assert answer.verdict is NO
    assert "more than 16 CNAMEs" in answer.summary
    assert len(answer.summary) < 250


@pytest.mark.parametrize(
    ("loop", "summary"),
    [
        (chain(1, f"{NAME}."), f"{NAME} is a CNAME to {NAME}, {CLOSED}"),
        (
            chain(2, f"{NAME}."),
            f"{NAME} is a CNAME to h1.test, which is a CNAME to {NAME}, {CLOSED}",
        ),
        (
            chain(3, "H1.test."),
            f"{NAME} is a CNAME to h1.test, {AND} h2.test, {AND} h1.test, {CLOSED}",
        ),
    ],
)
def test_b05_a_loop_is_no(loop: Zone, summary: str) -> None:
    answer = points_here(OURS | loop)
    assert (answer.verdict, answer.summary) == (NO, summary)


def test_b05_a_dangling_cname_is_no() -> None:
    answer = points_here(OURS | chain(2, "gone.test."))
    assert answer.verdict is NO
    assert answer.summary == (
        f"{NAME} is a CNAME to h1.test, which is a CNAME to gone.test, which has no DNS record at all"
    )


def test_b05_a_chain_to_another_target_is_no() -> None:
    answer = points_here(OURS | chain(1, "other.example.") | {("other.example", "A"): [FOREIGN_A]})
    assert (answer.verdict, answer.summary) == (NO, f"{NAME} is a CNAME to other.example")


def test_b05_a_chain_that_ends_without_an_address_is_no() -> None:
    answer = points_here(OURS | chain(1, "other.example.") | {("other.example", "TXT"): ['"here"']})
    assert (answer.verdict, answer.summary) == (NO, f"{NAME} is a CNAME to other.example, which has no address")


@pytest.mark.parametrize(
    "target", [{}, {(EDGE, "TXT"): ['"here"']}, {(EDGE, "*"): "NXDOMAIN"}, {(EDGE, "CNAME"): [f"{EDGE}."]}]
)
def test_b05_our_target_without_an_address_is_unknown(target: Zone) -> None:
    answer = points_here(chain(1) | target)
    assert answer.verdict is UNKNOWN
    if (EDGE, "CNAME") not in target:
        words = "has no address" if (EDGE, "TXT") in target else "does not exist in DNS"
        assert answer.summary == f"{NAME} is a CNAME to {EDGE}; our own target {EDGE} {words}"


@pytest.mark.parametrize("family", [{(EDGE, "A"): [OUR_A]}, {(EDGE, "AAAA"): [OUR_AAAA]}])
def test_b05_our_target_needs_an_address_of_one_family_only(family: Zone) -> None:
    assert points_here(chain(1) | family).verdict is YES
    kind = "AAAA" if (EDGE, "A") in family else "A"
    assert points_here(chain(1) | family | {(EDGE, kind): "SERVFAIL"}).verdict is YES


def test_b05_each_target_will_do_and_the_required_record_names_them() -> None:
    targets = ("a.ours.test", EDGE, "c.ours.test", "d.ours.test")
    assert points_here(OURS | chain(1), targets=targets) == DnsFinding(
        YES, f"{NAME} is a CNAME to {EDGE}", f"{NAME} CNAME a.ours.test or {EDGE} or c.ours.test"
    )


def test_b05_our_own_target_points_here() -> None:
    assert points_here(OURS, EDGE).verdict is YES


# The real pebble-challtestsrv, which gives every name without an A record of its own a default one


@pytest.fixture
def real(dns: Dns) -> DnsResolver:
    dns.addresses(EDGE, OUR_A)
    return DnsResolver([EDGE], [dns.server])


def test_b05_real_dns_yes_through_cnames(real: DnsResolver, dns: Dns) -> None:
    dns.cname("yes.test", "hop.test")
    dns.cname("hop.test", EDGE)
    assert real.points_here("yes.test").verdict is YES


def test_b05_real_dns_no_for_another_cname(real: DnsResolver, dns: Dns) -> None:
    dns.cname("no.test", "other.test")
    answer = real.points_here("no.test")
    assert (answer.verdict, answer.summary) == (NO, "no.test is a CNAME to other.test")


@pytest.mark.parametrize(("name", "broken"), [("fail.test", "fail.test"), ("mid.test", "broken.test")])
def test_b03_real_dns_unknown_for_servfail(real: DnsResolver, dns: Dns, name: str, broken: str) -> None:
    dns.cname("mid.test", "broken.test")
    dns.servfail(broken)
    answer = real.points_here(name)
    assert answer.verdict is UNKNOWN
    assert answer.summary.endswith("(SERVFAIL)")


def test_b05_real_dns_mixed_case(real: DnsResolver, dns: Dns) -> None:
    dns.cname("mixed.test", "EDGE.Ours.Test")
    assert real.points_here("Mixed.TEST.").verdict is YES


def test_b01_real_dns_addresses_alone(real: DnsResolver, dns: Dns) -> None:
    dns.addresses("apex.test", OUR_A)
    assert real.points_here("apex.test").verdict is YES
    assert real.points_here("nothing.test").summary == "nothing.test has no CNAME and the address 127.0.0.1"
