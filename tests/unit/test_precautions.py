"""Checks before the CA is asked: of CAA records, and of a challenge's response, as seen from outside."""

import pytest

from issuer.domain import Status
from issuer.ports import Finding, Services, Verdict
from issuer.problem import Actor, ProblemType
from tests.api_client import ApiClient
from tests.fakes import NAME, TARGET, fake_services, opened
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet

A, B = "a.example", "b.example"
A_WHILE = 150


@pytest.fixture
def services() -> Services:
    return fake_services(hosts=(A, B))


@pytest.fixture
def fleet(services: Services) -> SimulatedFleet:
    opened(services)
    return SimulatedFleet(services)


class Caa:
    """CAA records that have these verdicts for CAs, by their identity; and what was asked."""

    def __init__(self, services: Services, **verdicts: Verdict) -> None:
        self.verdicts, self.asked = {f"{one}.example": verdict for one, verdict in verdicts.items()}, []
        services.resolver.caa = self.look

    def look(self, name: str, issuers: tuple[str, ...], account_url: str) -> Finding:
        self.asked.append((name, issuers, account_url))
        return Finding(self.verdicts.get(issuers[0], Verdict.YES), f'{name} CAA 0 issue "b.example"')


def timeline(fleet: SimulatedFleet) -> list[str]:
    return [event.text for event in fleet.record().timeline]


def test_b07_a_ca_that_caa_forbids_is_not_asked_and_the_next_one_is(fleet: SimulatedFleet, services: Services) -> None:
    caa = Caa(services, a=Verdict.NO)
    fleet.run(A_WHILE)
    first, second = services.cas
    assert (fleet.word(), fleet.domain().certificate.ca) == (Status.ACTIVE, second.directory_url)
    assert first.calls == []
    assert caa.asked == [(NAME, ca.identities, ca.account_url()) for ca in services.cas]
    assert f'CAA records, yes: {NAME} CAA 0 issue "b.example"' in timeline(fleet)


def test_b07_unknown_goes_on_to_the_ca_which_looks_itself(fleet: SimulatedFleet, services: Services) -> None:
    Caa(services, a=Verdict.UNKNOWN)
    fleet.run(A_WHILE)
    assert fleet.domain().certificate.ca == services.cas[0].directory_url
    assert f'CAA records, unknown: {NAME} CAA 0 issue "b.example"' in timeline(fleet)


def test_b07_if_caa_forbids_all_the_status_says_so_and_no_ca_is_asked(
    fleet: SimulatedFleet, services: Services
) -> None:
    caa = Caa(services, a=Verdict.NO, b=Verdict.NO)
    api_client = ApiClient(services).with_accounts()
    fleet.run(A_WHILE)
    body = api_client.status().json
    assert body["status"] == "error"
    assert body["error"] == (
        f'a CAA record forbids the CA to issue for the domain: {NAME} CAA 0 issue "b.example" '
        f'(create the record {NAME} CAA 0 issue "{A}": in the DNS of customer.example, type CAA, name {NAME} (some '
        f"panels want track alone), flags 0, tag issue, value {A}; or remove the CAA records of {NAME})"
    )
    assert [ca.calls for ca in services.cas] == [[], []]
    assert (fleet.record().issuance.tries, fleet.record().issuance.key) == (1, None)
    caa.verdicts.clear()
    fleet.run(HOUR / 2)
    assert fleet.domain().certificate.ca == services.cas[0].directory_url


@pytest.mark.parametrize(
    ("owner", "is_ours"),
    [
        ("", False),
        (NAME, False),
        ("cdn.customer.example", False),
        ("example", False),
        (f"not{TARGET}", False),
        (TARGET, True),
        (f"0123.{TARGET}", True),
    ],
)
def test_n13_no_owner_is_told_to_change_the_caa_records_of_our_own_target(
    fleet: SimulatedFleet, services: Services, owner: str, *, is_ours: bool
) -> None:
    services.resolver.caa = lambda *_: Finding(Verdict.NO, "as it is", owner=owner)
    fleet.run(A_WHILE)
    problem = fleet.record().issuance.problem
    assert (problem.type, problem.actor) == (ProblemType.CAA, Actor.PLATFORM if is_ours else Actor.OWNER)
    assert ("the owner of the domain need do nothing" in problem.hint) is is_ours
    assert (f'create the record {owner or NAME} CAA 0 issue "{A}": in the DNS of' in problem.hint) is not is_ours
    assert fleet.record().issuance.tries == (0 if is_ours else 1)


def test_b07_a_name_that_caa_forbids_for_days_costs_the_cas_nothing(fleet: SimulatedFleet, services: Services) -> None:
    caa = Caa(services, a=Verdict.NO, b=Verdict.NO)
    fleet.run(3 * DAY)
    assert [ca.calls for ca in services.cas] == [[], []]
    assert 8 <= fleet.record().issuance.tries + 3 <= 14
    assert len(caa.asked) <= 200, "each CA's, at the tries and between them"


def seen_from_outside(services: Services, *verdicts: Verdict) -> list[float]:
    """Set what each self-check finds, the last verdict for all further ones. Returns the times of the checks."""
    looks = []

    def fetch(name: str, token: str, key_authorization: str) -> Finding:
        assert services.store.key_authorization(token) == key_authorization
        looks.append(services.clock())
        return Finding(verdicts[min(len(looks), len(verdicts)) - 1], f"look {len(looks)}")

    services.solver.self_check.fetch = fetch
    return looks


def test_b09_a_no_is_looked_at_three_times_and_then_the_ca_is_asked_all_the_same(
    fleet: SimulatedFleet, services: Services
) -> None:
    looks = seen_from_outside(services, Verdict.NO)
    fleet.run(A_WHILE)
    assert [round(at - looks[0]) for at in looks] == [0, 5, 10]
    assert fleet.word() is Status.ACTIVE
    checks = [text for text in timeline(fleet) if "self-check" in text]
    assert checks == ["self-check, no: look 1", "self-check, no: look 2", "self-check, no: look 3"]
    assert services.cas[0].calls.count("answer") == 1
    assert fleet.record().issuance.tries == 0


def test_b09_the_cas_own_verdict_stands_in_the_timeline_after_ours(fleet: SimulatedFleet, services: Services) -> None:
    seen_from_outside(services, Verdict.NO)
    services.cas[0].published = lambda _: "a page of the customer's"
    fleet.run(A_WHILE - 60)
    events = fleet.record().timeline
    assert [(event.type, event.code) for event in events[-2:]] == [
        ("challenge.checked", ""),
        ("issuance.retry_planned", "validation-failed"),
    ]
    assert "self-check, no: look 3" in events[-2].text
    assert "challenge failed: the CA could not validate the domain: wrong answer" in events[-1].text
    assert fleet.record().issuance.problem.type is ProblemType.VALIDATION_FAILED
    assert services.cas[0].calls.count("answer") == 1


@pytest.mark.parametrize("verdict", [Verdict.YES, Verdict.UNKNOWN])
def test_b09_with_a_yes_or_where_nothing_can_be_seen_the_ca_is_asked_at_once(
    fleet: SimulatedFleet, services: Services, verdict: Verdict
) -> None:
    looks = seen_from_outside(services, verdict)
    fleet.run(61)
    assert fleet.word() is Status.ACTIVE
    assert len(looks) == 1
    assert f"self-check, {verdict}: look 1" in timeline(fleet)


def test_b09_a_no_that_becomes_a_yes_is_not_waited_for_any_longer(fleet: SimulatedFleet, services: Services) -> None:
    looks = seen_from_outside(services, Verdict.NO, Verdict.YES)
    fleet.run(A_WHILE)
    assert (len(looks), fleet.word()) == (2, Status.ACTIVE)


def test_once_the_ca_validates_there_is_no_more_self_check(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].looks_until_ready = 5
    looks = seen_from_outside(services, Verdict.YES)
    fleet.run(A_WHILE)
    assert (len(looks), fleet.word()) == (1, Status.ACTIVE)


def test_a_name_that_was_proved_before_is_not_looked_at(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].authorizations_are_valid = True
    looks = seen_from_outside(services, Verdict.NO)
    fleet.run(A_WHILE)
    assert (looks, fleet.word()) == ([], Status.ACTIVE)


def test_a_cooldown_between_two_polls_is_not_a_poll() -> None:
    services = fake_services()
    opened(services)
    fleet, ca = SimulatedFleet(services), services.cas[0]
    looks = seen_from_outside(services, Verdict.NO)
    fleet.run(61)
    assert len(looks) == 1
    services.limits.record_failure(ca.directory_url, now=services.clock(), is_certain=True)
    fleet.run(HOUR)
    assert (fleet.word(), len(looks)) == (Status.ACTIVE, 3)
    assert looks[1] - looks[0] >= 600
    assert round(looks[2] - looks[1]) == 5
