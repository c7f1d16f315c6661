"""Which CA a name goes to, and which problem leads it to the next one."""

from collections import Counter
from dataclasses import replace

import pytest

from issuer import tasks
from issuer.authorities import selection
from issuer.domain import CHAIN, Domain, Status, Step
from issuer.ports import CaPolicy, Services
from issuer.problem import Problem, ProblemType
from tests.api_client import reach
from tests.fakes import NAME, NOW, fake_services, opened
from tests.faults import fails, limited, succeeds
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet
from tests.writes import write

A, B, C = "a.example", "b.example", "c.example"
A_WHILE = 150
"""Until a message that nobody sent is missed, and what follows from it."""
REFUSALS = {"caa", "ca-refused", "bad-certificate"}
LEADS_ON = {
    Step.ORDER: REFUSALS
    | {"ca-account", "ca-settings", "ca-rests", "over-budget", "ca-unavailable", "ca-misunderstood", "rate-limited"},
    Step.CHALLENGE: REFUSALS | {"ca-account", "ca-settings", "ca-rests", "over-budget"},
    Step.FINALIZE: REFUSALS,
    Step.INSTALL: REFUSALS,
}


@pytest.fixture
def services() -> Services:
    return fake_services(hosts=(A, B))


def hosts_of(services: Services, domain: Domain) -> list[str]:
    return [ca.identities[0] for ca in selection.preferred(services, domain)]


def named(number: int) -> Domain:
    return Domain(f"{number}.customer.example", "platform", NOW)


def weighted(services: Services, **weights: int) -> Services:
    for ca in services.cas:
        ca.policy = CaPolicy(weight=weights.get(ca.identities[0][0], 0))
    return services


@pytest.mark.parametrize("step", CHAIN)
@pytest.mark.parametrize("type_", ProblemType)
def test_each_problem_at_each_step_leads_to_the_next_ca_or_does_not(
    services: Services, step: Step, type_: ProblemType
) -> None:
    record, first = reach(services, step), services.cas[0]
    first.before = fails(Problem(type_, "reason"))
    tasks.attempt(services, step, record.issuance.id)
    left = services.store.load(NAME).issuance
    leads_on = type_.value in LEADS_ON[step]
    assert left.passed_over == ((first.directory_url,) if leads_on else ())
    if leads_on:
        assert (left.step, left.ca, left.order_url, left.tries) == (Step.ORDER, None, None, 0)
        assert (left.next_try_at, left.problem.type, left.problem.detail) == (services.clock(), type_, "reason")
        assert left.key == record.issuance.key or step is Step.ORDER
    else:
        assert left.problem.type is type_


@pytest.mark.parametrize(("step", "type_"), [(step, one) for step in CHAIN for one in sorted(LEADS_ON[step])])
def test_the_next_ca_serves_it_at_once_and_no_try_is_counted(services: Services, step: Step, type_: str) -> None:
    first, second = services.cas
    reach(services, step)
    first.before = fails(Problem(ProblemType(type_)))
    fleet, made = SimulatedFleet(services), len(first.certificates)
    fleet.run(A_WHILE)
    assert fleet.word() is Status.ACTIVE
    assert fleet.domain().certificate.ca == second.directory_url
    assert fleet.record().issuance.tries == 0
    assert (len(first.certificates), len(second.certificates)) == (made, 1)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [Step.FINALIZE, Step.INSTALL])
def test_from_the_csr_on_its_ca_is_waited_for_and_finishes_it(services: Services, step: Step, when: str) -> None:
    reach(services, step)
    first, second = services.cas
    setattr(first, when, fails(Problem(ProblemType.CA_UNAVAILABLE)))
    fleet = SimulatedFleet(services)
    fleet.run(3 * HOUR)
    waiting = fleet.record().issuance
    assert (waiting.step, waiting.ca, waiting.tries) == (step, first.directory_url, 1)
    setattr(first, when, succeeds)
    fleet.run(HOUR / 3)
    assert fleet.word() is Status.ACTIVE
    assert (len(first.orders), len(first.certificates), second.calls) == (1, 1, [])


def test_a_failed_validation_is_tried_again_where_it_failed(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].published = lambda _: None
    opened(services)
    fleet.run(HOUR)
    assert services.cas[1].calls == []
    assert fleet.record().issuance.problem.type is ProblemType.VALIDATION_FAILED


@pytest.mark.parametrize("fault", ["ca-unavailable", "ca-refused", "rate-limited", "ca-account", "ca-misunderstood"])
def test_a_renewal_goes_back_to_the_preferred_ca(fleet: SimulatedFleet, services: Services, fault: str) -> None:
    first, second = services.cas
    first.before = fails(Problem(ProblemType(fault), retry_at=NOW + DAY))
    fleet.issued(NAME)
    assert fleet.domain().certificate.ca == second.directory_url
    first.before = succeeds
    fleet.run(62 * DAY)
    assert fleet.domain().certificate.ca == first.directory_url
    assert first.replaced[-1] is None
    assert (len(first.certificates), len(second.certificates)) == (1, 1)


def test_a_renewal_uses_another_ca_if_the_preferred_one_is_down(fleet: SimulatedFleet, services: Services) -> None:
    first, second = services.cas
    fleet.issued(NAME)
    first.before = fails(Problem(ProblemType.CA_UNAVAILABLE))
    fleet.run(62 * DAY)
    assert (fleet.word(), fleet.domain().certificate.ca) == (Status.ACTIVE, second.directory_url)
    assert (second.replaced, fleet.record().issuance.tries) == ([None], 0)


def test_without_weights_the_order_of_the_settings_decides() -> None:
    services = fake_services(hosts=(B, C, A))
    assert {tuple(hosts_of(services, named(number))) for number in range(50)} == {(B, C, A)}


def test_weights_spread_the_names_in_proportion() -> None:
    services = weighted(fake_services(hosts=(A, B, C)), a=6, b=3, c=1)
    firsts = Counter(hosts_of(services, named(number))[0] for number in range(4000))
    assert [firsts[host] / 4000 for host in (A, B, C)] == pytest.approx([0.6, 0.3, 0.1], abs=0.03)


def test_a_name_always_goes_the_same_way_whatever_the_order_of_the_settings() -> None:
    there, back = (weighted(fake_services(hosts=hosts), a=2, b=1, c=1) for hosts in ((A, B, C), (C, B, A)))
    ways = [hosts_of(there, named(number)) for number in range(300)]
    assert ways == [hosts_of(there, named(number)) for number in range(300)]
    assert ways == [hosts_of(back, named(number)) for number in range(300)]
    assert len(set(map(tuple, ways))) == 6


def test_taking_one_ca_away_moves_only_its_names_to_their_next() -> None:
    services = weighted(fake_services(hosts=(A, B, C)), a=2, b=1, c=1)
    fewer = replace(services, cas=services.cas[::2])
    for number in range(300):
        way = hosts_of(services, named(number))
        assert hosts_of(fewer, named(number)) == [host for host in way if host != B]


def test_a_ca_without_a_weight_comes_after_those_with_one() -> None:
    services = weighted(fake_services(hosts=(A, B, C)), b=1, c=1)
    ways = [hosts_of(services, named(number)) for number in range(50)]
    assert {way[2] for way in ways} == {A}
    assert {way[0] for way in ways} == {B, C}


def chosen_for(services: Services, **choice_of_operator: str) -> SimulatedFleet:
    record = opened(services)
    write(services.store, record.with_domain(**choice_of_operator), now=services.clock())
    return SimulatedFleet(services)


def test_a_domain_goes_to_the_ca_that_is_set_for_it_with_the_profile_that_is_set(services: Services) -> None:
    first, second = services.cas
    fleet = chosen_for(services, ca=second.directory_url, profile="shortlived")
    fleet.run(A_WHILE)
    assert (fleet.domain().certificate.ca, first.calls) == (second.directory_url, [])
    assert second.profiles == ["shortlived"]
    fleet.run(62 * DAY)
    assert (second.profiles, first.calls) == (["shortlived"] * 2, [])


def test_a_profile_alone_is_asked_for_at_every_ca(services: Services) -> None:
    first, second = services.cas
    first.before = fails(Problem(ProblemType.CA_MISUNDERSTOOD, "it has no such profile"))
    fleet = chosen_for(services, profile="shortlived")
    fleet.run(A_WHILE)
    assert (first.profiles, second.profiles) == (["shortlived"], ["shortlived"])
    assert fleet.domain().certificate.ca == second.directory_url


def test_n12_a_required_profile_is_asked_for_at_every_ca(services: Services) -> None:
    first, second = services.cas
    first.before = fails(Problem(ProblemType.CA_MISUNDERSTOOD, "it has no such profile"))
    fleet = chosen_for(services, required_profile="shortlived", profile="tlsserver")
    fleet.run(A_WHILE)
    assert (first.required_profiles, second.required_profiles) == (["shortlived"], ["shortlived"])
    assert fleet.domain().certificate.ca == second.directory_url


def test_the_chain_that_is_set_for_a_domain_is_asked_for(services: Services) -> None:
    chosen_for(services, preferred_chain="Root X2").run(A_WHILE)
    assert services.cas[0].preferred == ["Root X2"]


def test_no_profile_is_asked_for_where_none_is_set(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    assert services.cas[0].profiles == [""]
    assert services.cas[0].preferred == [""]


def test_where_a_ca_is_set_for_a_domain_no_other_is_asked_in_its_place(services: Services) -> None:
    first, second = services.cas
    second.before = fails(Problem(ProblemType.CA_REFUSED, "policy"))
    fleet = chosen_for(services, ca=second.directory_url)
    fleet.run(A_WHILE)
    assert (fleet.word(), fleet.record().issuance.problem.type) == (Status.ERROR, ProblemType.CA_REFUSED)
    assert first.calls == []


def test_a_domain_whose_ca_is_not_among_ours_waits_for_the_operator(services: Services) -> None:
    fleet = chosen_for(services, ca="https://c.example/directory")
    fleet.run(12 * HOUR)
    waiting = fleet.record().issuance
    assert (waiting.tries, waiting.problem.type, waiting.is_open) == (0, ProblemType.CA_SETTINGS, True)
    assert "https://c.example/directory is not one of the CAs" in waiting.problem.detail
    assert [ca.calls for ca in services.cas] == [[], []]
    services.cas[1].directory_url = "https://c.example/directory"
    fleet.beat(20)
    assert fleet.word() is Status.ACTIVE


@pytest.mark.parametrize("step", CHAIN[1:])
def test_an_order_at_a_ca_that_was_taken_out_of_the_settings_is_placed_anew_at_another(
    services: Services, step: Step
) -> None:
    reach(services, step)
    first, second = services.cas
    fleet = SimulatedFleet(replace(services, cas=(second,)))
    fleet.run(A_WHILE)
    assert (fleet.word(), fleet.domain().certificate.ca) == (Status.ACTIVE, second.directory_url)
    assert len(first.orders) == 1


def test_a_choice_of_a_ca_that_was_taken_out_before_the_order_is_made_anew(services: Services) -> None:
    record, (first, second) = opened(services), [limited(ca, new_orders=(1, DAY)) for ca in services.cas]
    first.before = fails(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tasks.attempt(services, Step.ORDER, record.issuance.id)
    assert services.store.load(NAME).issuance.ca == first.directory_url
    fleet = SimulatedFleet(replace(services, cas=(second,)))
    fleet.run(services.settings.lease_seconds + A_WHILE)
    assert (fleet.word(), fleet.domain().certificate.ca) == (Status.ACTIVE, second.directory_url)
    opened(services, "other.example")
    fleet.run(A_WHILE)
    assert fleet.record("other.example").issuance.problem.type is ProblemType.OVER_BUDGET


def test_the_timeline_says_which_ca_was_asked_and_why_another(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].before = fails(Problem(ProblemType.CA_REFUSED, "high risk"))
    fleet.issued(NAME)
    sentences = [event.text for event in fleet.record().timeline]
    first, second = (ca.directory_url for ca in services.cas)
    refused = f"{first} failed, so the next CA is asked: the CA refuses to issue for the domain: "
    refused += f"the CA {first} refuses to issue for the name: high risk"
    assert [text for text in sentences if "the CA is" in text or "failed" in text] == [
        f"the CA is {first}",
        refused,
        f"the CA is {second}",
    ]
