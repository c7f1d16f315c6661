"""Rate limits, counted before the CA is asked: what exceeds them waits, and the status says until when."""

import datetime as dt

import pytest

from issuer.domain import Status, Step
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from tests.api_client import ApiClient, reach, renewing
from tests.fakes import NAME, NOW, all_opened, below, fake_services, opened
from tests.faults import fails, limited, succeeds, window
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet

A, B = "a.example", "b.example"
T = ProblemType
A_WHILE = 150


def test_new_orders_of_our_account_wait_for_their_turn_and_none_is_asked_in_vain(
    fleet: SimulatedFleet, services: Services
) -> None:
    ca = limited(services.cas[0], new_orders=(3, 3 * HOUR))
    all_opened(services, *(f"shop.{number}.example" for number in range(6)))
    fleet.run(10 * 60)
    assert fleet.words() == {Status.ACTIVE: 3, Status.ERROR: 3}
    fleet.run(HOUR)
    assert (fleet.words()[Status.ACTIVE], len(ca.orders)) == (4, 4)
    fleet.run(2.5 * HOUR)
    assert fleet.words() == {Status.ACTIVE: 6}
    assert (len(ca.orders), ca.calls.count("new_order")) == (6, 6)


def test_certificates_below_one_registered_domain_wait_and_others_do_not(
    fleet: SimulatedFleet, services: Services
) -> None:
    ca = limited(services.cas[0], per_registered_domain=(4, 7 * DAY))
    names = below("shop.co.uk", 6)
    all_opened(services, *names, *below("other.co.uk", 4))
    fleet.run(A_WHILE)
    assert fleet.words() == {Status.ACTIVE: 8, Status.ERROR: 2}
    waiting = [fleet.record(name).issuance for name in names if fleet.word(name) is Status.ERROR]
    for one in waiting:
        assert (one.tries, one.problem.type) == (0, T.OVER_BUDGET)
        assert NOW + 7 * DAY / 4 <= one.next_try_at <= NOW + 7 * DAY / 4 + 300
    fleet.run(7 * DAY / 4 + HOUR)
    assert fleet.words() == {Status.ACTIVE: 9, Status.ERROR: 1}
    assert ca.calls.count("new_order") == 9


def test_one_name_gets_no_more_certificates_than_the_ca_allows_for_its_exact_set(
    fleet: SimulatedFleet, services: Services
) -> None:
    ca = limited(services.cas[0], per_name=(2, 7 * DAY))
    ca.lifetime = dt.timedelta(hours=12)
    opened(services)
    fleet.run(6 * DAY)
    assert 2 + 1 <= len(ca.certificates) <= 2 + 2
    assert fleet.record().issuance.problem.type is T.OVER_BUDGET


def test_over_budget_it_waits_and_the_status_says_until_when_and_put_is_429() -> None:
    api_client = ApiClient().with_accounts()
    fleet, ca = (
        SimulatedFleet(api_client.services),
        limited(api_client.services.cas[0], per_registered_domain=(1, 2 * DAY)),
    )
    first, second = below("customer.example", 2)
    assert (api_client.post(first).status_code, api_client.post(second).status_code) == (202, 202)
    fleet.run(A_WHILE)
    body = api_client.status(second).json
    assert (body["status"], body["certificate"]) == ("error", None)
    assert body["error"] == f"the rate limits of the CA leave no room yet: at {ca.directory_url}"
    next_attempt_at = dt.datetime.fromisoformat(body["next_attempt_at"]).timestamp()
    assert next_attempt_at == pytest.approx(fleet.record(second).issuance.next_try_at, abs=1)
    answer = api_client.put(second)
    assert answer.status_code == 429
    room_at = api_client.services.clock() + int(answer.headers["Retry-After"])
    assert NOW + 2 * DAY <= room_at <= next_attempt_at
    fleet.run(next_attempt_at + 10 - api_client.services.clock())
    assert api_client.status(second).json["status"] == "active"


def test_put_is_429_for_one_that_has_ended_where_there_is_no_room_for_it() -> None:
    api_client = ApiClient().with_accounts()
    fleet, ca = SimulatedFleet(api_client.services), limited(api_client.services.cas[0], failed_authorizations=(1, DAY))
    fleet.issued(NAME)
    api_client.services.clock.now = fleet.domain().certificate.not_after + 2
    assert api_client.status().json["status"] == "expired"
    used = fleet.record()
    reach(api_client.services, Step.CHALLENGE, "other.customer.example")
    api_client.services.limits.record_refusal(ca.directory_url, NAME, now=fleet.clock(), until=fleet.clock() + 600)
    answer = api_client.put()
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (429, "over-budget", "600")
    assert fleet.record() == used
    api_client.services.clock.forward(600)
    assert api_client.put().status_code == 202


def test_put_is_202_where_another_ca_has_room() -> None:
    api_client = ApiClient(fake_services(hosts=(A, B))).with_accounts()
    fleet, (first, second) = SimulatedFleet(api_client.services), api_client.services.cas
    fleet.issued(NAME)
    api_client.services.clock.now = fleet.domain().certificate.not_after + 2
    first.before = fails(Problem(T.CA_REFUSED))
    api_client.services.limits.record_refusal(first.directory_url, NAME, now=fleet.clock(), until=fleet.clock() + 600)
    assert api_client.put().status_code == 202
    fleet.run(10)
    assert fleet.domain().certificate.ca == second.directory_url


def test_over_the_budget_of_one_ca_the_next_one_is_asked_at_once() -> None:
    services = fake_services(hosts=(A, B))
    fleet, (first, second) = SimulatedFleet(services), services.cas
    limited(first, new_orders=(2, DAY))
    all_opened(services, *below("customer.example", 5))
    fleet.run(A_WHILE)
    assert fleet.words() == {Status.ACTIVE: 5}
    assert (first.calls.count("new_order"), second.calls.count("new_order")) == (2, 3)


@pytest.mark.parametrize(
    ("start", "end", "certificates"),
    [(-HOUR, HOUR, 2), (-30, 30, 2), (30, HOUR, 1), (HOUR, 2 * HOUR, 1), (-HOUR, -30, 1), (None, None, 1)],
)
def test_only_a_renewal_inside_the_cas_window_is_exempt(
    fleet: SimulatedFleet, services: Services, start: float | None, end: float | None, certificates: int
) -> None:
    ca = limited(services.cas[0], per_name=(1, 30 * DAY))
    renewing(services)
    ordered_at = services.clock() + 60
    if start is not None:
        ca.renewal_infos = window(ordered_at + start, ordered_at + end)
    fleet.run(80)
    assert len(ca.certificates) == certificates
    problem = fleet.record().issuance.problem
    assert (problem.type if problem else None) == (None if certificates == 2 else T.OVER_BUDGET)


def test_a_renewal_takes_nothing_of_what_new_names_have(fleet: SimulatedFleet, services: Services) -> None:
    ca = limited(services.cas[0], new_orders=(2, 365 * DAY), per_registered_domain=(2, 365 * DAY))
    fleet.issued(*below("customer.example", 2))
    fleet.run(62 * DAY)
    assert len(ca.certificates) == 4
    assert fleet.words() == {Status.ACTIVE: 2}


def test_put_for_a_failed_renewal_inside_the_window_is_not_held_back() -> None:
    api_client = ApiClient().with_accounts()
    fleet, ca = SimulatedFleet(api_client.services), limited(api_client.services.cas[0], per_name=(1, 300 * DAY))
    ca.renewal_infos = window(NOW + 50 * DAY, NOW + 52 * DAY)
    fleet.issued(NAME)
    fleet.run(60)
    ca.before = fails(Problem(T.CA_MISUNDERSTOOD), "new_order")
    api_client.services.clock.now = fleet.domain().renew_at
    fleet.run(200)
    assert api_client.status().json["status"] == "error"
    ca.before = succeeds
    assert api_client.put().status_code == 202
    fleet.run(10)
    assert api_client.status().json["status"] == "active"


@pytest.mark.parametrize("hosts", [(A,), (A, B)])
def test_c03_a_429_teaches_the_budget(hosts: tuple[str, ...]) -> None:
    services = fake_services(hosts=hosts)
    fleet, first = SimulatedFleet(services), services.cas[0]
    first.before = fails(Problem(T.RATE_LIMITED, "too many below it", retry_at=NOW + HOUR))
    names = below("customer.example", 6)
    all_opened(services, *names)
    fleet.run(A_WHILE)
    assert first.calls.count("new_order") == 2
    first.before = succeeds
    fleet.run(10 * 60)
    assert len(first.certificates) == 0
    if len(hosts) > 1:
        assert fleet.words() == {Status.ACTIVE: 6}
        return
    assert {fleet.record(name).issuance.problem.type for name in names[2:]} == {T.OVER_BUDGET}
    assert all(fleet.record(name).issuance.next_try_at >= NOW + HOUR for name in names)
    opened(services, "track.other.example")
    fleet.run(A_WHILE)
    assert fleet.word("track.other.example") is Status.ACTIVE
    fleet.run(HOUR)
    assert fleet.words() == {Status.ACTIVE: 7}


def test_a_429_that_is_not_about_orders_holds_back_none(fleet: SimulatedFleet, services: Services) -> None:
    ca = services.cas[0]
    ca.before = fails(Problem(T.RATE_LIMITED, "too many answers", retry_at=NOW + HOUR), "answer")
    all_opened(services, *(f"shop.{number}.example" for number in range(4)))
    fleet.run(A_WHILE)
    assert len(ca.orders) == 4
    ca.before = succeeds
    opened(services)
    fleet.run(A_WHILE)
    assert fleet.word() is Status.ACTIVE
    fleet.run(HOUR)
    assert fleet.words() == {Status.ACTIVE: 5}
    assert len(ca.orders) == 5


def test_after_429_for_three_registered_domains_the_ca_is_asked_for_no_new_name(
    fleet: SimulatedFleet, services: Services
) -> None:
    ca = services.cas[0]
    ca.before = fails(Problem(T.RATE_LIMITED, "too many orders", retry_at=NOW + HOUR))
    all_opened(services, *(f"shop.{number}.example" for number in range(9)))
    fleet.run(HOUR / 2)
    assert ca.calls.count("new_order") == 3
    ca.before = succeeds
    fleet.run(HOUR)
    assert fleet.words() == {Status.ACTIVE: 9}
