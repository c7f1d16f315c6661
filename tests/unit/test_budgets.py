"""What a CA allows, counted before it is asked: what is over it waits and says until when."""

import datetime as dt

import pytest

from issuer.domain import Status, Step
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from tests.fakes import NAME, NOW, all_opened, below, fake_services, opened
from tests.faults import fails, limited, window, works
from tests.front import Front, reach, renewing
from tests.world import DAY, HOUR, World

A, B = "a.example", "b.example"
T = ProblemType
A_WHILE = 150


def test_new_orders_of_our_account_wait_for_their_turn_and_none_is_asked_in_vain(
    world: World, services: Services
) -> None:
    ca = limited(services.cas[0], new_orders=(3, 3 * HOUR))
    all_opened(services, *(f"shop.{number}.example" for number in range(6)))
    world.run(10 * 60)
    assert world.words() == {Status.ACTIVE: 3, Status.ERROR: 3}
    world.run(HOUR)
    assert (world.words()[Status.ACTIVE], len(ca.orders)) == (4, 4)
    world.run(2.5 * HOUR)
    assert world.words() == {Status.ACTIVE: 6}
    assert (len(ca.orders), ca.calls.count("new_order")) == (6, 6)


def test_certificates_below_one_registered_domain_wait_and_others_do_not(world: World, services: Services) -> None:
    ca = limited(services.cas[0], per_registered_domain=(4, 7 * DAY))
    names = below("shop.co.uk", 6)
    all_opened(services, *names, *below("other.co.uk", 4))
    world.run(A_WHILE)
    assert world.words() == {Status.ACTIVE: 8, Status.ERROR: 2}
    waiting = [world.record(name).issuance for name in names if world.word(name) is Status.ERROR]
    for one in waiting:
        assert (one.tries, one.problem.type) == (0, T.OVER_BUDGET)
        assert NOW + 7 * DAY / 4 <= one.next_try_at <= NOW + 7 * DAY / 4 + 300
    world.run(7 * DAY / 4 + HOUR)
    assert world.words() == {Status.ACTIVE: 9, Status.ERROR: 1}
    assert ca.calls.count("new_order") == 9


def test_one_name_gets_no_more_certificates_than_the_ca_allows_for_its_exact_set(
    world: World, services: Services
) -> None:
    ca = limited(services.cas[0], per_name=(2, 7 * DAY))
    ca.lifetime = dt.timedelta(hours=12)
    opened(services)
    world.run(6 * DAY)
    assert 2 + 1 <= len(ca.certificates) <= 2 + 2
    assert world.record().issuance.problem.type is T.OVER_BUDGET


def test_over_budget_it_waits_and_the_status_says_until_when_and_put_is_429() -> None:
    front = Front().with_accounts()
    world, ca = World(front.services), limited(front.services.cas[0], per_registered_domain=(1, 2 * DAY))
    first, second = below("customer.example", 2)
    assert (front.post(first).status_code, front.post(second).status_code) == (202, 202)
    world.run(A_WHILE)
    body = front.status(second).json
    assert (body["status"], body["certificate"]) == ("error", None)
    assert body["error"] == f"the CA's limits leave no room for it yet: at {ca.directory_url}"
    told = dt.datetime.fromisoformat(body["next_attempt_at"]).timestamp()
    assert told == pytest.approx(world.record(second).issuance.next_try_at, abs=1)
    answer = front.put(second)
    assert answer.status_code == 429
    room_at = front.services.clock() + int(answer.headers["Retry-After"])
    assert NOW + 2 * DAY <= room_at <= told
    world.run(told + 10 - front.services.clock())
    assert front.status(second).json["status"] == "active"


def test_put_is_429_for_one_that_has_ended_where_there_is_no_room_for_it() -> None:
    front = Front().with_accounts()
    world, ca = World(front.services), limited(front.services.cas[0], failed_authorizations=(1, DAY))
    world.issued(NAME)
    front.services.clock.now = world.domain().certificate.not_after + 2
    assert front.status().json["status"] == "expired"
    used = world.record()
    reach(front.services, Step.CHALLENGE, "other.customer.example")
    front.services.limits.refused(ca.directory_url, NAME, now=world.clock(), until=world.clock() + 600)
    answer = front.put()
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (429, "over-budget", "600")
    assert world.record() == used
    front.services.clock.forward(600)
    assert front.put().status_code == 202


def test_put_is_202_where_another_ca_has_room() -> None:
    front = Front(fake_services(hosts=(A, B))).with_accounts()
    world, (first, second) = World(front.services), front.services.cas
    world.issued(NAME)
    front.services.clock.now = world.domain().certificate.not_after + 2
    first.before = fails(Problem(T.CA_REFUSED))
    front.services.limits.refused(first.directory_url, NAME, now=world.clock(), until=world.clock() + 600)
    assert front.put().status_code == 202
    world.celery = front.celery
    world.run(10)
    assert world.domain().certificate.ca == second.directory_url


def test_over_the_budget_of_one_ca_the_next_one_is_asked_at_once() -> None:
    services = fake_services(hosts=(A, B))
    world, (first, second) = World(services), services.cas
    limited(first, new_orders=(2, DAY))
    all_opened(services, *below("customer.example", 5))
    world.run(A_WHILE)
    assert world.words() == {Status.ACTIVE: 5}
    assert (first.calls.count("new_order"), second.calls.count("new_order")) == (2, 3)


@pytest.mark.parametrize(
    ("start", "end", "certificates"),
    [(-HOUR, HOUR, 2), (-30, 30, 2), (30, HOUR, 1), (HOUR, 2 * HOUR, 1), (-HOUR, -30, 1), (None, None, 1)],
)
def test_only_a_renewal_inside_the_cas_window_is_exempt(
    world: World, services: Services, start: float | None, end: float | None, certificates: int
) -> None:
    ca = limited(services.cas[0], per_name=(1, 30 * DAY))
    renewing(services)
    ordered_at = services.clock() + 60
    if start is not None:
        ca.renewal_infos = window(ordered_at + start, ordered_at + end)
    world.run(80)
    assert len(ca.certificates) == certificates
    problem = world.record().issuance.problem
    assert (problem.type if problem else None) == (None if certificates == 2 else T.OVER_BUDGET)


def test_a_renewal_takes_nothing_of_what_new_names_have(world: World, services: Services) -> None:
    ca = limited(services.cas[0], new_orders=(2, 365 * DAY), per_registered_domain=(2, 365 * DAY))
    world.issued(*below("customer.example", 2))
    world.run(62 * DAY)
    assert len(ca.certificates) == 4
    assert world.words() == {Status.ACTIVE: 2}


def test_put_for_a_failed_renewal_inside_the_window_is_not_held_back() -> None:
    front = Front().with_accounts()
    world, ca = World(front.services), limited(front.services.cas[0], per_name=(1, 300 * DAY))
    ca.renewal_infos = window(NOW + 50 * DAY, NOW + 52 * DAY)
    world.issued(NAME)
    world.run(60)
    ca.before = fails(Problem(T.CA_MISUNDERSTOOD), "new_order")
    front.services.clock.now = world.domain().renew_at
    world.run(200)
    assert front.status().json["status"] == "error"
    ca.before = works
    assert front.put().status_code == 202
    world.celery = front.celery
    world.run(10)
    assert front.status().json["status"] == "active"


@pytest.mark.parametrize("hosts", [(A,), (A, B)])
def test_c03_a_429_teaches_the_budget(hosts: tuple[str, ...]) -> None:
    services = fake_services(hosts=hosts)
    world, first = World(services), services.cas[0]
    first.before = fails(Problem(T.RATE_LIMITED, "too many below it", retry_at=NOW + HOUR))
    names = below("customer.example", 6)
    all_opened(services, *names)
    world.run(A_WHILE)
    assert first.calls.count("new_order") == 2
    first.before = works
    world.run(10 * 60)
    assert len(first.certificates) == 0
    if len(hosts) > 1:
        assert world.words() == {Status.ACTIVE: 6}
        return
    assert {world.record(name).issuance.problem.type for name in names[2:]} == {T.OVER_BUDGET}
    assert all(world.record(name).issuance.next_try_at >= NOW + HOUR for name in names)
    opened(services, "track.other.example")
    world.run(A_WHILE)
    assert world.word("track.other.example") is Status.ACTIVE
    world.run(HOUR)
    assert world.words() == {Status.ACTIVE: 7}


def test_a_429_that_is_not_about_orders_holds_back_none(world: World, services: Services) -> None:
    ca = services.cas[0]
    ca.before = fails(Problem(T.RATE_LIMITED, "too many answers", retry_at=NOW + HOUR), "answer")
    all_opened(services, *(f"shop.{number}.example" for number in range(4)))
    world.run(A_WHILE)
    assert len(ca.orders) == 4
    ca.before = works
    opened(services)
    world.run(A_WHILE)
    assert world.word() is Status.ACTIVE
    world.run(HOUR)
    assert world.words() == {Status.ACTIVE: 5}
    assert len(ca.orders) == 5


def test_after_429_for_three_registered_domains_the_ca_is_asked_for_no_new_name(
    world: World, services: Services
) -> None:
    ca = services.cas[0]
    ca.before = fails(Problem(T.RATE_LIMITED, "too many orders", retry_at=NOW + HOUR))
    all_opened(services, *(f"shop.{number}.example" for number in range(9)))
    world.run(HOUR / 2)
    assert ca.calls.count("new_order") == 3
    ca.before = works
    world.run(HOUR)
    assert world.words() == {Status.ACTIVE: 9}
