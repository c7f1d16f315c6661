"""DELETE /v2/x509/{domain}: what it answers, who may have the name then, and what is revoked."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from issuer import withdrawal
from issuer.domain import Hsts, Step
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from tests.fakes import NAME, fake_services, opened
from tests.front import Front, issued, renewing, worked
from tests.world import DAY, HOUR, World

PATH = f"/v2/x509/{NAME}"
NOT_INITIATED = f"Please initiate x509 key pair generation at POST {PATH}"


@pytest.fixture
def front() -> Front:
    front = Front().with_accounts()
    front.queued()
    return front


def delete(front: Front, query: str = "", account: str = "platform", name: str = NAME):
    return front.call("DELETE", f"/v2/x509/{name}{query}", account)


def failed(services: Services) -> None:
    worked(services, lambda issuance: issuance.fail(Problem(ProblemType.CA_REFUSED, "policy")))


@pytest.mark.parametrize("state", [opened, issued, renewing, failed])
def test_a_name_is_given_up_in_any_state_and_what_becomes_of_it_is_said(front: Front, state) -> None:
    state(front.services)
    answer = delete(front)
    assert answer.status_code == 200
    assert f"{NAME} is served and renewed no more" in answer.json["message"]
    assert "held for your account" in answer.json["message"]
    held_until = datetime.fromtimestamp(int(front.services.clock() + 30 * DAY), UTC)
    assert (answer.json["held_until"], answer.json["revocation"]) == (held_until.isoformat(), None)
    for again in (front.status(), front.put(), delete(front), delete(front, "?revoke=true")):
        assert (again.status_code, again.json["message"]) == (404, NOT_INITIATED)
    assert front.queued() == []


@pytest.mark.parametrize("state", [opened, issued])
def test_b04_another_accounts_name_can_not_be_given_up_and_nothing_is_said_of_it(front: Front, state) -> None:
    unknown = delete(front, account="other")
    state(front.services)
    before = front.load()
    answer = delete(front, "?revoke=true", "other")
    assert (answer.status_code, answer.json) == (404, unknown.json)
    assert answer.json["message"] == NOT_INITIATED
    assert front.load() == before


def test_b04_a_name_that_was_given_up_is_kept_from_others_and_not_from_its_account(front: Front) -> None:
    issued(front.services)
    delete(front)
    front.services.clock.forward(30 * DAY - 1)
    for answer in (front.post(account="other"), front.put(account="other")):
        assert (answer.status_code, answer.json["code"]) == (404, "not-found")
        assert "platform" not in answer.text
    assert front.status(account="other").json["message"] == NOT_INITIATED
    left = front.load()
    assert front.post().status_code == 202
    record = front.load()
    assert (record.version, record.issuance.step) == (left.version + 1, Step.ORDER)
    assert (record.domain.created_at, record.domain.is_withdrawn) == (front.services.clock(), False)
    assert front.status().json["status"] == "processing"
    assert front.post(account="other").status_code == 404


@pytest.mark.parametrize("is_scanned", [True, False])
def test_after_the_hold_anybody_may_have_it_whether_or_not_it_has_been_forgotten(front: Front, *, is_scanned) -> None:
    issued(front.services)
    delete(front)
    front.services.clock.forward(30 * DAY + (HOUR if is_scanned else 0))
    if is_scanned:
        withdrawal.forget(front.services, NAME)
        assert front.load() is None
    assert front.put(account="other").status_code == 404
    assert front.post(account="other").status_code == 202
    assert front.load().domain.account == "other"
    assert (front.post().status_code, front.status().status_code) == (404, 404)
    assert front.status(account="other").json["status"] == "processing"


def test_without_a_hold_it_is_free_at_once(front: Front) -> None:
    free = Front(replace(front.services, hold_seconds=0), celery=front.celery, keys=front.keys)
    issued(free.services)
    answer = delete(free)
    assert ("held" in answer.json["message"], answer.json["held_until"]) == (False, None)
    version = free.load().version
    assert free.post(account="other").status_code == 202
    assert free.load().version == version + 1, "a stale writer is refused"


def test_giving_up_and_asking_again_has_the_limit_of_a_name_that_is_tried(front: Front) -> None:
    answers = []
    for _ in range(5):
        answers.append(front.post().status_code)
        delete(front)
    assert answers == [202, 202, 202, 202, 429]


def test_a_name_whose_hold_is_over_counts_as_a_new_one() -> None:
    front = Front(fake_services(new_names_per_registered_domain=1)).with_accounts()
    front.post()
    delete(front)
    front.services.clock.forward(31 * DAY)
    assert front.post(account="other").status_code == 202
    assert front.post(f"b.{NAME}", account="other").status_code == 429


def test_a_name_that_nobody_could_ask_for_any_more_can_be_given_up(front: Front) -> None:
    issued(front.services)
    strict = replace(front.services, allow_reserved_names=False, own_names=("customer.example",))
    assert delete(Front(strict, celery=front.celery, keys=front.keys)).status_code == 200


def test_giving_up_says_how_long_browsers_keep_to_https(front: Front) -> None:
    opened(front.services)
    assert "warning" not in delete(front).json
    front.post()
    record = issued_again(front)
    front.services.store.amend(record.with_domain(hsts=Hsts(DAY)), now=front.services.clock())
    until = datetime.fromtimestamp(int(front.services.clock() + DAY), UTC).isoformat()
    assert until in delete(front).json["warning"]


def issued_again(front: Front):
    world = World(front.services)
    world.celery = front.celery
    world.scan()
    front.services.clock.forward(HOUR)
    world.run(60)
    return front.load()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("?revoke=true", 0),
        ("?revoke=true&reason=keyCompromise", 1),
        ("?revoke=true&reason=1", 1),
        ("?revoke=true&reason=superseded", 4),
        ("?revoke=true&reason=4", 4),
        ("?revoke=true&reason=cessationOfOperation", 5),
        ("?reason=0&revoke=true", 0),
    ],
)
def test_what_was_in_force_is_revoked_where_it_was_issued(front: Front, query: str, reason: int) -> None:
    certificate = issued(front.services).domain.certificate
    answer = delete(front, query)
    assert (answer.status_code, answer.json["revocation"]) == (200, "pending")
    assert "revoke" not in front.services.cas[0].calls, "not while the caller waits"
    world = World(front.services)
    world.run(60)
    assert front.services.cas[0].revoked == {certificate.chain: reason}
    assert front.load().domain.revocations == ()
    world.run(DAY)
    assert front.services.cas[0].calls.count("revoke") == 1


@pytest.mark.parametrize(
    "query",
    [
        "?revoke",
        "?revoke=",
        "?revoke=1",
        "?revoke=yes",
        "?revoke=TRUE",
        "?revoke=true&revoke=false",
        "?reason=1",
        "?revoke=false&reason=1",
        "?revoke=true&reason=",
        "?revoke=true&reason=2",
        "?revoke=true&reason=3",
        "?revoke=true&reason=affiliationChanged",
        "?revoke=true&reason=KEYCOMPROMISE",
        "?revoke=true&reason=1&reason=4",
        "?revoke=true&reason=%FF%0A",
    ],
)
def test_what_is_not_clear_is_400_and_gives_nothing_up(front: Front, query: str) -> None:
    issued(front.services)
    before = front.load()
    answer = delete(front, query)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid-request")
    assert answer.json["detail"]
    assert answer.json["hint"]
    assert front.load() == before


def test_without_a_certificate_that_is_valid_there_is_nothing_to_revoke(front: Front) -> None:
    opened(front.services)
    answer = delete(front, "?revoke=true")
    assert ("no valid certificate to revoke" in answer.json["message"], answer.json["revocation"]) == (True, None)
    front.post()
    record = issued_again(front)
    front.services.clock.now = record.domain.certificate.not_after + 1
    assert delete(front, "?revoke=true").json["revocation"] is None


def withdrawn(front: Front, reason: int = 1) -> World:
    """A name to be revoked, and the clock."""
    issued(front.services)
    account = front.services.store.account("platform")
    withdrawal.withdraw(front.services, account, NAME, reason=reason)
    return World(front.services)


def refusing(front: Front, problem: Problem, times: int) -> list[float]:
    """When the CA was asked to revoke."""
    asked = []

    def refuse(method: str) -> None:
        if method == "revoke":
            asked.append(front.services.clock())
            if len(asked) <= times:
                raise problem

    front.services.cas[0].before = refuse
    return asked


def test_it_is_asked_for_again_at_growing_pauses_until_it_is_done(front: Front) -> None:
    asked = refusing(front, Problem(ProblemType.CA_MISUNDERSTOOD, "what?"), times=6)
    world = withdrawn(front)
    world.run(3 * DAY)
    pauses = [after - before for before, after in pairwise(asked)]
    expected = [60, 600, 6000, 6 * HOUR, 6 * HOUR, 6 * HOUR]
    assert len(pauses) == len(expected)
    assert all(0.8 * one <= pause <= 1.2 * one for one, pause in zip(expected, pauses, strict=True))
    assert len(front.services.cas[0].revoked) == 1
    assert front.load().domain.revocations == ()


def test_a_ca_that_asks_for_patience_gets_it(front: Front) -> None:
    later = front.services.clock() + 2 * DAY
    asked = refusing(front, Problem(ProblemType.RATE_LIMITED, "later", retry_at=later), times=1)
    withdrawn(front).run(3 * DAY)
    assert asked[1] >= later


def test_a_ca_that_is_away_is_left_alone_with_it_and_it_is_done_when_it_is_back(front: Front) -> None:
    asked = refusing(front, Problem(ProblemType.CA_UNAVAILABLE, "away"), times=4)
    world = withdrawn(front)
    world.run(3 * DAY)
    assert (len(asked), len(front.services.cas[0].revoked)) == (5, 1)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_hold_lasts_until_it_is_revoked_or_the_certificate_has_ended(front: Front, *, is_known: bool) -> None:
    front.services = replace(front.services, hold_seconds=0)
    front = Front(front.services, celery=front.celery, keys=front.keys)
    refusing(front, Problem(ProblemType.CA_MISUNDERSTOOD, "what?"), times=10**6)
    world = withdrawn(front)
    if not is_known:
        world.services = replace(front.services, cas=())
    world.run(60)
    (revocation,) = front.load().domain.revocations
    assert front.post(account="other").status_code == 404
    world.run(revocation.not_after - front.services.clock())
    assert front.post(account="other").status_code == 404
    world.run(2)
    assert front.load().domain.revocations == ()
    assert front.load().domain.forget_at == pytest.approx(front.services.clock() + HOUR, abs=3)
    assert front.post(account="other").status_code == 202


def test_what_is_to_be_revoked_goes_on_when_the_name_is_asked_for_anew(front: Front) -> None:
    asked = refusing(front, Problem(ProblemType.CA_MISUNDERSTOOD, "what?"), times=1)
    world = withdrawn(front)
    first = front.load().domain.revocations[0].chain
    world.scan()
    assert front.post().status_code == 202
    world.celery = front.celery
    world.run(HOUR)
    record = front.load()
    assert (len(asked), front.services.cas[0].revoked) == (2, {first: 1})
    assert (record.issuance.step, record.domain.revocations) == (Step.DONE, ())
    assert record.domain.certificate.chain != first
    second = record.domain.certificate.chain
    delete(front, "?revoke=true&reason=4")
    world.run(60)
    assert front.services.cas[0].revoked == {first: 1, second: 4}


def test_a_revocation_while_a_worker_has_the_record_is_asked_for_again_and_done(front: Front) -> None:
    world = withdrawn(front)
    front.post()
    issuance_id, now = front.load().issuance.id, front.services.clock()
    front.services.store.take(issuance_id, now=now, until=now + 70)
    world.scan()
    assert len(front.load().domain.revocations) == 1
    world.run(HOUR)
    assert front.load().domain.revocations == ()
    assert front.services.cas[0].calls.count("revoke") == 2
