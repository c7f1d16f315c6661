"""B04: what DNS must have to prove which account a name belongs to."""

import pytest

from issuer.dns import DnsResolver
from issuer.ports import DnsFinding
from tests.integration.dns_server import Zone, dns_server
from tests.integration.pointing import EDGE, FAILURES, NAME, NO, OUR_A, OURS, SECONDS, UNKNOWN, YES, chain

TOKEN, OTHER = "7f" * 16, "0a" * 16
OWN = f"{TOKEN}.{EDGE}"
WILD: Zone = OURS | {(OWN, "A"): [OUR_A], (f"{OTHER}.{EDGE}", "A"): [OUR_A]}
TXT = (f"_issuer.{NAME}", "TXT")


def by_cname(zone: Zone, name: str = NAME, targets: tuple[str, ...] = (EDGE,), *, follow: bool = False) -> DnsFinding:
    with dns_server(zone, follow=follow) as server:
        return DnsResolver(targets, [server.address], seconds=SECONDS).points_here(name, TOKEN)


def by_txt(zone: Zone, name: str = NAME) -> DnsFinding:
    with dns_server(zone) as server:
        return DnsResolver((EDGE,), [server.address], seconds=SECONDS).has_proof(name, TOKEN)


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("end", [f"{OWN}.", f"{OWN.upper()}."])
@pytest.mark.parametrize("hops", [1, 3])
def test_b04_a_chain_to_the_accounts_own_name_is_yes(end: str, hops: int, follow: bool) -> None:  # noqa: FBT001
    answer = by_cname(WILD | chain(hops, end), follow=follow)
    assert (answer.verdict, answer.required_record) == (YES, f"{NAME} CNAME {OWN}")


def test_b04_the_own_name_may_be_a_cname_to_the_target() -> None:
    zone = OURS | chain(1, f"{OWN}.") | {(OWN, "CNAME"): [f"{EDGE}."]}
    assert by_cname(zone).verdict is YES


@pytest.mark.parametrize("end", [f"{EDGE}.", f"{OTHER}.{EDGE}.", f"x{TOKEN}.{EDGE}.", f"{OWN}.other.test."])
def test_b04_a_chain_to_the_target_of_all_or_to_anothers_is_no(end: str) -> None:
    answer = by_cname(WILD | {(end, "A"): [OUR_A]} | chain(1, end))
    assert (answer.verdict, answer.required_record) == (NO, f"{NAME} CNAME {OWN}")
    assert answer.summary == f"{NAME} is a CNAME to {end.rstrip('.')}, which is not the target that proves ownership"


def test_b04_our_addresses_prove_nothing() -> None:
    answer = by_cname(WILD | {(NAME, "A"): [OUR_A]})
    assert (answer.verdict, answer.summary) == (NO, f"{NAME} has no CNAME")


def test_b04_each_target_will_do() -> None:
    answer = by_cname(WILD | chain(1, f"{OWN}."), targets=("a.ours.test", EDGE))
    assert (answer.verdict, answer.required_record) == (YES, f"{NAME} CNAME {TOKEN}.a.ours.test or {OWN}")


@pytest.mark.parametrize("failure", FAILURES)
def test_b03_what_is_not_answered_is_unknown(failure: str) -> None:
    assert by_cname(WILD | {(NAME, "CNAME"): failure}).verdict is UNKNOWN
    assert by_txt({TXT: failure}).verdict is UNKNOWN


def test_without_the_operators_wildcard_it_is_unknown_and_no_fault_of_the_customer() -> None:
    answer = by_cname(OURS | chain(1, f"{OWN}."))
    assert (answer.verdict, "our own target" in answer.summary) == (UNKNOWN, True)


@pytest.mark.parametrize(
    "records",
    [
        [f'"{TOKEN}"'],
        [f'"issuer={TOKEN}"'],
        ['"v=spf1 -all"', f'"{OTHER}"', f'"{TOKEN}"'],
        [f'"{TOKEN[:10]}" "{TOKEN[10:]}"'],
    ],
)
def test_b04_a_txt_record_with_the_token_is_yes(records: list[str]) -> None:
    answer = by_txt({TXT: records})
    assert (answer.verdict, answer.required_record) == (YES, f"_issuer.{NAME} TXT {TOKEN}")


@pytest.mark.parametrize(
    ("zone", "records"),
    [
        ({}, "no TXT record"),
        ({TXT: "EMPTY"}, "no TXT record"),
        ({(NAME, "TXT"): [f'"{TOKEN}"']}, "no TXT record"),
        ({TXT: [f'"{OTHER}"']}, "only other TXT records"),
        ({TXT: [f'"{TOKEN[:-1]}"', f'"{TOKEN[-1]}"']}, "only other TXT records"),
        ({TXT: ['"\\255\\000"']}, "only other TXT records"),
    ],
)
def test_b04_without_it_no_and_what_others_have_there_is_not_repeated(zone: Zone, records: str) -> None:
    answer = by_txt(zone)
    assert (answer.verdict, answer.summary) == (NO, f"_issuer.{NAME} has {records}")
    assert OTHER not in answer.summary


def test_the_txt_record_may_be_behind_a_cname() -> None:
    zone = {(TXT[0], "CNAME"): ["proofs.other.test."], ("proofs.other.test", "TXT"): [f'"{TOKEN}"']}
    assert by_txt(zone).verdict is YES


def test_a06_a_name_that_leaves_no_room_for_it_is_a_clear_no() -> None:
    answer = by_txt({}, ".".join(["a" * 49] * 5) + ".test")
    assert (answer.verdict, "too long" in answer.summary) == (NO, True)
