"""«Repaired, go on now»: for one name, and for all that wait for one cause; over the real scans and a signing CA."""

from dataclasses import replace
from itertools import islice

import pytest

from issuer.actions import retry, withdraw
from issuer.actions.retry import Progress
from issuer.domain import Reason, Status, Step
from issuer.events import By
from issuer.ports import Services, Verdict
from issuer.presenters import timeline
from issuer.problem import Problem, ProblemType
from tests.databases import take_away
from tests.fakes import ACCOUNT, NAME, all_opened, below, fake_services, opened
from tests.faults import fails, succeeds
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet

NAMES = below("customer.example", 5)
REFUSED = Problem(ProblemType.CA_REFUSED, "not this one")


def asked_for(fleet: SimulatedFleet, *names: str, account: str = ACCOUNT.id) -> None:
    for name in names:
        fleet.services.queue.enqueue(opened(fleet.services, name, account))
    fleet.work()


def forbidden(fleet: SimulatedFleet, *names: str, account: str = ACCOUNT.id) -> None:
    """These names wait for the next look at their CAA records, which no longer forbid the CA."""
    resolver = fleet.services.resolver
    resolver.caa_verdicts = dict.fromkeys(names, Verdict.NO)
    asked_for(fleet, *names, account=account)
    resolver.caa_verdicts = {}
    for name in names:
        assert fleet.record(name).issuance.problem.type is ProblemType.CAA


def tried(services: Services, code: str = "caa", **more) -> Progress:
    *_, progress = retry.retry_all(services, code, **more)
    return progress


@pytest.mark.parametrize("by", [By.OPERATOR, By.ACCOUNT])
def test_a_repaired_name_goes_on_at_once(fleet: SimulatedFleet, services: Services, by: By) -> None:
    forbidden(fleet, NAME)
    fleet.work()
    assert fleet.word() is Status.ERROR
    record = retry.retry(services, NAME.upper(), by=by)
    assert (record.issuance.next_try_at, record.issuance.tries) == (services.clock(), 0)
    fleet.run(5)
    assert fleet.word() is Status.ACTIVE
    (event,) = [one for one in timeline(fleet.record()) if one["type"] == "issuance.resumed"]
    assert event["by"] == by.value
    assert event["text"].startswith(f"the {by} asked to go on; the next attempt is planned for 2026-")


def test_a_name_that_was_given_up_starts_anew(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].before = fails(REFUSED, "new_order")
    asked_for(fleet, NAME)
    former = fleet.record().issuance
    assert former.step is Step.FAILED
    services.cas[0].before = succeeds
    assert retry.retry(services, NAME).issuance.id != former.id
    fleet.run(5)
    assert fleet.word() is Status.ACTIVE


def test_a_renewal_that_was_given_up_starts_anew_and_the_certificate_stays(
    fleet: SimulatedFleet, services: Services
) -> None:
    fleet.issued(NAME)
    services.cas[0].before = fails(REFUSED, "new_order")
    fleet.run(61 * DAY)
    former = fleet.record()
    assert (former.issuance.step, former.issuance.reason) == (Step.FAILED, Reason.RENEWAL)
    services.cas[0].before = succeeds
    assert retry.retry(services, NAME).domain.certificate == former.domain.certificate
    fleet.run(5)
    assert fleet.domain().certificate.serial != former.domain.certificate.serial


def test_what_is_due_is_queued_again_and_not_changed(fleet: SimulatedFleet, services: Services) -> None:
    before = opened(services)
    assert retry.retry(services, NAME) == before
    assert fleet.queued() == [("interactive", before.issuance.id)]


def _active(fleet: SimulatedFleet) -> None:
    fleet.issued(NAME)


def _withdrawn(fleet: SimulatedFleet) -> None:
    forbidden(fleet, NAME)
    withdraw.withdraw(fleet.services, ACCOUNT, NAME)


def _leased(fleet: SimulatedFleet) -> None:
    now, issuance_id = fleet.clock(), opened(fleet.services).issuance.id
    assert fleet.services.store.lease(issuance_id, now=now, until=now + 60)


@pytest.mark.parametrize(
    ("prepare", "name", "code", "words"),
    [
        (_active, NAME, "already-initiated", f"'issuer renew {NAME}' gets a new one"),
        (_leased, NAME, "already-initiated", "being worked on at the moment"),
        (_withdrawn, NAME, "not-found", "the domain has been withdrawn"),
        (_active, "other.example", "not-found", "'issuer list' shows the domains"),
        (_active, "a..b", "invalid-name", "no certificate can be had for this name"),
    ],
)
def test_what_cannot_go_on_is_told_and_unchanged(
    fleet: SimulatedFleet, services: Services, prepare, name: str, code: str, words: str
) -> None:
    prepare(fleet)
    before, queued = fleet.record().version, fleet.queued()
    with pytest.raises(Problem, match=words) as told:
        retry.retry(services, name)
    assert told.value.type.value == code
    assert fleet.record().version == before
    assert fleet.queued() == [], queued


def test_all_that_wait_for_a_cause_go_on_at_a_pace_and_no_others(fleet: SimulatedFleet, services: Services) -> None:
    forbidden(fleet, *NAMES)
    services.cas[0].before = fails(REFUSED, "new_order")
    asked_for(fleet, "refused.example")
    services.cas[0].before = succeeds
    start = services.clock()
    progress = tried(services, per_second=0.01)
    assert (progress.total, progress.seen, progress.resumed, progress.left) == (5, 5, NAMES, 0)
    assert [fleet.record(name).issuance.next_try_at - start for name in NAMES] == [0, 100, 200, 300, 400]
    assert {fleet.record(name).issuance.queue.value for name in NAMES} == {"bulk"}, "single requests go before"
    fleet.beat(450)
    assert fleet.words() == {Status.ACTIVE: 5, Status.ERROR: 1}
    assert fleet.record("refused.example").issuance.step is Step.FAILED


@pytest.mark.parametrize("pages", [0, 1, 3])
def test_a_call_that_is_interrupted_is_repeated_without_harm(
    fleet: SimulatedFleet, services: Services, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    monkeypatch.setattr(retry, "PAGE", 1)
    forbidden(fleet, *NAMES)
    assert len([*islice(retry.retry_all(services, "caa"), pages)]) == pages
    services.clock.forward(1)
    progress = tried(services)
    assert (len(progress.resumed), progress.left) == (5 - pages, pages)
    fleet.beat(30)
    assert fleet.words() == {Status.ACTIVE: 5}
    assert services.cas[0].calls.count("new_order") == 5
    assert tried(services).total == 0


def test_a_dry_run_counts_and_changes_nothing(fleet: SimulatedFleet, services: Services) -> None:
    forbidden(fleet, *NAMES[:2])
    forbidden(fleet, *NAMES[2:], account="other")
    before = [fleet.record(name).version for name in NAMES]
    assert tried(services, is_dry_run=True).resumed == NAMES
    assert tried(services, is_dry_run=True, account="other").resumed == NAMES[2:]
    assert [fleet.record(name).version for name in NAMES] == before
    assert tried(services, account="other").resumed == NAMES[2:]
    assert [fleet.record(name).version for name in NAMES[:2]] == before[:2]


def test_names_that_were_given_up_are_among_all(fleet: SimulatedFleet, services: Services) -> None:
    services.cas[0].before = fails(REFUSED, "new_order")
    asked_for(fleet, *NAMES)
    services.cas[0].before = succeeds
    assert tried(services, "ca-refused").resumed == NAMES
    fleet.beat(30)
    assert fleet.words() == {Status.ACTIVE: 5}


@pytest.mark.parametrize("is_one", [False, True])
def test_a_ca_that_is_left_alone_is_tried_at_once(
    fleet: SimulatedFleet, services: Services, monkeypatch: pytest.MonkeyPatch, *, is_one: bool
) -> None:
    ca = services.cas[0]
    ca.before = fails(Problem(ProblemType.CA_ACCOUNT, "deactivated"))
    asked_for(fleet, *NAMES)
    fleet.run(2 * HOUR)
    monkeypatch.setattr(type(ca), "is_reachable", lambda _: False)  # `recovery` does not notice the repair by itself
    ca.before = succeeds
    for code in {fleet.record(name).issuance.problem.type.value for name in NAMES}:
        if is_one:
            retry.retry(services, NAMES[0])
        else:
            tried(services, code)
    fleet.beat(30)
    assert fleet.words() == {Status.ACTIVE: 5}


def test_damaged_records_are_repaired(fleet: SimulatedFleet, services: Services) -> None:
    names = all_opened(services, *NAMES[:3])
    for name in names:
        services.store._redis.hset(f"issuer:domain:{name}", "issuance", "null")
    services.store._redis.hset(f"issuer:domain:{names[2]}", mapping={"domain": "{", "indexes": ""})
    services.store._redis.zrem(f"issuer:index:account:{ACCOUNT.id}", names[2])
    services.store.records(names)
    retry.retry(services, names[0])
    assert tried(services, "damaged-record", is_dry_run=True).resumed == [names[1]]
    progress = tried(services, "damaged-record")
    assert (progress.resumed, list(progress.skipped)) == ([names[1]], [names[2]])
    assert "nobody knows whose domain" in progress.skipped[names[2]]
    fleet.beat(30)
    assert [fleet.word(name) for name in names[:2]] == [Status.ACTIVE, Status.ACTIVE]


def test_no_code_is_refused_and_a_store_that_is_away_is_told(services: Services) -> None:
    with pytest.raises(Problem, match="'caaa' is no problem code"):
        tried(services, "caaa")
    take_away(services.store)
    for call in (lambda: tried(services), lambda: retry.retry(services, NAME)):
        with pytest.raises(Problem) as told:
            call()
        assert told.value.type is ProblemType.STORE_UNAVAILABLE


def test_two_calls_at_once_resume_a_name_once(fleet: SimulatedFleet, services: Services) -> None:
    forbidden(fleet, NAME)
    saved = services.store.update
    again = []

    def update(name: str, change, **more):
        if not again:
            again.append(name)
            again.append(retry.retry(services, name))
        return saved(name, change, **more)

    doubled = replace(services, store=services.store)
    doubled.store.update = update
    assert retry.retry(doubled, NAME).version == again[1].version
    assert len([one for one in fleet.record().timeline if one.type == "issuance.resumed"]) == 1


def test_settings_give_the_pace() -> None:
    fleet = SimulatedFleet(fake_services(renewals_per_second=0.5))
    forbidden(fleet, *NAMES)
    assert tried(fleet.services).last_at == fleet.clock() + 8
