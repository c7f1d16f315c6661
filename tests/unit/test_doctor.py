"""`issuer doctor`: what is found, by code and subject, and what it says to do."""

import time
from dataclasses import replace

import pytest

from issuer.actions import doctor
from issuer.ports import Check, CheckResult, Services, Verdict
from issuer.problem import Actor, Problem, ProblemType
from tests.databases import give_back, take_away
from tests.fakes import TARGET, fake_services

EDGE = "edge1.platform.example:443"
CA = "https://ca.example/directory"
OK, FAILED, UNKNOWN = CheckResult


@pytest.fixture
def services() -> Services:
    """A healthy installation, whose clock is that of its Redis."""
    made = fake_services(allow_volatile_redis=True)
    made.clock.now = time.time()
    made.handshake.serials[EDGE] = "1"
    return replace(made, edges=(EDGE,))


def found(services: Services, code: str, subject: str = "") -> Check:
    checks = [check for check in doctor.diagnose(services) if (check.code, check.subject) == (code, subject)]
    assert len(checks) == 1, checks
    return checks[0]


def test_all_is_well(services: Services) -> None:
    checks = doctor.diagnose(services)
    assert [check for check in checks if check.result is not OK] == []
    named = {(check.code, check.subject) for check in checks}
    assert named >= {("redis", "records"), ("clock", "records"), ("ca", CA), ("ca-account", CA), ("edge", EDGE)}
    assert named >= {("target", TARGET), ("port-80", TARGET), ("caa", f"{TARGET} {CA}"), ("encryption-keys", "")}


def test_redis_that_is_away_is_one_fault_and_all_that_needs_it_unknown(services: Services) -> None:
    take_away(services.store)
    try:
        checks = doctor.diagnose(services)
    finally:
        give_back(services.store)
    failed = [check for check in checks if check.result is FAILED]
    assert [(check.code, check.subject, check.must_act) for check in failed] == [("redis", "records", Actor.PLATFORM)]
    assert "ISSUER_REDIS_URL" in failed[0].hint
    assert "127.0.0.1:1" in failed[0].cause
    assert {check.code for check in checks if check.result is UNKNOWN} >= {"encryption-keys", "store", "port-80"}


def test_a_clock_that_differs_from_that_of_redis(services: Services) -> None:
    services.clock.forward(90)
    clock = found(services, "clock", "records")
    assert clock.result is FAILED
    assert "90.0 seconds behind that of this machine" in clock.cause


def test_a_ca_that_cannot_be_reached_is_named_with_the_problem(services: Services) -> None:
    def fail(method: str) -> None:
        if method == "require_reachable":
            raise Problem(ProblemType.CA_UNAVAILABLE, "status 404", cause="this is no directory", hint="correct it")

    services.cas[0].before = fail
    ca = found(services, "ca", CA)
    assert (ca.result, ca.hint, ca.must_act) == (FAILED, "correct it", Actor.NOBODY)
    assert ca.cause == f"{CA}: this is no directory: status 404"
    assert found(services, "ca-account", CA).result is UNKNOWN


def test_the_account_at_a_ca(services: Services) -> None:
    def fail(method: str) -> None:
        if method == "require_account":
            raise Problem(ProblemType.CA_ACCOUNT, cause="the account is deactivated", hint="make a new one")

    services.cas[0].before = fail
    account = found(services, "ca-account", CA)
    assert (account.result, account.hint, account.must_act) == (FAILED, "make a new one", Actor.PLATFORM)


@pytest.mark.parametrize(("verdict", "result"), [(Verdict.NO, FAILED), (Verdict.UNKNOWN, UNKNOWN)])
def test_our_own_target_as_seen_from_here(services: Services, verdict: Verdict, result: CheckResult) -> None:
    services.resolver.targets[TARGET] = verdict
    services.probe.self_check.verdicts[TARGET] = verdict
    services.resolver.caa_verdicts[TARGET] = verdict
    target = found(services, "target", TARGET)
    assert target.result is result
    assert ("ISSUER_CNAME_TARGETS" if verdict is Verdict.NO else "ISSUER_DNS_SERVERS") in target.hint
    assert found(services, "port-80", TARGET).result is result
    caa = found(services, "caa", f"{TARGET} {CA}")
    assert caa.result is result
    assert caa.records == ((f'{TARGET} CAA 0 issue "ca.example"',) if verdict is Verdict.NO else ())
    assert caa.must_act is Actor.PLATFORM


def test_an_edge_that_does_not_answer_is_named_with_its_setting(services: Services) -> None:
    services.handshake.serials.clear()
    edge = found(services, "edge", EDGE)
    assert edge.result is FAILED
    assert EDGE in edge.cause
    assert "ISSUER_EDGE_ADDRESSES" in edge.hint


def test_a_check_that_hangs_is_unknown_and_delays_no_other(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SECONDS", 0.3)
    services.handshake.before = lambda _: time.sleep(1.5)
    started = time.monotonic()
    checks = {(check.code, check.subject): check for check in doctor.diagnose(services)}
    assert time.monotonic() - started < 1
    assert checks["edge", EDGE].result is UNKNOWN
    assert "0.3 seconds" in checks["edge", EDGE].cause
    assert checks["target", TARGET].result is OK


def test_a_check_that_crashes_is_unknown(services: Services) -> None:
    def crash(_: str) -> None:
        raise RuntimeError("a bug")

    services.handshake.before = crash
    assert found(services, "edge", EDGE).result is UNKNOWN
