"""A forced renewal: what is marked, when it starts, and that it is done once; over the real scans and a signing CA."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import pytest

from issuer import renewal
from issuer.actions import renew
from issuer.actions.renew import Selection, Tally
from issuer.domain import Hsts, Reason, Status, Step, new_issuance
from issuer.events import EventType
from issuer.ports import Services
from issuer.presenters import timeline
from issuer.problem import Problem, ProblemType
from tests.fakes import NAME, NOW, below, fake_services
from tests.faults import called_from_now_on, fails, limited, succeeds, window
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet
from tests.writes import open_issuance, write

NAMES = below("customer.example", 4)
ALL, OF_CA, OF_ISSUER = Selection(), Selection(issued_by="https://ca.example/directory"), Selection(issued_by="fake CA")


def marked(services: Services, selection: Selection = ALL, names: Sequence[str] | None = None, **more) -> Tally:
    *_, tally = renew.mark(services, renew.begin(services, selection, **more), names)
    return tally


def certificates(fleet: SimulatedFleet, *names: str) -> dict[str, str]:
    return {name: fleet.domain(name).certificate.serial for name in names}


@pytest.mark.parametrize("selection", [ALL, OF_CA, OF_ISSUER, Selection((*NAMES, NAMES[0].upper()))], ids=str)
def test_n22_each_selected_certificate_is_renewed_once_and_with_a_new_key(
    fleet: SimulatedFleet, services: Services, selection: Selection
) -> None:
    fleet.issued(*NAMES)
    before = {name: fleet.domain(name).certificate for name in NAMES}
    run = renew.begin(services, selection)
    *_, tally = renew.mark(services, run)
    assert (sorted(tally.selected), tally.marked, tally.is_over) == (sorted(NAMES), 4, False)
    assert {name: fleet.domain(name).certificate for name in NAMES} == before, "valid ones stay in force meanwhile"
    assert fleet.words() == {Status.ACTIVE: 4}
    fleet.run(HOUR)
    after = {name: fleet.domain(name).certificate for name in NAMES}
    keys = {services.vault.decrypt(one.key) for one in (*before.values(), *after.values())}
    assert (len(keys), services.cas[0].calls.count("new_order")) == (8, 8)
    tally = renew.look(services, run, tally.selected)
    assert (sorted(tally.renewed), tally.is_over, tally.marked) == (sorted(NAMES), True, 0)
    fleet.run(3 * DAY)
    assert services.cas[0].calls.count("new_order") == 8


@pytest.mark.parametrize(
    ("seen", "done", "selection"),
    [(0, 0, ALL), (1, 0, ALL), (1, 1, OF_CA), (3, 2, OF_ISSUER), (4, 2, ALL), (4, 4, OF_ISSUER)],
)
def test_n22_a_call_that_was_killed_goes_on_and_does_nothing_twice(
    fleet: SimulatedFleet, services: Services, monkeypatch: pytest.MonkeyPatch, seen: int, done: int, selection
) -> None:
    monkeypatch.setattr(renew, "PAGE", 1)
    fleet.issued(*NAMES)
    run = renew.begin(services, selection)
    tallies = [Tally(), *islice(renew.mark(services, run), seen)]
    for name in tallies[-1].selected[:done]:
        services.queue.enqueue(renewal.start(services, name))
        fleet.work()
    services.clock.forward(DAY)
    again = renew.begin(services, selection)
    assert (again.asked_at, again.is_resumed) == (run.asked_at, True)
    *_, tally = renew.mark(services, again)
    assert (len(tally.selected), tally.marked) == (4, 4 - seen)
    fleet.run(HOUR)
    assert len(renew.look(services, again, tally.selected).renewed) == 4
    assert services.cas[0].calls.count("new_order") == 8
    renew.end(services, again)
    later = renew.begin(services, selection)
    assert (later.asked_at, later.is_resumed) == (services.clock(), False)


def test_n22_what_is_renewed_while_all_are_looked_at_is_counted_once(
    fleet: SimulatedFleet, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renew, "PAGE", 1)
    fleet.issued(*NAMES)
    tallies = []
    for tally in renew.mark(services, renew.begin(services, ALL)):
        tallies.append(tally)
        fleet.run(60)  # its next expiry puts it at the end of the list
    tally = tallies[-1]
    assert (sorted(tally.selected), tally.marked) == (sorted(NAMES), 4)
    assert services.cas[0].calls.count("new_order") == 8


def test_n22_it_may_be_begun_anew(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    assert marked(services).marked == 1
    fleet.run(HOUR)
    assert marked(services).marked == 0
    assert marked(services, anew=True).marked == 1
    fleet.run(HOUR)
    assert services.cas[0].calls.count("new_order") == 3


@pytest.mark.parametrize(("pace", "seconds"), [(0.1, 30), (0.5, 6), (1000, 0), (None, 0)])
def test_n22_the_pace_is_that_of_the_call_in_the_records(
    fleet: SimulatedFleet, services: Services, pace: float | None, seconds: float
) -> None:
    fleet.issued(*NAMES)
    marked(services, per_second=pace)
    starts = sorted(fleet.record(name).renewal_start_at - services.clock() for name in NAMES)
    assert starts[0] == 0
    assert starts[-1] - starts[0] == pytest.approx(seconds, abs=0.1)
    times = called_from_now_on(services.cas[0])
    fleet.run(HOUR)
    assert len(times) > 4
    assert max(times) - min(times) == pytest.approx(seconds, abs=3)


@pytest.mark.parametrize("pace", [1e-6, 1e-9, 1e-12, 1e-300, 5e-324, float("inf"), float("nan")])
def test_n22_no_pace_delays_a_renewal_beyond_the_planned_one(
    fleet: SimulatedFleet, services: Services, pace: float
) -> None:
    fleet.issued(*NAMES)
    planned = {name: fleet.record(name).renewal_start_at for name in NAMES}
    marked(services, per_second=pace)
    starts = {name: fleet.record(name).renewal_start_at for name in NAMES}
    assert min(starts.values()) == services.clock(), "the first need not wait"
    assert all(starts[name] <= planned[name] for name in NAMES)
    for name in NAMES:
        assert any("has asked for a new certificate" in event["text"] for event in timeline(fleet.record(name)))
    fleet.run(70 * DAY)
    assert fleet.words() == {Status.ACTIVE: 4}


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Fake CA", "fake ca"),
        (" CN = Fake  CA", "Fake CA"),
        ("Fake CA", "issuer=CN=Fake CA"),
        ("https://CA.example/directory/", "https://ca.example/directory"),
        ("https://ca.example/directory", "ca.example"),
    ],
)
def test_n22_a_call_goes_on_with_one_that_spelled_the_issuer_in_another_way(
    fleet: SimulatedFleet, services: Services, text: str, other: str
) -> None:
    fleet.issued(*NAMES)
    run = renew.begin(services, Selection(issued_by=text))
    *_, tally = renew.mark(services, run)
    fleet.run(HOUR)
    again = renew.begin(services, Selection(issued_by=other))
    assert (again.asked_at, again.is_resumed) == (run.asked_at, True)
    *_, tally = renew.mark(services, again)
    assert (sorted(tally.renewed), tally.marked) == (sorted(NAMES), 0)
    renew.end(services, again)
    assert not renew.begin(services, Selection(issued_by=text)).is_resumed


def test_n22_it_goes_no_faster_than_the_settings() -> None:
    services = fake_services(renewals_per_second=0.05)
    fleet = SimulatedFleet(services)
    fleet.issued(*NAMES)
    services.clock.forward(HOUR)
    marked(services, per_second=100)
    began, orders = services.clock(), []
    services.cas[0].before = lambda method: orders.append(services.clock()) if method == "new_order" else None
    fleet.run(HOUR)
    assert len(orders) == 4
    assert max(orders) - began >= 20 * 0.9, "three at once, the others 20 seconds apart"


def test_n22_it_keeps_the_limits_of_the_ca(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(*NAMES)
    limited(services.cas[0], per_name=(1, 7 * DAY))
    marked(services, Selection((NAMES[0],)))
    fleet.run(HOUR)
    marked(services, Selection((NAMES[0],)), anew=True)
    fleet.run(HOUR)
    assert services.cas[0].calls.count("new_order") == 5
    *_, tally = renew.mark(services, renew.begin(services, Selection((NAMES[0],))))
    assert (tally.delayed, tally.is_over) == ({"over-budget": [NAMES[0]]}, True)
    assert fleet.word(NAMES[0]) is not Status.EXPIRED
    fleet.run(8 * DAY)
    assert services.cas[0].calls.count("new_order") == 6


@pytest.mark.parametrize(
    ("step", "is_leased"),
    [(Step.ORDER, False), (Step.CHALLENGE, True), (Step.FINALIZE, True), (Step.INSTALL, False)],
)
def test_n22_an_issuance_that_was_open_is_replaced_as_its_key_may_be_known(
    fleet: SimulatedFleet, services: Services, step: Step, *, is_leased: bool
) -> None:
    fleet.issued(NAME)
    held, now = fleet.record(), services.clock()
    secret = services.vault.encrypt(b"its key")
    former = replace(new_issuance(NAME, Reason.RENEWAL, now), step=step, key=secret, next_try_at=now + DAY)
    opened = open_issuance(services.store, held.domain, former, version=held.version, requeue_at=now + DAY)
    leased = services.store.lease(opened.issuance.id, now=now, until=now + 70) if is_leased else None
    services.clock.forward(1)
    assert marked(services, Selection((NAME,))).marked == 1
    if leased:  # the worker saves what it has done: the mark survives it
        services.store.save_and_release(leased, requeue_at=now + DAY)
    assert fleet.record().issuance.id == former.id
    fleet.run(HOUR)
    assert fleet.record().issuance.id != former.id
    assert fleet.domain().certificate.serial != held.domain.certificate.serial
    assert not fleet.domain().is_forced


def test_n22_a_certificate_of_an_issuance_from_before_is_replaced_too(
    fleet: SimulatedFleet, services: Services
) -> None:
    fleet.issued(NAME)
    held, now = fleet.record(), services.clock()
    before = new_issuance(NAME, Reason.RENEWAL, now)
    open_issuance(services.store, held.domain, before, version=held.version, requeue_at=now)
    services.clock.forward(1)
    run = renew.begin(services, ALL)
    *_, tally = renew.mark(services, run)
    services.queue.enqueue(fleet.record())
    for _ in range(3):
        fleet.work()
        services.clock.forward(1)
    assert fleet.record().issuance.id == before.id
    assert (fleet.record().issuance.step, fleet.domain().is_forced) == (Step.DONE, True)
    assert renew.look(services, run, tally.selected).waiting == [NAME]
    fleet.run(HOUR)
    assert renew.look(services, run, tally.selected).renewed == [NAME]
    assert services.cas[0].calls.count("new_order") == 3


def test_n22_a_caller_that_changes_its_settings_meanwhile_does_not_undo_the_mark(
    fleet: SimulatedFleet, services: Services
) -> None:
    fleet.issued(NAME)
    marked(services)
    write(services.store, fleet.record().with_domain(hsts=Hsts(60)), now=services.clock())
    fleet.run(HOUR)
    assert (services.cas[0].calls.count("new_order"), fleet.domain().hsts) == (2, Hsts(60))
    assert not fleet.domain().is_forced


@pytest.mark.parametrize("ahead", [-HOUR, -1, 1, HOUR])
def test_n22_clocks_that_differ_do_no_harm(fleet: SimulatedFleet, services: Services, ahead: float) -> None:
    fleet.issued(NAME)
    services.clock.forward(2 * HOUR + ahead)
    run = renew.begin(services, ALL)
    *_, tally = renew.mark(services, run)
    services.clock.forward(-ahead)
    fleet.run(3 * HOUR)
    assert services.cas[0].calls.count("new_order") == 2
    assert renew.look(services, run, tally.selected).renewed == [NAME]


def test_n45_the_cas_window_neither_delays_it_nor_moves(fleet: SimulatedFleet, services: Services) -> None:
    """A CA that has revoked certificates need not move their windows: acme2certifier does not."""
    services.cas[0].renewal_infos = window(NOW + 50 * DAY, NOW + 52 * DAY)
    fleet.issued(*NAMES[:2])
    fleet.run(60)
    before = certificates(fleet, *NAMES[:2])
    fleet.run(DAY)
    assert certificates(fleet, *NAMES[:2]) == before
    marked(services, OF_ISSUER)
    services.cas[0].renewal_infos = window(NOW + 60 * DAY, NOW + 62 * DAY)
    for name in NAMES[:2]:
        record = fleet.record(name).with_domain(ask_at=services.clock())
        write(services.store, record, now=services.clock())
    fleet.run(HOUR)
    assert not set(before.values()) & set(certificates(fleet, *NAMES[:2]).values())


def test_n22_the_most_urgent_are_first(services: Services) -> None:
    fleet = SimulatedFleet(services)
    fleet.issued(*NAMES)
    services.clock.forward(60)
    for name in NAMES[:2]:  # due as well, but with a window that is open for long
        write(services.store, fleet.record(name).with_domain(renew_at=services.clock()), now=services.clock())
    marked(services, Selection(tuple(NAMES[2:])))
    urgent_by = {name: fleet.domain(name).urgent_by for name in NAMES}
    assert max(urgent_by[name] for name in NAMES[2:]) <= min(urgent_by[name] for name in NAMES[:2])


def test_n22_what_fails_is_told_and_retried(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(*NAMES)
    ca, refused = services.cas[0], Problem(ProblemType.CA_REFUSED, "not this one")
    run = renew.begin(services, ALL)
    *_, tally = renew.mark(services, run)
    ca.before = fails(refused, "new_order")
    fleet.run(HOUR)
    tally = renew.look(services, run, tally.selected)
    assert ({code: len(names) for code, names in tally.delayed.items()}, tally.is_over) == ({"ca-refused": 4}, True)
    assert {fleet.domain(name).certificate.is_valid(services.clock()) for name in NAMES} == {True}
    ca.before = succeeds
    fleet.run(1.3 * DAY)
    assert len(renew.look(services, run, tally.selected).renewed) == 4


@pytest.mark.parametrize(
    ("type_", "at_least"),
    [(ProblemType.CA_MISUNDERSTOOD, 20), (ProblemType.ORDER_LOST, 20), (ProblemType.CA_REFUSED, 1)],
)
def test_n22_a_renewal_that_fails_is_repeated_as_if_the_certificate_ended_now(
    fleet: SimulatedFleet, services: Services, type_: ProblemType, at_least: int
) -> None:
    fleet.issued(NAME)
    marked(services)
    services.cas[0].before = fails(Problem(type_), "new_order")
    tried = called_from_now_on(services.cas[0])
    fleet.run(1.3 * DAY)
    assert at_least < len(tried) < 60
    assert fleet.domain().certificate.is_valid(services.clock())


def test_n22_the_timeline_says_who_asked_why_and_for_when(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    marked(services, OF_ISSUER)
    event = next(event for event in timeline(fleet.record()) if event["type"] == EventType.RENEWAL_FORCED)
    assert (event["by"], event["data"]) == ("operator", {"why": "--issued-by fake CA", "at": services.clock()})
    assert event["text"].startswith("the operator has asked for a new certificate (--issued-by fake CA)")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("other.example", "'issuer list' shows the domains"),
        ("young.example", "its first one has been requested; 'issuer status young.example' shows how that goes"),
        ("failed.example", "its first issuance has failed; 'issuer status failed.example' shows why, PUT tries again"),
        ("withdrawn.example", "it has been withdrawn; POST requests a new certificate"),
    ],
)
def test_n22_a_name_without_a_certificate_is_refused_before_anything_is_marked(
    fleet: SimulatedFleet, services: Services, name: str, hint: str
) -> None:
    fleet.issued(NAME, "withdrawn.example")
    now = services.clock()
    record = fleet.record("withdrawn.example")
    write(services.store, replace(record, domain=record.domain.withdrawn(now + DAY, ())), now=now)
    for other in ("young.example", "failed.example"):
        issuance = new_issuance(other, Reason.FIRST, now)
        domain = replace(record.domain, name=other, certificate=None)
        open_issuance(services.store, domain, issuance, version=0, requeue_at=now)
    failed = fleet.record("failed.example")
    write(services.store, failed.with_issuance(replace(failed.issuance, step=Step.FAILED)), now=now)
    with pytest.raises(Problem) as raised:
        marked(services, Selection((NAME, name)))
    assert (raised.value.type, raised.value.detail, raised.value.hint) == (ProblemType.NOT_FOUND, name, hint)
    assert not fleet.domain(NAME).is_forced


def test_n22_only_the_certificates_of_the_issuer_are_renewed() -> None:
    services = fake_services(hosts=("a.example", "b.example"))
    fleet = SimulatedFleet(services)
    fleet.issued("of-a.example")
    services.cas[0].before = fails(Problem(ProblemType.CA_UNAVAILABLE), "new_order")
    fleet.issued("of-b.example")
    services.cas[0].before = succeeds
    for text, expected in (
        ("https://b.example/directory/", ["of-b.example"]),
        ("b.example", ["of-b.example"]),
        ("https://a.example/directory", ["of-a.example"]),
        ("HTTPS://A.example/directory/", ["of-a.example"]),
        ("https://c.example/directory", []),
        ("Fake CB", []),
    ):
        services.clock.forward(1)
        assert marked(services, Selection(issued_by=text), anew=True).selected == expected
    assert marked(services, Selection(issued_by="Fake CB")).issuers == {"Fake CA": 2}


def test_n22_a_damaged_record_is_skipped_and_named(fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(*NAMES)
    services.store._redis.hset(f"issuer:domain:{NAMES[2]}", "issuance", "null")
    tally = marked(services)
    assert (list(tally.skipped), tally.marked) == ([NAMES[2]], 3)
