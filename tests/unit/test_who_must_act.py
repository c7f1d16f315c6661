"""Who must act depends on what was found: where DNS leads the name, what our edges answer, and whose records forbid."""

from collections.abc import Callable

import pytest

from issuer.domain import Status, Step
from issuer.ports import CaLimits, CaPolicy, Services, Verdict
from issuer.problem import Actor, Problem, ProblemType
from tests.api_client import ApiClient
from tests.fakes import NAME, OUR_ADDRESS, TARGET, fake_services, opened, with_settings
from tests.simulated_fleet import HOUR, SimulatedFleet

MINUTE = 60
OTHER_ADDRESS = "192.0.2.2"
TOLD = Problem(ProblemType.VALIDATION_FAILED, "192.0.2.1: Connection refused (connection)", is_of_http=True)
NOTHING_FOR_THE_OWNER = "the owner of the domain need do nothing"
NO_OWNER = ("create", "your DNS", "ask who")


@pytest.fixture
def services() -> Services:
    services = fake_services()
    services.resolver.held_addresses[NAME] = (OUR_ADDRESS, OTHER_ADDRESS)
    return services


@pytest.fixture
def fleet(services: Services) -> SimulatedFleet:
    return asked_for(services)


def asked_for(services: Services, name: str = NAME) -> SimulatedFleet:
    """A fleet with a first issuance in its queue."""
    fleet = SimulatedFleet(services)
    services.queue.enqueue(opened(services, name))
    return fleet


def problem_after(fleet: SimulatedFleet, seconds: float = 30) -> Problem:
    fleet.run(seconds)
    problem = fleet.record().issuance.problem
    assert problem
    return problem


def edges_answer(services: Services, *verdicts: Verdict) -> None:
    """Our look through the name shows the first that is not a yes; the looks at each address show their own."""
    worst = next((verdict for verdict in verdicts if verdict is not Verdict.YES), Verdict.YES)
    services.solver.self_check.verdicts[NAME] = worst
    services.probe.self_check.at = dict(zip((OUR_ADDRESS, OTHER_ADDRESS), verdicts, strict=False))


def is_the_platforms(problem: Problem, type_: ProblemType) -> None:
    assert (problem.type, problem.actor, problem.is_counted) == (type_, Actor.PLATFORM, False)
    assert NOTHING_FOR_THE_OWNER in problem.hint
    assert not any(words in problem.hint for words in NO_OWNER)


def ca_says_no(services: Services) -> None:
    """The CA reports a failed validation, whatever is published."""
    ca = services.cas[0]
    ca.published = lambda _: None
    authorization = ca.authorization

    def look(url: str, name: str) -> object:
        found = authorization(url, name)
        if found.problem:
            raise TOLD
        return found

    ca.authorization = look


@pytest.mark.parametrize("verdicts", [(Verdict.NO, Verdict.NO), (Verdict.YES, Verdict.NO)])
def test_an_edge_of_ours_that_answers_wrongly_is_the_platforms_and_costs_no_validation(
    fleet: SimulatedFleet, services: Services, verdicts: tuple[Verdict, ...]
) -> None:
    edges_answer(services, *verdicts)
    problem = problem_after(fleet)
    is_the_platforms(problem, ProblemType.EDGE_UNREACHABLE)
    assert f"port 80 of our edge {OTHER_ADDRESS}" in problem.cause
    assert (f"port 80 of our edge {OUR_ADDRESS}" in problem.cause) is (verdicts[0] is Verdict.NO)
    assert "/.well-known/acme-challenge/" in problem.detail
    fleet.run(10 * MINUTE)
    assert "answer" not in services.cas[0].calls
    assert fleet.record().issuance.tries == 0
    edges_answer(services, Verdict.YES, Verdict.YES)
    fleet.run(15 * MINUTE)
    assert fleet.word() is Status.ACTIVE


def test_one_of_two_addresses_that_answers_nobody_is_named(fleet: SimulatedFleet, services: Services) -> None:
    """Our own look goes to the other one, and so the CA is the first to find it."""
    services.probe.self_check.at[OTHER_ADDRESS] = Verdict.UNKNOWN
    ca_says_no(services)
    problem = problem_after(fleet)
    is_the_platforms(problem, ProblemType.EDGE_UNREACHABLE)
    assert OTHER_ADDRESS in problem.cause
    assert OUR_ADDRESS not in problem.cause
    assert problem.detail == TOLD.detail, "the CA's words"
    asked = services.cas[0].calls.count("answer")
    fleet.run(10 * MINUTE)
    assert services.cas[0].calls.count("answer") == asked == 1


def test_a_ca_that_is_turned_away_before_our_edges_is_the_platforms(fleet: SimulatedFleet, services: Services) -> None:
    ca_says_no(services)
    problem = problem_after(fleet)
    is_the_platforms(problem, ProblemType.CA_CANNOT_CONNECT)
    assert "firewall, geo-blocking" in problem.hint
    assert problem.detail == TOLD.detail
    fleet.run(HOUR)
    assert fleet.record().issuance.is_open, "no fault of ours ends an issuance"
    assert fleet.record().issuance.tries == 0


def test_where_our_own_machine_cannot_reach_the_edges_the_ca_decides(fleet: SimulatedFleet, services: Services) -> None:
    edges_answer(services, Verdict.UNKNOWN, Verdict.UNKNOWN)
    fleet.run(30)
    assert fleet.word() is Status.ACTIVE


def test_after_some_looks_in_vain_the_ca_decides_once(fleet: SimulatedFleet, services: Services) -> None:
    """A proxy on the way out of this machine, say, must not stop all issuances."""
    edges_answer(services, Verdict.NO, Verdict.NO)
    fleet.run(2 * HOUR)
    assert fleet.word() is Status.ACTIVE


def test_a_login_before_a_proxy_of_the_customer_is_the_owners(services: Services) -> None:
    name = "cdn.customer.example"
    services.resolver.elsewhere.add(name)
    services = with_settings(services, accept_proxied_names=True)
    services.solver.self_check.verdicts[name] = Verdict.NO
    ca_says_no(services)
    fleet = asked_for(services, name)
    fleet.run(30)
    problem = fleet.record(name).issuance.problem
    assert (problem.type, problem.actor, problem.is_counted) == (
        ProblemType.VALIDATION_FAILED,
        Actor.OWNER,
        True,
    )
    assert problem.hint.startswith(f"let the proxy or server before {name} pass http requests below /.well-known/")


@pytest.mark.parametrize("fault", [ProblemType.RESOLVER_UNAVAILABLE, ProblemType.TARGET_DNS])
def test_a_fault_of_our_own_dns_is_told_as_ours_and_ends_no_issuance(
    fleet: SimulatedFleet, services: Services, fault: ProblemType
) -> None:
    services.resolver.faults[""] = fault
    is_the_platforms(problem_after(fleet), fault)
    assert ApiClient(services).with_accounts().post("new.example").status_code == 202, "a POST is not refused for it"
    fleet.run(HOUR)
    assert (fleet.record().issuance.tries, services.cas[0].calls) == (0, [])
    services.resolver.faults.clear()
    fleet.run(MINUTE * 15)
    assert fleet.word() is Status.ACTIVE


@pytest.mark.parametrize(
    ("fault", "is_renewed"), [(ProblemType.RESOLVER_UNAVAILABLE, True), (ProblemType.TARGET_DNS, False)]
)
def test_a_silent_resolver_of_ours_stops_no_renewal(
    fleet: SimulatedFleet, services: Services, fault: ProblemType, *, is_renewed: bool
) -> None:
    """The CA asks DNS itself; but a target without an address would cost a validation."""
    fleet.run(30)
    services.clock.now = fleet.domain().renew_at
    services.resolver.faults[""] = fault
    services.probe.self_check.verdicts[NAME] = Verdict.NO
    fleet.run(10 * MINUTE)
    assert (fleet.record().issuance.step is Step.DONE) is is_renewed
    assert len(services.cas[0].certificates) == 1 + is_renewed


def test_a_mistyped_target_stops_no_renewal_where_requests_arrive_here(
    fleet: SimulatedFleet, services: Services
) -> None:
    fleet.run(30)
    services.clock.now = fleet.domain().renew_at
    services.resolver.faults[""] = ProblemType.TARGET_DNS
    fleet.run(10 * MINUTE)
    assert len(services.cas[0].certificates) == 2


def test_caa_records_that_cannot_be_read_are_told_before_an_order(fleet: SimulatedFleet, services: Services) -> None:
    services.resolver.caa_unanswered.add(NAME)
    problem = problem_after(fleet)
    assert (problem.type, problem.actor) == (ProblemType.DNS_UNKNOWN, Actor.OWNER)
    assert problem.cause.startswith(f"the CAA records of {NAME} cannot be read")
    assert "new_order" not in services.cas[0].calls


def caa_of(owner: str) -> Callable[[Services], None]:
    def forbid(services: Services) -> None:
        services.resolver.caa_verdicts[NAME], services.resolver.caa_owners[NAME] = Verdict.NO, owner

    return forbid


@pytest.mark.parametrize(("owner", "actor"), [(TARGET, Actor.PLATFORM), ("customer.example", Actor.OWNER)])
def test_whose_caa_records_forbid_the_ca(fleet: SimulatedFleet, services: Services, owner: str, actor: Actor) -> None:
    caa_of(owner)(services)
    problem = problem_after(fleet)
    assert (problem.type, problem.actor) == (ProblemType.CAA, actor)
    assert f'{owner} CAA 0 issue "ca.example"' in problem.hint
    assert (NOTHING_FOR_THE_OWNER in problem.hint) is (actor is Actor.PLATFORM)


@pytest.mark.parametrize(("owner", "actor"), [(TARGET, Actor.PLATFORM), ("customer.example", Actor.OWNER)])
def test_a_ca_that_finds_caa_at_the_challenge_gets_the_same_words(services: Services, owner: str, actor: Actor) -> None:
    def found_late(method: str) -> None:
        if method == "answer":
            caa_of(owner)(services)
            raise Problem(ProblemType.CAA, "CAA record prevents issuance (caa)")

    services.cas[0].before = found_late
    problem = problem_after(asked_for(services))
    assert (problem.type, problem.actor) == (ProblemType.CAA, actor)
    assert f'{owner} CAA 0 issue "ca.example"' in problem.hint
    assert "log" not in problem.hint
    assert "CAA record prevents issuance" in problem.detail


def test_a_name_that_has_moved_away_says_where_since_when_and_that_it_may_be_deleted(
    fleet: SimulatedFleet, services: Services
) -> None:
    fleet.run(30)
    services.clock.now = fleet.domain().renew_at
    services.resolver.verdicts[NAME] = Verdict.NO
    problem = problem_after(fleet)
    assert problem.cause.startswith(f"{NAME} has not led here since 20")
    assert problem.cause.endswith(f": {NAME} as DNS has it")
    assert f"{NAME} CNAME {TARGET}" in problem.hint
    assert "delete it" in problem.hint
    fleet.run(2 * MINUTE)
    assert fleet.record().issuance.problem.cause == problem.cause, "since the first time"


def test_what_a_ca_has_validated_in_vain_counts_against_its_limit(services: Services) -> None:
    services.cas[0].policy = CaPolicy(limits=CaLimits(failed_authorizations=(2, HOUR)))
    ca_says_no(services)
    fleet = asked_for(services)
    fleet.run(HOUR / 2)
    assert services.cas[0].calls.count("answer") == 2
