"""Renewals that run twice, are cut off, or meet a clock that steps back."""

from dataclasses import replace

import pytest

from issuer.domain import (
    Domain,
    Due,
    Listing,
    Reason,
    Record,
    Step,
    new_issuance,
)
from issuer.ports import Services
from tests.fakes import NAME, NOW
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet
from tests.unit.test_renewal import a_certificate, orders


def test_e09_scans_that_run_twice_start_each_renewal_once(fleet: SimulatedFleet, services: Services) -> None:
    names = [f"{number}.customer.example" for number in range(30)]
    fleet.issued(*names)
    services.clock.now = max(fleet.domain(name).renew_at for name in names)
    twin = SimulatedFleet(services)
    for _ in range(3):
        fleet.scan()
        twin.scan()
    found = fleet.queued()
    assert len(found) == len(set(found)) == len(names)


@pytest.mark.parametrize("method", ["new_order", "authorization", "answer", "finalize", "chain"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_g05_a_renewal_cut_off_anywhere_is_finished(
    fleet: SimulatedFleet, services: Services, method: str, moment: str
) -> None:
    class Killed(BaseException):
        pass

    fleet.issued(NAME)
    old = fleet.domain(NAME).certificate
    services.clock.now = fleet.domain(NAME).renew_at

    def kill(called: str) -> None:
        if called == method:
            setattr(services.cas[0], moment, lambda _: None)
            raise Killed

    setattr(services.cas[0], moment, kill)
    with pytest.raises(Killed):
        fleet.run(60)
    assert fleet.domain(NAME).certificate == old
    fleet.run(HOUR)
    assert fleet.domain(NAME).certificate.serial != old.serial
    assert fleet.record(NAME).issuance.step is Step.DONE
    assert orders(services) <= 3


def test_a_renewal_whose_start_was_interrupted_is_started_again(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    services.clock.now = fleet.domain(NAME).renew_at
    claimed = services.store.claim_renewals(
        now=services.clock(), limit=9, requeue_at=NOW + 99 * DAY, per_second=1, at_once=9
    )
    assert claimed == [NAME]
    services.clock.now = NOW + 99 * DAY
    fleet.scan()
    assert fleet.record(NAME).issuance.reason is Reason.RENEWAL


@pytest.mark.parametrize("seconds", [0, 100, DAY, 58 * DAY, 61 * DAY])
def test_a_clock_that_steps_back_an_hour_does_no_harm(
    fleet: SimulatedFleet, services: Services, seconds: float
) -> None:
    fleet.issued(NAME)
    fleet.run(seconds)
    before = orders(services)
    services.clock.forward(-HOUR)
    fleet.run(2 * HOUR)
    assert orders(services) == before
    fleet.run(90 * DAY)
    assert fleet.domain(NAME).certificate.is_valid(services.clock())
    assert orders(services) - before in {1, 2}


@pytest.mark.parametrize("calls", range(1, 8))
def test_a_clock_that_steps_back_within_a_renewal_does_no_harm(
    fleet: SimulatedFleet, services: Services, calls: int
) -> None:
    services.cas[0].looks_until_ready = 1
    fleet.issued(NAME)
    services.clock.now = fleet.domain(NAME).renew_at
    made = len(services.cas[0].calls)

    def step_back(_: str) -> None:
        if len(services.cas[0].calls) == made + calls:
            services.clock.forward(-HOUR)

    services.cas[0].before = step_back
    fleet.run(3 * HOUR)
    assert fleet.record(NAME).issuance.step is Step.DONE
    assert orders(services) == 2


def done() -> Record:
    issuance = replace(new_issuance(NAME, Reason.FIRST, NOW), step=Step.DONE)
    return Record(Domain(NAME, "platform", NOW, a_certificate()), issuance)


def test_every_open_issuance_is_in_one_due_index() -> None:
    record = done()
    for reason in Reason:
        for step in Step:
            indexes = record.with_issuance(replace(record.issuance, reason=reason, step=step)).indexes(NOW)
            queues = [indexes.get((due, "")) for due in (Due.OPEN_INTERACTIVE, Due.OPEN_RENEWAL)]
            is_open = step not in {Step.DONE, Step.FAILED}
            assert sorted(map(str, queues)) == sorted(map(str, [NOW, None] if is_open else [None, None]))
            assert ((Listing.OPEN, "") in indexes, (Listing.FAILED, "") in indexes) == (is_open, step is Step.FAILED)
