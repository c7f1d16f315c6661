"""`issuer doctor`: what is found, by code and subject, and what it says to do."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer.actions import doctor, startup
from issuer.config import load_settings
from issuer.fleet import configuration
from issuer.keys import new_encryption_key
from issuer.ports import Check, CheckResult, Services, Verdict
from issuer.problem import Actor, Problem, ProblemType
from issuer.store.keys import lock_key
from tests.api_client import worked
from tests.databases import give_back, take_away
from tests.fakes import TARGET, fake_services, opened, with_settings
from web.app import create_app

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
    assert re.search(r" (89|90)\.\d seconds behind that of this machine", clock.cause)


def test_a_ca_that_cannot_be_reached_is_named_with_the_problem(services: Services) -> None:
    def fail(method: str) -> None:
        if method == "require_reachable":
            raise Problem(ProblemType.CA_UNAVAILABLE, "status 404", cause="this is no directory", hint="correct it")

    services.cas[0].before = fail
    ca = found(services, "ca", CA)
    assert (ca.result, ca.hint, ca.must_act) == (FAILED, "correct it", Actor.NOBODY)
    assert ca.cause == f"{CA}: this is no directory"
    assert found(services, "ca-account", CA).result is UNKNOWN


def test_the_account_at_a_ca(services: Services) -> None:
    def fail(method: str) -> None:
        if method == "require_account":
            raise Problem(ProblemType.CA_ACCOUNT, cause="the account is deactivated", hint="make a new one")

    services.cas[0].before = fail
    account = found(services, "ca-account", CA)
    assert (account.result, account.hint, account.must_act) == (FAILED, "make a new one", Actor.PLATFORM)


@pytest.mark.parametrize(
    ("type_", "code"),
    [
        (ProblemType.CA_UNAVAILABLE, "ca"),
        (ProblemType.CA_ACCOUNT, "ca-account"),
        (ProblemType.CA_SETTINGS, "ca-settings"),
    ],
)
def test_a_ca_that_the_workers_leave_alone_is_named_within_a_minute_though_it_answers(
    services: Services, type_: ProblemType, code: str
) -> None:
    watch(services)
    assert {check.result for check in doctor.last_diagnosis(services).checks if check.subject == CA} == {OK}
    problem = Problem(type_, "no new orders", cause=f"the CA {CA} says no", hint="mend it")
    services.limits.record_failure(CA, now=services.clock(), is_certain=True, problem=problem)
    with capture_logs() as told:
        watch(services)
        watch(services)
        services.limits.record_success(CA, now=services.clock())
        watch(services)
    assert [(line["event"], line["code"], line["subject"]) for line in told] == [
        ("degraded", code, CA),
        ("no longer degraded", code, CA),
    ]
    assert "says no" in told[0]["cause"]


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


@pytest.fixture
def told(services: Services) -> Iterator[list[dict]]:
    """What the log gets of faults."""
    with capture_logs() as logs:
        yield logs


def watch(services: Services) -> None:
    """What the scan does a minute later."""
    services.store._redis.delete(lock_key(doctor.LOCK))
    doctor.watch(services)


def test_the_fleet_looks_once_a_minute_and_tells_begin_and_end(services: Services, told: list[dict]) -> None:
    doctor.watch(services)
    assert doctor.last_diagnosis(services).at == services.clock()
    services.handshake.serials.clear()
    doctor.watch(services)  # it is too soon
    assert told == []
    for _ in range(2):
        watch(services)
    [fault] = services.faults.open()
    assert (fault.code, fault.subject, fault.since) == ("edge", EDGE, services.clock())
    services.handshake.serials[EDGE] = "1"
    watch(services)
    levels = [(line["log_level"], line["event"], line["subject"]) for line in told]
    assert levels == [("error", "degraded", EDGE), ("info", "no longer degraded", EDGE)]
    assert [check for check in doctor.last_diagnosis(services).checks if check.result is not OK] == []


def test_the_fleet_asks_cas_every_hour_and_every_minute_while_one_fails(services: Services) -> None:
    asked, is_away = [], [False]

    def before(method: str) -> None:
        if method == "require_reachable":
            asked.append(services.clock())
            if is_away[0]:
                raise Problem(ProblemType.CA_UNAVAILABLE)

    services.cas[0].before = before
    watch(services)
    watch(services)
    assert len(asked) == 1
    assert ("ca", CA) in {(check.code, check.subject) for check in doctor.last_diagnosis(services).checks}
    is_away[0] = True
    services.faults.keep_diagnosis(replace(doctor.last_diagnosis(services), cas_at=services.clock() - 3600))
    for _ in range(3):
        watch(services)
    assert len(asked) == 4
    is_away[0] = False
    for _ in range(3):
        watch(services)
    assert len(asked) == 5


def test_a_variable_that_is_no_setting_is_named_with_the_nearest_one(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISSUER_CNAME_TARGET", "edge.platform.example")
    monkeypatch.setenv("ISSUER_XYZ", "1")
    mistyped = found(services, "unknown-setting", "ISSUER_CNAME_TARGET")
    assert (mistyped.result, mistyped.hint) == (FAILED, "did you mean ISSUER_CNAME_TARGETS?")
    assert "issuer settings" in found(services, "unknown-setting", "ISSUER_XYZ").hint


def test_a_start_warns_of_a_variable_that_is_no_setting_once(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISSUER_DNS_SERVER", "127.0.0.1")
    with capture_logs() as logs:
        startup.require_startable(services)
        startup.warn_of_unknown_settings(services)
    line = {"log_level": "warning", "event": "unknown setting", "name": "ISSUER_DNS_SERVER"}
    assert [entry.items() >= line.items() for entry in logs] == [True]
    assert logs[0]["hint"] == "did you mean ISSUER_DNS_SERVERS?"


def test_processes_with_other_settings_are_named(services: Services) -> None:
    configuration.show(with_settings(services, hold_days=7, log_level="DEBUG"), "beat@a")
    configuration.show(services, "worker@a")
    differing = found(services, "settings", "ISSUER_HOLD_DAYS")
    assert (differing.result, differing.since) == (FAILED, services.clock())
    assert differing.cause == "beat@a runs with another ISSUER_HOLD_DAYS than this process"
    assert [check.subject for check in doctor.diagnose(services) if check.code == "settings"] == ["ISSUER_HOLD_DAYS"]
    services.clock.forward(configuration.ALIVE_SECONDS + 1)
    assert [check.result for check in doctor.diagnose(services) if check.code == "settings"] == [OK]


def test_the_fleet_gives_a_change_of_settings_time_to_reach_all(services: Services, told: list[dict]) -> None:
    began, other = services.clock(), with_settings(services, hold_days=7)

    def events() -> list[tuple[str, str]]:
        configuration.show(other, "beat@a")
        watch(services)
        return [(line["event"], line["subject"]) for line in told if line.get("code") == "settings"]

    assert events() == []
    services.clock.now = began + configuration.NEW_SECONDS
    assert events() == [("degraded", "ISSUER_HOLD_DAYS")]


def test_a_digest_shows_no_secret_and_a_rotation_in_another_order_is_none(services: Services) -> None:
    first, second = new_encryption_key(), new_encryption_key()
    one = load_settings(
        encryption_keys=f"{first},{second}", cname_targets=TARGET, edge_token="a-secret-of-all-edges-alone"
    )
    two = load_settings(encryption_keys=f"{second},{first}", cname_targets=TARGET)
    assert one.digests() == two.digests()
    assert one.digests() != load_settings(encryption_keys=first, cname_targets=TARGET).digests()
    assert set(one.digests()) == {"ISSUER_ENCRYPTION_KEYS", "ISSUER_CNAME_TARGETS"}


def test_readyz_lists_what_the_fleet_has_found(services: Services) -> None:
    services.handshake.serials.clear()
    watch(services)
    answer = create_app(services).test_client().get("/readyz")
    assert answer.status_code == 200
    [edge] = [found for found in answer.json["degraded"] if found["code"] == "edge"]
    assert (edge["subject"], edge["must_act"]) == (EDGE, "platform")
    assert set(edge) == {"code", "result", "subject", "cause", "hint", "must_act", "since"}


def test_domains_that_wait_for_the_platform_are_told_by_their_problem(services: Services) -> None:
    later = services.clock() + 600

    def failing(name: str, problem: Problem, *, for_good: bool = False) -> None:
        def change(issuance):
            return issuance.fail(problem) if for_good else issuance.retry(problem, later)

        opened(services, name)
        worked(services, change, name)

    def waiting() -> dict[str, str]:
        return {check.subject: check.cause for check in doctor.diagnose(services) if check.code == "waiting"}

    failing("owners.customer.example", Problem(ProblemType.CAA))
    failing("refused.customer.example", Problem(ProblemType.CA_REFUSED), for_good=True)
    failing("settings.customer.example", Problem(ProblemType.CA_SETTINGS))
    assert waiting() == {"": "no domain waits for the platform with a problem of its own"}
    wrong_key = Problem(
        ProblemType.UNDECRYPTABLE, cause="the key of a.customer.example cannot be decrypted", hint="put"
    )
    failing("a.customer.example", wrong_key)
    failing("b.customer.example", wrong_key)
    failing("c.customer.example", Problem(ProblemType.CAA, actor=Actor.PLATFORM))
    assert set(waiting()) == {"undecryptable", "caa"}
    assert waiting()["undecryptable"].startswith(
        "2 domains wait for the platform, among them a.customer.example: the key"
    )
    assert waiting()["caa"].startswith("1 domain waits for the platform, among them c.customer.example")
    check = found(services, "waiting", "undecryptable")
    assert (check.result, check.must_act, check.hint) == (FAILED, Actor.PLATFORM, "put")


def test_port_80_is_tried_at_each_address_of_a_target(services: Services) -> None:
    services.resolver.held_addresses[TARGET] = ("192.0.2.1", "192.0.2.2")
    services.probe.self_check.at["192.0.2.2"] = Verdict.UNKNOWN
    assert found(services, "port-80", f"{TARGET} 192.0.2.1").result is OK
    shut = found(services, "port-80", f"{TARGET} 192.0.2.2")
    assert (shut.result, shut.must_act) == (FAILED, Actor.PLATFORM)
    assert "192.0.2.2" in shut.cause
    services.probe.self_check.at["192.0.2.1"] = Verdict.UNKNOWN  # then this machine may be the reason
    assert found(services, "port-80", f"{TARGET} 192.0.2.2").result is UNKNOWN


def test_dns_servers_that_do_not_answer_are_named_by_their_setting(services: Services) -> None:
    services.resolver.faults["any.example"] = ProblemType.RESOLVER_UNAVAILABLE
    dns = found(services, "dns")
    assert dns.result is FAILED
    assert "ISSUER_DNS_SERVERS" in dns.hint
