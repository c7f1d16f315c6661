"""Unavailable CAs: what that costs those who wait, what is reported, and how the issuances continue afterwards."""

from collections import Counter

import pytest

from issuer import outcomes, tasks
from issuer.actions import authorities
from issuer.authorities import recovery
from issuer.domain import Status, Step
from issuer.ports import Order
from issuer.problem import Problem, ProblemType
from tests.api_client import ApiClient, reach
from tests.fakes import NAME, NOW, all_opened, below, fake_services, opened
from tests.faults import called_from_now_on, fails, succeeds
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet

A, B = "a.example", "b.example"
MINUTE = 60
AWAY = Problem(ProblemType.CA_UNAVAILABLE, "connection refused")
T = ProblemType


@pytest.mark.parametrize("waiting", [1, 2, 4])
def test_few_that_wait_pay_one_try_at_most(waiting: int) -> None:
    services = fake_services()
    fleet = SimulatedFleet(services)
    names = all_opened(services, *below("customer.example", waiting))
    services.cas[0].before = fails(AWAY)
    fleet.run(2 * HOUR, every=15)
    assert max(fleet.record(name).issuance.tries for name in names) == 1
    services.cas[0].before = succeeds
    fleet.run(HOUR / 2, every=15)
    assert fleet.words() == {Status.ACTIVE: waiting}


@pytest.mark.parametrize("method", ["authorization", "answer", "finalize", "chain"])
def test_an_outage_in_the_middle_costs_each_one_try_at_most_and_no_order(method: str) -> None:
    services = fake_services()
    fleet, ca = SimulatedFleet(services), services.cas[0]
    names = all_opened(services, *below("customer.example", 4))
    ca.before = fails(AWAY, method)
    fleet.run(HOUR, every=15)
    assert max(fleet.record(name).issuance.tries for name in names) == 1
    ca.before = succeeds
    fleet.run(HOUR / 2, every=15)
    assert fleet.words() == {Status.ACTIVE: 4}
    assert (len(ca.orders), len(ca.certificates)) == (4, 4)


def test_with_a_second_ca_nobody_waits() -> None:
    services = fake_services(hosts=(A, B))
    api_client = ApiClient(services).with_accounts()
    fleet, (first, second) = SimulatedFleet(services), services.cas
    first.before = fails(AWAY)
    for number in range(40):
        assert api_client.post(f"{number}.customer.example").status_code == 202
    fleet.run(5)
    assert fleet.words() == {Status.ACTIVE: 40}
    assert (first.calls, len(second.certificates)) == (["new_order"] * 3, 40)
    assert {fleet.record(f"{number}.customer.example").issuance.tries for number in range(40)} == {0}


def test_a_ca_that_is_available_again_is_the_first_choice_again() -> None:
    services = fake_services(hosts=(A, B))
    fleet, (first, second) = SimulatedFleet(services), services.cas
    first.before = fails(AWAY)
    fleet.issued(*[f"{number}.before.example" for number in range(5)])
    first.before = succeeds
    services.clock.forward(10 * MINUTE)
    fleet.issued(*[f"{number}.after.example" for number in range(5)])
    assert (len(first.certificates), len(second.certificates)) == (5, 5)


def test_open_orders_leave_a_ca_in_cooldown_and_those_with_a_csr_stay() -> None:
    services = fake_services(hosts=(A, B))
    first, second = services.cas
    for step in (Step.CHALLENGE, Step.FINALIZE, Step.INSTALL):
        reach(services, step, f"{step}.example")
    for _ in range(3):
        services.limits.record_failure(first.directory_url, now=services.clock(), until=services.clock() + HOUR)
    fleet = SimulatedFleet(services)
    fleet.run(HOUR / 2, every=15)
    cas = {step: fleet.record(f"{step}.example").issuance.ca for step in ("challenge", "finalize", "install")}
    assert cas == {
        "challenge": second.directory_url,
        "finalize": first.directory_url,
        "install": first.directory_url,
    }
    fleet.run(HOUR)
    assert fleet.words() == {Status.ACTIVE: 3}
    assert (len(first.certificates), len(second.certificates)) == (2, 1)


def test_both_cas_down_and_back() -> None:
    services = fake_services(hosts=(A, B))
    fleet = SimulatedFleet(services)
    names = all_opened(services, *below("customer.example", 10))
    for ca in services.cas:
        ca.before = fails(AWAY)
    fleet.run(HOUR, every=15)
    assert max(fleet.record(name).issuance.tries for name in names) <= 1
    assert max(len(ca.calls) for ca in services.cas) <= 15
    services.cas[1].before = succeeds
    fleet.run(HOUR / 2, every=15)
    assert fleet.words() == {Status.ACTIVE: 10}
    assert len(services.cas[1].certificates) == 10


def test_during_a_cooldown_the_status_says_so_and_when_the_next_attempt_is() -> None:
    api_client = ApiClient().with_accounts()
    fleet, ca = SimulatedFleet(api_client.services), api_client.services.cas[0]
    opened(api_client.services)
    ca.before = fails(AWAY)
    fleet.run(HOUR)
    while fleet.record().issuance.next_try_at < fleet.clock() + 3 * MINUTE:
        fleet.run(MINUTE)
    body = api_client.status().json
    assert body["status"] == "error"
    assert (
        body["message"]
        == body["error"]
        == "the CA has failed several times and is not asked for a while: the CA is unavailable: the CA "
        f"{ca.directory_url} does not answer as it should: connection refused"
    )
    assert body["next_attempt_at"]
    assert 0 < fleet.record().issuance.next_try_at - fleet.clock() <= 12 * MINUTE


def test_a_cooldown_is_as_long_as_the_ca_asks_for_within_an_hour() -> None:
    services = fake_services()
    fleet, ca = SimulatedFleet(services), services.cas[0]
    all_opened(services, *below("customer.example", 3))
    ca.before = fails(Problem(T.CA_UNAVAILABLE, retry_at=NOW + 40 * MINUTE))
    calls = called_from_now_on(ca)
    fleet.run(HOUR)
    assert calls[:3] == [NOW + MINUTE] * 3
    assert NOW + 40 * MINUTE <= calls[3] <= NOW + 42 * MINUTE


def test_an_answer_of_any_kind_shows_that_a_ca_is_up() -> None:
    """Problems that only an available CA can have reported: they start no cooldown."""
    services = fake_services()
    for number, type_ in enumerate(3 * [T.RATE_LIMITED, T.CA_MISUNDERSTOOD, T.CA_REFUSED, T.CA_SLOW, T.ORDER_LOST]):
        record = opened(services, f"{number}.{number}.example")
        for problem in (AWAY, Problem(type_, retry_at=NOW)):
            services.cas[0].before = fails(problem)
            services.clock.forward(MINUTE * 2)
            tasks.attempt(services, Step.ORDER, record.issuance.id)
    assert services.cas[0].calls.count("new_order") == 30


def test_c15_a_problem_with_the_account_stops_all_at_once_and_none_fails_for_good() -> None:
    services = fake_services()
    fleet, ca = SimulatedFleet(services), services.cas[0]
    names = all_opened(services, *below("customer.example", 5))
    ca.before = fails(Problem(T.CA_ACCOUNT, "agree to the terms", hint="the operator must agree"))
    fleet.run(6 * HOUR, every=15)
    assert ca.calls.count("new_order") <= 6 * HOUR / recovery.LONGEST_TRIAL_PAUSE
    for name in names:
        waiting = fleet.record(name).issuance
        assert (waiting.tries, waiting.is_open) == (0, True)
    assert Counter(fleet.record(name).issuance.problem.type for name in names).keys() <= {T.CA_ACCOUNT, T.CA_RESTS}
    ca.before = succeeds
    fleet.beat(MINUTE)
    assert fleet.words() == {Status.ACTIVE: 5}


@pytest.mark.parametrize("refused", [1, 2, 4])
def test_n04_names_that_a_ca_refuses_to_our_account_delay_no_others(refused: int) -> None:
    services = fake_services()
    fleet, ca = SimulatedFleet(services), services.cas[0]
    new_order = ca.new_order

    def refuses_some(name: str, *asked: str) -> Order:
        if name.endswith(".refused.example"):
            raise Problem(T.CA_ACCOUNT, "not permitted", is_of_one_order=True)
        return new_order(name, *asked)

    ca.new_order = refuses_some
    for name in below("refused.example", refused):
        services.queue.enqueue(opened(services, name))
    fleet.beat(HOUR)
    delays = []
    for name in below("customer.example", 5):
        asked_at = services.clock()
        services.queue.enqueue(opened(services, name))
        while fleet.word(name) is not Status.ACTIVE:
            fleet.beat(5, every=5)
        delays.append(services.clock() - asked_at)
        fleet.beat(10 * MINUTE)
    assert delays[1:] == [5] * 4, "the first one may end a cooldown"
    assert delays[0] <= MINUTE


@pytest.mark.parametrize("type_", [one for one in T if not Problem(one).is_counted])
def test_what_is_not_counted_never_ends_an_issuance(type_: ProblemType) -> None:
    services = fake_services()
    record = opened(services)
    services.cas[0].before = fails(Problem(type_))
    for pauses in range(1, outcomes.MAX_TRIES + 5):
        tasks.attempt(services, Step.ORDER, record.issuance.id)
        waiting = services.store.load(NAME).issuance
        assert (waiting.is_open, waiting.tries, waiting.pauses) == (True, 0, pauses)
        services.clock.now = waiting.next_try_at
    services.cas[0].before = succeeds
    if type_ is ProblemType.BAD_CERTIFICATE:
        authorities.allow(services, services.cas[0].directory_url, NAME)
    tasks.attempt(services, Step.ORDER, record.issuance.id)
    assert services.store.load(NAME).issuance.step is Step.CHALLENGE


def test_a_ca_that_needs_a_moment_after_an_outage_is_not_too_slow() -> None:
    services = fake_services()
    services.cas[0].looks_until_ready = 6
    reach(services, Step.FINALIZE)
    services.cas[0].before = fails(AWAY)
    fleet = SimulatedFleet(services)
    fleet.run(8 * HOUR)
    assert fleet.record().issuance.pauses > 40
    services.cas[0].before = succeeds
    fleet.run(HOUR / 2, every=15)
    assert (fleet.word(), fleet.record().issuance.tries) == (Status.ACTIVE, 1)


def soon(type_: ProblemType, seconds: float = 0) -> Problem:
    return Problem(type_, str(seconds), retry_at=NOW + seconds if seconds else None)


@pytest.mark.parametrize(
    ("first", "second", "expected_type"),
    [
        (soon(T.CA_REFUSED), AWAY, T.CA_UNAVAILABLE),
        (AWAY, soon(T.CA_REFUSED), T.CA_UNAVAILABLE),
        (soon(T.CA_REFUSED), soon(T.CA_REFUSED), T.CA_REFUSED),
        (soon(T.CAA), soon(T.RATE_LIMITED, HOUR), T.CAA),
        (soon(T.CAA), soon(T.RATE_LIMITED, 5 * MINUTE), T.RATE_LIMITED),
        (soon(T.RATE_LIMITED, 3 * HOUR), soon(T.CAA), T.CAA),
        (soon(T.CAA), soon(T.CA_RESTS, 30), T.CA_RESTS),
        (soon(T.CAA), soon(T.CA_RESTS, 600), T.CA_RESTS),
        (soon(T.OVER_BUDGET, DAY), soon(T.CAA), T.CAA),
        (AWAY, soon(T.PACED, 0.5), T.PACED),
        (AWAY, soon(T.BUSY), T.BUSY),
        (soon(T.CAA), soon(T.INTERRUPTED), T.INTERRUPTED),
        (AWAY, soon(T.CRASHED), T.CRASHED),
    ],
)
def test_if_all_cas_fail_the_problem_that_passes_soonest_is_reported_but_our_own_first(
    first: Problem, second: Problem, expected_type: ProblemType
) -> None:
    services = fake_services(hosts=(A, B))
    record = opened(services)
    for ca, problem in zip(services.cas, (first, second), strict=True):
        ca.before = fails(problem)
    for _ in range(2):
        tasks.attempt(services, Step.ORDER, record.issuance.id)
    tried = services.store.load(NAME).issuance
    assert tried.problem.type is expected_type
    assert (tried.tries, tried.is_open) == (
        int(tried.problem.is_counted),
        expected_type not in {T.CA_REFUSED, T.CRASHED},
    )
    if tried.is_open:
        expected = max((tried.problem.retry_at or 0) - services.clock(), tried.problem.first_retry_seconds)
        assert 0.8 * expected <= tried.next_try_at - services.clock() <= 1.2 * expected + 1


def test_of_two_limits_the_one_that_ends_first_is_waited_for() -> None:
    services = fake_services(hosts=(A, B))
    fleet = SimulatedFleet(services)
    opened(services)
    services.cas[0].before = fails(Problem(T.RATE_LIMITED, "a", retry_at=NOW + 3 * HOUR))
    services.cas[1].before = fails(Problem(T.RATE_LIMITED, "b", retry_at=NOW + HOUR))
    fleet.run(10 * MINUTE)
    waiting = fleet.record().issuance
    assert (waiting.problem.detail, waiting.tries, waiting.passed_over) == ("b", 1, ())
    assert NOW + HOUR <= waiting.next_try_at <= NOW + HOUR + 2 * MINUTE
    services.cas[1].before = succeeds
    fleet.run(HOUR)
    assert fleet.domain().certificate.ca == services.cas[1].directory_url
    assert len(services.cas[0].calls) == 1


def test_an_outage_behind_a_ca_that_refuses_costs_one_try_at_most() -> None:
    services = fake_services(hosts=(A, B))
    fleet = SimulatedFleet(services)
    opened(services, NAME)
    services.cas[0].before = fails(Problem(T.CAA, "others may"))
    services.cas[1].before = fails(AWAY)
    fleet.run(2 * HOUR, every=15)
    assert fleet.record().issuance.tries == 1
    services.cas[1].before = succeeds
    fleet.run(HOUR / 2, every=15)
    assert fleet.word() is Status.ACTIVE


def test_a_step_that_kills_its_worker_at_the_second_ca_fails_for_good() -> None:
    class Killed(BaseException):
        pass

    services = fake_services(hosts=(A, B))
    fleet = SimulatedFleet(services)
    opened(services)
    services.cas[0].before = fails(AWAY)
    services.cas[1].before = fails(Killed())
    killed = 0
    for _ in range(20):
        try:
            fleet.run(services.settings.lease_seconds + 1)
        except Killed:
            killed += 1
    assert (killed, fleet.record().issuance.problem.type) == (outcomes.MAX_ATTEMPTS_STARTED, T.CRASHED)
    assert fleet.record().issuance.step is Step.FAILED
