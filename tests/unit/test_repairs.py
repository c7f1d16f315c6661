"""A fault of the platform's own is over: all that wait for it go on within a minute, and no CA has to pay for it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from issuer import keys
from issuer.actions import repairs
from issuer.domain import Record, Status
from issuer.events import EventType
from issuer.ports import CaAccount, Services, Verdict
from issuer.problem import Actor, Problem, ProblemType
from tests.fakes import TARGET, below, fake_services, opened
from tests.simulated_fleet import HOUR, SimulatedFleet
from tests.writes import write

MINUTE = 60
NAMES = below("customer.example", 4)
LOST = keys.Vault([keys.new_encryption_key()])


@pytest.fixture
def fleet() -> SimulatedFleet:
    return SimulatedFleet(fake_services())


def waiting(fleet: SimulatedFleet, type_: ProblemType, *names: str, actor: Actor | None = Actor.PLATFORM) -> None:
    """Names that have failed by a fault, and wait for their next try for hours."""
    now = fleet.clock()
    for name in names:
        record = opened(fleet.services, name)
        problem = Problem(type_, "found", actor=actor)
        failed = replace(record.issuance, tries=4, problem=problem, next_try_at=now + 6 * HOUR)
        put_off = record.with_issuance(failed).with_event(now, EventType.ISSUANCE_RETRY_PLANNED, {"at": now})
        write(fleet.services.store, put_off, now=now)
    fleet.clock.forward(MINUTE)


def every_dns(services: Services, verdict: Verdict) -> None:
    services.resolver.verdicts = dict.fromkeys(NAMES, verdict)


def every_caa(services: Services, verdict: Verdict) -> None:
    services.resolver.caa_verdicts = dict.fromkeys(NAMES, verdict)


def every_port(services: Services, verdict: Verdict) -> None:
    for check in (services.probe.self_check, services.solver.self_check):
        check.verdicts = dict.fromkeys(NAMES, verdict)


def our_key(services: Services, verdict: Verdict) -> None:
    vault = services.vault if verdict is Verdict.YES else LOST
    url = services.cas[0].directory_url
    services.store.remove_ca_account(url)
    account = CaAccount(vault.encrypt(b"key"), "https://ca.example/account/1", created_at=0)
    services.store.keep_ca_account(url, account, instead_of=None)


FAULTS: dict[str, tuple[ProblemType, Callable[[Services, Verdict], None], Verdict]] = {
    "our DNS servers": (ProblemType.DNS_UNKNOWN, every_dns, Verdict.UNKNOWN),
    "our target": (ProblemType.INVALID_CNAME, every_dns, Verdict.NO),
    "CAA at our target": (ProblemType.CAA, every_caa, Verdict.NO),
    "our port 80": (ProblemType.VALIDATION_FAILED, every_port, Verdict.NO),
    "our encryption keys": (ProblemType.UNDECRYPTABLE, our_key, Verdict.NO),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_all_go_on_within_a_minute_of_the_repair_and_none_before(fleet: SimulatedFleet, fault: str) -> None:
    type_, says, wrong = FAULTS[fault]
    says(fleet.services, wrong)
    waiting(fleet, type_, *NAMES)
    fleet.beat(2 * MINUTE)
    assert {fleet.record(name).issuance.tries for name in NAMES} == {4}
    assert fleet.services.cas[0].orders == {}
    says(fleet.services, Verdict.YES)
    fleet.beat(MINUTE)
    assert fleet.words() == {Status.ACTIVE: 4}


def test_while_it_lasts_few_looks_are_made(fleet: SimulatedFleet) -> None:
    every_dns(fleet.services, Verdict.UNKNOWN)
    waiting(fleet, ProblemType.DNS_UNKNOWN, *NAMES)
    before = len(fleet.services.resolver.asked)
    fleet.beat(MINUTE)
    assert len(fleet.services.resolver.asked) - before <= 7 * repairs.LOOKS


def test_what_the_ca_alone_can_see_is_not_tried_again_and_again(fleet: SimulatedFleet) -> None:
    waiting(fleet, ProblemType.VALIDATION_FAILED, *NAMES[:1])
    record = fleet.record(NAMES[0])
    facts = {"verdict": Verdict.YES.value, "summary": "as it shows from here"}
    seen = record.with_event(fleet.clock(), EventType.CHALLENGE_CHECKED, facts)
    write(fleet.services.store, seen, now=fleet.clock())
    fleet.beat(2 * MINUTE)
    assert fleet.services.cas[0].orders == {}


@pytest.mark.parametrize(
    ("type_", "actor"),
    [
        (ProblemType.DNS_UNKNOWN, Actor.OWNER),
        (ProblemType.INVALID_CNAME, None),
        (ProblemType.CA_MISUNDERSTOOD, Actor.PLATFORM),
    ],
)
def test_who_waits_for_something_else_keeps_its_time(
    fleet: SimulatedFleet, type_: ProblemType, actor: Actor | None
) -> None:
    waiting(fleet, type_, *NAMES[:2], actor=actor)
    fleet.beat(2 * MINUTE)
    assert fleet.services.cas[0].orders == {}


def test_a_fault_that_comes_back_uses_up_no_tries_and_is_not_tried_at_once(fleet: SimulatedFleet) -> None:
    waiting(fleet, ProblemType.DNS_UNKNOWN, TARGET.replace("edge", "one"), actor=Actor.PLATFORM)
    name = TARGET.replace("edge", "one")
    assert repairs.wake_repaired(fleet.services) == 1
    record: Record = fleet.record(name)
    assert record.issuance.tries == 4, "of others: a fault of the platform has not counted in the first place"
    problem, now = record.issuance.problem, fleet.clock()
    again = record.with_issuance(record.issuance.retry(problem, now + HOUR))
    write(fleet.services.store, again.with_event(now, EventType.ISSUANCE_RETRY_PLANNED, {"at": now}), now=now)
    assert fleet.record(name).issuance.tries == 4
    assert repairs.wake_repaired(fleet.services) == 0
    fleet.clock.forward(repairs.SETTLED_SECONDS + 1)
    assert repairs.wake_repaired(fleet.services) == 1
