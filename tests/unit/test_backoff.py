"""When to try again, with exact values: the functions are pure."""

import pytest

from issuer import backoff
from issuer.backoff import DAY, HOUR, MINUTE, WEEK
from issuer.problem import Problem, ProblemType

NOW = 1_790_000_000.0
COUNTED, UNCOUNTED = Problem(ProblemType.CA_UNAVAILABLE), Problem(ProblemType.CA_RESTS)


@pytest.mark.parametrize(
    ("tries", "longest", "jitter", "seconds"),
    [
        (0, DAY, 1.0, 60),
        (1, DAY, 1.0, 600),
        (2, DAY, 1.0, 6000),
        (3, DAY, 1.0, DAY),
        (99, DAY, 1.0, DAY),
        (3, WEEK, 1.0, WEEK),
        (2, HOUR, 1.0, HOUR),
        (0, 30, 1.0, 30),
        (0, DAY, 1.2, 72),
        (1, DAY, 0.8, 480),
    ],
)
def test_a_problem_that_counts_waits_ten_times_as_long_each_time(
    tries: int, longest: float, jitter: float, seconds: float
) -> None:
    at = backoff.retry_at(COUNTED, NOW, tries=tries, pauses=0, longest=longest, jitter=jitter)
    assert at == pytest.approx(NOW + seconds)


@pytest.mark.parametrize(("pauses", "seconds"), [(0, 10), (1, 20), (2, 40), (5, 320), (6, 320), (60, 320)])
def test_one_that_does_not_count_waits_twice_as_long_each_time(pauses: int, seconds: float) -> None:
    at = backoff.retry_at(UNCOUNTED, NOW, tries=7, pauses=pauses, longest=DAY, jitter=1.0)
    assert at == NOW + seconds


@pytest.mark.parametrize("jitter", [0.8, 1.0, 1.2])
@pytest.mark.parametrize("type_", [ProblemType.RATE_LIMITED, ProblemType.OVER_BUDGET, ProblemType.CA_RESTS])
@pytest.mark.parametrize("later", [1, HOUR, 3 * DAY])
def test_never_before_the_problem_says(type_: ProblemType, later: float, jitter: float) -> None:
    problem = Problem(type_, retry_at=NOW + later)
    at = backoff.retry_at(problem, NOW, tries=0, pauses=0, longest=DAY, jitter=jitter)
    assert NOW + later <= at <= max(NOW + later, NOW + 600) + 600


@pytest.mark.parametrize(
    ("certificate_end", "lifetime", "moved_away_since", "seconds"),
    [
        (None, 0, None, DAY),
        (None, 0, NOW - 2 * DAY, DAY),
        (None, 0, NOW - 3 * DAY, DAY),
        (None, 0, NOW - 6 * DAY, 2 * DAY),
        (None, 0, NOW - 90 * DAY, WEEK),
        (NOW + 30 * DAY, 90 * DAY, None, DAY),
        (NOW + 3 * DAY, 90 * DAY, None, DAY / 2),
        (NOW, 90 * DAY, None, HOUR),
        (NOW - 3 * DAY, 90 * DAY, None, DAY / 2),
        (NOW, 6 * HOUR, None, 6 * HOUR / 20),
    ],
)
def test_near_the_end_of_a_certificate_it_is_tried_more_often_and_ever_more_rarely_once_it_has_moved_away(
    certificate_end: float | None, lifetime: float, moved_away_since: float | None, seconds: float
) -> None:
    pause = backoff.longest_retry_pause(
        NOW, certificate_end=certificate_end, lifetime=lifetime, moved_away_since=moved_away_since
    )
    assert pause == seconds


@pytest.mark.parametrize(
    ("waits", "not_before", "seconds"),
    [
        (0, None, 0.1),
        (1, None, 0.2),
        (9, None, 51.2),
        (10, None, 60),
        (39, None, 60),
        (40, None, 600),
        (0, NOW + 9, 9),
        (0, NOW - 9, 0.1),
        (0, NOW + 120, 120),
        (0, NOW + 121, 10),
        (0, NOW + DAY, 10),
        (9, NOW + DAY, 51.2),
        (40, NOW + DAY, 600),
    ],
)
def test_n01_a_ca_that_works_on_an_order_is_asked_ever_more_rarely_and_its_retry_after_is_advice(
    waits: int, not_before: float | None, seconds: float
) -> None:
    assert backoff.poll_at(NOW, waits=waits, not_before=not_before) == NOW + seconds


@pytest.mark.parametrize(("answered", "is_due"), [(None, True), (0, False), (59, False), (60, True), (DAY, True)])
def test_n03_a_challenge_is_answered_again_after_a_minute(answered: float | None, *, is_due: bool) -> None:
    assert backoff.is_answer_due(None if answered is None else NOW - answered, NOW) is is_due


@pytest.mark.parametrize(("waited", "is_over"), [(None, False), (0, False), (44 * 60, False), (45 * 60, True)])
def test_n02_an_order_without_hope_is_given_up_within_the_hour(waited: float | None, *, is_over: bool) -> None:
    assert backoff.is_given_up(None if waited is None else NOW - waited, NOW) is is_over


def test_the_polls_of_a_slow_ca_take_about_a_day_in_all() -> None:
    total = sum(backoff.poll_at(0, waits=waits, not_before=None) for waits in range(backoff.MAX_POLLS))
    assert total == pytest.approx(DAY, rel=0.05)


@pytest.mark.parametrize(
    ("next_try_at", "is_queued", "seconds"),
    [(None, True, 60), (None, False, 0), (NOW + 30, True, 90), (NOW + 9000, False, 9000)],
)
def test_an_issuance_is_queued_again_when_its_message_must_be_lost(
    next_try_at: float | None, *, is_queued: bool, seconds: float
) -> None:
    assert backoff.requeue_at(next_try_at, NOW, is_queued=is_queued) == NOW + seconds


@pytest.mark.parametrize(
    ("end", "seconds"), [(30 * DAY, WEEK), (9 * DAY, 3 * DAY), (0, DAY), (-9 * DAY, 3 * DAY), (-90 * DAY, WEEK)]
)
def test_a_failed_renewal_starts_again_sooner_near_the_expiry(end: float, seconds: float) -> None:
    at = backoff.new_renewal_at(NOW, certificate_end=NOW + end, lifetime=90 * DAY, jitter=1.0)
    assert at == NOW + seconds


@pytest.mark.parametrize(("days", "seconds"), [(0, 40), (0.003, 40), (1 / 3, HOUR), (1, 3 * HOUR), (8, DAY), (80, DAY)])
def test_dns_is_asked_within_a_minute_and_then_ever_more_rarely(days: float, seconds: float) -> None:
    assert backoff.dns_recheck_at(NOW, NOW - days * DAY) == NOW + seconds


@pytest.mark.parametrize(
    ("asked_for", "lifetime", "seconds"),
    [
        (None, 90 * DAY, DAY / 4),
        (5, 90 * DAY, MINUTE),
        (9 * DAY, 90 * DAY, DAY / 2),
        (3600, 90 * DAY, 3600),
        (9 * DAY, HOUR, HOUR / 4),
        (1, 600, 30),
    ],
)
def test_the_window_is_asked_for_as_the_ca_says_and_twice_a_day_at_least(
    asked_for: float | None, lifetime: float, seconds: float
) -> None:
    at = backoff.renewal_info_at(NOW, asked_for=asked_for and NOW + asked_for, lifetime=lifetime)
    assert at == NOW + seconds


@pytest.mark.parametrize(("installed_for", "seconds"), [(0, 2), (2, 2), (40, 40), (9000, 3600)])
def test_edges_are_asked_after_as_long_as_the_certificate_is_in_force(installed_for: float, seconds: float) -> None:
    assert backoff.edge_look_at(NOW, installed_for) == NOW + seconds


@pytest.mark.parametrize(
    ("tries", "not_before", "end", "seconds"),
    [
        (0, None, DAY, 60),
        (1, None, DAY, 600),
        (2, None, DAY, 6000),
        (3, None, DAY, DAY / 4),
        (0, NOW + 5000, DAY, 5000),
        (3, None, HOUR, HOUR),
    ],
)
def test_a_revocation_is_tried_until_the_certificate_ends(
    tries: int, not_before: float | None, end: float, seconds: float
) -> None:
    at = backoff.revocation_at(NOW, tries=tries, not_before=not_before, certificate_end=NOW + end, jitter=1.0)
    assert at == NOW + seconds


def test_jitter_is_spread_between_its_bounds() -> None:
    factors = [backoff.random_jitter() for _ in range(1000)]
    assert 0.8 <= min(factors) < 0.82
    assert 1.18 < max(factors) <= 1.2
