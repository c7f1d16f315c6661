"""Lease, check that the step is still due, run it, save, and the one retry policy; over fakes, without Celery."""

import threading

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from issuer import outcomes, tasks
from issuer.domain import Due, Reason, Step, new_issuance
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.tasks import Outcome
from tests.fakes import NAME, opened
from tests.writes import open_issuance


def raising(error: BaseException):
    def fail(_: str) -> None:
        raise error

    return fail


def test_a_step_done_leads_to_the_next(services: Services) -> None:
    record = opened(services)
    assert tasks.attempt(services, Step.ORDER, record.issuance.id) == (Outcome.ADVANCED, 0)
    assert services.store.load(NAME).issuance.step is Step.CHALLENGE
    assert services.store.load(NAME).lease_until == 0


def test_e01_a_message_delivered_again_leaves_at_once(services: Services) -> None:
    record = opened(services)
    tasks.attempt(services, Step.ORDER, record.issuance.id)
    calls = list(services.cas[0].calls)
    assert tasks.attempt(services, Step.ORDER, record.issuance.id)[0] is not Outcome.RETRY
    assert services.cas[0].calls == calls
    assert services.store.load(NAME).issuance.step is Step.CHALLENGE


def test_a_message_of_another_step_changes_nothing(services: Services) -> None:
    record = opened(services)
    for step in (Step.CHALLENGE, Step.FINALIZE, Step.INSTALL):
        assert tasks.attempt(services, step, record.issuance.id) == (Outcome.STOP, 0)
    found = services.store.load(NAME)
    assert (services.cas[0].calls, found.issuance, found.attempts_started) == ([], record.issuance, 0)


def test_a_message_of_another_step_does_not_hide_that_this_one_was_started(services: Services) -> None:
    record = opened(services)
    services.store.lease(record.issuance.id, now=services.clock(), until=services.clock() + 1)
    services.clock.forward(2)
    tasks.attempt(services, Step.FINALIZE, record.issuance.id)
    assert services.store.load(NAME).attempts_started == 1


def test_before_its_time_it_is_left_alone(services: Services) -> None:
    record = opened(services)
    services.cas[0].before = raising(Problem(ProblemType.CA_UNAVAILABLE))
    tasks.attempt(services, Step.ORDER, record.issuance.id)
    waiting = services.store.load(NAME).issuance
    services.clock.now = waiting.next_try_at - 1
    assert tasks.attempt(services, Step.ORDER, record.issuance.id) == (Outcome.STOP, 0)
    assert services.store.load(NAME).issuance.tries == 1


def test_two_at_once_one_works_and_the_other_leaves(services: Services) -> None:
    record = opened(services)
    inside, go_on = threading.Event(), threading.Event()

    def hold(_: str) -> None:
        services.cas[0].before = lambda _: None
        inside.set()
        assert go_on.wait(5)

    services.cas[0].before = hold
    results = []
    worker = threading.Thread(
        target=lambda: results.append(tasks.attempt(services, Step.ORDER, record.issuance.id)), daemon=True
    )
    worker.start()
    assert inside.wait(5)
    assert tasks.attempt(services, Step.ORDER, record.issuance.id) == (Outcome.STOP, 0)
    go_on.set()
    worker.join(5)
    assert results == [(Outcome.ADVANCED, 0)]
    assert services.cas[0].calls == ["new_order"]


def test_e06_a_worker_whose_lease_ran_out_saves_nothing(services: Services) -> None:
    record = opened(services)

    def slow(_: str) -> None:
        services.cas[0].before = lambda _: None
        services.clock.forward(services.settings.lease_seconds + 1)
        assert tasks.attempt(services, Step.ORDER, record.issuance.id) == (Outcome.ADVANCED, 0)

    services.cas[0].before = slow
    assert tasks.attempt(services, Step.ORDER, record.issuance.id) == (Outcome.STOP, 0)
    kept = services.store.load(NAME).issuance
    assert (kept.step, kept.order_url) == (Step.CHALLENGE, "https://ca.example/order/1")


def test_f06_a_step_of_an_issuance_that_was_replaced_saves_nothing(services: Services) -> None:
    record = opened(services)

    def replaced(_: str) -> None:
        held = services.store.load(NAME)
        newer = new_issuance(NAME, Reason.MANUAL, services.clock())
        open_issuance(services.store, held.domain, newer, version=held.version, requeue_at=services.clock())

    services.cas[0].before = replaced
    assert tasks.attempt(services, Step.ORDER, record.issuance.id) == (Outcome.STOP, 0)
    now = services.store.load(NAME)
    assert (now.issuance.id != record.issuance.id, now.issuance.order_url) == (True, None)
    assert tasks.attempt(services, Step.ORDER, record.issuance.id) == (Outcome.STOP, 0)


def test_temporary_problems_wait_longer_each_time_and_then_end_it(services: Services) -> None:
    services.cas[0].before = raising(Problem(ProblemType.CA_SLOW, "away"))
    record = opened(services)
    pauses = []
    while (current := services.store.load(NAME)).issuance.is_open:
        tasks.attempt(services, Step.ORDER, record.issuance.id)
        current = services.store.load(NAME)
        if current.issuance.next_try_at:
            pauses.append(current.issuance.next_try_at - services.clock())
            services.clock.now = current.issuance.next_try_at
    expected = [60, 600, 6000] + [86_400] * 6
    assert len(pauses) == outcomes.MAX_TRIES - 1
    assert all(0.8 * plan <= pause <= 1.2 * plan for plan, pause in zip(expected, pauses, strict=True))
    assert current.issuance.step is Step.FAILED
    assert current.issuance.problem.detail == "away"


def test_a_permanent_problem_ends_it_at_once(services: Services) -> None:
    services.cas[0].before = raising(Problem(ProblemType.CA_REFUSED, "policy"))
    record = opened(services)
    assert tasks.attempt(services, Step.ORDER, record.issuance.id) == (Outcome.STOP, 0)
    failed = services.store.load(NAME).issuance
    assert (failed.step, failed.tries, failed.key) == (Step.FAILED, 1, None)
    assert services.store.claim(Due.OPEN_INTERACTIVE, now=1e12, limit=9, requeue_at=1e12) == []


def test_never_again_before_the_ca_said(services: Services) -> None:
    until = services.clock() + 7200
    services.cas[0].before = raising(Problem(ProblemType.RATE_LIMITED, retry_at=until))
    record = opened(services)
    tasks.attempt(services, Step.ORDER, record.issuance.id)
    assert until <= services.store.load(NAME).issuance.next_try_at <= until + 60


def test_a_short_wait_is_left_to_the_queue_and_a_long_one_to_reconcile(services: Services) -> None:
    record = opened(services)
    services.cas[0].before = raising(Problem(ProblemType.BUSY))
    outcome, seconds = tasks.attempt(services, Step.ORDER, record.issuance.id)
    assert (outcome, 0.8 <= seconds <= 1.2) == (Outcome.RETRY, True)
    services.clock.forward(seconds)
    services.cas[0].before = raising(Problem(ProblemType.CAA))
    assert tasks.attempt(services, Step.ORDER, record.issuance.id) == (Outcome.STOP, 0)
    due_at = services.store.load(NAME).issuance.next_try_at
    assert services.store.claim(Due.OPEN_INTERACTIVE, now=due_at - 1, limit=9, requeue_at=due_at) == []
    assert services.store.claim(Due.OPEN_INTERACTIVE, now=due_at, limit=9, requeue_at=due_at) == [NAME]


def test_e18_a_step_at_its_soft_limit_is_saved_and_tried_again(services: Services) -> None:
    services.cas[0].before = raising(SoftTimeLimitExceeded())
    record = opened(services)
    assert tasks.attempt(services, Step.ORDER, record.issuance.id)[0] is not Outcome.ADVANCED
    left = services.store.load(NAME)
    assert (left.issuance.problem.type, left.lease_until) == (ProblemType.INTERRUPTED, 0)


def test_e04_a_step_that_kills_its_worker_is_not_started_for_ever(services: Services) -> None:
    class Killed(BaseException):
        pass

    services.cas[0].before = raising(Killed())
    record = opened(services)
    for _ in range(outcomes.MAX_ATTEMPTS_STARTED):
        with pytest.raises(Killed):
            tasks.attempt(services, Step.ORDER, record.issuance.id)
        services.clock.forward(services.settings.lease_seconds + 1)
    assert tasks.attempt(services, Step.ORDER, record.issuance.id) == (Outcome.STOP, 0)
    assert services.store.load(NAME).issuance.problem.type is ProblemType.CRASHED
    assert len(services.cas[0].calls) == outcomes.MAX_ATTEMPTS_STARTED


def test_an_order_at_a_former_ca_is_placed_anew(services: Services) -> None:
    record = opened(services)
    tasks.attempt(services, Step.ORDER, record.issuance.id)
    services.cas[0].directory_url = "https://other.example/directory"
    tasks.attempt(services, Step.CHALLENGE, record.issuance.id)
    moved = services.store.load(NAME).issuance
    assert (moved.step, moved.order_url, moved.problem.type) == (Step.ORDER, None, ProblemType.ORDER_LOST)


def test_a_lost_message_is_replaced_after_a_minute(services: Services) -> None:
    record = opened(services)
    tasks.attempt(services, Step.ORDER, record.issuance.id)
    now = services.clock()
    assert services.store.claim(Due.OPEN_INTERACTIVE, now=now + 59, limit=9, requeue_at=now) == []
    assert services.store.claim(Due.OPEN_INTERACTIVE, now=now + 61, limit=9, requeue_at=now + 300) == [NAME]
