"""N24: nobody is told to create a CNAME at an apex, or a record that is there; N23: a stray address is to go."""

import pytest

from issuer.dns import DnsResolver
from issuer.ports import DnsFinding, Verdict
from issuer.problem import Actor
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
    chain,
    points_here,
)

APEX = f"{NAME} is the apex of its zone and cannot have a CNAME"
ADDRESSES = f"{NAME} A {OUR_A} and {NAME} AAAA {OUR_AAAA}"
SOA: Zone = {(NAME, "SOA"): ["ns.host.test. owner.host.test. 1 3600 600 86400 60"]}
NS: Zone = {(NAME, "NS"): ["ns.host.test."]}
WRONG: Zone = {(NAME, "A"): [FOREIGN_A]}
TOKEN = "0" * 32
CREATE = (
    f"create the record track.shop.test CNAME {EDGE}: in the DNS of {NAME}, type CNAME, name track.shop.test (some "
    f"panels want track alone), value {EDGE}"
)


@pytest.mark.parametrize(
    "at_the_apex",
    [
        SOA | NS,
        SOA,
        NS,
        NS | {(NAME, "SOA"): "NXDOMAIN"},
        NS | {(NAME, "SOA"): "SERVFAIL"},
        SOA | {(NAME, "NS"): "REFUSED"},
    ],
)
@pytest.mark.parametrize(
    ("records", "instead"),
    [
        (WRONG, f", in place of {NAME} A {FOREIGN_A}"),
        (
            {(NAME, "A"): [FOREIGN_A], (NAME, "AAAA"): [FOREIGN_AAAA]},
            f", in place of {NAME} A {FOREIGN_A} and {NAME} AAAA {FOREIGN_AAAA}",
        ),
        ({(NAME, "AAAA"): [FOREIGN_AAAA]}, f", in place of {NAME} AAAA {FOREIGN_AAAA}"),
        ({(NAME, "TXT"): ["here"]}, ""),
        ({(NAME, "CNAME"): ["other.test."]}, f", in place of {NAME} CNAME other.test"),
        ({(NAME, "CNAME"): ["lb.test."], ("lb.test", "A"): [FOREIGN_A]}, f", in place of {NAME} CNAME lb.test"),
    ],
)
def test_n24_an_apex_gets_an_alias_or_our_addresses(at_the_apex: Zone, records: Zone, instead: str) -> None:
    finding = points_here(OURS | at_the_apex | records)
    assert finding.verdict is NO
    assert finding.hint == f"{APEX}: create an ALIAS or ANAME record to {EDGE}, or {ADDRESSES}{instead}"


@pytest.mark.parametrize("answer", ["NXDOMAIN", "SERVFAIL", "REFUSED"])
def test_n24_where_dns_does_not_say_the_public_suffix_list_does(answer: str) -> None:
    silent_about_zones: Zone = {(NAME, "SOA"): answer, (NAME, "NS"): answer}
    assert points_here(OURS | silent_about_zones | WRONG).hint.startswith(f"{APEX}: ")
    below = "track.shop.test"
    zone: Zone = {(below, "SOA"): answer, (below, "NS"): answer, (below, "A"): [FOREIGN_A]}
    assert points_here(OURS | zone, below).hint.startswith(f"{CREATE}; remove the record {below} A {FOREIGN_A}")


def test_n24_a_name_that_is_not_there_at_all_may_be_an_apex() -> None:
    assert points_here(OURS).hint == f"{APEX}: create an ALIAS or ANAME record to {EDGE}, or {ADDRESSES}"
    assert points_here(OURS, "track.shop.test").hint == CREATE


@pytest.mark.parametrize("name", [NAME, "track.shop.test", "a.b.shop.test"])
def test_n24_a_name_inside_a_zone_gets_a_cname(name: str) -> None:
    for records in ({(name, "A"): [FOREIGN_A]}, {(name, "TXT"): ["here"]}, {(name, "CNAME"): ["other.test."]}):
        zone: Zone = OURS | SOA | NS if name != NAME else OURS
        finding = points_here(zone | records, name)
        assert finding.hint.startswith(f"create the record {name} CNAME {EDGE}: in the DNS of {NAME}, type CNAME, ")
        assert finding.records == (f"{name} CNAME {EDGE}",)
        former = next((f"{name} {kind} {values[0]}" for (_, kind), values in records.items() if kind != "TXT"), "")
        assert finding.hint.endswith("as no other can stand beside it") is bool(former)
        assert former.removesuffix(".") in finding.hint


def test_n24_a_zone_below_the_registered_domain_has_an_apex_too() -> None:
    name = "track.shop.test"
    zone: Zone = OURS | {(name, "NS"): ["ns.host.test."], (name, "A"): [FOREIGN_A]}
    assert points_here(zone, name).hint.startswith(f"{name} is the apex of its zone and cannot have a CNAME: ")


@pytest.mark.parametrize("records", [WRONG, {(NAME, "A"): [OUR_A]}, {}])
def test_n24_an_apex_cannot_prove_its_holder_by_a_cname(records: Zone) -> None:
    target: Zone = {(f"{TOKEN}.{EDGE}", "A"): [OUR_A]}
    with dns_server(OURS | target | SOA | NS | records) as server:
        finding = DnsResolver([EDGE], [server.address]).points_here(NAME, TOKEN)
    assert finding.verdict is NO
    assert finding.hint == f"{APEX}, so it cannot prove whose it is: use a name below it, such as www.{NAME}"


@pytest.mark.parametrize(
    ("zone", "record"),
    [
        ({(NAME, "A"): [OUR_A, FOREIGN_A]}, f"{NAME} A {FOREIGN_A}"),
        ({(NAME, "A"): [OUR_A], (NAME, "AAAA"): [FOREIGN_AAAA]}, f"{NAME} AAAA {FOREIGN_AAAA}"),
        (SOA | NS | {(NAME, "A"): [OUR_A], (NAME, "AAAA"): [FOREIGN_AAAA]}, f"{NAME} AAAA {FOREIGN_AAAA}"),
        (
            chain(1, "alias.test.") | {("alias.test", "A"): [OUR_A], ("alias.test", "AAAA"): [FOREIGN_AAAA]},
            f"alias.test AAAA {FOREIGN_AAAA}",
        ),
        (
            chain(2, "alias.test.") | {("alias.test", "A"): [FOREIGN_A, OUR_A, "203.0.113.10"]},
            "alias.test A 203.0.113.10 and alias.test A 203.0.113.9",
        ),
    ],
)
def test_n23_a_stray_address_is_to_be_removed(zone: Zone, record: str) -> None:
    finding = points_here(OURS | zone)
    assert (finding.verdict, finding.hint) == (NO, f"remove the record {record}")


OWNER_NEED_DO_NOTHING = "the owner of the domain need do nothing"


@pytest.mark.parametrize(
    ("zone", "is_ours"),
    [
        (OURS | {(NAME, "*"): "SERVFAIL"}, False),
        (OURS | chain(2) | {("h1.test", "CNAME"): "REFUSED"}, False),
        (OURS | {(NAME, "A"): "LAME"}, False),
        (chain(1) | {(EDGE, "*"): "SERVFAIL"}, True),
        (chain(1), True),
        ({(EDGE, "*"): "REFUSED", (NAME, "A"): [FOREIGN_A]}, True),
        (chain(1) | {(EDGE, "CNAME"): ["lb.test."], ("lb.test", "*"): "SERVFAIL"}, True),
    ],
)
def test_n24_while_it_is_unknown_nobody_is_told_to_create_a_record(zone: Zone, is_ours: bool) -> None:  # noqa: FBT001
    finding = points_here(zone)
    assert finding.verdict is UNKNOWN
    assert "create" not in finding.hint
    assert (OWNER_NEED_DO_NOTHING in finding.hint) is is_ours
    assert finding.must_act is (Actor.PLATFORM if is_ours else Actor.OWNER)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_n24_only_after_a_clear_no_is_a_record_to_be_created(verdict: Verdict) -> None:
    finding = DnsFinding(verdict, "as DNS has it", f"{NAME} CNAME {EDGE}")
    assert (finding.hint == f"create the record {NAME} CNAME {EDGE}") is (verdict is not UNKNOWN)
