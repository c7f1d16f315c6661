"""A CA is asked no faster than it allows, and for renewal information apart from orders."""

from structlog.testing import capture_logs

from issuer.domain import Status
from issuer.ports import RenewalInfo, Services
from issuer.problem import Problem, ProblemType
from tests.fakes import NOW, all_opened, below, fake_services
from tests.faults import called_from_now_on, limited, window
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet
from tests.writes import write

T = ProblemType
A_WHILE = 150


def test_requests_go_no_faster_than_is_set_and_all_are_served(fleet: SimulatedFleet, services: Services) -> None:
    ca = limited(services.cas[0], requests_per_second=4)
    all_opened(services, *below("customer.example", 12))
    times = called_from_now_on(ca)
    fleet.run(HOUR / 3)
    assert fleet.words() == {Status.ACTIVE: 12}
    assert max(sum(at <= one < at + 1 for one in times) for at in times) <= 8
    assert {fleet.record(name).issuance.tries for name in below("customer.example", 12)} == {0}


def test_where_the_preferred_ca_is_paced_it_is_waited_for() -> None:
    services = fake_services(hosts=("a.example", "b.example"))
    fleet, (first, second) = SimulatedFleet(services), services.cas
    limited(first, requests_per_second=4)
    all_opened(services, *below("customer.example", 6))
    fleet.run(HOUR / 3)
    assert fleet.words() == {Status.ACTIVE: 6}
    assert (len(first.certificates), second.calls) == (6, [])


def test_renewal_info_is_not_asked_for_at_a_ca_that_does_not_answer_and_orders_go_on(
    fleet: SimulatedFleet, services: Services
) -> None:
    ca = services.cas[0]

    def away(certificate_id: str) -> RenewalInfo:
        raise Problem(T.CA_UNAVAILABLE)

    fleet.issued(*below("customer.example", 6))
    ca.renewal_infos = away
    for name in below("customer.example", 6):
        fleet.scan()
        record = fleet.record(name)
        write(services.store, record.with_domain(ask_at=fleet.clock()), now=fleet.clock())
    assert 3 <= ca.calls.count("renewal_info") <= 10
    fleet.issued("new.customer.example")
    ca.renewal_infos = window(NOW + 50 * DAY, NOW + 52 * DAY)
    fleet.run(2 * HOUR)
    assert {fleet.domain(name).window.start for name in below("customer.example", 6)} == {NOW + 50 * DAY}


def test_renewal_info_is_asked_for_at_the_pace_of_the_ca(fleet: SimulatedFleet, services: Services) -> None:
    ca = limited(services.cas[0])
    fleet.issued(*below("customer.example", 9))
    limited(ca, requests_per_second=4).renewal_infos = window(NOW + 50 * DAY, NOW + 52 * DAY)
    with capture_logs() as logs:
        fleet.scan()
    assert ca.calls.count("renewal_info") == 2
    assert [one["problem"] for one in logs if "problem" in one] == ["paced"] * 7
    fleet.run(9 * HOUR)
    assert {fleet.domain(name).window.start for name in below("customer.example", 9)} == {NOW + 50 * DAY}
