"""What happens to renewals that fail, to names that have moved away, and to certificates that expire."""

import datetime as dt
from collections.abc import Callable
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from issuer.domain import Due, Reason, Status, Step, status
from issuer.ports import Services, Verdict
from issuer.problem import Problem, ProblemType
from tests.api_client import ApiClient
from tests.fakes import NAME, fake_services
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet
from tests.writes import write


def failing(problem: Problem, method: str = "new_order") -> Callable[[str], None]:
    def fail(called: str) -> None:
        if called == method:
            raise problem

    return fail


def word(fleet: SimulatedFleet, name: str = NAME) -> Status:
    return status(fleet.record(name), fleet.clock())


def tries(fleet: SimulatedFleet, seconds: float, name: str = NAME) -> list[float]:
    """When the CA or DNS was asked about a name, in a time that goes by."""
    found: list[float] = []
    ca, resolver = fleet.services.cas[0], fleet.services.resolver
    before, points_here = ca.before, resolver.points_here

    def called(method: str) -> None:
        if method == "new_order":
            found.append(fleet.clock())
        before(method)

    ca.before = called
    fleet.run(seconds)
    ca.before, resolver.points_here = before, points_here
    return found


def test_temporary_failures_come_after_1_10_100_minutes_then_daily_and_hourly_at_the_end(
    fleet: SimulatedFleet, services: Services
) -> None:
    fleet.issued(NAME)
    certificate = fleet.domain(NAME).certificate
    services.cas[0].before = failing(Problem(ProblemType.CA_SLOW))
    services.clock.now = started_at = fleet.domain(NAME).renew_at
    times = tries(fleet, certificate.not_after - started_at + 3 * DAY)
    pauses = [later - sooner for sooner, later in pairwise(times)]
    for pause, minutes in zip(pauses, (1, 10, 100), strict=False):
        assert 0.8 * minutes <= pause / 60 <= 1.2 * minutes + 1
    far = [pause for at, pause in zip(times, pauses, strict=False) if at < certificate.not_after - 7 * DAY]
    assert all(0.8 * DAY <= pause <= 1.2 * DAY + 60 for pause in far[3:])
    near = [pause for at, pause in zip(times, pauses, strict=False) if abs(at - certificate.not_after) < 6 * HOUR]
    assert len(near) >= 8
    assert all(pause <= 1.2 * HOUR + 60 for pause in near)
    assert times[-1] > certificate.not_after + 2 * DAY
    assert fleet.record(NAME).issuance.is_open


def test_never_before_the_ca_said(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    services.clock.now = started_at = fleet.domain(NAME).renew_at
    until = started_at + 5 * DAY
    services.cas[0].before = failing(Problem(ProblemType.RATE_LIMITED, "later", retry_at=until))
    times = tries(fleet, 6 * DAY)
    assert times[1] >= until


def test_a_renewal_that_fails_leaves_the_certificate_in_force_with_the_reason_and_the_next_attempt() -> None:
    api_client = ApiClient().with_accounts()
    fleet = SimulatedFleet(api_client.services)
    fleet.issued(NAME)
    pem = fleet.domain(NAME).certificate.chain
    api_client.services.clock.now = fleet.domain(NAME).renew_at
    api_client.services.cas[0].before = failing(Problem(ProblemType.CAA, "example.org may", hint="allow it"))
    fleet.run(10)
    body = api_client.status().json
    assert (body["status"], body["certificate"]) == ("error", pem)
    assert body["error"] == "a CAA record forbids the CA to issue for the domain: example.org may (allow it)"
    at = dt.datetime.fromisoformat(body["next_attempt_at"]).timestamp()
    assert at == pytest.approx(fleet.record(NAME).issuance.next_try_at, abs=1)
    assert at > api_client.services.clock() + 400


@pytest.mark.parametrize("fault", [ProblemType.CA_REFUSED, ProblemType.CRASHED])
def test_a_permanent_failure_is_tried_again_each_week_and_daily_at_the_end(
    fleet: SimulatedFleet, services: Services, fault: ProblemType
) -> None:
    fleet.issued(NAME)
    services.clock.now = started_at = fleet.domain(NAME).renew_at
    services.cas[0].before = failing(Problem(fault, "policy"))
    fleet.run(60)
    assert (word(fleet), fleet.record(NAME).issuance.step) == (Status.ERROR, Step.FAILED)
    times = tries(fleet, fleet.domain(NAME).certificate.not_after - started_at + DAY)
    assert 5 <= len(times) <= 14
    assert word(fleet) is Status.EXPIRED
    services.cas[0].before = lambda _: None
    fleet.run(8 * DAY)
    assert word(fleet) is Status.ACTIVE


def test_a_permanent_failure_says_when_the_next_attempt_is() -> None:
    api_client = ApiClient().with_accounts()
    fleet = SimulatedFleet(api_client.services)
    fleet.issued(NAME)
    api_client.services.clock.now = fleet.domain(NAME).renew_at
    api_client.services.cas[0].before = failing(Problem(ProblemType.CA_REFUSED, "policy"))
    fleet.run(10)
    at = dt.datetime.fromisoformat(api_client.status().json["next_attempt_at"]).timestamp()
    assert at == pytest.approx(fleet.domain(NAME).renew_at, abs=1)
    assert api_client.services.clock() < at < api_client.services.clock() + 9 * DAY


def test_without_a_certificate_it_fails_after_its_last_try(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].before = failing(Problem(ProblemType.CA_SLOW))
    api_client = ApiClient(services).with_accounts()
    assert api_client.post().status_code == 202
    fleet.run(30 * DAY)
    assert fleet.record(NAME).issuance.step is Step.FAILED
    assert services.cas[0].calls.count("new_order") == 10
    assert fleet.domain(NAME).renew_at is None


def test_g04_a_hopeless_name_costs_few_validations(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].published = lambda _: None
    api_client = ApiClient(services).with_accounts()
    api_client.post()
    fleet.run(HOUR)
    assert services.cas[0].calls.count("answer") <= 3
    fleet.run(7 * DAY)
    assert services.cas[0].calls.count("answer") <= 10


def test_the_second_after_not_after_it_is_expired_and_reported_once_and_retried(
    fleet: SimulatedFleet, services: Services
) -> None:
    fleet.issued(NAME)
    not_after = fleet.domain(NAME).certificate.not_after
    services.clock.now = fleet.domain(NAME).renew_at
    services.cas[0].before = failing(Problem(ProblemType.CA_MISUNDERSTOOD, "away"))
    fleet.run(60)
    services.clock.now = not_after + 0.5
    with capture_logs() as logs:
        fleet.scan()
        assert word(fleet) is not Status.EXPIRED
        services.clock.now = not_after + 1
        words = []
        for _ in range(9):
            fleet.run(130)
            words.append(word(fleet))
        assert set(words) - {Status.PROCESSING} == {Status.EXPIRED}
        fleet.run(3 * DAY)
    reported = [line for line in logs if line["event"] == "certificate.expired"]
    assert [(line["domain"], "away" in line["reason"], line["log_level"]) for line in reported] == [
        (NAME, True, "error")
    ]
    services.cas[0].before = lambda _: None
    fleet.run(2 * DAY)
    assert word(fleet) is Status.ACTIVE
    services.cas[0].before = failing(Problem(ProblemType.CA_MISUNDERSTOOD, "away"))
    with capture_logs() as logs:
        fleet.run(100 * DAY)
    assert len([one for one in logs if one["event"] == "certificate.expired"]) == 1


def test_g01_names_that_moved_away_cost_the_ca_nothing_and_the_healthy_one_is_renewed(
    fleet: SimulatedFleet, services: Services
) -> None:
    away = [f"{number}.gone.example" for number in range(300)]
    fleet.issued(*away, NAME)
    before = services.cas[0].calls.count("new_order")
    services.resolver.verdicts = dict.fromkeys(away, Verdict.NO)
    services.clock.now = now = max(fleet.domain(name).renew_at for name in (*away, NAME))
    for name in away:
        write(services.store, fleet.record(name).with_domain(moved_away_since=now - 30 * DAY), now=now)
    fleet.run(HOUR)
    assert services.cas[0].calls.count("new_order") - before == 1
    assert word(fleet) is Status.ACTIVE
    assert {word(fleet, name) for name in away} == {Status.ERROR}
    assert services.store.names(Due.DNS_RECHECK, limit=2)[0] == 300


def test_g01_attempts_for_a_name_that_moved_away_slow_down_to_one_a_week(
    fleet: SimulatedFleet, services: Services
) -> None:
    fleet.issued(NAME)
    services.clock.now = started_at = fleet.domain(NAME).renew_at
    services.resolver.verdicts[NAME] = Verdict.NO
    times = set()
    while services.clock() < started_at + 120 * DAY:
        fleet.run(6 * HOUR)
        times.add(fleet.record(NAME).issuance.next_try_at)
    ordered = sorted(times)
    pauses = [later - sooner for sooner, later in pairwise(ordered)]
    assert all(pause < 1.3 * DAY for at, pause in zip(ordered, pauses, strict=False) if at < started_at + 2 * DAY)
    late = [pause for at, pause in zip(ordered, pauses, strict=False) if at > started_at + 30 * DAY]
    assert all(0.8 * 7 * DAY <= pause <= 1.2 * 7 * DAY + 60 for pause in late)
    assert services.cas[0].calls.count("new_order") == 1


@pytest.mark.parametrize("after", [HOUR, 4 * DAY, 20 * DAY, 60 * DAY])
def test_g01_a_name_that_leads_here_again_is_revived_within_a_day(
    fleet: SimulatedFleet, services: Services, after: float
) -> None:
    fleet.issued(NAME)
    services.clock.now = fleet.domain(NAME).renew_at
    services.resolver.verdicts[NAME] = Verdict.NO
    fleet.run(after)
    assert fleet.domain(NAME).moved_away_since is not None
    del services.resolver.verdicts[NAME]
    fleet.run(DAY + 60)
    assert word(fleet) is Status.ACTIVE
    assert (fleet.domain(NAME).moved_away_since, fleet.domain(NAME).recheck_at) == (None, None)
    assert services.store.names(Due.DNS_RECHECK, limit=2) == (0, [])


def test_g01_a_name_that_moved_away_and_failed_for_good_is_revived_too(
    fleet: SimulatedFleet, services: Services
) -> None:
    fleet.issued(NAME)
    services.clock.now = fleet.domain(NAME).renew_at
    services.resolver.verdicts[NAME] = Verdict.NO
    fleet.run(5 * DAY)
    record = fleet.record(NAME)
    leased = services.store.lease(record.issuance.id, now=services.clock(), until=services.clock() + 9)
    failed = leased.with_issuance(leased.issuance.fail(Problem(ProblemType.CRASHED)))
    services.store.save_and_release(failed, requeue_at=None)
    del services.resolver.verdicts[NAME]
    fleet.run(DAY)
    assert word(fleet) is Status.ACTIVE


def test_g01_a_first_issuance_that_failed_for_good_is_tried_again_when_the_cname_is_back(
    fleet: SimulatedFleet, services: Services
) -> None:
    api_client = ApiClient(services).with_accounts()
    api_client.post()
    services.resolver.verdicts[NAME] = Verdict.NO
    fleet.run(20 * DAY)
    assert fleet.record(NAME).issuance.step is Step.FAILED
    assert services.cas[0].calls == []
    del services.resolver.verdicts[NAME]
    fleet.run(DAY + 60)
    assert word(fleet) is Status.ACTIVE


def test_unavailable_dns_never_counts_as_moved_away(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    services.clock.now = fleet.domain(NAME).renew_at
    services.resolver.verdicts[NAME] = Verdict.UNKNOWN
    fleet.run(60)
    assert fleet.domain(NAME).moved_away_since is None
    fleet.run(HOUR)
    assert word(fleet) is Status.ACTIVE


def test_a_clear_no_is_not_taken_back_by_an_unknown(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    services.clock.now = fleet.domain(NAME).renew_at
    services.resolver.verdicts[NAME] = Verdict.NO
    fleet.run(HOUR)
    since = fleet.domain(NAME).moved_away_since
    services.resolver.verdicts[NAME] = Verdict.UNKNOWN
    fleet.run(5 * DAY)
    assert fleet.domain(NAME).moved_away_since == since
    assert services.cas[0].calls.count("new_order") == 1
    assert fleet.record(NAME).issuance.problem.type is ProblemType.DNS_UNKNOWN


def test_put_on_a_failed_renewal_tries_at_once_in_the_interactive_queue_and_post_is_409() -> None:
    api_client = ApiClient().with_accounts()
    fleet = SimulatedFleet(api_client.services)
    fleet.issued(NAME)
    assert api_client.put().status_code == 409
    api_client.services.clock.now = fleet.domain(NAME).renew_at
    api_client.services.resolver.verdicts[NAME] = Verdict.NO
    fleet.run(300)
    assert api_client.status().json["status"] == "error"
    assert (api_client.post().status_code, api_client.put().status_code) == (409, 400)
    del api_client.services.resolver.verdicts[NAME]
    assert api_client.put().status_code == 202
    assert fleet.record(NAME).issuance.reason is Reason.MANUAL
    found = fleet.queued()
    assert [queue for queue, _ in found] == ["interactive"]
    assert (api_client.put().status_code, api_client.post().status_code) == (409, 409)
    api_client.services.clock.forward(61)
    fleet.run(1)
    assert api_client.status().json["status"] == "active"


def test_put_is_429_inside_the_cas_limit_and_inside_our_own() -> None:
    api_client = ApiClient().with_accounts()
    fleet = SimulatedFleet(api_client.services)
    fleet.issued(NAME)
    api_client.services.clock.now = fleet.domain(NAME).renew_at
    api_client.services.cas[0].before = failing(
        Problem(ProblemType.RATE_LIMITED, "slow down", retry_at=api_client.services.clock() + 1800)
    )
    fleet.run(10)
    answer = api_client.put()
    assert (answer.status_code, int(answer.headers["Retry-After"])) == (429, 1790)
    api_client.services.cas[0].before = failing(Problem(ProblemType.CAA, "no"))
    fleet.run(2200)
    for _ in range(3):
        assert api_client.put().status_code == 202
        fleet.work()
    answer = api_client.put()
    assert answer.status_code == 429
    assert 1100 <= int(answer.headers["Retry-After"]) <= 1201
    assert answer.json["code"] == "rate-limited"
    fleet.run(int(answer.headers["Retry-After"]))
    assert api_client.put().status_code == 202


def test_a14_new_names_below_one_registered_domain_are_limited_by_account() -> None:
    api_client = ApiClient(fake_services(new_names_per_registered_domain=5)).with_accounts()
    answers = [api_client.post(f"{number}.evil.example") for number in range(20)]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429] * 15
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 7 * DAY / 5
    assert "evil.example" in answers[-1].json["detail"]
    assert api_client.load("19.evil.example") is None
    assert api_client.post("0.good.example").status_code == 202
    assert api_client.post("www.www.evil.example", "other").status_code == 202
    api_client.services.clock.forward(7 * DAY / 5)
    assert [api_client.post(f"more{number}.evil.example").status_code for number in range(2)] == [202, 429]


def test_a14_refused_and_repeated_requests_cost_nothing_of_the_quota() -> None:
    api_client = ApiClient(fake_services(new_names_per_registered_domain=2)).with_accounts()
    api_client.services.resolver.verdicts["away.some.example"] = Verdict.NO
    assert [api_client.post("away.some.example").status_code for _ in range(5)] == [400] * 5
    assert api_client.post("a.some.example").status_code == 202
    assert [api_client.post("a.some.example").status_code for _ in range(5)] == [409] * 5
    assert api_client.post("b.some.example").status_code == 202
