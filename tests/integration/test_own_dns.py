"""Faults of our own DNS are told apart from those of a customer's: a silent resolver, and targets that are mistyped."""

import time

import pytest

from issuer.dns import DnsResolver
from issuer.ports import DnsFinding
from issuer.problem import Actor, ProblemType
from issuer.sandbox import free_port
from tests.integration.dns_server import Zone, dns_server
from tests.integration.pointing import EDGE, FOREIGN_A, NAME, NO, OUR_A, OURS, SECONDS, UNKNOWN, YES, chain, points_here

BELOW, TYPO, TOKEN = "track.shop.test", "egde.ours.test", "0" * 32
NOTHING_FOR_THE_OWNER = "the owner of the domain need do nothing"
DEAF: Zone = {(".", "*"): "REFUSED"}
"""The servers know nothing of the root, as one in a private network may."""


def is_ours(finding: DnsFinding, fault: ProblemType, setting: str) -> None:
    assert (finding.verdict, finding.fault, finding.must_act) == (UNKNOWN, fault, Actor.PLATFORM)
    assert setting in finding.hint
    assert finding.hint.endswith(NOTHING_FOR_THE_OWNER)
    assert "create" not in finding.hint
    assert finding.records == ()


@pytest.mark.parametrize("failure", ["SERVFAIL", "REFUSED", "SILENT", "LAME"])
def test_a_resolver_that_answers_for_no_name_is_the_platforms(failure: str) -> None:
    zone: Zone = {(name, "*"): failure for name in (".", NAME, EDGE, f"_issuer.{NAME}")}
    with dns_server(zone) as server:
        resolver = DnsResolver([EDGE], [server.address], seconds=SECONDS)
        assert not resolver.is_answering()
        for finding in (resolver.points_here(NAME), resolver.has_proof(NAME, TOKEN)):
            is_ours(finding, ProblemType.RESOLVER_UNAVAILABLE, "ISSUER_DNS_SERVERS")
        caa = resolver.caa(NAME, ["ca.example"], "")
    assert (caa.verdict, caa.fault, caa.must_act) == (UNKNOWN, ProblemType.RESOLVER_UNAVAILABLE, Actor.PLATFORM)


def test_a_silent_resolver_takes_no_longer_than_all_queries_may() -> None:
    with dns_server({(name, "*"): "SILENT" for name in (".", NAME, EDGE)}) as server:
        resolver = DnsResolver([EDGE], [server.address], seconds=1)
        for ask in (lambda: resolver.points_here(NAME), lambda: resolver.caa(NAME, ["ca.example"], "")):
            began = time.monotonic()
            assert ask().fault is ProblemType.RESOLVER_UNAVAILABLE
            assert time.monotonic() - began < 1.3


def test_a_resolver_that_is_not_there_is_the_platforms() -> None:
    resolver = DnsResolver([EDGE], [f"127.0.0.1:{free_port()}"], seconds=SECONDS)
    is_ours(resolver.points_here(NAME), ProblemType.RESOLVER_UNAVAILABLE, "ISSUER_DNS_SERVERS")
    assert (resolver.is_answering(), resolver.addresses(NAME)) == (False, ())


@pytest.mark.parametrize("own", [OURS, OURS | DEAF, {(EDGE, "*"): "REFUSED"}])
@pytest.mark.parametrize("failure", ["SERVFAIL", "REFUSED", "SILENT"])
def test_silent_servers_of_one_name_are_its_owners(own: Zone, failure: str) -> None:
    """Our servers answer for the root or for our target."""
    finding = points_here(own | {(NAME, "*"): failure}, seconds=SECONDS)
    assert (finding.verdict, finding.fault, finding.must_act) == (UNKNOWN, None, Actor.OWNER)
    advice = f"ask whoever runs the DNS of {NAME}: its name servers must answer; no record needs to be changed"
    assert finding.hint == advice


WITHOUT: list[tuple[Zone, str]] = [
    ({}, "does not exist in DNS"),
    ({(TYPO, "TXT"): ["here"]}, "has no address"),
    ({(TYPO, "CNAME"): ["gone.ours.test."]}, "has no address"),
]


@pytest.mark.parametrize(
    "records",
    [
        {},
        {(BELOW, "TXT"): ["here"]},
        {(BELOW, "A"): [FOREIGN_A]},
        {(BELOW, "CNAME"): ["other.test."]},
        {(BELOW, "CNAME"): [f"{EDGE}."], (EDGE, "A"): [OUR_A]},
        {(BELOW, "CNAME"): [f"{TYPO}."]},
        {(BELOW, "SOA"): ["ns.host.test. owner.host.test. 1 3600 600 86400 60"]},
    ],
)
@pytest.mark.parametrize(("target", "words"), WITHOUT)
def test_a_target_without_an_address_never_goes_out_as_an_instruction(records: Zone, target: Zone, words: str) -> None:
    finding = points_here(target | records, BELOW, (TYPO,))
    is_ours(finding, ProblemType.TARGET_DNS, "ISSUER_CNAME_TARGETS")
    assert finding.summary.endswith(f"our own target {TYPO} {words}")
    assert TYPO not in finding.hint
    assert finding.required_record == ""


@pytest.mark.parametrize("failure", ["SERVFAIL", "REFUSED", "SILENT"])
def test_a_target_whose_servers_fail_is_the_platforms_too(failure: str) -> None:
    finding = points_here({(EDGE, "*"): failure}, BELOW, seconds=SECONDS)
    is_ours(finding, ProblemType.TARGET_DNS, "ISSUER_CNAME_TARGETS")
    assert finding.required_record == ""


@pytest.mark.parametrize(("target", "_"), WITHOUT)
@pytest.mark.parametrize("targets", [(EDGE, TYPO), (TYPO, EDGE)])
def test_of_several_targets_only_those_with_an_address_are_told(targets: tuple[str, ...], target: Zone, _: str) -> None:
    for records in ({}, {(BELOW, "A"): [FOREIGN_A]}):
        finding = points_here(OURS | target | records, BELOW, targets)
        assert (finding.verdict, finding.must_act) == (NO, Actor.OWNER)
        assert finding.records == (f"{BELOW} CNAME {EDGE}",)
        assert finding.required_record == f"{BELOW} CNAME {EDGE}"
        assert TYPO not in finding.hint
        assert finding.missing_targets == (TYPO,)
    at_apex = points_here(OURS | target, NAME, targets)
    assert TYPO not in at_apex.hint
    assert at_apex.records[0] == f"{NAME} ALIAS {EDGE}"
    assert points_here(OURS | target | {(BELOW, "CNAME"): [f"{EDGE}."]}, BELOW, targets).verdict is YES


def test_a_target_that_proves_its_holder_needs_a_wildcard_of_ours() -> None:
    with dns_server(OURS | {(BELOW, "CNAME"): [f"{EDGE}."]}) as server:
        finding = DnsResolver([EDGE], [server.address]).points_here(BELOW, TOKEN)
    is_ours(finding, ProblemType.TARGET_DNS, "ISSUER_CNAME_TARGETS")


@pytest.mark.parametrize("failure", ["SERVFAIL", "SILENT"])
@pytest.mark.parametrize(("follow", "length"), [(True, 1), (False, 1), (True, 2)])
def test_caa_records_of_our_target_that_cannot_be_read_are_the_platforms(
    failure: str, length: int, *, follow: bool
) -> None:
    with dns_server(OURS | chain(length) | {(EDGE, "CAA"): failure}, follow=follow) as server:
        finding = DnsResolver([EDGE], [server.address], seconds=1).caa(NAME, ["ca.example"], "")
    assert (finding.verdict, finding.fault, finding.must_act) == (UNKNOWN, ProblemType.TARGET_DNS, Actor.PLATFORM)
    assert finding.is_unanswered


def test_caa_records_that_cannot_be_read_are_their_owners() -> None:
    for zone in (OURS | {(NAME, "CAA"): "SERVFAIL", (NAME, "A"): [OUR_A]}, OURS | {("test", "CAA"): "SERVFAIL"}):
        with dns_server(zone) as server:
            finding = DnsResolver([EDGE], [server.address]).caa(NAME, ["ca.example"], "")
        assert (finding.fault, finding.must_act, finding.is_unanswered) == (None, Actor.OWNER, True)


def test_the_addresses_of_a_name() -> None:
    with dns_server(OURS | chain(2), follow=True) as server:
        resolver = DnsResolver([EDGE], [server.address])
        assert resolver.addresses(NAME) == (OUR_A, OURS[EDGE, "AAAA"][0])
        assert resolver.addresses("gone.test") == ()
