"""Revocation by the account key, with faults of the CA and of the connection."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from josepy.json_util import decode_b64jose

from issuer.actions import withdraw
from issuer.domain import Account, Plan
from issuer.ports import Services
from issuer.problem import ProblemType
from tests.fakes import NAME, FakeClock, queue_at
from tests.scripted import ScriptedCa
from tests.scripted.answers import problem
from tests.simulated_fleet import SimulatedFleet
from tests.time_travel import DAY, issued
from tests.wire import Answer, Fault, cut

ACCOUNT = Account("platform", Plan.HTTPS, "0" * 64, 0.0)


def refusal(type_: str, status: int = 400) -> Callable[[], Answer]:
    return lambda: (status, {"Content-Type": "application/problem+json"}, json.dumps(problem(type_, "no")).encode())


def withdrawn(services: Services, reason: int = 1) -> SimulatedFleet:
    issued(services)
    withdraw.withdraw(services, ACCOUNT, NAME, reason=reason)
    return SimulatedFleet(replace(services, queue=queue_at()))


def sent(ca: ScriptedCa) -> list[int | None]:
    """The reason of each request to revoke; None for none."""
    bodies = [json.loads(body) for path, body in ca.bodies if path == "/revokeCert"]
    assert all("kid" in json.loads(decode_b64jose(body["protected"])) for body in bodies), "signed by the account"
    return [json.loads(decode_b64jose(body["payload"])).get("reason") for body in bodies]


def is_revoked(ca: ScriptedCa) -> bool:
    return all(issued.is_revoked for issued in ca.certificates._issued.values())


@pytest.mark.parametrize("reason", [0, 1, 4, 5])
def test_the_reason_reaches_the_ca(services: Services, ca: ScriptedCa, reason: int) -> None:
    fleet = withdrawn(services, reason)
    fleet.scan()
    assert (sent(ca), is_revoked(ca), services.store.load(NAME).domain.revocations) == ([reason], True, ())


def test_an_answer_that_is_lost_is_asked_for_again_and_it_was_done(services: Services, ca: ScriptedCa) -> None:
    ca.add(Fault("/revokeCert", after=cut))
    fleet = withdrawn(services)
    fleet.scan()
    assert is_revoked(ca)
    (revocation,) = services.store.load(NAME).domain.revocations
    assert revocation.tries == 1
    fleet.run(120)
    assert (sent(ca), services.store.load(NAME).domain.revocations) == ([1, 1], ())


@pytest.mark.parametrize("type_", ["serverInternal", "malformed", "unauthorized", "rateLimited"])
def test_a_refusal_is_retried(services: Services, ca: ScriptedCa, type_: str) -> None:
    ca.add(Fault("/revokeCert", times=2, before=refusal(type_)))
    fleet = withdrawn(services)
    fleet.run(60)
    assert not is_revoked(ca)
    fleet.run(DAY)
    assert (is_revoked(ca), services.store.load(NAME).domain.revocations) == (True, ())


def test_a_reason_that_the_ca_does_not_accept_is_omitted(services: Services, ca: ScriptedCa) -> None:
    ca.add(Fault("/revokeCert", before=refusal("badRevocationReason")))
    withdrawn(services, 5).scan()
    assert (sent(ca), is_revoked(ca)) == ([5, None], True)


def test_a_ca_that_revokes_nothing_is_asked_until_the_certificate_has_ended(
    services: Services, ca: ScriptedCa, clock: FakeClock
) -> None:
    def without(answer: Answer) -> Answer:
        status, headers, body = answer
        document = {name: value for name, value in json.loads(body).items() if name != "revokeCert"}
        return status, headers, json.dumps(document).encode()

    ca.add(Fault("/directory", times=10**6, after=without))
    fleet = withdrawn(services)
    fleet.scan()
    assert services.store.load(NAME).domain.revocations[0].tries == 1
    clock.now = services.store.load(NAME).domain.revocations[0].not_after + 1
    fleet.scan()
    assert services.store.load(NAME).domain.revocations == ()
    assert sent(ca) == []


def test_a_ca_account_that_was_lost_is_found_again_first(services: Services, ca: ScriptedCa) -> None:
    ca.add(Fault("/revokeCert", before=refusal("accountDoesNotExist")))
    fleet = withdrawn(services)
    fleet.run(DAY)
    assert is_revoked(ca)
    assert services.store.load(NAME).issuance.problem.type is ProblemType.WITHDRAWN
