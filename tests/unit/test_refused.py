"""CAs that refuse a domain or an order: which CA is asked next, and which is not asked again."""

import pytest

from issuer import tasks
from issuer.authorities import recovery
from issuer.domain import CHAIN, Reason, Step
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from tests.api_client import reach
from tests.fakes import NAME, NOW, fake_services, opened
from tests.faults import fails, succeeds
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet

A, B = "a.example", "b.example"
A_WHILE = 150


@pytest.fixture
def services() -> Services:
    return fake_services(hosts=(A, B))


@pytest.mark.parametrize("fault", ["ca-unavailable", "caa", "rate-limited"])
@pytest.mark.parametrize("refuser", [0, 1])
def test_n18_a_ca_that_has_refused_the_domain_is_not_asked_again(
    fleet: SimulatedFleet, services: Services, fault: str, refuser: int
) -> None:
    refusing, other = services.cas[refuser], services.cas[1 - refuser]
    refusing.before = fails(Problem(ProblemType.CA_REFUSED, "policy"))
    other.before = fails(Problem(ProblemType(fault), retry_at=NOW + 600), "new_order")
    opened(services)
    fleet.run(3 * HOUR)
    assert (refusing.calls, fleet.record().issuance.problem.type.value in {fault, "ca-rests"}) == (["new_order"], True)
    assert len(other.calls) >= 2
    other.before = succeeds
    fleet.run(2 * DAY)
    assert fleet.domain().certificate.ca == other.directory_url
    assert refusing.calls == ["new_order"]


def test_n18_who_asks_again_asks_every_ca_again(fleet: SimulatedFleet, services: Services) -> None:
    for ca in services.cas:
        ca.before = fails(Problem(ProblemType.CA_REFUSED, "policy"), "new_order")
    opened(services)
    fleet.run(A_WHILE)
    assert (fleet.record().issuance.step, [len(ca.calls) for ca in services.cas]) == (Step.FAILED, [1, 1])
    woken = fleet.record().issuance.wake(NOW, Reason.MANUAL)
    assert (woken.refused_by, woken.failover_problem) == ((), None)


@pytest.mark.parametrize("step", CHAIN)
def test_n04_a_ca_that_will_not_finish_the_order_is_left_at_any_step(services: Services, step: Step) -> None:
    first, second = services.cas
    record = reach(services, step)
    first.before = fails(Problem(ProblemType.CA_ACCOUNT, "not for this profile", leaves_ca=True, is_of_one_order=True))
    tasks.attempt(services, step, record.issuance.id)
    left = services.store.load(NAME).issuance
    assert (left.step, left.passed_over, left.tries) == (Step.ORDER, (first.directory_url,), 0)
    SimulatedFleet(services).run(A_WHILE)
    assert services.store.load(NAME).domain.certificate.ca == second.directory_url


@pytest.mark.parametrize(("is_of_one_order", "asked"), [(True, [A, B, A]), (False, [A, B, B])])
def test_n04_what_is_about_one_order_stops_no_other(
    services: Services,
    fleet: SimulatedFleet,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[str],
    *,
    is_of_one_order: bool,
) -> None:
    monkeypatch.setattr(recovery, "SHORTEST_TRIAL_PAUSE", 10 * A_WHILE)  # none ends the cooldown meanwhile
    monkeypatch.setattr(recovery, "LONGEST_TRIAL_PAUSE", 10 * A_WHILE)
    seen: list[str] = []
    for ca in services.cas:
        ca.before = lambda method, host=ca.identities[0]: seen.append(host) if method == "new_order" else None
    note, refused = services.cas[0].before, Problem(ProblemType.CA_ACCOUNT, is_of_one_order=is_of_one_order)

    def refuse_once(method: str) -> None:
        note(method)
        if method == "new_order":
            services.cas[0].before = note
            raise refused

    services.cas[0].before = refuse_once
    for name in (NAME, "other.customer.example"):
        opened(services, name)
        fleet.run(A_WHILE)
    assert seen == asked
