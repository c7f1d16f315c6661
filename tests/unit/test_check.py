"""The dry run of a name: every fault at once, who must act, and the records to set; nothing is asked of the CA."""

from dataclasses import replace

import pytest

from issuer.actions.check import check
from issuer.domain import Plan
from issuer.ports import CaLimits, CaPolicy, Check, CheckResult, Finding, Services, Verdict
from issuer.problem import Actor, Problem, ProblemType
from tests.api_client import issued
from tests.databases import take_away
from tests.fakes import ACCOUNT, NAME, NOW, OUR_ADDRESS, TARGET, fake_services, opened

A, B = "a.example", "b.example"
OK, FAILED, UNKNOWN = CheckResult
HAS_PLAN = replace(ACCOUNT, plan=Plan.HTTPS)
SIX, OTHER_SIX = "2001:db8::1", "2001:db8::2"


@pytest.fixture
def services() -> Services:
    return fake_services(hosts=(A, B))


def one(checks: list[Check], code: str, subject: str = "") -> Check:
    (found,) = [each for each in checks if each.code == code and subject in each.subject]
    return found


def test_a_name_that_is_well_is_ok_in_every_look_and_costs_the_ca_nothing(services: Services) -> None:
    checks = check(services, HAS_PLAN, NAME.upper())
    assert {each.result for each in checks} == {OK}
    codes = ["name", "plan", "holder", "cname", "dnssec", "port-80", "caa", "ca-limits", "caa", "ca-limits"]
    assert [each.code for each in checks] == codes
    assert [ca.calls for ca in services.cas] == [[], []]
    assert services.store.load(NAME) is None
    assert check(services, None, NAME)[1:] == checks[3:], "the operator has no plan and holds nothing"


def test_a_name_that_no_ca_issues_for_is_looked_at_no_further(services: Services) -> None:
    (found,) = check(services, HAS_PLAN, "shop_1.example")
    assert (found.code, found.result, found.must_act) == ("name", FAILED, Actor.OWNER)
    assert "shop_1.example" in found.cause
    assert services.resolver.asked == []


def test_a_name_of_another_account_says_nothing_about_it(services: Services) -> None:
    opened(services, NAME, "another")
    checks = check(services, HAS_PLAN, NAME)
    assert [each.code for each in checks] == ["name", "plan", "holder"]
    assert checks[-1].result is FAILED
    assert "another" not in str(checks)
    assert one(check(services, None, NAME), "cname").result is OK


def test_all_faults_are_told_at_once(services: Services) -> None:
    services.resolver.verdicts[NAME] = Verdict.NO
    services.resolver.caa_verdicts[NAME] = Verdict.NO
    services.probe.self_check.verdicts[NAME] = Verdict.NO
    basic = replace(ACCOUNT, plan=Plan.BASIC)
    checks = check(services, basic, NAME)
    failed = {each.code: each.must_act for each in checks if each.result is FAILED}
    assert failed == {"plan": Actor.PLATFORM, "cname": Actor.OWNER, "port-80": Actor.OWNER, "caa": Actor.OWNER}
    assert one(checks, "caa", A).records == (f'{NAME} CAA 0 issue "{A}"',)
    assert one(checks, "caa", B).records == (f'{NAME} CAA 0 issue "{B}"',)
    assert f"create the record {NAME} CNAME {TARGET}" in one(checks, "cname").hint


def test_what_is_wrong_with_us_is_the_platforms(services: Services) -> None:
    services.resolver.held_addresses[NAME] = (OUR_ADDRESS, SIX, OTHER_SIX)
    services.probe.self_check.at[SIX] = Verdict.UNKNOWN
    services.resolver.caa_verdicts[NAME], services.resolver.caa_owners[NAME] = Verdict.NO, TARGET
    checks = check(services, HAS_PLAN, NAME)
    assert (one(checks, "port-80").result, one(checks, "aaaa", OTHER_SIX).result) == (OK, OK)
    for found in (one(checks, "aaaa", SIX), one(checks, "caa", A)):
        assert (found.result, found.must_act) == (FAILED, Actor.PLATFORM)
        assert "the owner of the domain need do nothing" in found.hint
    assert SIX in one(checks, "aaaa", SIX).cause
    services.probe.self_check.at[OTHER_SIX] = Verdict.UNKNOWN
    found = one(check(services, HAS_PLAN, NAME), "aaaa", SIX)
    assert found.result is UNKNOWN, "this machine may have no IPv6"
    services.resolver.faults[""] = ProblemType.TARGET_DNS
    found = one(check(services, HAS_PLAN, NAME), "cname")
    assert (found.result, found.must_act, found.records) == (FAILED, Actor.PLATFORM, ())


def test_a_broken_zone_and_a_silent_one(services: Services) -> None:
    services.resolver.bogus.add(NAME)
    assert one(check(services, HAS_PLAN, NAME), "dnssec").result is FAILED
    services.resolver.bogus.clear()
    services.resolver.verdicts[NAME] = Verdict.UNKNOWN
    checks = check(services, HAS_PLAN, NAME)
    assert (one(checks, "cname").result, one(checks, "dnssec").result) == (UNKNOWN, UNKNOWN)


def test_a_ca_without_room_says_when_it_has_some(services: Services) -> None:
    full, cooling = services.cas
    full.policy = CaPolicy(limits=CaLimits(per_name=(1, 3600)))
    issued(services)
    for _ in range(3):
        services.limits.record_failure(cooling.directory_url, now=services.clock(), until=NOW + 600)
    for ca in (full, cooling):
        found = one(check(services, HAS_PLAN, NAME), "ca-limits", ca.directory_url)
        assert (found.result, found.must_act) == (FAILED, Actor.NOBODY)
        assert "UTC" in found.cause


def test_the_edges_are_asked_for_the_certificate_in_force(services: Services) -> None:
    services = replace(services, edges=("one:443", "two:443", "three:443"))
    serial = issued(services).domain.certificate.serial
    services.handshake.serials |= {"one:443": serial, "two:443": "00"}
    checks = check(services, HAS_PLAN, NAME)
    results = [one(checks, "edge", edge).result for edge in services.edges]
    assert results == [OK, FAILED, UNKNOWN]
    assert "two:443" in one(checks, "edge", "two").hint


def test_a_look_that_fails_hides_no_other(services: Services) -> None:
    def breaks(*_: object) -> Finding:
        raise ValueError

    def refused() -> tuple[str, ...]:
        raise Problem(ProblemType.CA_UNAVAILABLE, "connection refused")

    services.resolver.addresses = breaks
    services.cas[0].caa_identities = refused
    checks = check(services, HAS_PLAN, NAME)
    assert (one(checks, "port-80").result, one(checks, "caa", A).result) == (UNKNOWN, UNKNOWN)
    assert A in one(checks, "caa", A).cause
    assert (one(checks, "cname").result, one(checks, "caa", B).result) == (OK, OK)


def test_without_the_store_nothing_is_said(services: Services) -> None:
    take_away(services.store)
    with pytest.raises(Problem, match="temporarily unavailable"):
        check(services, HAS_PLAN, NAME)
