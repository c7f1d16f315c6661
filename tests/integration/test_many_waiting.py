"""Many that wait for a CA at once, over a real Redis and a clock that jumps."""

from collections import Counter

from issuer.domain import Status, Step
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.fakes import NOW, all_opened, below, fake_services
from tests.faults import called_from_now_on, fails, succeeds
from tests.simulated_fleet import HOUR, SimulatedFleet


def test_an_outage_of_the_only_ca_costs_200_that_wait_one_try_at_most_and_the_ca_few_calls(
    real_store: RedisStore,
) -> None:
    services = fake_services(real_store)
    fleet, ca = SimulatedFleet(services), services.cas[0]
    names = all_opened(services, *below("customer.example", 200))
    ca.before = fails(Problem(ProblemType.CA_UNAVAILABLE, "connection refused"))
    calls = called_from_now_on(ca)
    fleet.run(HOUR, every=30)
    waiting = [fleet.record(name).issuance for name in names]
    assert Counter(one.tries for one in waiting) == {0: 198, 1: 2}
    assert {one.step for one in waiting} == {Step.ORDER}
    assert len([at for at in calls if at <= NOW + 120]) <= 5
    assert len(calls) <= 15
    assert fleet.words().keys() <= {Status.ERROR, Status.PROCESSING}
    ca.before = succeeds
    fleet.run(HOUR / 2, every=30)
    assert fleet.words() == {Status.ACTIVE: 200}
    assert (len(ca.orders), len(ca.certificates)) == (200, 200)
    assert {fleet.record(name).issuance.tries for name in names} == {0, 1}


def test_n37_100_that_wait_go_on_within_half_a_minute_of_the_return(real_store: RedisStore) -> None:
    services = fake_services(real_store)
    fleet, ca = SimulatedFleet(services), services.cas[0]
    ca.before = fails(Problem(ProblemType.CA_UNAVAILABLE, "connection refused"))
    for name in all_opened(services, *below("customer.example", 100)):
        services.queue.enqueue(fleet.record(name))
    fleet.beat(75)
    assert fleet.words() == {Status.PROCESSING: 100}
    ca.before = succeeds
    fleet.beat(30)
    assert fleet.words() == {Status.ACTIVE: 100}
    assert (len(ca.orders), len(ca.certificates)) == (100, 100)
