"""B07: which CAA records apply to a name, and when that is unknown."""

import time
from itertools import pairwise

import pytest

from issuer.dns import DnsResolver
from issuer.ports import Finding, Verdict
from issuer.sandbox import Dns, free_port
from tests.integration.dns_server import Zone, dns_server
from tests.integration.pointing import FAILURES, NO, SECONDS, UNKNOWN, YES

NAME, PARENT, EDGE = "track.customer.example", "customer.example", "edge.ours.example"
CA, OTHER_CA = "ca.example", "other-ca.example"
ALLOWED, FORBIDDEN, OTHER = [f'0 issue "{CA}"'], ['0 issue ";"'], [f'0 issue "{OTHER_CA}"']
TO_US: Zone = {(NAME, "CNAME"): [f"{EDGE}."], (EDGE, "A"): ["192.0.2.1"]}
NOTHING = f"neither {NAME} nor a name above it has a CAA record"


def caa(zone: Zone, name: str = NAME, *, follow: bool = False, seconds: float = 3) -> Finding:
    return caa_with_questions(zone, name, follow=follow, seconds=seconds)[0]


def caa_with_questions(
    zone: Zone, name: str = NAME, *, follow: bool = False, seconds: float = 3
) -> tuple[Finding, list[tuple[str, str]]]:
    """The finding, and the DNS questions for it."""
    with dns_server(zone, follow=follow) as server:
        finding = DnsResolver([EDGE], [server.address], seconds=seconds).caa(name, [CA], "")
        return finding, server.questions


def chain(length: int, first: str = NAME) -> Zone:
    """`length` CNAMEs from a name to the last of them."""
    names = [first, *(f"h{n}.test" for n in range(1, length + 1))]
    return {(name, "CNAME"): [f"{target}."] for name, target in pairwise(names)}


# The climb


def test_b07_a_name_with_no_record_on_the_way_up_is_free() -> None:
    finding, questions = caa_with_questions({(NAME, "A"): ["192.0.2.1"], (PARENT, "A"): ["192.0.2.1"]})
    assert finding == Finding(YES, NOTHING)
    assert questions == [(f"{NAME}.", "CAA"), (f"{PARENT}.", "CAA"), ("example.", "CAA")]


@pytest.mark.parametrize("above", [OTHER, "SERVFAIL"])
def test_b07_nothing_above_a_found_set_is_asked(above: list[str] | str) -> None:
    finding, questions = caa_with_questions({(NAME, "CAA"): ALLOWED, (PARENT, "CAA"): above, ("example", "CAA"): above})
    assert finding == Finding(YES, f"{NAME} allows {CA}")
    assert questions == [(f"{NAME}.", "CAA")]


@pytest.mark.parametrize("level", [NAME, PARENT, "example"])
def test_b07_the_closest_set_is_found_at_any_level(level: str) -> None:
    assert caa({(level, "CAA"): OTHER}) == Finding(NO, f"{level} allows only {OTHER_CA}")
    assert caa({("example", "CAA"): OTHER, (level, "CAA"): ALLOWED}).verdict is YES


@pytest.mark.parametrize("empty", ["EMPTY", "NXDOMAIN"])
def test_b07_an_empty_answer_and_nxdomain_continue_upwards(empty: str) -> None:
    finding = caa({(NAME, "CAA"): empty, (PARENT, "CAA"): OTHER})
    assert finding == Finding(NO, f"{PARENT} allows only {OTHER_CA}")


def test_b07_case_and_dots_do_not_matter() -> None:
    finding, questions = caa_with_questions({(PARENT, "CAA"): OTHER}, "Track.CUSTOMER.example.")
    assert finding == Finding(NO, f"{PARENT} allows only {OTHER_CA}")
    assert questions == [(f"{NAME}.", "CAA"), (f"{PARENT}.", "CAA")]


# CNAMEs


@pytest.mark.parametrize(
    ("zone", "owner"),
    [
        ({(NAME, "CAA"): FORBIDDEN}, NAME),
        ({(PARENT, "CAA"): FORBIDDEN}, PARENT),
        (TO_US | {(EDGE, "CAA"): FORBIDDEN}, EDGE),
        ({(NAME, "CNAME"): ["Cdn.Test."], ("cdn.test", "CAA"): FORBIDDEN}, "cdn.test"),
    ],
)
def test_n13_the_name_that_has_the_records_is_known(zone: Zone, owner: str) -> None:
    assert caa(zone).owner == owner


follows = pytest.mark.parametrize("follow", [False, True])


@follows
def test_b07_the_zone_of_our_own_target_forbids(follow: bool) -> None:  # noqa: FBT001
    finding = caa(TO_US | {(EDGE, "CAA"): FORBIDDEN, (PARENT, "CAA"): ALLOWED}, follow=follow)
    assert finding == Finding(NO, f"{NAME} is a CNAME to {EDGE}, which forbids all CAs")


@follows
def test_b07_the_zone_of_our_own_target_allows_and_the_parent_does_not_count(follow: bool) -> None:  # noqa: FBT001
    finding = caa(TO_US | {(EDGE, "CAA"): ALLOWED, (PARENT, "CAA"): FORBIDDEN}, follow=follow)
    assert finding == Finding(YES, f"{NAME} is a CNAME to {EDGE}, which allows {CA}")


@follows
def test_b07_the_parent_of_the_name_counts_and_not_that_of_its_target(follow: bool) -> None:  # noqa: FBT001
    finding, questions = caa_with_questions(
        TO_US | {("ours.example", "CAA"): FORBIDDEN, (PARENT, "CAA"): OTHER}, follow=follow
    )
    assert finding == Finding(NO, f"{PARENT} allows only {OTHER_CA}")
    assert ("ours.example.", "CAA") not in questions


@follows
def test_b07_a_parent_may_be_a_cname_too(follow: bool) -> None:  # noqa: FBT001
    zone = TO_US | {(PARENT, "CNAME"): ["Shop.Test."], ("shop.test", "CAA"): OTHER, ("test", "CAA"): ALLOWED}
    assert caa(zone, follow=follow) == Finding(NO, f"{PARENT} is a CNAME to shop.test, which allows only {OTHER_CA}")
    del zone["shop.test", "CAA"]
    assert caa(zone | {("shop.test", "A"): ["192.0.2.9"]}, follow=follow) == Finding(YES, NOTHING)


@follows
def test_b07_a_cname_to_nowhere_continues_upwards(follow: bool) -> None:  # noqa: FBT001
    assert caa({(NAME, "CNAME"): ["gone.test."], (PARENT, "CAA"): OTHER}, follow=follow).verdict is NO


@pytest.mark.parametrize("first", [NAME, PARENT])
def test_b07_long_chains_are_followed(first: str) -> None:
    zone = chain(16, first) | {("h16.test", "CAA"): OTHER}
    assert caa(zone).summary == f"{first} is a CNAME to h16.test, which allows only {OTHER_CA}"
    assert caa(chain(15, first) | {("h15.test", "CAA"): OTHER}, follow=True).verdict is NO


@pytest.mark.parametrize("first", [NAME, PARENT])
@pytest.mark.parametrize(
    ("length", "back_to", "follow", "reason"),
    [
        (16, "h17.test", False, "more than 16 CNAMEs"),
        (16, "h17.test", True, "no usable answer"),
        (2, "h1.test", False, "more than 16 CNAMEs"),
        (2, "h1.test", True, "no usable answer"),
        (1, "h1.test", False, "no usable answer"),
    ],
)
def test_b07_loops_and_endless_chains_are_unknown(
    first: str,
    length: int,
    back_to: str,
    follow: bool,  # noqa: FBT001
    reason: str,
) -> None:
    zone = chain(length, first) | {(f"h{length}.test", "CNAME"): [f"{back_to}."], ("example", "CAA"): ALLOWED}
    finding, questions = caa_with_questions(zone, follow=follow)
    assert finding.verdict is UNKNOWN
    assert finding.summary.endswith(f" CAA ({reason})")
    assert ("example.", "CAA") not in questions


# What DNS does not answer

UNANSWERED = (*FAILURES, "NOTIMP", "FORMERR")


@pytest.mark.parametrize("failure", UNANSWERED)
@pytest.mark.parametrize("level", [NAME, PARENT, "example", EDGE])
def test_b07_a_failure_at_a_level_that_is_reached_is_unknown(level: str, failure: str) -> None:
    zone = TO_US | {(level, "CAA"): failure}
    finding = caa(zone, seconds=SECONDS if failure == "SILENT" else 3)
    assert finding.verdict is UNKNOWN
    assert finding.summary.startswith(f"DNS has no clear answer for {level} CAA (")


@pytest.mark.parametrize("failure", UNANSWERED)
@pytest.mark.parametrize(("records", "verdict"), [(ALLOWED, YES), (OTHER, NO)])
def test_b07_a_failure_above_a_found_set_does_not_matter(failure: str, records: list[str], verdict: Verdict) -> None:
    assert caa({(PARENT, "CAA"): records, ("example", "*"): failure}).verdict is verdict


@pytest.mark.parametrize(
    ("failure", "word"),
    [("SERVFAIL", "SERVFAIL"), ("NOTIMP", "NOTIMP"), ("FORMERR", "FORMERR"), ("SILENT", "no answer in time")],
)
def test_b07_unknown_says_which_question_and_why(failure: str, word: str) -> None:
    finding = caa({(PARENT, "CAA"): failure}, seconds=SECONDS)
    assert finding.summary == f"DNS has no clear answer for {PARENT} CAA ({word})"


def test_b07_a_silent_server_holds_the_call_no_longer_than_its_time() -> None:
    started = time.monotonic()
    assert caa({(NAME, "*"): "SILENT"}, seconds=0.4).verdict is UNKNOWN
    assert time.monotonic() - started < 1.5


def test_b07_one_deadline_holds_for_all_levels() -> None:
    name = ".".join("abcdefgh") + ".test"
    levels = [name.split(".", depth)[-1] for depth in range(9)]
    silent: Zone = {(level, "*"): "SILENT" for level in levels}
    with dns_server(silent) as first, dns_server(silent) as second:
        started = time.monotonic()
        resolver = DnsResolver([EDGE], [first.address, second.address], seconds=0.6)
        assert resolver.caa(name, [CA], "").verdict is UNKNOWN
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("name", ["a..test", "x" * 64 + ".test", "\ud800.test", "a\\", ".".join(["a" * 60] * 5)])
def test_b07_no_name_raises(name: str) -> None:
    finding = DnsResolver([EDGE], [f"127.0.0.1:{free_port()}"], seconds=SECONDS).caa(name, [CA], "")
    assert finding.verdict is UNKNOWN
    assert finding.summary.startswith("DNS could not be queried: ")


@pytest.mark.parametrize("issuers", [[], (), [""], [" . "]])
def test_b07_for_a_ca_that_does_not_name_itself_dns_is_not_asked(issuers: list[str]) -> None:
    with dns_server({(NAME, "CAA"): FORBIDDEN}) as server:
        finding = DnsResolver([EDGE], [server.address]).caa(NAME, issuers, "")
        assert server.questions == []
    assert finding == Finding(YES, "the CA names no domain for CAA records, so they were not checked")


# The real pebble-challtestsrv


def test_b07_real_dns(dns: Dns) -> None:
    dns.cname("a.caa.test", "edge.caa.example")
    dns.caa("caa.test", ("issue", OTHER_CA), ("iodef", "mailto:owner@caa.test"))
    dns.servfail("broken.test")
    resolver = DnsResolver([EDGE], [dns.server])
    assert resolver.caa("free.test", [CA], "").verdict is YES
    assert resolver.caa("a.caa.test", [CA], "") == Finding(NO, f"caa.test allows only {OTHER_CA}")
    dns.caa("edge.caa.example", ("issue", CA))
    finding = resolver.caa("a.caa.test", [CA], "")
    assert finding == Finding(YES, f"a.caa.test is a CNAME to edge.caa.example, which allows {CA}")
    finding = resolver.caa("a.broken.test", [CA], "")
    assert (finding.verdict, finding.summary) == (UNKNOWN, "DNS has no clear answer for broken.test CAA (SERVFAIL)")
