"""How much of a CA's rate limits is used, counted for all workers: over fakeredis and a real Redis (E16)."""

import pytest

from issuer.ports import Quota
from issuer.store import RedisLimits
from tests.fakes import NOW
from tests.simulated_fleet import DAY, HOUR
from tests.threads import at_once

CA, OTHER = "https://ca.example/directory", "https://other.example/directory"
NAME = "track.customer.example"
MINUTE = 60
A_WEEK_OF_50 = Quota("below:customer.example", 7 * DAY / 50, 50)


def spent(limits: RedisLimits, *quotas: Quota, now: float = NOW, name: str = NAME, ca: str = CA) -> float | None:
    return limits.spend(ca, name, quotas, now=now)


def test_a_bucket_refills_as_lets_encrypts_do(limits: RedisLimits) -> None:
    """50 in 7 days, and one more each 202 minutes."""
    assert [spent(limits, A_WEEK_OF_50) for _ in range(50)] == [None] * 50
    refill = 7 * DAY / 50
    assert refill / MINUTE == pytest.approx(202, abs=0.5)
    assert spent(limits, A_WEEK_OF_50) == pytest.approx(NOW + refill, abs=0.02)
    assert spent(limits, A_WEEK_OF_50, now=NOW + refill - 1) == pytest.approx(NOW + refill, abs=0.02)
    assert spent(limits, A_WEEK_OF_50, now=NOW + refill) is None
    assert spent(limits, A_WEEK_OF_50, now=NOW + refill) == pytest.approx(NOW + 2 * refill, abs=0.02)
    later = NOW + 30 * DAY
    assert [spent(limits, A_WEEK_OF_50, now=later) for _ in range(51)].count(None) == 50


@pytest.mark.parametrize(("number", "seconds"), [(5, 7 * DAY), (300, 3 * HOUR), (5, HOUR), (1, 60), (3, 10)])
def test_the_time_it_returns_is_exact(limits: RedisLimits, number: int, seconds: float) -> None:
    quota = Quota("some", seconds / number, number)
    for _ in range(number):
        assert spent(limits, quota) is None
    room_at = spent(limits, quota)
    assert room_at == pytest.approx(NOW + seconds / number, abs=0.02)
    assert spent(limits, quota, now=room_at - 1) == room_at
    assert spent(limits, quota, now=room_at) is None


def test_all_of_several_quotas_or_none(limits: RedisLimits) -> None:
    wide, narrow = Quota("wide", HOUR, 5), Quota("narrow", DAY, 1)
    assert spent(limits, wide, narrow) is None
    assert [spent(limits, wide, narrow) for _ in range(9)] == [NOW + DAY] * 9
    assert [spent(limits, wide) for _ in range(5)] == [None] * 4 + [NOW + HOUR]
    assert spent(limits, wide, narrow) == NOW + DAY
    assert spent(limits, wide, narrow, now=NOW + DAY) is None


def test_what_costs_nothing_is_only_looked_at(limits: RedisLimits) -> None:
    look, take = Quota("some", HOUR, 2, cost=0), Quota("some", HOUR, 2)
    assert [spent(limits, look) for _ in range(9)] == [None] * 9
    assert [spent(limits, one) for one in (take, look, take)] == [None] * 3
    assert spent(limits, look) == spent(limits, take) == NOW + HOUR
    assert spent(limits, look, now=NOW + HOUR) is None
    assert spent(limits, take, now=NOW + HOUR) is None


def test_a_look_at_one_quota_holds_back_the_others(limits: RedisLimits) -> None:
    orders, failures = Quota("orders", MINUTE, 9), Quota("failed", HOUR, 1)
    assert spent(limits, failures) is None
    assert spent(limits, orders, Quota("failed", HOUR, 1, cost=0)) == NOW + HOUR
    assert [spent(limits, orders) for _ in range(10)].count(None) == 9


def test_without_a_quota_there_is_no_limit(limits: RedisLimits) -> None:
    assert [spent(limits, Quota("none", 1, 0)) for _ in range(100)] == [None] * 100
    assert [spent(limits) for _ in range(9)] == [None] * 9
    assert limits._redis.keys("*quota*") == []


def test_each_ca_and_each_quota_is_counted_for_itself(limits: RedisLimits) -> None:
    assert [spent(limits, Quota("a", HOUR, 1)) for _ in range(2)] == [None, NOW + HOUR]
    assert spent(limits, Quota("b", HOUR, 1)) is None
    assert spent(limits, Quota("a", HOUR, 1), ca=OTHER) is None


def test_16_threads_at_once_never_overspend(limits: RedisLimits) -> None:
    quotas = Quota("orders", HOUR, 20), Quota("below", HOUR, 13), Quota("looked at", HOUR, 99, cost=0)
    found = at_once(16, lambda _: [spent(limits, *quotas) for _ in range(3)])
    assert [one for each in found for one in each].count(None) == 13
    assert [spent(limits, quotas[0]) for _ in range(8)].count(None) == 7


def test_a_clock_set_back_an_hour_holds_back_no_longer_than_a_whole_bucket(limits: RedisLimits) -> None:
    quota = Quota("failed", 12 * MINUTE, 5)
    assert [spent(limits, quota) for _ in range(6)].count(None) == 5
    back = NOW - HOUR
    assert spent(limits, quota, now=back) == pytest.approx(back + 12 * MINUTE, abs=0.02)
    assert spent(limits, quota, now=back + 12 * MINUTE) is None


def test_what_is_counted_ends_by_itself(limits: RedisLimits) -> None:
    spent(limits, A_WEEK_OF_50)
    (key,) = limits._redis.keys("issuer:ca:*")
    assert 7 * DAY <= limits._redis.ttl(key) <= 14 * DAY


def test_what_is_given_back_can_be_spent_again_and_no_more(limits: RedisLimits) -> None:
    few, many, free = Quota("few", HOUR, 2), Quota("many", MINUTE, 9), Quota("free", 1, 0)
    assert [spent(limits, few, many) for _ in range(3)] == [None, None, NOW + HOUR]
    limits.refund(CA, [few, free], now=NOW)
    assert [spent(limits, few) for _ in range(2)] == [None, NOW + HOUR]
    assert [spent(limits, many) for _ in range(8)].count(None) == 7
    for _ in range(5):
        limits.refund(CA, [few], now=NOW)
    assert [spent(limits, few) for _ in range(3)] == [None, None, NOW + HOUR]


def test_giving_back_what_was_never_spent_or_is_earned_back_changes_nothing(limits: RedisLimits) -> None:
    quota = Quota("some", HOUR, 2)
    limits.refund(CA, [quota], now=NOW)
    limits.refund(OTHER, [quota], now=NOW)
    assert [spent(limits, quota) for _ in range(3)].count(None) == 2
    limits.refund(CA, [quota], now=NOW + 9 * HOUR)
    assert [spent(limits, quota, now=NOW + 9 * HOUR) for _ in range(3)].count(None) == 2


def refused(limits: RedisLimits, *names: str, until: float = NOW + DAY, now: float = NOW) -> None:
    for name in names:
        limits.record_refusal(CA, name, now=now, until=until)


def held(limits: RedisLimits, name: str, now: float = NOW) -> float | None:
    return spent(limits, name=name, now=now)


def test_a_name_that_was_refused_waits_and_no_other(limits: RedisLimits) -> None:
    refused(limits, NAME)
    assert held(limits, NAME) == NOW + DAY
    for other in ("shop.customer.example", "customer.example", "track.other.example"):
        assert held(limits, other) is None
    assert spent(limits, name=NAME, ca=OTHER) is None


def test_two_names_below_one_registered_domain_hold_all_below_it(limits: RedisLimits) -> None:
    refused(limits, NAME, until=NOW + DAY)
    refused(limits, "shop.customer.example", until=NOW + HOUR)
    assert held(limits, "third.customer.example") == NOW + HOUR
    assert held(limits, NAME) == NOW + DAY
    assert held(limits, "track.other.example") is None
    assert held(limits, "third.customer.example", now=NOW + HOUR) is None
    assert held(limits, NAME, now=NOW + HOUR) == NOW + DAY


def test_what_is_one_registered_domain_says_the_public_suffix_list(limits: RedisLimits) -> None:
    refused(limits, "a.shop.co.uk", "b.shop.co.uk")
    assert held(limits, "c.shop.co.uk") == NOW + DAY
    assert held(limits, "a.other.co.uk") is None


def test_the_same_name_twice_is_one(limits: RedisLimits) -> None:
    refused(limits, NAME, NAME, NAME)
    assert held(limits, "shop.customer.example") is None


def test_three_registered_domains_hold_all_of_the_ca(limits: RedisLimits) -> None:
    refused(limits, "a.one.example", until=NOW + DAY)
    refused(limits, "a.two.example", until=NOW + 2 * HOUR)
    assert held(limits, "a.four.example") is None
    refused(limits, "a.three.example", until=NOW + HOUR)
    assert held(limits, "a.four.example") == NOW + HOUR
    assert spent(limits, name="a.four.example", ca=OTHER) is None
    assert held(limits, "a.four.example", now=NOW + HOUR) is None


def test_a_refusal_is_over_when_its_time_has_passed(limits: RedisLimits) -> None:
    refused(limits, NAME)
    assert held(limits, NAME, now=NOW + DAY - 1) == NOW + DAY
    assert held(limits, NAME, now=NOW + DAY) is None
    refused(limits, "shop.customer.example", now=NOW + DAY, until=NOW + 2 * DAY)
    assert held(limits, "third.customer.example", now=NOW + DAY) is None
    assert [limits._redis.zcard(key) for key in limits._redis.keys("issuer:ca:*")] == [1, 1]


def test_while_it_is_held_back_nothing_is_spent(limits: RedisLimits) -> None:
    quota = Quota("some", DAY, 2)
    refused(limits, NAME)
    assert [spent(limits, quota) for _ in range(5)] == [NOW + DAY] * 5
    assert [spent(limits, quota, name="other.example") for _ in range(3)].count(None) == 2


def test_refusals_end_by_themselves(limits: RedisLimits) -> None:
    refused(limits, NAME)
    keys = limits._redis.keys("issuer:ca:*")
    assert len(keys) == 2
    assert {0 < limits._redis.ttl(key) <= 7 * DAY for key in keys} == {True}
