"""A fault of the platform, or of an owner's records, that has ended: who waited goes on within a minute, unasked."""

from collections.abc import Callable

import pytest

from issuer.actions import repairs
from issuer.domain import Status
from issuer.ports import CaLimits, CaPolicy, Services, Verdict
from issuer.problem import Actor, Problem, ProblemType
from tests.fakes import NAME, OUR_ADDRESS, TARGET, below, fake_services, opened
from tests.simulated_fleet import HOUR, SimulatedFleet

MINUTE = 60
NAMES = below("customer.example", 2)
TOLD = Problem(ProblemType.VALIDATION_FAILED, "192.0.2.1: Connection refused (connection)", is_of_http=True)


def silent_resolver(services: Services) -> Callable[[], None]:
    services.resolver.faults[""] = ProblemType.RESOLVER_UNAVAILABLE
    return services.resolver.faults.clear


def lost_target(services: Services) -> Callable[[], None]:
    services.resolver.faults[""] = ProblemType.TARGET_DNS
    return services.resolver.faults.clear


def edges_with_404(services: Services) -> Callable[[], None]:
    shown, looks = services.solver.self_check, services.probe.self_check
    shown.verdicts |= dict.fromkeys(NAMES, Verdict.NO)
    looks.at[OUR_ADDRESS] = Verdict.NO

    def lift() -> None:
        shown.verdicts.clear()
        looks.at.clear()

    return lift


def caa_at_target(services: Services) -> Callable[[], None]:
    services.resolver.caa_verdicts |= dict.fromkeys(NAMES, Verdict.NO)
    services.resolver.caa_owners |= dict.fromkeys(NAMES, TARGET)
    return services.resolver.caa_verdicts.clear


def turned_away(services: Services) -> Callable[[], None]:
    ca = services.cas[0]
    authorization, published = ca.authorization, ca.published
    ca.published = lambda _: None

    def look(url: str, name: str) -> object:
        found = authorization(url, name)
        if found.problem:
            raise TOLD
        return found

    ca.authorization = look

    def lift() -> None:
        ca.authorization, ca.published = authorization, published

    return lift


FAULTS = {
    ProblemType.RESOLVER_UNAVAILABLE: silent_resolver,
    ProblemType.TARGET_DNS: lost_target,
    ProblemType.EDGE_UNREACHABLE: edges_with_404,
    ProblemType.CAA: caa_at_target,
    ProblemType.CA_CANNOT_CONNECT: turned_away,
}


@pytest.fixture
def fleet() -> SimulatedFleet:
    return SimulatedFleet(fake_services())


def asked_for(fleet: SimulatedFleet, *names: str) -> None:
    for name in names:
        fleet.services.queue.enqueue(opened(fleet.services, name))


@pytest.mark.parametrize("code", FAULTS)
def test_all_that_wait_for_a_fault_of_ours_go_on_within_a_minute_of_its_end(
    fleet: SimulatedFleet, code: ProblemType
) -> None:
    lift = FAULTS[code](fleet.services)
    asked_for(fleet, *NAMES)
    fleet.beat(MINUTE)
    told = {(problem.type, problem.actor) for name in NAMES if (problem := fleet.record(name).issuance.problem)}
    assert told == {(code, Actor.PLATFORM)}
    fleet.beat(20 * MINUTE, every=2 * MINUTE)
    assert {fleet.record(name).issuance.tries for name in NAMES} == {0}
    lift()
    fleet.beat(MINUTE)
    assert fleet.words() == {Status.ACTIVE: len(NAMES)}
    assert len(fleet.services.cas[0].certificates) == len(NAMES)


@pytest.mark.parametrize("code", [code for code in FAULTS if code is not ProblemType.CA_CANNOT_CONNECT])
def test_a_fault_of_ours_that_lasts_costs_the_ca_no_validation(fleet: SimulatedFleet, code: ProblemType) -> None:
    FAULTS[code](fleet.services)
    asked_for(fleet, *NAMES)
    fleet.beat(20 * MINUTE, every=MINUTE)
    assert fleet.services.cas[0].calls.count("answer") == 0


def test_whether_the_ca_reaches_us_again_is_tried_by_one_name_and_within_its_limits(fleet: SimulatedFleet) -> None:
    ca = fleet.services.cas[0]
    turned_away(fleet.services)
    asked_for(fleet, *NAMES)
    fleet.beat(10)
    ca.calls.clear()
    fleet.beat(5 * MINUTE)
    assert ca.calls.count("answer") <= 5 * MINUTE / repairs.TRIAL_SECONDS + 1
    ca.policy = CaPolicy(limits=CaLimits(failed_authorizations=(5, HOUR)))
    ca.calls.clear()
    fleet.beat(HOUR, every=MINUTE)
    assert 0 < ca.calls.count("answer") <= (5 + 5) * len(NAMES), "as many as the CA allows in an hour"


OWNERS: dict[str, Callable[[Services], object]] = {
    "SERVFAIL": lambda services: services.resolver.verdicts.__setitem__(NAME, Verdict.UNKNOWN),
    "DNSSEC": lambda services: services.resolver.bogus.add(NAME),
    "CAA SERVFAIL": lambda services: services.resolver.caa_unanswered.add(NAME),
    "CAA": lambda services: services.resolver.caa_verdicts.__setitem__(NAME, Verdict.NO),
}


@pytest.mark.parametrize("fault", OWNERS)
@pytest.mark.parametrize("seconds", [30, 3 * MINUTE])
def test_who_repairs_his_records_soon_need_not_ask(fleet: SimulatedFleet, fault: str, seconds: float) -> None:
    services = fleet.services
    OWNERS[fault](services)
    asked_for(fleet, NAME)
    fleet.beat(seconds)
    problem = fleet.record().issuance.problem
    if fault != "SERVFAIL":  # there, the second look is the CA's
        assert problem.actor is Actor.OWNER
        assert fleet.word() is not Status.ACTIVE
    for faults in (services.resolver.verdicts, services.resolver.caa_verdicts):
        faults.clear()
    for names in (services.resolver.bogus, services.resolver.caa_unanswered):
        names.clear()
    fleet.beat(MINUTE)
    assert fleet.word() is Status.ACTIVE
    assert fleet.domain().recheck_at is None


def test_a_name_that_returns_soon_is_renewed_within_a_minute(fleet: SimulatedFleet) -> None:
    fleet.issued(NAME)
    fleet.clock.now = fleet.domain().renew_at
    fleet.services.resolver.verdicts[NAME] = Verdict.NO
    fleet.beat(3 * MINUTE)
    assert fleet.domain().moved_away_since is not None
    fleet.services.resolver.verdicts.clear()
    fleet.beat(MINUTE)
    assert fleet.word() is Status.ACTIVE
    assert len(fleet.services.cas[0].certificates) == 2
