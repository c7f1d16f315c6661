"""What becomes of renewals that fail, of names that lead elsewhere, and of certificates that end."""

import datetime as dt
from collections.abc import Callable
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from issuer.domain import Agenda, Reason, Status, Step, status
from issuer.ports import Services, Verdict
from issuer.problem import Problem, ProblemType
from tests.fakes import NAME, fake_services
from tests.front import Front
from tests.world import DAY, HOUR, World


def failing(problem: Problem, method: str = "new_order") -> Callable[[str], None]:
    def fail(called: str) -> None:
        if called == method:
            raise problem

    return fail


def word(world: World, name: str = NAME) -> Status:
    return status(world.record(name), world.clock())


def tries(world: World, seconds: float, name: str = NAME) -> list[float]:
    """When the CA or DNS was asked about a name, in a time that goes by."""
    found: list[float] = []
    ca, resolver = world.services.cas[0], world.services.resolver
    before, pointing = ca.before, resolver.pointing

    def called(method: str) -> None:
        if method == "new_order":
            found.append(world.clock())
        before(method)

    ca.before = called
    world.run(seconds)
    ca.before, resolver.pointing = before, pointing
    return found


def test_temporary_failures_come_after_1_10_100_minutes_then_daily_and_hourly_at_the_end(
    world: World, services: Services
) -> None:
    world.issued(NAME)
    certificate = world.domain(NAME).certificate
    services.cas[0].before = failing(Problem(ProblemType.CA_SLOW))
    services.clock.now = begun = world.domain(NAME).renew_at
    times = tries(world, certificate.not_after - begun + 3 * DAY)
    pauses = [later - sooner for sooner, later in pairwise(times)]
    for pause, minutes in zip(pauses, (1, 10, 100), strict=False):
        assert 0.8 * minutes <= pause / 60 <= 1.2 * minutes + 1
    far = [pause for at, pause in zip(times, pauses, strict=False) if at < certificate.not_after - 7 * DAY]
    assert all(0.8 * DAY <= pause <= 1.2 * DAY + 60 for pause in far[3:])
    near = [pause for at, pause in zip(times, pauses, strict=False) if abs(at - certificate.not_after) < 6 * HOUR]
    assert len(near) >= 8
    assert all(pause <= 1.2 * HOUR + 60 for pause in near)
    assert times[-1] > certificate.not_after + 2 * DAY
    assert world.record(NAME).issuance.is_open


def test_never_before_the_ca_said(world: World, services: Services) -> None:
    world.issued(NAME)
    services.clock.now = begun = world.domain(NAME).renew_at
    until = begun + 5 * DAY
    services.cas[0].before = failing(Problem(ProblemType.RATE_LIMITED, "later", retry_at=until))
    times = tries(world, 6 * DAY)
    assert times[1] >= until


def test_a_renewal_that_fails_leaves_the_certificate_in_force_with_the_reason_and_the_next_attempt() -> None:
    front = Front().with_accounts()
    world = World(front.services)
    world.issued(NAME)
    pem = world.domain(NAME).certificate.chain
    front.services.clock.now = world.domain(NAME).renew_at
    front.services.cas[0].before = failing(Problem(ProblemType.CAA, "example.org may", hint="allow it"))
    world.run(10)
    body = front.status().json
    assert (body["status"], body["certificate"]) == ("error", pem)
    assert body["error"] == "a CAA record forbids the CA to issue for the domain: example.org may (allow it)"
    at = dt.datetime.fromisoformat(body["next_attempt_at"]).timestamp()
    assert at == pytest.approx(world.record(NAME).issuance.next_try_at, abs=1)
    assert at > front.services.clock() + 400


@pytest.mark.parametrize("fault", [ProblemType.CA_REFUSED, ProblemType.CRASHED])
def test_a_permanent_failure_is_tried_again_each_week_and_daily_at_the_end(
    world: World, services: Services, fault: ProblemType
) -> None:
    world.issued(NAME)
    services.clock.now = begun = world.domain(NAME).renew_at
    services.cas[0].before = failing(Problem(fault, "policy"))
    world.run(60)
    assert (word(world), world.record(NAME).issuance.step) == (Status.ERROR, Step.FAILED)
    times = tries(world, world.domain(NAME).certificate.not_after - begun + DAY)
    assert 5 <= len(times) <= 14
    assert word(world) is Status.EXPIRED
    services.cas[0].before = lambda _: None
    world.run(8 * DAY)
    assert word(world) is Status.ACTIVE


def test_a_permanent_failure_says_when_the_next_attempt_is() -> None:
    front = Front().with_accounts()
    world = World(front.services)
    world.issued(NAME)
    front.services.clock.now = world.domain(NAME).renew_at
    front.services.cas[0].before = failing(Problem(ProblemType.CA_REFUSED, "policy"))
    world.run(10)
    at = dt.datetime.fromisoformat(front.status().json["next_attempt_at"]).timestamp()
    assert at == pytest.approx(world.domain(NAME).renew_at, abs=1)
    assert front.services.clock() < at < front.services.clock() + 9 * DAY


def test_without_a_certificate_it_is_given_up_in_the_end(world: World, services: Services) -> None:
    services.cas[0].before = failing(Problem(ProblemType.CA_SLOW))
    front = Front(services, world.celery).with_accounts()
    assert front.post().status_code == 202
    world.run(30 * DAY)
    assert world.record(NAME).issuance.step is Step.FAILED
    assert services.cas[0].calls.count("new_order") == 10
    assert world.domain(NAME).renew_at is None


def test_g04_a_hopeless_name_costs_few_validations(world: World, services: Services) -> None:
    services.cas[0].published = lambda _: None
    front = Front(services, world.celery).with_accounts()
    front.post()
    world.run(HOUR)
    assert services.cas[0].calls.count("answer") <= 3
    world.run(7 * DAY)
    assert services.cas[0].calls.count("answer") <= 10


def test_the_second_after_not_after_it_is_expired_and_told_once_and_goes_on(world: World, services: Services) -> None:
    world.issued(NAME)
    not_after = world.domain(NAME).certificate.not_after
    services.clock.now = world.domain(NAME).renew_at
    services.cas[0].before = failing(Problem(ProblemType.CA_MISUNDERSTOOD, "away"))
    world.run(60)
    services.clock.now = not_after + 0.5
    with capture_logs() as logs:
        world.scan()
        assert word(world) is not Status.EXPIRED
        services.clock.now = not_after + 1
        words = []
        for _ in range(9):
            world.run(130)
            words.append(word(world))
        assert set(words) - {Status.PROCESSING} == {Status.EXPIRED}
        world.run(3 * DAY)
    told = [one for one in logs if one["event"] == "certificate expired"]
    assert [(one["domain"], "away" in one["reason"], one["log_level"]) for one in told] == [(NAME, True, "error")]
    services.cas[0].before = lambda _: None
    world.run(2 * DAY)
    assert word(world) is Status.ACTIVE
    services.cas[0].before = failing(Problem(ProblemType.CA_MISUNDERSTOOD, "away"))
    with capture_logs() as logs:
        world.run(100 * DAY)
    assert len([one for one in logs if one["event"] == "certificate expired"]) == 1


def test_g01_names_that_moved_away_cost_the_ca_nothing_and_the_healthy_one_is_renewed(
    world: World, services: Services
) -> None:
    away = [f"{number}.gone.example" for number in range(300)]
    world.issued(*away, NAME)
    before = services.cas[0].calls.count("new_order")
    services.resolver.verdicts = dict.fromkeys(away, Verdict.NO)
    services.clock.now = max(world.domain(name).renew_at for name in (*away, NAME))
    world.run(HOUR)
    assert services.cas[0].calls.count("new_order") - before == 1
    assert word(world) is Status.ACTIVE
    assert {word(world, name) for name in away} == {Status.ERROR}
    assert services.store.names(Agenda.AWAY, limit=2)[0] == 300


def test_g01_attempts_for_a_name_that_leads_elsewhere_slow_down_to_one_a_week(world: World, services: Services) -> None:
    world.issued(NAME)
    services.clock.now = begun = world.domain(NAME).renew_at
    services.resolver.verdicts[NAME] = Verdict.NO
    times = set()
    while services.clock() < begun + 120 * DAY:
        world.run(6 * HOUR)
        times.add(world.record(NAME).issuance.next_try_at)
    ordered = sorted(times)
    pauses = [later - sooner for sooner, later in pairwise(ordered)]
    assert all(pause < 1.3 * DAY for at, pause in zip(ordered, pauses, strict=False) if at < begun + 2 * DAY)
    late = [pause for at, pause in zip(ordered, pauses, strict=False) if at > begun + 30 * DAY]
    assert all(0.8 * 7 * DAY <= pause <= 1.2 * 7 * DAY + 60 for pause in late)
    assert services.cas[0].calls.count("new_order") == 1


@pytest.mark.parametrize("after", [HOUR, 4 * DAY, 20 * DAY, 60 * DAY])
def test_g01_a_name_that_leads_here_again_is_revived_within_a_day(
    world: World, services: Services, after: float
) -> None:
    world.issued(NAME)
    services.clock.now = world.domain(NAME).renew_at
    services.resolver.verdicts[NAME] = Verdict.NO
    world.run(after)
    assert world.domain(NAME).away_since is not None
    del services.resolver.verdicts[NAME]
    world.run(DAY + 60)
    assert word(world) is Status.ACTIVE
    assert (world.domain(NAME).away_since, world.domain(NAME).recheck_at) == (None, None)
    assert services.store.names(Agenda.AWAY, limit=2) == (0, [])


def test_g01_a_name_that_led_elsewhere_and_failed_for_good_is_revived_too(world: World, services: Services) -> None:
    world.issued(NAME)
    services.clock.now = world.domain(NAME).renew_at
    services.resolver.verdicts[NAME] = Verdict.NO
    world.run(5 * DAY)
    record = world.record(NAME)
    leased = services.store.take(record.issuance.id, now=services.clock(), until=services.clock() + 9)
    failed = leased.with_issuance(leased.issuance.fail(Problem(ProblemType.CRASHED)))
    services.store.release(failed, look_again_at=None)
    del services.resolver.verdicts[NAME]
    world.run(DAY)
    assert word(world) is Status.ACTIVE


def test_g01_a_first_issuance_that_was_given_up_comes_back_with_the_cname(world: World, services: Services) -> None:
    front = Front(services, world.celery).with_accounts()
    front.post()
    services.resolver.verdicts[NAME] = Verdict.NO
    world.run(20 * DAY)
    assert world.record(NAME).issuance.step is Step.FAILED
    assert services.cas[0].calls == []
    del services.resolver.verdicts[NAME]
    world.run(DAY + 60)
    assert word(world) is Status.ACTIVE


def test_dns_that_can_not_be_asked_never_counts_as_gone(world: World, services: Services) -> None:
    world.issued(NAME)
    services.clock.now = world.domain(NAME).renew_at
    services.resolver.verdicts[NAME] = Verdict.UNKNOWN
    world.run(60)
    assert world.domain(NAME).away_since is None
    world.run(HOUR)
    assert word(world) is Status.ACTIVE


def test_a_clear_no_is_not_taken_back_by_an_unknown(world: World, services: Services) -> None:
    world.issued(NAME)
    services.clock.now = world.domain(NAME).renew_at
    services.resolver.verdicts[NAME] = Verdict.NO
    world.run(HOUR)
    since = world.domain(NAME).away_since
    services.resolver.verdicts[NAME] = Verdict.UNKNOWN
    world.run(5 * DAY)
    assert world.domain(NAME).away_since == since
    assert services.cas[0].calls.count("new_order") == 1
    assert world.record(NAME).issuance.problem.type is ProblemType.DNS_UNKNOWN


def test_put_on_a_failed_renewal_tries_at_once_in_the_quick_lane_and_post_is_409() -> None:
    front = Front().with_accounts()
    world = World(front.services)
    world.celery = front.celery
    world.issued(NAME)
    assert front.put().status_code == 409
    front.services.clock.now = world.domain(NAME).renew_at
    front.services.resolver.verdicts[NAME] = Verdict.NO
    world.run(300)
    assert front.status().json["status"] == "error"
    assert (front.post().status_code, front.put().status_code) == (409, 400)
    del front.services.resolver.verdicts[NAME]
    assert front.put().status_code == 202
    assert world.record(NAME).issuance.reason is Reason.MANUAL
    found = world.queued()
    assert [queue for queue, _ in found] == ["interactive"]
    assert (front.put().status_code, front.post().status_code) == (409, 409)
    front.services.clock.forward(61)
    world.run(1)
    assert front.status().json["status"] == "active"


def test_put_is_429_inside_the_cas_limit_and_inside_our_own() -> None:
    front = Front().with_accounts()
    world = World(front.services)
    world.issued(NAME)
    front.services.clock.now = world.domain(NAME).renew_at
    front.services.cas[0].before = failing(
        Problem(ProblemType.RATE_LIMITED, "slow down", retry_at=front.services.clock() + 1800)
    )
    world.run(10)
    answer = front.put()
    assert (answer.status_code, int(answer.headers["Retry-After"])) == (429, 1790)
    front.services.cas[0].before = failing(Problem(ProblemType.CAA, "no"))
    world.run(2200)
    for _ in range(3):
        assert front.put().status_code == 202
        world.work()
    answer = front.put()
    assert answer.status_code == 429
    assert 1100 <= int(answer.headers["Retry-After"]) <= 1201
    assert answer.json["code"] == "rate-limited"
    world.run(int(answer.headers["Retry-After"]))
    assert front.put().status_code == 202


def test_a14_new_names_below_one_registered_domain_are_limited_by_account() -> None:
    front = Front(fake_services(new_names_per_registered_domain=5)).with_accounts()
    answers = [front.post(f"{number}.evil.example") for number in range(20)]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429] * 15
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 7 * DAY / 5
    assert "evil.example" in answers[-1].json["detail"]
    assert front.load("19.evil.example") is None
    assert front.post("0.good.example").status_code == 202
    assert front.post("www.www.evil.example", "other").status_code == 202
    front.services.clock.forward(7 * DAY / 5)
    assert [front.post(f"more{number}.evil.example").status_code for number in range(2)] == [202, 429]


def test_a14_refused_and_repeated_requests_cost_nothing_of_the_quota() -> None:
    front = Front(fake_services(new_names_per_registered_domain=2)).with_accounts()
    front.services.resolver.verdicts["away.some.example"] = Verdict.NO
    assert [front.post("away.some.example").status_code for _ in range(5)] == [400] * 5
    assert front.post("a.some.example").status_code == 202
    assert [front.post("a.some.example").status_code for _ in range(5)] == [409] * 5
    assert front.post("b.some.example").status_code == 202
