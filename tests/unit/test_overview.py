"""What an operator sees first: the causes, whom they wait for, the coming days, and how these are drawn."""

from dataclasses import replace

import pytest

from issuer.actions import overview
from issuer.actions.overview import Histogram, Limit
from issuer.authorities import limits
from issuer.domain import DAY_SECONDS, Due, Listing
from issuer.ports import CaLimits, CaPolicy, Quota, Services
from issuer.problem import Actor, Problem, ProblemType
from issuer.store.keys import index_key
from tests.api_client import issued, worked
from tests.fakes import ACCOUNT, NAME, NOW, below, opened
from tests.writes import write
from web.operators.charts import HEIGHT, chart
from web.operators.formats import relative

DAY = DAY_SECONDS
TODAY = NOW // DAY * DAY


def fails(services: Services, name: str, problem: Problem, after: float = 3600) -> None:
    opened(services, name)
    worked(services, lambda issuance: issuance.retry(problem, services.clock() + after), name)


def test_domains_that_wait_for_different_people_are_told_apart(services: Services) -> None:
    owner, ours = Problem(ProblemType.CAA, cause="the zone forbids"), Problem(ProblemType.CAA, actor=Actor.PLATFORM)
    for name in below("a.example", 3):
        fails(services, name, owner, after=7200)
    fails(services, "b.example", ours)
    found = [
        (need.must_act, need.names, need.is_exact, need.next_attempt_at - NOW) for need in overview.needs(services)
    ]
    assert found == [(Actor.PLATFORM, 1, True, 3600), (Actor.OWNER, 3, True, 7200)]


def test_of_many_domains_a_few_are_looked_at_and_all_are_counted(services: Services) -> None:
    names = sorted(below("many.example", 30))
    for number, name in enumerate(names):
        fails(services, name, Problem(ProblemType.CAA, hint=f"hint {number}"))
    (need,) = overview.needs(services)
    assert (need.names, need.is_exact, need.is_same, need.examples) == (30, True, False, tuple(names[:3]))
    assert (need.cause, need.hint) == ("a CAA record forbids the CA to issue for the domain", "hint 0")
    fails(services, "0.0.example", Problem(ProblemType.CAA, actor=Actor.PLATFORM))
    counted = [(need.must_act, need.names, need.is_exact) for need in overview.needs(services)]
    assert counted == [(Actor.PLATFORM, 1, False), (Actor.OWNER, 9, False)]


def test_domains_that_nobody_works_on_are_a_need_of_their_own(services: Services) -> None:
    opened(services)
    services.clock.forward(600)  # nothing has shown itself since heartbeats are kept
    (overdue,) = [need for need in overview.needs(services) if need.code == "not-worked-on"]
    assert (overdue.names, overdue.must_act, overdue.examples) == (1, Actor.PLATFORM, (NAME,))
    assert (overdue.next_attempt_at, "issuer run" in overdue.hint) == (None, True)
    codes = [need.code for need in overview.needs(services)]
    assert codes[0] != "not-worked-on"  # the reason comes first
    assert {"beat", "queue"} <= set(codes)


def test_what_is_over_or_withdrawn_needs_nobody(services: Services) -> None:
    issued(services)
    assert (overview.needs(services), overview.ending(services)) == ([], [])
    assert overview.at_risk(services) == {1: 0, 3: 0, 7: 0}


@pytest.fixture(autouse=True)
def _no_fleet(services: Services) -> None:
    """Nothing is wrong with processes in these tests: heartbeats have just begun to be kept."""
    services.board.heartbeats(NOW)


def test_the_days_count_what_falls_on_each_and_the_rest_apart(services: Services) -> None:
    redis = services.store._redis
    at = [NOW - 1, NOW, TODAY + DAY - 0.5, TODAY + DAY, TODAY + 59 * DAY, TODAY + 60 * DAY, TODAY + 1000 * DAY]
    redis.zadd(index_key((Listing.EXPIRY, "")), {f"{number}.example": score for number, score in enumerate(at)})
    found = overview.expiries(services)
    assert (found.start, found.before, found.later, len(found.days)) == (TODAY, 1, 2, 60)
    assert {day: count for day, count in enumerate(found.days) if count} == {0: 2, 1: 1, 59: 1}
    redis.zadd(index_key((Due.RENEWAL_START, "")), {"due.example": NOW - 5, "a.example": TODAY + 3.5 * DAY})
    found = overview.renewals(services)
    assert (found.before, sum(found.days), found.days[3], found.later) == (1, 1, 1, 0)


def test_a_ca_and_what_it_allows(services: Services) -> None:
    issued(services)
    (ca,) = services.cas
    assert overview.expiries(services).limits == ()
    assert [(view.orders_a_day, view.orders_left) for view in overview.authorities(services)] == [(None, None)]
    ca.policy = CaPolicy(limits=CaLimits(new_orders=(300, 3 * 3600)))
    services.limits.spend(ca.directory_url, "a.example", [Quota("orders", 36, 300, cost=20)], now=services.clock())
    assert overview.expiries(services).limits == (Limit("ca.example", 2400),)
    (view,) = overview.authorities(services)
    assert (view.orders_a_day, view.orders_left, view.certificates, view.cooldown_until) == (2400, 280, 1, None)
    assert limits.orders_left(services, ca) == 280


def test_names_are_found_by_their_beginning_over_all_accounts(services: Services) -> None:
    for account in (ACCOUNT, replace(ACCOUNT, id="other")):
        services.store.create_account(account)
    names = ["shop.example", "shop-1.example", "shopping.example", "sho.example", "xn--bcher-kva.example"]
    for number, name in enumerate(names):
        opened(services, name, account="other" if number % 2 else ACCOUNT.id)
    record = opened(services, "shop-gone.example")
    write(services.store, record.with_domain(withdrawn_until=NOW + DAY), now=NOW)
    assert overview.search(services, " Shop") == ["shop-1.example", "shop.example", "shopping.example"]
    assert overview.search(services, "shop", after="shop-1.example") == ["shop.example", "shopping.example"]
    assert overview.search(services, "shop.example") == ["shop.example"]
    assert overview.search(services, "bücher.example") == ["xn--bcher-kva.example"]
    for nothing in ("", " ", "b\u00fc", "\U0001f511", "shop\x00", "[", "z", "(shop", "+", "-", "\ud800"):
        assert overview.search(services, nothing) == []


def histogram(*days: int, limit: int = 0) -> Histogram:
    return Histogram(TODAY, days, 0, 0, (Limit("ca.example", limit),) if limit else ())


def test_a_limit_that_is_near_is_drawn_in_its_place_and_what_exceeds_it_stands_out() -> None:
    drawn = chart(histogram(0, 50, 120, limit=100))
    (line,) = drawn.lines
    assert [(bar.count, bar.is_over) for bar in drawn.bars] == [(0, False), (50, False), (120, True)]
    assert not line.is_above
    assert drawn.bars[2].y < line.y < drawn.bars[1].y < drawn.bars[0].y == HEIGHT
    assert (drawn.top, drawn.bars[1].height) == (120, pytest.approx(drawn.bars[2].height * 50 / 120, abs=0.1))


@pytest.mark.parametrize(
    ("days", "limit", "top", "is_above"), [((0, 0), 10, 1, True), ((4,), 12, 12, False), ((4,), 13, 4, True)]
)
def test_a_limit_that_is_far_is_drawn_at_the_top(
    days: tuple[int, ...], limit: int, top: int, *, is_above: bool
) -> None:
    drawn = chart(histogram(*days, limit=limit))
    (line,) = drawn.lines
    assert (drawn.top, line.is_above) == (top, is_above)
    assert 0 <= line.y < HEIGHT / 10


def test_one_beside_a_million_is_still_seen() -> None:
    few, many = chart(histogram(1, 1_000_000)).bars
    assert few.height >= 2
    assert (many.y, many.height) == (pytest.approx(HEIGHT - many.height, abs=0.01), pytest.approx(HEIGHT, rel=0.1))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"),
        (20, "now"),
        (-20, "now"),
        (240, "in 4 min"),
        (-240, "4 min ago"),
        (3599, "in 1 h"),
        (3600, "in 1 h"),
        (86399, "in 1 d"),
        (-2 * DAY, "2 d ago"),
        (5 * 3600, "in 5 h"),
        (400 * DAY, "in 400 d"),
    ],
)
def test_times_are_told_as_people_say_them(seconds: float, said: str) -> None:
    assert relative(NOW + seconds, NOW) == said
