"""B07: which CAA records count for a name, and when that can not be told."""

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


def look(zone: Zone, name: str = NAME, *, follow: bool = False, seconds: float = 3) -> Finding:
    return asked(zone, name, follow=follow, seconds=seconds)[0]


def asked(
    zone: Zone, name: str = NAME, *, follow: bool = False, seconds: float = 3
) -> tuple[Finding, list[tuple[str, str]]]:
    """What is found, and the questions that it took."""
    with dns_server(zone, follow=follow) as server:
        found = DnsResolver([EDGE], [server.address], seconds=seconds).caa(name, [CA], "")
        return found, server.questions


def chain(length: int, first: str = NAME) -> Zone:
    """`length` CNAMEs from a name to the last of them."""
    names = [first, *(f"h{n}.test" for n in range(1, length + 1))]
    return {(name, "CNAME"): [f"{target}."] for name, target in pairwise(names)}


# The climb


def test_b07_a_name_with_no_record_on_the_way_up_is_free() -> None:
    found, questions = asked({(NAME, "A"): ["192.0.2.1"], (PARENT, "A"): ["192.0.2.1"]})
    assert found == Finding(YES, NOTHING)
    assert questions == [(f"{NAME}.", "CAA"), (f"{PARENT}.", "CAA"), ("example.", "CAA")]


@pytest.mark.parametrize("above", [OTHER, "SERVFAIL"])
def test_b07_nothing_above_a_found_set_is_asked(above: list[str] | str) -> None:
    found, questions = asked({(NAME, "CAA"): ALLOWED, (PARENT, "CAA"): above, ("example", "CAA"): above})
    assert found == Finding(YES, f"{NAME} allows {CA}")
    assert questions == [(f"{NAME}.", "CAA")]


@pytest.mark.parametrize("level", [NAME, PARENT, "example"])
def test_b07_the_closest_set_is_found_at_any_level(level: str) -> None:
    assert look({(level, "CAA"): OTHER}) == Finding(NO, f"{level} allows {OTHER_CA} only")
    assert look({("example", "CAA"): OTHER, (level, "CAA"): ALLOWED}).verdict is YES


@pytest.mark.parametrize("empty", ["EMPTY", "NXDOMAIN"])
def test_b07_an_empty_answer_and_nxdomain_lead_on_up(empty: str) -> None:
    found = look({(NAME, "CAA"): empty, (PARENT, "CAA"): OTHER})
    assert found == Finding(NO, f"{PARENT} allows {OTHER_CA} only")


def test_b07_case_and_dots_do_not_matter() -> None:
    found, questions = asked({(PARENT, "CAA"): OTHER}, "Track.CUSTOMER.example.")
    assert found == Finding(NO, f"{PARENT} allows {OTHER_CA} only")
    assert questions == [(f"{NAME}.", "CAA"), (f"{PARENT}.", "CAA")]


# CNAMEs

follows = pytest.mark.parametrize("follow", [False, True])


@follows
def test_b07_the_zone_of_our_own_target_forbids(follow: bool) -> None:  # noqa: FBT001
    found = look(TO_US | {(EDGE, "CAA"): FORBIDDEN, (PARENT, "CAA"): ALLOWED}, follow=follow)
    assert found == Finding(NO, f"{EDGE}, where {NAME} is a CNAME to, forbids all CAs")


@follows
def test_b07_the_zone_of_our_own_target_allows_and_the_parent_has_no_say(follow: bool) -> None:  # noqa: FBT001
    found = look(TO_US | {(EDGE, "CAA"): ALLOWED, (PARENT, "CAA"): FORBIDDEN}, follow=follow)
    assert found == Finding(YES, f"{EDGE}, where {NAME} is a CNAME to, allows {CA}")


@follows
def test_b07_the_parent_of_the_name_counts_and_not_that_of_its_target(follow: bool) -> None:  # noqa: FBT001
    found, questions = asked(TO_US | {("ours.example", "CAA"): FORBIDDEN, (PARENT, "CAA"): OTHER}, follow=follow)
    assert found == Finding(NO, f"{PARENT} allows {OTHER_CA} only")
    assert ("ours.example.", "CAA") not in questions


@follows
def test_b07_a_parent_may_be_a_cname_too(follow: bool) -> None:  # noqa: FBT001
    zone = TO_US | {(PARENT, "CNAME"): ["Shop.Test."], ("shop.test", "CAA"): OTHER, ("test", "CAA"): ALLOWED}
    assert look(zone, follow=follow) == Finding(NO, f"shop.test, where {PARENT} is a CNAME to, allows {OTHER_CA} only")
    del zone["shop.test", "CAA"]
    assert look(zone | {("shop.test", "A"): ["192.0.2.9"]}, follow=follow) == Finding(YES, NOTHING)


@follows
def test_b07_a_cname_to_nowhere_leads_on_up(follow: bool) -> None:  # noqa: FBT001
    assert look({(NAME, "CNAME"): ["gone.test."], (PARENT, "CAA"): OTHER}, follow=follow).verdict is NO


@pytest.mark.parametrize("first", [NAME, PARENT])
def test_b07_long_chains_are_followed(first: str) -> None:
    zone = chain(16, first) | {("h16.test", "CAA"): OTHER}
    assert look(zone).summary == f"h16.test, where {first} is a CNAME to, allows {OTHER_CA} only"
    assert look(chain(15, first) | {("h15.test", "CAA"): OTHER}, follow=True).verdict is NO


@pytest.mark.parametrize("first", [NAME, PARENT])
@pytest.mark.parametrize(
    ("length", "back_to", "follow", "reason"),
    [
        (16, "h17.test", False, "no end after 16 CNAMEs"),
        (16, "h17.test", True, "no usable answer"),
        (2, "h1.test", False, "no end after 16 CNAMEs"),
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
    found, questions = asked(zone, follow=follow)
    assert found.verdict is UNKNOWN
    assert found.summary.endswith(f" CAA ({reason})")
    assert ("example.", "CAA") not in questions


# What DNS does not answer

UNANSWERED = (*FAILURES, "NOTIMP", "FORMERR")


@pytest.mark.parametrize("failure", UNANSWERED)
@pytest.mark.parametrize("level", [NAME, PARENT, "example", EDGE])
def test_b07_a_failure_at_a_level_that_is_reached_is_unknown(level: str, failure: str) -> None:
    zone = TO_US | {(level, "CAA"): failure}
    found = look(zone, seconds=SECONDS if failure == "SILENT" else 3)
    assert found.verdict is UNKNOWN
    assert found.summary.startswith(f"DNS has no clear answer for {level} CAA (")


@pytest.mark.parametrize("failure", UNANSWERED)
@pytest.mark.parametrize(("records", "verdict"), [(ALLOWED, YES), (OTHER, NO)])
def test_b07_a_failure_above_a_found_set_does_not_matter(failure: str, records: list[str], verdict: Verdict) -> None:
    assert look({(PARENT, "CAA"): records, ("example", "*"): failure}).verdict is verdict


@pytest.mark.parametrize(
    ("failure", "word"),
    [("SERVFAIL", "SERVFAIL"), ("NOTIMP", "NOTIMP"), ("FORMERR", "FORMERR"), ("SILENT", "no answer in time")],
)
def test_b07_unknown_says_which_question_and_why(failure: str, word: str) -> None:
    found = look({(PARENT, "CAA"): failure}, seconds=SECONDS)
    assert found.summary == f"DNS has no clear answer for {PARENT} CAA ({word})"


def test_b07_a_silent_server_holds_the_call_no_longer_than_its_time() -> None:
    started = time.monotonic()
    assert look({(NAME, "*"): "SILENT"}, seconds=0.4).verdict is UNKNOWN
    assert time.monotonic() - started < 1.5


def test_b07_one_deadline_holds_for_all_levels() -> None:
    name = ".".join("abcdefgh") + ".test"
    levels = [name.split(".", depth)[-1] for depth in range(9)]
    silent: Zone = {(level, "*"): "SILENT" for level in levels}
    with dns_server(silent) as first, dns_server({}) as second:
        started = time.monotonic()
        resolver = DnsResolver([EDGE], [first.address, second.address], seconds=0.6)
        assert resolver.caa(name, [CA], "").verdict is UNKNOWN
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("failure", ["SERVFAIL", "REFUSED", "NOTIMP", "SILENT"])
def test_b07_a_failing_first_server_leaves_it_to_the_second(failure: str) -> None:
    with dns_server({(NAME, "*"): failure}) as first, dns_server({(NAME, "CAA"): OTHER}) as second:
        found = DnsResolver([EDGE], [first.address, second.address]).caa(NAME, [CA], "")
    assert found == Finding(NO, f"{NAME} allows {OTHER_CA} only")


@pytest.mark.parametrize("name", ["a..test", "x" * 64 + ".test", "\ud800.test", "a\\", ".".join(["a" * 60] * 5)])
def test_b07_no_name_raises(name: str) -> None:
    found = DnsResolver([EDGE], [f"127.0.0.1:{free_port()}"], seconds=SECONDS).caa(name, [CA], "")
    assert found.verdict is UNKNOWN
    assert found.summary.startswith("DNS could not be asked: ")


@pytest.mark.parametrize("issuers", [[], (), [""], [" . "]])
def test_b07_for_a_ca_that_does_not_name_itself_dns_is_not_asked(issuers: list[str]) -> None:
    with dns_server({(NAME, "CAA"): FORBIDDEN}) as server:
        found = DnsResolver([EDGE], [server.address]).caa(NAME, issuers, "")
        assert server.questions == []
    assert found == Finding(YES, "the CA names no domain of its own for CAA records, so none were looked for")


# The real pebble-challtestsrv


def test_b07_real_dns(dns: Dns) -> None:
    dns.cname("a.caa.test", "edge.caa.example")
    dns.caa("caa.test", ("issue", OTHER_CA), ("iodef", "mailto:owner@caa.test"))
    dns.servfail("broken.test")
    resolver = DnsResolver([EDGE], [dns.server])
    assert resolver.caa("free.test", [CA], "").verdict is YES
    assert resolver.caa("a.caa.test", [CA], "") == Finding(NO, f"caa.test allows {OTHER_CA} only")
    dns.caa("edge.caa.example", ("issue", CA))
    found = resolver.caa("a.caa.test", [CA], "")
    assert found == Finding(YES, f"edge.caa.example, where a.caa.test is a CNAME to, allows {CA}")
    found = resolver.caa("a.broken.test", [CA], "")
    assert found == Finding(UNKNOWN, "DNS has no clear answer for broken.test CAA (SERVFAIL)")
