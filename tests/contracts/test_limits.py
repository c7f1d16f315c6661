"""The health of a CA and the pace of requests, shared by all workers: over fakeredis and a real Redis (E16)."""

from dataclasses import replace
from math import ceil, floor
from typing import Any

import pytest

from issuer.ports import CaReturn, Cooldown, Pause
from issuer.problem import Problem, ProblemType
from issuer.store import RedisLimits
from issuer.store.keys import ca_key
from tests.fakes import NOW
from tests.threads import at_once

CA, OTHER = "https://ca.example/directory", "https://other.example/directory"
HOUR = 3600
COOLDOWNS = [30, 60, 120, 240, 480, 600, 600, 600]


def asked(limits: RedisLimits, now: float, per_second: float = 0, ca: str = CA) -> Pause | None:
    return limits.admit(ca, now=now, requests_per_second=per_second)


def cooled_down(limits: RedisLimits, now: float = NOW) -> float:
    """The end of the CA's cooldown after its first failures in a row, all at the same moment."""
    found = [limits.record_failure(CA, now=now) for _ in range(3)]
    assert found[:2] == [None, None]
    return found[2]


def test_a_cooldown_starts_after_three_failures_in_a_row(limits: RedisLimits) -> None:
    for at in (0, 50):
        assert limits.record_failure(CA, now=NOW + at) is None
        assert asked(limits, NOW + at) is None
    until = limits.record_failure(CA, now=NOW + 100)
    assert until == NOW + 130
    assert asked(limits, NOW + 100) == asked(limits, NOW + 129.99) == Pause(until, is_cooldown=True)
    assert asked(limits, NOW + 130) is None


def test_an_answer_in_between_forgets_all_failures(limits: RedisLimits) -> None:
    for _ in range(2):
        assert [limits.record_failure(CA, now=NOW) for _ in range(2)] == [None, None]
        limits.record_success(CA)
    until = cooled_down(limits)
    limits.record_success(CA)
    assert asked(limits, until - 10) is None
    assert cooled_down(limits, until) == until + 30


def test_cooldowns_double_up_to_ten_minutes(limits: RedisLimits) -> None:
    now, seconds = NOW, []
    limits.record_failure(CA, now=now)
    limits.record_failure(CA, now=now)
    for _ in COOLDOWNS:
        until = limits.record_failure(CA, now=now)
        seconds.append(until - now)
        assert asked(limits, until - 0.01) == Pause(until, is_cooldown=True)
        assert asked(limits, until) is None
        now = until
    assert seconds == COOLDOWNS


def test_of_many_that_ask_at_once_after_the_cooldown_one_tries_it(limits: RedisLimits) -> None:
    until = cooled_down(limits)
    found = at_once(16, lambda _: asked(limits, until))
    assert sorted(found, key=str) == [None] + [Pause(until + 10, is_cooldown=True)] * 15
    assert asked(limits, until + 9.99) == Pause(until + 10, is_cooldown=True)


def test_if_the_trial_never_reports_a_result_another_caller_tries_it(limits: RedisLimits) -> None:
    until = cooled_down(limits)
    assert asked(limits, until) is None
    assert sorted(at_once(8, lambda _: asked(limits, until + 10)), key=str)[:2] == [
        None,
        Pause(until + 20, is_cooldown=True),
    ]


def test_a_trial_that_is_answered_lets_everybody_through(limits: RedisLimits) -> None:
    until = cooled_down(limits)
    assert asked(limits, until) is None
    limits.record_success(CA)
    assert [asked(limits, until + 1) for _ in range(3)] == [None] * 3


def test_a_trial_that_fails_makes_the_cooldown_longer(limits: RedisLimits) -> None:
    until = cooled_down(limits)
    assert asked(limits, until) is None
    assert limits.record_failure(CA, now=until + 5) == until + 65
    assert asked(limits, until + 64) == Pause(until + 65, is_cooldown=True)


def test_calls_in_progress_when_the_cooldown_started_do_not_lengthen_it(limits: RedisLimits) -> None:
    until = cooled_down(limits)
    assert {limits.record_failure(CA, now=NOW + at) for at in range(30)} == {until}
    assert asked(limits, until) is None
    assert limits.record_failure(CA, now=until) == until + 60


@pytest.mark.parametrize(
    ("asked_for", "cooldown"), [(5, 30), (30, 30), (900, 900), (HOUR, HOUR), (30 * HOUR, HOUR), (-60, 30)]
)
def test_a_cooldown_is_as_long_as_the_ca_asks_for_within_an_hour(
    limits: RedisLimits, asked_for: float, cooldown: float
) -> None:
    for _ in range(2):
        assert limits.record_failure(CA, now=NOW, until=NOW + asked_for) is None
    assert limits.record_failure(CA, now=NOW, until=NOW + asked_for) == NOW + cooldown
    assert asked(limits, NOW + cooldown - 0.01) == Pause(NOW + cooldown, is_cooldown=True)
    assert asked(limits, NOW + cooldown) is None


def test_one_certain_failure_starts_a_long_cooldown(limits: RedisLimits) -> None:
    now, seconds = NOW, []
    for _ in range(5):
        until = limits.record_failure(CA, now=now, is_certain=True)
        seconds.append(until - now)
        assert asked(limits, until - 0.01) == Pause(until, is_cooldown=True)
        assert asked(limits, until) is None
        now = until
    assert seconds == [600, 1200, 2400, HOUR, HOUR]


def test_where_one_of_them_is_repeated_two_failures_in_a_row_are_enough(limits: RedisLimits) -> None:
    assert limits.record_failure(CA, now=NOW) is None
    limits.record_success(CA)
    assert limits.record_failure(CA, now=NOW, is_repeated=True) is None
    assert limits.record_failure(CA, now=NOW, is_repeated=True) == NOW + 30


def test_a_clock_set_back_an_hour_makes_no_cooldown_longer(limits: RedisLimits) -> None:
    cooled_down(limits)
    back = NOW - HOUR
    assert asked(limits, back) is None
    assert asked(limits, back) == Pause(back + 10, is_cooldown=True)
    assert limits.record_failure(CA, now=back) == back + 60
    assert asked(limits, back + 60) is None
    limits.record_success(CA)
    assert [asked(limits, back) for _ in range(2)] == [None, None]


def test_a_failure_in_progress_when_the_clock_was_set_back_makes_no_cooldown_longer(limits: RedisLimits) -> None:
    cooled_down(limits)
    assert limits.record_failure(CA, now=NOW - HOUR) == NOW - HOUR + 60


def test_each_ca_has_its_own_cooldown(limits: RedisLimits) -> None:
    until = cooled_down(limits)
    assert asked(limits, NOW, ca=OTHER) is None
    assert limits.record_failure(OTHER, now=NOW) is None
    limits.record_success(OTHER)
    assert asked(limits, NOW) == Pause(until, is_cooldown=True)


def test_many_failures_at_once_start_one_cooldown(limits: RedisLimits) -> None:
    found = at_once(16, lambda _: limits.record_failure(CA, now=NOW))
    assert sorted(found, key=str) == [NOW + 30] * 14 + [None] * 2


@pytest.mark.parametrize(("per_second", "burst"), [(20, 10), (10, 5), (2, 1), (0.5, 1)])
def test_steps_go_at_the_pace_of_their_requests_after_a_burst_of_a_second(
    limits: RedisLimits, per_second: float, burst: int
) -> None:
    """A step counts as two requests."""
    let_through = []
    for tick in range(41):
        let_through.append(0)
        while asked(limits, NOW + tick / 4, per_second) is None:
            let_through[tick] += 1
    assert let_through[0] == burst
    assert max(let_through[1:]) == ceil(per_second / 2 / 4)
    assert sum(let_through) == floor(burst + 10 * per_second / 2)


def test_a_pause_ends_when_the_next_step_may_go(limits: RedisLimits) -> None:
    assert [asked(limits, NOW, 4) for _ in range(2)] == [None, None]
    assert asked(limits, NOW, 4) == Pause(NOW + 0.5, is_cooldown=False)
    assert asked(limits, NOW + 0.49, 4) == Pause(NOW + 0.5, is_cooldown=False)
    assert asked(limits, NOW + 0.5, 4) is None


def test_a_pause_saves_up_no_more_than_a_second(limits: RedisLimits) -> None:
    assert asked(limits, NOW, 20) is None
    found = [asked(limits, NOW + HOUR, 20) for _ in range(11)]
    assert found == [None] * 10 + [Pause(NOW + HOUR + 0.1, is_cooldown=False)]


def test_of_16_threads_at_once_only_a_burst_is_let_through(limits: RedisLimits) -> None:
    found = at_once(16, lambda _: asked(limits, NOW, 8))
    assert found.count(None) == 4
    assert {one.is_cooldown for one in found if one} == {False}


def test_each_ca_has_a_pace_of_its_own_and_none_where_none_is_set(limits: RedisLimits) -> None:
    assert [asked(limits, NOW, 2) for _ in range(2)] == [None, Pause(NOW + 1, is_cooldown=False)]
    assert asked(limits, NOW, 2, ca=OTHER) is None
    assert [asked(limits, NOW) for _ in range(50)] == [None] * 50


def test_a_clock_set_back_an_hour_stops_nobody_for_long(limits: RedisLimits) -> None:
    assert [asked(limits, NOW, 2) for _ in range(2)] == [None, Pause(NOW + 1, is_cooldown=False)]
    back = NOW - HOUR
    assert asked(limits, back, 2) == Pause(back + 1, is_cooldown=False)
    assert asked(limits, back + 1, 2) is None


def test_what_is_known_ends_by_itself(limits: RedisLimits) -> None:
    cooled_down(limits)
    asked(limits, NOW + 30, 2)
    redis = limits._redis
    assert {0 < redis.ttl(key) <= 86400 for key in redis.keys("issuer:ca:*")} == {True}
    assert len(redis.keys("issuer:ca:*")) == 2


def test_n37_a_success_that_ends_a_cooldown_is_a_return(limits: RedisLimits) -> None:
    assert limits.record_success(CA, now=NOW) is False
    for _ in range(2):
        limits.record_failure(CA, now=NOW)
    assert (limits.record_success(CA, now=NOW), limits.return_of(CA)) == (False, None)
    for _ in range(3):
        limits.record_failure(CA, now=NOW)
    assert limits.cooldown(CA) == Cooldown(NOW + 30, NOW, NOW, is_fixed=False, is_trial=False)
    assert limits.record_success(CA, now=NOW + 40) is True
    back = limits.return_of(CA)
    assert back == CaReturn(NOW + 40, "")
    assert (limits.record_success(CA, now=NOW + 41), limits.cooldown(CA), limits.return_of(OTHER)) == (
        False,
        None,
        None,
    )
    limits.keep_place(CA, back, "ca-rests a.example")
    assert limits.return_of(CA) == CaReturn(NOW + 40, "ca-rests a.example")
    limits.keep_place(CA, CaReturn(NOW + 39, ""), "")
    assert limits.return_of(CA), "of another return"
    limits.keep_place(CA, back, "")
    assert limits.return_of(CA) is None


@pytest.mark.parametrize(("how", "is_fixed"), [({"until": NOW + 90}, True), ({"is_certain": True}, False)])
def test_n37_a_cooldown_that_is_asked_for_is_fixed(limits: RedisLimits, how: dict[str, Any], *, is_fixed: bool) -> None:
    for _ in range(3):
        limits.record_failure(CA, now=NOW, **how)
    assert limits.cooldown(CA).is_fixed is is_fixed


WRONG = Problem(ProblemType.CA_SETTINGS, "status 404", cause="ISSUER_ACME_DIRECTORY", hint="correct it", retry_at=NOW)


def test_what_started_a_cooldown_is_known_until_it_is_over(limits: RedisLimits) -> None:
    until = limits.record_failure(CA, now=NOW, is_certain=True, problem=WRONG)
    limits.record_failure(CA, now=NOW + 1, problem=Problem(ProblemType.CA_UNAVAILABLE, "asked before that"))
    pause = limits.admit(CA, now=NOW + 2, requests_per_second=0)
    assert (pause.until, pause.problem.as_dict()) == (until, WRONG.as_dict())
    assert limits.cooldown(CA).problem.as_dict() == WRONG.as_dict()
    limits.record_success(CA, now=NOW + 3)
    assert limits.admit(CA, now=NOW + 3, requests_per_second=0) is None
    for _ in range(3):
        limits.record_failure(CA, now=NOW + 4)
    assert limits.admit(CA, now=NOW + 4, requests_per_second=0).problem is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"type": "of-the-future"}'])
def test_a_cause_of_another_release_is_no_failure(limits: RedisLimits, text: str) -> None:
    limits.record_failure(CA, now=NOW, is_certain=True, problem=WRONG)
    limits._redis.hset(ca_key(CA, "rest"), "problem", text)
    assert (limits.admit(CA, now=NOW, requests_per_second=0).problem, limits.cooldown(CA).problem) == (None, None)


def test_those_that_wait_for_a_ca_without_a_cooldown_can_be_woken(limits: RedisLimits) -> None:
    limits.begin_return(CA, now=NOW)
    assert limits.return_of(CA) == CaReturn(NOW, "")
    limits.record_failure(CA, now=NOW, is_certain=True)
    limits.begin_return(CA, now=NOW + 1)
    assert limits.return_of(CA) is None


def test_n37_a_cooldown_ends_sooner_for_one_caller(limits: RedisLimits) -> None:
    for _ in range(3):
        limits.record_failure(CA, now=NOW)
    cooldown = limits.cooldown(CA)
    assert limits.end_cooldown(CA, replace(cooldown, until=cooldown.until + 1), now=NOW + 10) is False
    assert limits.end_cooldown(CA, cooldown, now=NOW + 10) is True
    assert limits.end_cooldown(CA, cooldown, now=NOW + 10) is False
    assert limits.admit(CA, now=NOW + 10, requests_per_second=0) is None
    assert limits.admit(CA, now=NOW + 10, requests_per_second=0).is_cooldown
    assert limits.cooldown(CA).is_trial
    limits.record_failure(CA, now=NOW + 11)
    assert limits.cooldown(CA) == Cooldown(NOW + 71, NOW, NOW + 11, is_fixed=False, is_trial=False)
