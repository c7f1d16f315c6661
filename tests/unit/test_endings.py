"""An alarm before the end: certificates that end soon and whose renewal does not work, by one alarm for each reason."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer import schedule, tasks
from issuer.actions import doctor
from issuer.domain import Due, Listing, Reason, Record, Status, ending, new_issuance, status
from issuer.events import EventType
from issuer.fleet import endings
from issuer.ports import CheckResult, Services
from issuer.presenters import entry, status_body
from issuer.problem import Actor, Problem, ProblemType
from issuer.store.keys import index_key
from tests.api_client import issued
from tests.fakes import NAME, below

DAY = 86400.0
UNAVAILABLE = Problem(ProblemType.CA_UNAVAILABLE, "status 503", cause="the CA x answers 503", hint="it is retried")
AWAY = Problem(ProblemType.INVALID_CNAME, "it leads elsewhere", hint="restore the record")


@pytest.fixture
def lines(services: Services) -> Iterator[list[dict]]:
    """What the log gets."""
    with capture_logs() as logs:
        yield logs


def alarms_of(lines: list[dict]) -> list[dict]:
    """The lines of alarms since the last call."""
    found = [line for line in lines if line["event"] in {endings.EVENT, endings.END_EVENT}]
    lines.clear()
    return found


def failing(services: Services, name: str, problem: Problem = UNAVAILABLE) -> None:
    """A name whose renewal has failed, a while ago, with a problem."""

    def change(record: Record | None) -> Record:
        assert record
        issuance = replace(new_issuance(name, Reason.RENEWAL, services.clock()), tries=1, problem=problem)
        return record.with_issuance(replace(issuance, next_try_at=services.clock() + 365 * DAY))

    services.store.update(name, change, now=services.clock())


def renewed(services: Services) -> None:
    """A new renewal of NAME, which works."""
    issuance = new_issuance(NAME, Reason.RENEWAL, services.clock())
    services.store.update(NAME, lambda record: record.with_issuance(issuance), now=services.clock())
    while (record := services.store.load(NAME)).issuance.is_open:
        services.clock.now = max(services.clock.now, record.issuance.next_try_at or 0)
        tasks.attempt(services, record.issuance.step, record.issuance.id)


def ends(services: Services, name: str = NAME) -> float:
    return services.store.load(name).domain.certificate.not_after


def go_to(services: Services, days: float, name: str = NAME) -> None:
    """So many days before the end of a name's certificate."""
    services.clock.now = ends(services, name) - days * DAY


def test_a_certificate_is_told_of_once_at_each_threshold(services: Services, lines: list[dict]) -> None:
    issued(services, NAME)
    go_to(services, 20)
    failing(services, NAME)
    told = []
    for days in (19, 8, 6.9, 6.8, 4, 2.9, 2, 0.9, 0.5):
        go_to(services, days)
        for _ in range(2):
            schedule.expire_due(services)
            endings.tell(services)
        told += [(days, line["log_level"], line["subject"], line["must_act"]) for line in alarms_of(lines)]
    assert told == [
        (6.9, "error", "ca-unavailable", "nobody"),
        (2.9, "error", "ca-unavailable", "platform"),
        (0.9, "error", "ca-unavailable", "platform"),
    ]
    events = [event for event in services.store.load(NAME).timeline if event.type == EventType.CERTIFICATE_ENDING]
    assert len(events) == 3
    assert "the CA x answers 503" in events[0].text


def test_200_renewals_that_fail_for_one_cause_are_one_alarm(services: Services, lines: list[dict]) -> None:
    names = below("customer.example", 20)
    for number, name in enumerate(names):
        issued(services, name)
        services.clock.forward(30)
        resting = Problem(ProblemType.CA_RESTS, cause="the CA is unavailable: the CA x answers 503")
        failing(services, name, resting if number % 2 else UNAVAILABLE)
    go_to(services, 7.0, names[0])
    for _ in range(20):
        services.clock.forward(60)
        schedule.expire_due(services)
        endings.tell(services)
    [alarm] = alarms_of(lines)
    assert alarm["subject"] == "ca-unavailable"
    assert alarm["cause"].startswith("2 certificates end without a working renewal, the first at ")
    services.clock.forward(3600)
    endings.tell(services)
    [later] = alarms_of(lines)
    assert later["cause"].startswith("20 certificates end")
    assert "0.customer.example" in later["cause"]
    services.clock.forward(7200)
    endings.tell(services)
    assert alarms_of(lines) == []


def test_another_cause_is_another_alarm_and_the_renewal_ends_one(services: Services, lines: list[dict]) -> None:
    other = "other.customer.example"
    for name, problem in ((NAME, UNAVAILABLE), (other, AWAY)):
        issued(services, name)
        failing(services, name, problem)
    go_to(services, 6.9)
    schedule.expire_due(services)
    assert sorted((line["subject"], line["must_act"]) for line in alarms_of(lines)) == [
        ("ca-unavailable", "nobody"),
        ("invalid-cname", "owner"),
    ]
    renewed(services)
    endings.tell(services)
    assert [(line["event"], line["subject"]) for line in alarms_of(lines)] == [(endings.END_EVENT, "ca-unavailable")]
    assert services.store.load(NAME).domain.warned_days is None
    [check] = [check for check in doctor.diagnose(services) if check.code == endings.CODE]
    assert (check.result, check.subject, check.must_act) == (CheckResult.FAILED, "invalid-cname", Actor.OWNER)


def test_a_renewal_that_is_planned_or_has_just_begun_is_no_alarm(services: Services, lines: list[dict]) -> None:
    issued(services, NAME)
    plan = ends(services) - 4.5 * DAY
    services.store.update(NAME, lambda record: record.with_domain(renew_at=plan), now=services.clock())
    go_to(services, 6)
    assert schedule.expire_due(services) == 0
    services.clock.now = plan + 60
    schedule.renew_due(services)
    schedule.expire_due(services)
    assert alarms_of(lines) == []
    services.clock.forward(3600)
    schedule.expire_due(services)
    [alarm] = alarms_of(lines)
    assert (alarm["subject"], alarm["must_act"]) == ("not-renewed", "platform")


def test_a_renewal_that_is_never_started_is_told_of(services: Services, lines: list[dict]) -> None:
    issued(services, NAME)
    go_to(services, 6)
    schedule.expire_due(services)
    [alarm] = alarms_of(lines)
    assert "issuer run renewals" in alarm["hint"]


def test_short_lifetimes_have_their_own_thresholds(services: Services) -> None:
    services.cas[0].lifetime = services.cas[0].lifetime / 15  # six days
    issued(services, NAME)
    certificate = services.store.load(NAME).domain.certificate
    thresholds = [certificate.not_after + 1 - ending.warn_at(certificate, days) for days in ending.WARN_DAYS]
    assert thresholds == [pytest.approx(DAY * days, rel=0.01) for days in (1.5, 0.75, 0.375)]
    services.clock.now = certificate.not_after - 3 * DAY
    assert schedule.expire_due(services) == 0


def test_the_platform_must_act_in_the_last_days_of_what_passes_by_itself(services: Services) -> None:
    issued(services, NAME)
    failing(services, NAME)
    for days, actor in ((4.0, "nobody"), (2.9, "platform"), (0.1, "platform"), (-1, "platform")):
        go_to(services, days)
        schedule.expire_due(services)
        record = services.store.load(NAME)
        word = Status.EXPIRED if days < 0 else Status.ERROR
        assert status(record, services.clock()) is word
        assert status_body(record, services.clock())["must_act"] == actor, days
        assert entry(record, services.clock())["must_act"] == actor, days
    failing(services, NAME, AWAY)
    go_to(services, 1)
    assert status_body(services.store.load(NAME), services.clock())["must_act"] == "owner"


def test_who_must_act_is_listed_as_it_is_shown(services: Services) -> None:
    issued(services, NAME)
    failing(services, NAME)
    go_to(services, 2.9)
    assert services.store.count_of(Listing.MUST_ACT, "platform") == 0
    schedule.expire_due(services)
    assert services.store.count_of(Listing.MUST_ACT, "platform") == 1
    assert services.store.count_of(Listing.ENDING, "ca-unavailable") == 1


def test_many_certificates_that_end_and_are_renewed_cost_nothing(services: Services) -> None:
    """A claim is all that a scan asks while every renewal works, however many end within days."""
    for name in below("customer.example", 5):
        issued(services, name)
    go_to(services, 31, name)
    redis = services.store._redis
    before = redis.info("commandstats")
    schedule.expire_due(services)
    after = redis.info("commandstats")
    asked = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert sum(count for name, count in asked.items() if "info" not in name) <= 6
    assert redis.zcount(index_key((Due.EXPIRY, "")), "-inf", services.clock()) == 0


def test_two_scans_at_once_tell_once(services: Services, lines: list[dict]) -> None:
    issued(services, NAME)
    failing(services, NAME)
    go_to(services, 6.9)
    for _ in range(2):
        services.store._redis.zadd(index_key((Due.EXPIRY, "")), {NAME: 0})  # as if it were claimed twice
        schedule.expire_due(services)
    assert len(alarms_of(lines)) == 1
    events = [event.type for event in services.store.load(NAME).timeline]
    assert events.count(EventType.CERTIFICATE_ENDING) == 1
