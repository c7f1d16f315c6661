import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import dns.resolver
import pytest

from issuer.ports import Pointing, Resolver, Verdict
from issuer.resolver import DnsResolver
from issuer.sandbox import Dns, free_port
from tests.integration.dns_server import Zone, dns_server

EDGE = "edge.ours.test"
NAME = "shop.test"
OUR_A, OUR_AAAA = "192.0.2.1", "2001:db8::1"
FOREIGN_A, FOREIGN_AAAA = "203.0.113.9", "2001:db8:bad::9"
OURS: Zone = {(EDGE, "A"): [OUR_A], (EDGE, "AAAA"): [OUR_AAAA]}
YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN
AND, CLOSED = "which is a CNAME to", "which closes a loop"
FAILURES = ("SERVFAIL", "REFUSED", "LAME", "TRUNCATED", "SILENT")
SECONDS = 0.3


def look(
    zone: Zone,
    name: str = NAME,
    targets: tuple[str, ...] = (EDGE,),
    *,
    follow: bool = False,
    seconds: float = 3,
) -> Pointing:
    with dns_server(zone, follow=follow) as server:
        return DnsResolver(targets, [server.address], seconds=seconds).pointing(name)


def chain(length: int, end: str = f"{EDGE}.") -> Zone:
    """shop.test, then h1.test, h2.test … by `length` CNAMEs to the end."""
    names = [f"{NAME}.", *(f"h{n}.test." for n in range(1, length)), end]
    return {(name, "CNAME"): [target] for name, target in pairwise(names)}


# B05: the chain, case, dots


def test_b05_one_hop_to_our_target_is_yes() -> None:
    answer = look(OURS | chain(1))
    assert answer == Pointing(YES, f"{NAME} is a CNAME to {EDGE}", f"{NAME} CNAME {EDGE}")


def test_b05_a_chain_through_other_zones_is_yes() -> None:
    zone = OURS | {(NAME, "CNAME"): ["b.other.example."], ("b.other.example", "CNAME"): [f"{EDGE}."]}
    answer = look(zone)
    assert answer.verdict is YES
    assert answer.found == f"{NAME} is a CNAME to b.other.example, which is a CNAME to {EDGE}"


@pytest.mark.parametrize("follow", [False, True])
def test_b05_any_hop_may_be_our_target(follow: bool) -> None:  # noqa: FBT001
    zone = chain(1) | {(EDGE, "CNAME"): ["lb.cloud.test."], ("lb.cloud.test", "A"): [OUR_A]}
    assert look(zone, follow=follow).verdict is YES


@pytest.mark.parametrize("target", [EDGE, "EDGE.Ours.TEST", "Edge.ours.test."])
@pytest.mark.parametrize("answer", ["edge.ours.test.", "EDGE.ours.Test."])
@pytest.mark.parametrize("name", [NAME, "SHOP.test", "Shop.Test."])
def test_b05_case_and_dots_do_not_matter(target: str, answer: str, name: str) -> None:
    zone = OURS | {("shop.test", "CNAME"): ["B.Other.test."], ("b.other.test", "CNAME"): [answer]}
    assert look(zone, name, (target,)) == Pointing(
        YES, f"{NAME} is a CNAME to b.other.test, which is a CNAME to {EDGE}", f"{NAME} CNAME {EDGE}"
    )


def test_b05_names_are_asked_in_lower_case() -> None:
    with dns_server(OURS | {(NAME, "CNAME"): ["EDGE.ours.TEST."]}) as server:
        DnsResolver([EDGE], [server.address]).pointing("SHOP.test")
    assert server.questions == [("shop.test.", "CNAME"), ("edge.ours.test.", "A")]


def test_b05_sixteen_hops_are_followed() -> None:
    answer = look(OURS | chain(16))
    assert answer.verdict is YES
    assert answer.found.endswith(f"which is a CNAME to h3.test, which leads on to {EDGE}")


@pytest.mark.parametrize("length", [17, 20])
def test_b05_more_than_sixteen_hops_are_no(length: int) -> None:
    answer = look(OURS | chain(length))
    assert answer.verdict is NO
    assert "more than 16 CNAMEs" in answer.found
    assert len(answer.found) < 250


@pytest.mark.parametrize(
    ("loop", "found"),
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
def test_b05_a_loop_is_no(loop: Zone, found: str) -> None:
    answer = look(OURS | loop)
    assert (answer.verdict, answer.found) == (NO, found)


def test_b05_a_dangling_cname_is_no() -> None:
    answer = look(OURS | chain(2, "gone.test."))
    assert answer.verdict is NO
    assert answer.found == (
        f"{NAME} is a CNAME to h1.test, which is a CNAME to gone.test, which has no DNS record at all"
    )


def test_b05_a_chain_to_somewhere_else_is_no() -> None:
    answer = look(OURS | chain(1, "other.example.") | {("other.example", "A"): [FOREIGN_A]})
    assert (answer.verdict, answer.found) == (NO, f"{NAME} is a CNAME to other.example")


def test_b05_a_chain_that_ends_without_an_address_is_no() -> None:
    answer = look(OURS | chain(1, "other.example.") | {("other.example", "TXT"): ['"here"']})
    assert (answer.verdict, answer.found) == (NO, f"{NAME} is a CNAME to other.example, which has no address")


@pytest.mark.parametrize(
    "target", [{}, {(EDGE, "TXT"): ['"here"']}, {(EDGE, "*"): "NXDOMAIN"}, {(EDGE, "CNAME"): [f"{EDGE}."]}]
)
def test_b05_our_target_without_an_address_is_unknown(target: Zone) -> None:
    answer = look(chain(1) | target)
    assert answer.verdict is UNKNOWN
    if (EDGE, "CNAME") not in target:
        assert answer.found == f"{NAME} is a CNAME to {EDGE}; our own target {EDGE} has no address"


@pytest.mark.parametrize("family", [{(EDGE, "A"): [OUR_A]}, {(EDGE, "AAAA"): [OUR_AAAA]}])
def test_b05_our_target_needs_an_address_of_one_family_only(family: Zone) -> None:
    assert look(chain(1) | family).verdict is YES
    kind = "AAAA" if (EDGE, "A") in family else "A"
    assert look(chain(1) | family | {(EDGE, kind): "SERVFAIL"}).verdict is YES


def test_b05_each_target_will_do_and_wanted_names_them() -> None:
    targets = ("a.ours.test", EDGE, "c.ours.test", "d.ours.test")
    assert look(OURS | chain(1), targets=targets) == Pointing(
        YES, f"{NAME} is a CNAME to {EDGE}", f"{NAME} CNAME a.ours.test or {EDGE} or c.ours.test"
    )


def test_b05_our_own_target_leads_to_us() -> None:
    assert look(OURS, EDGE).verdict is YES


# B01: no CNAME to be seen


@pytest.mark.parametrize(
    "addresses",
    [
        {(NAME, "A"): [OUR_A]},
        {(NAME, "AAAA"): ["2001:DB8:0::1"]},
        {(NAME, "A"): [OUR_A], (NAME, "AAAA"): [OUR_AAAA]},
    ],
)
def test_b01_an_apex_with_our_addresses_is_yes(addresses: Zone) -> None:
    answer = look(OURS | addresses)
    assert answer.verdict is YES
    assert answer.found.startswith(f"{NAME} has no CNAME and the address")


def test_b01_a_foreign_chain_that_ends_at_our_addresses_is_yes() -> None:
    answer = look(OURS | chain(1, "flat.dns.test.") | {("flat.dns.test", "A"): [OUR_A]})
    assert answer.verdict is YES
    assert answer.found == f"{NAME} is a CNAME to flat.dns.test, which has the address {OUR_A}"


def test_b01_addresses_of_several_targets_count_together() -> None:
    zone = OURS | {("two.ours.test", "A"): ["192.0.2.2"], (NAME, "A"): ["192.0.2.2", OUR_A]}
    assert look(zone, targets=(EDGE, "two.ours.test")).verdict is YES


def test_b01_a_target_behind_a_cname_has_the_addresses_of_its_end() -> None:
    zone: Zone = {(EDGE, "CNAME"): ["LB.cloud.test."], ("lb.cloud.test", "A"): [OUR_A], (NAME, "A"): [OUR_A]}
    assert look(zone).verdict is YES
    assert look(zone, follow=True).verdict is YES


def test_b01_a_foreign_address_is_no() -> None:
    answer = look(OURS | {(NAME, "A"): [FOREIGN_A]})
    assert answer == Pointing(NO, f"{NAME} has no CNAME and the address {FOREIGN_A}", f"{NAME} CNAME {EDGE}")


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
    answer = look(OURS | addresses)
    assert answer.verdict is NO
    assert (FOREIGN_A in answer.found) != (FOREIGN_AAAA in answer.found)
    assert OUR_A not in answer.found


def test_b01_a_foreign_aaaa_is_no_when_we_have_none() -> None:
    zone: Zone = {(EDGE, "A"): [OUR_A], (NAME, "A"): [OUR_A], (NAME, "AAAA"): [FOREIGN_AAAA]}
    assert look(zone).verdict is NO


def test_b01_many_addresses_come_over_tcp_and_are_not_all_listed() -> None:
    many = [f"198.51.100.{n}" for n in range(60)]
    answer = look(OURS | {(NAME, "A"): many})
    assert answer.verdict is NO
    assert answer.found.endswith("the addresses 198.51.100.0, 198.51.100.1, 198.51.100.10, …")
    assert look({(EDGE, "A"): many, (NAME, "A"): many}).verdict is YES


def test_b01_a_name_that_is_not_there_is_no() -> None:
    answer = look(OURS)
    assert (answer.verdict, answer.found) == (NO, f"{NAME} has no DNS record at all")


@pytest.mark.parametrize("zone", [{(NAME, "TXT"): ['"here"']}, {(NAME, "A"): "NXDOMAIN", (NAME, "CNAME"): "EMPTY"}])
def test_b01_a_name_without_an_address_is_no(zone: Zone) -> None:
    answer = look(OURS | zone)
    assert (answer.verdict, answer.found) == (NO, f"{NAME} has no CNAME and no address")


def test_b01_without_any_address_of_ours_there_is_nothing_to_compare_with() -> None:
    answer = look({(NAME, "A"): [FOREIGN_A]})
    assert (answer.verdict, answer.found) == (UNKNOWN, f"our own target {EDGE} has no address")


# B03: an error is never a no, a clear answer never unknown

APEX: Zone = OURS | {(NAME, "A"): [OUR_A], (NAME, "AAAA"): [OUR_AAAA]}
POSITIONS = [
    (OURS | chain(1), (NAME, "CNAME")),
    (OURS | chain(2), ("h1.test", "CNAME")),
    (OURS | chain(2, "gone.test."), ("gone.test", "CNAME")),
    (OURS | chain(1), (EDGE, "*")),
    (chain(1), (EDGE, "A")),
    (chain(1), (EDGE, "AAAA")),
    (APEX, (NAME, "CNAME")),
    (APEX, (NAME, "A")),
    (APEX, (NAME, "AAAA")),
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
    answer = look({**kept, position: failure}, seconds=SECONDS if failure == "SILENT" else 3)
    assert answer.verdict is UNKNOWN
    assert owner in answer.found
    assert answer.wanted == f"{NAME} CNAME {EDGE}"
    assert time.monotonic() - started < 2.5


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        ("SERVFAIL", "SERVFAIL"),
        ("REFUSED", "REFUSED"),
        ("SILENT", "no answer in time"),
        ("GARBAGE", "no answer in time"),
        ("LAME", "a referral only"),
        ("TRUNCATED", "no usable answer"),
    ],
)
def test_b03_unknown_says_what_was_asked_and_how_it_failed(failure: str, word: str) -> None:
    answer = look(OURS | chain(2) | {("h1.test", "CNAME"): failure}, seconds=SECONDS)
    assert answer.found == f"{NAME} is a CNAME to h1.test; DNS has no clear answer for h1.test CNAME ({word})"


@pytest.mark.parametrize("failure", FAILURES)
def test_b03_a_foreign_a_is_no_whatever_aaaa_does(failure: str) -> None:
    zone = OURS | {(NAME, "A"): [FOREIGN_A], (NAME, "AAAA"): failure, (EDGE, "AAAA"): failure}
    assert look(zone, seconds=SECONDS).verdict is NO


@pytest.mark.parametrize("failure", ["SERVFAIL", "REFUSED", "LAME", "TRUNCATED"])
def test_b03_a_foreign_aaaa_is_no_whatever_a_does(failure: str) -> None:
    assert look(OURS | {(NAME, "A"): failure, (NAME, "AAAA"): [FOREIGN_AAAA]}).verdict is NO


def test_b03_a_family_the_name_does_not_use_need_not_be_known_of_ours() -> None:
    assert look({(EDGE, "A"): [OUR_A], (EDGE, "AAAA"): "SERVFAIL", (NAME, "A"): [OUR_A]}).verdict is YES


def test_b03_a_match_with_one_target_needs_no_answer_for_the_other() -> None:
    zone = OURS | {("two.ours.test", "*"): "SERVFAIL", (NAME, "A"): [OUR_A]}
    assert look(zone, targets=("two.ours.test", EDGE)).verdict is YES
    assert look(zone | {(NAME, "A"): [FOREIGN_A]}, targets=("two.ours.test", EDGE)).verdict is UNKNOWN


@pytest.mark.parametrize("count", [1, 3])
def test_b03_silent_servers_are_unknown_within_the_bound(count: int) -> None:
    with dns_server({(NAME, "*"): "SILENT"}) as server:
        started = time.monotonic()
        answer = DnsResolver([EDGE], [server.address] * count, seconds=0.4).pointing(NAME)
    assert answer.verdict is UNKNOWN
    assert time.monotonic() - started < 1.5


def test_b03_one_deadline_holds_for_all_questions() -> None:
    slow: Zone = {(name, "*"): "SILENT" for name in ("a.ours.test", "b.ours.test", "c.ours.test")}
    started = time.monotonic()
    answer = look(slow | {(NAME, "A"): [OUR_A]}, targets=("a.ours.test", "b.ours.test", "c.ours.test"), seconds=0.4)
    assert answer.verdict is UNKNOWN
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("zone", [OURS | chain(2), APEX])
def test_b03_a_silent_first_server_does_not_silence_the_second(zone: Zone) -> None:
    silent: Zone = {(name, "*"): "SILENT" for name in (NAME, "h1.test", EDGE)}
    with dns_server(silent) as first, dns_server(zone) as second:
        answer = DnsResolver([EDGE], [first.address, second.address], seconds=1.5).pointing(NAME)
    assert answer.verdict is YES


@pytest.mark.parametrize("failure", ["SERVFAIL", "REFUSED"])
def test_b03_a_failing_first_server_leaves_it_to_the_second(failure: str) -> None:
    with (
        dns_server({(NAME, "*"): failure, (EDGE, "*"): failure}) as first,
        dns_server(OURS | chain(1)) as second,
    ):
        answer = DnsResolver([EDGE], [first.address, second.address]).pointing(NAME)
    assert answer.verdict is YES


def test_b03_a_server_that_is_not_there_is_unknown() -> None:
    started = time.monotonic()
    answer = DnsResolver([EDGE], [f"127.0.0.1:{free_port()}"], seconds=SECONDS).pointing(NAME)
    assert answer.verdict is UNKNOWN
    assert time.monotonic() - started < 1.5


def test_b03_a_system_without_resolv_conf_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read = dns.resolver.Resolver.read_resolv_conf
    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", lambda self, _: read(self, str(tmp_path / "none")))
    answer = DnsResolver([EDGE]).pointing(NAME)
    assert answer.verdict is UNKNOWN
    assert answer.found.startswith("DNS could not be asked: ")


@pytest.mark.parametrize(
    "name",
    ["a..test", ".", "", "x" * 64 + ".test", "\ud800.test", "a\\", ".".join(["a" * 60] * 5), "\x00.test"],
)
def test_b03_no_name_raises(name: str) -> None:
    assert look({(".", "*"): "SERVFAIL", ("\\000.test", "*"): "SERVFAIL"}, name).verdict is UNKNOWN


def test_a_server_is_an_address() -> None:
    for server in ("dns.example", "192.0.2.1:dns", "192.0.2.1:0", "192.0.2.1:65536", "::1]:53", ""):
        with pytest.raises(ValueError, match="IP address"):
            DnsResolver([EDGE], [server])
    DnsResolver([EDGE], ["192.0.2.1", "192.0.2.1:5353", "[2001:db8::53]", "[2001:db8::53]:5353"])


def test_a_target_is_needed() -> None:
    with pytest.raises(ValueError, match="no target"):
        DnsResolver([])


def test_threads_share_one_resolver() -> None:
    zone = OURS | chain(2) | {("other.test", "CNAME"): ["else.test."], ("broken.test", "*"): "SERVFAIL"}
    wanted = {NAME: YES, "other.test": NO, "broken.test": UNKNOWN}
    with dns_server(zone) as server, ThreadPoolExecutor(8) as pool:
        resolver: Resolver = DnsResolver([EDGE], [server.address])
        names = list(wanted) * 20
        assert [answer.verdict for answer in pool.map(resolver.pointing, names)] == [wanted[name] for name in names]


# The real pebble-challtestsrv, which gives every name without an A record of its own a default one


@pytest.fixture
def real(dns: Dns) -> DnsResolver:
    dns.addresses(EDGE, OUR_A)
    return DnsResolver([EDGE], [dns.server])


def test_b05_real_dns_yes_through_cnames(real: DnsResolver, dns: Dns) -> None:
    dns.cname("yes.test", "hop.test")
    dns.cname("hop.test", EDGE)
    assert real.pointing("yes.test").verdict is YES


def test_b05_real_dns_no_for_another_cname(real: DnsResolver, dns: Dns) -> None:
    dns.cname("no.test", "other.test")
    answer = real.pointing("no.test")
    assert (answer.verdict, answer.found) == (NO, "no.test is a CNAME to other.test")


@pytest.mark.parametrize(("name", "broken"), [("fail.test", "fail.test"), ("mid.test", "broken.test")])
def test_b03_real_dns_unknown_for_servfail(real: DnsResolver, dns: Dns, name: str, broken: str) -> None:
    dns.cname("mid.test", "broken.test")
    dns.servfail(broken)
    answer = real.pointing(name)
    assert answer.verdict is UNKNOWN
    assert answer.found.endswith("(SERVFAIL)")


def test_b05_real_dns_mixed_case(real: DnsResolver, dns: Dns) -> None:
    dns.cname("mixed.test", "EDGE.Ours.Test")
    assert real.pointing("Mixed.TEST.").verdict is YES


def test_b01_real_dns_addresses_alone(real: DnsResolver, dns: Dns) -> None:
    dns.addresses("apex.test", OUR_A)
    assert real.pointing("apex.test").verdict is YES
    assert real.pointing("nothing.test").found == "nothing.test has no CNAME and the address 127.0.0.1"
