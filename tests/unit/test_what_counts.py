"""What counts against the limits of a CA: orders, failed validations, and certificates, but not failed orders."""

import pytest

from issuer.domain import Status
from issuer.ports import Services, Verdict
from issuer.problem import Problem, ProblemType
from tests.fakes import NAME, fake_services, opened
from tests.faults import fails, limited, succeeds
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet

A, B = "a.example", "b.example"
T = ProblemType
A_WHILE = 150


def test_failed_authorizations_are_counted_and_the_ca_is_not_asked_for_one_too_many(
    fleet: SimulatedFleet, services: Services
) -> None:
    ca = limited(services.cas[0], failed_authorizations=(2, 10 * HOUR))
    ca.published = lambda _: None
    opened(services)
    fleet.run(HOUR)
    assert ca.calls.count("answer") == 2
    waiting = fleet.record().issuance
    assert (waiting.problem.type, waiting.tries) == (T.OVER_BUDGET, 2)
    opened(services, "other.customer.example")
    fleet.run(A_WHILE)
    assert ca.calls.count("answer") == 4
    ca.published = services.store.key_authorization
    fleet.run(6 * HOUR)
    assert fleet.words() == {Status.ACTIVE: 2}


@pytest.mark.parametrize("method", ["new_order", "authorization", "answer"])
def test_an_order_that_fails_before_its_csr_is_sent_does_not_count_as_a_certificate(
    fleet: SimulatedFleet, services: Services, method: str
) -> None:
    """A CA counts certificates; only its limit on orders counts failed orders."""
    ca = limited(services.cas[0], per_name=(1, 90 * DAY), per_registered_domain=(1, 90 * DAY))
    opened(services)
    ca.before = fails(Problem(T.CAA, "for now"), method)
    fleet.run(2 * HOUR)
    assert fleet.record().issuance.tries >= 2
    assert ca.calls.count(method) >= 2
    ca.before = succeeds
    fleet.run(2 * DAY)
    assert fleet.word() is Status.ACTIVE
    assert len(ca.certificates) == 1


def test_a_name_whose_validation_failed_often_is_not_delayed_once_it_is_fixed(
    fleet: SimulatedFleet, services: Services
) -> None:
    ca = limited(services.cas[0], per_name=(2, 90 * DAY))
    ca.published = lambda _: None
    opened(services)
    fleet.run(1.5 * DAY)
    assert len(ca.orders) >= 4
    ca.published = services.store.key_authorization
    fleet.run(1.5 * DAY)
    assert fleet.word() is Status.ACTIVE


def test_an_outage_uses_up_no_certificates_of_a_name(fleet: SimulatedFleet, services: Services) -> None:
    ca = limited(services.cas[0], per_name=(2, 90 * DAY))
    opened(services)
    ca.before = fails(Problem(T.CA_UNAVAILABLE))
    fleet.run(3 * HOUR)
    ca.before = succeeds
    fleet.run(HOUR / 2)
    assert fleet.word() is Status.ACTIVE


def test_of_another_ca_that_was_asked_first_nothing_is_used_up() -> None:
    services = fake_services(hosts=(A, B))
    fleet, (first, second) = SimulatedFleet(services), services.cas
    for ca in services.cas:
        limited(ca, per_registered_domain=(1, 90 * DAY))
    opened(services)
    first.before = fails(Problem(T.CA_REFUSED, "policy"), "answer")
    fleet.run(A_WHILE)
    assert fleet.domain().certificate.ca == second.directory_url
    first.before = succeeds
    opened(services, "other.customer.example")
    fleet.run(A_WHILE)
    assert fleet.domain("other.customer.example").certificate.ca == first.directory_url


def test_a_step_that_was_cut_off_is_counted_once(services: Services) -> None:
    ca = limited(services.cas[0], per_name=(1, 90 * DAY), new_orders=(1, 90 * DAY))
    opened(services)
    fleet = SimulatedFleet(services)
    for when in ("before", "after"):
        setattr(ca, when, fails(KeyboardInterrupt(), "new_order"))
        with pytest.raises(KeyboardInterrupt):
            fleet.run(A_WHILE)
        setattr(ca, when, succeeds)
    fleet.run(A_WHILE)
    assert fleet.word() is Status.ACTIVE
    assert len(ca.certificates) == 1


def test_dns_is_no_budget(fleet: SimulatedFleet, services: Services) -> None:
    ca = limited(services.cas[0], new_orders=(1, DAY), per_name=(1, DAY))
    services.resolver.verdicts[NAME] = Verdict.NO
    opened(services)
    fleet.run(HOUR)
    opened(services, "other.example")
    fleet.run(A_WHILE)
    assert (fleet.word("other.example"), ca.calls.count("new_order")) == (Status.ACTIVE, 1)
