"""What the CA does wrong is told in every status: which CA, what it did, who must act, and when it goes on."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from issuer.domain import Certificate, Domain, Issuance, Record, Status, is_in_progress, must_act, status
from issuer.presenters import entry, status_body
from issuer.problem import Actor, Problem, ProblemType
from tests.fakes import NAME, FakeCa, as_asked, below, fake_services, opened
from tests.faults import called_from_now_on, fails, succeeds
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet

MINUTE = 60
DIRECTORY = "https://ca.example/directory"
BUSY = Problem(
    ProblemType.CA_UNAVAILABLE,
    "down for maintenance (serverInternal)",
    cause=f"the CA {DIRECTORY} answers newOrder with status 503: down for maintenance (serverInternal)",
)


@pytest.fixture
def fleet() -> SimulatedFleet:
    return SimulatedFleet(fake_services())


def ca_of(fleet: SimulatedFleet) -> FakeCa:
    return fleet.services.cas[0]


def shown(fleet: SimulatedFleet, name: str = NAME) -> dict[str, object]:
    return status_body(fleet.record(name), fleet.clock())


def asked_for(fleet: SimulatedFleet, *names: str) -> None:
    for name in names:
        fleet.services.queue.enqueue(opened(fleet.services, name))


def test_every_name_that_waits_reads_what_the_ca_has_answered(fleet: SimulatedFleet) -> None:
    ca_of(fleet).before = fails(BUSY, "new_order")
    names = below("customer.example", 10)
    asked_for(fleet, *names)
    fleet.beat(2 * MINUTE)
    for name in names:
        body = shown(fleet, name)
        assert (body["code"], body["must_act"]) == ("ca-rests", "nobody")
        assert body["cause"] == f"the CA is unavailable: {BUSY.cause}"
        assert body["detail"] == BUSY.detail
        assert "down for maintenance" in entry(fleet.record(name), fleet.clock())["message"]


def test_an_outage_of_all_renewals_is_one_line_each_is_told_and_all_go_on_within_a_minute(
    fleet: SimulatedFleet,
) -> None:
    names, ca = below("customer.example", 40), ca_of(fleet)
    fleet.issued(*names)
    ended = names[0]
    ca.before = fails(BUSY, "new_order")
    fleet.clock.now = max(fleet.domain(name).renew_at for name in names) + 1
    with capture_logs() as logs:
        fleet.beat(10 * MINUTE)
    assert [line["event"] for line in logs].count("a CA cannot be used") == 1
    for name in names:
        assert (BUSY.cause in shown(fleet, name)["cause"], shown(fleet, name)["must_act"]) == (True, "nobody")
    end = fleet.domain(ended).certificate.not_after
    fleet.clock.now = end - 3 * DAY + MINUTE
    fleet.beat(MINUTE)
    assert (shown(fleet, ended)["must_act"], entry(fleet.record(ended), fleet.clock())["must_act"]) == 2 * ("platform",)
    fleet.clock.now = end + 1
    fleet.beat(MINUTE)
    words = {(shown(fleet, name)["status"], BUSY.cause in shown(fleet, name)["cause"]) for name in names}
    assert words == {("expired", True)}
    ca.before = succeeds
    fleet.beat(MINUTE)
    assert fleet.words() == {Status.ACTIVE: 40}


@pytest.mark.parametrize(("days", "actor"), [(3.01, Actor.NOBODY), (2.99, Actor.PLATFORM), (-1, Actor.PLATFORM)])
def test_what_would_pass_by_itself_is_the_operators_shortly_before_the_end(days: float, actor: Actor) -> None:
    services = fake_services()
    now = services.clock()
    end = now + days * DAY
    held = Certificate("chain", "key", "01", end - 90 * DAY, end, DIRECTORY)
    issuance = Issuance(f"{NAME}/1", "renewal", now, problem=BUSY)
    record = Record(Domain(NAME, "platform", now, held), issuance)
    assert must_act(record, now) is actor
    of_owner = record.with_issuance(replace(issuance, problem=Problem(ProblemType.INVALID_CNAME)))
    assert must_act(of_owner, now) is Actor.OWNER
    assert must_act(record.with_domain(certificate=None), now) is Actor.NOBODY


def test_an_ended_certificate_reads_expired_whatever_is_open(fleet: SimulatedFleet) -> None:
    fleet.issued(NAME)
    record = fleet.record()
    fleet.clock.now = record.domain.certificate.not_after + 1
    fleet.scan()
    assert is_in_progress(fleet.record(), fleet.clock())
    assert (status(fleet.record(), fleet.clock()), shown(fleet)["status"]) == (Status.EXPIRED, "expired")
    counts = fleet.services.store.count_by_status(fleet.clock())
    assert (counts.expired, counts.processing, counts.error) == (1, 0, 0)


def test_an_order_that_the_ca_does_not_finish_is_told_and_after_an_hour_to_the_operator(fleet: SimulatedFleet) -> None:
    ca = ca_of(fleet)
    ca.before = lambda method: setattr(ca, "looks_until_ready", 10**6 if method == "finalize" else 0)
    asked_for(fleet, NAME)
    with capture_logs() as logs:
        fleet.beat(MINUTE)
        first = shown(fleet)
        fleet.beat(1.25 * HOUR, every=60)
        later = shown(fleet)
        fleet.beat(26 * HOUR, every=600)
        last = shown(fleet)
    assert (first["code"], first["must_act"]) == ("ca-slow", "nobody")
    assert f"the CA {DIRECTORY} has had the order since 2026-09-21 14:13 UTC and has not finished it" == first["cause"]
    assert "next_attempt_at" in first
    assert (later["code"], later["must_act"], later["cause"]) == ("ca-slow", "platform", first["cause"])
    assert fleet.record().issuance.order_url in later["hint"]
    assert (last["must_act"], last["cause"]) == ("platform", first["cause"])
    errors = [line for line in logs if line["log_level"] == "error"]
    assert [(line["event"], line["domain"]) for line in errors] == [("a CA has not finished an order", NAME)]
    for order in ca.orders.values():
        order.looks_left = 0
    ca.before = succeeds
    fleet.beat(DAY, every=600)
    assert (fleet.word(), len(ca.certificates)) == (Status.ACTIVE, 1)


def test_a_certificate_for_another_key_is_told_as_that(fleet: SimulatedFleet) -> None:
    ca_of(fleet).forge = lambda csr: (ec.generate_private_key(ec.SECP256R1()).public_key(), as_asked(csr)[1])
    asked_for(fleet, NAME)
    fleet.beat(1)
    body = shown(fleet)
    assert (body["code"], body["must_act"]) == ("bad-certificate", "platform")
    assert (
        f"the CA {DIRECTORY} has sent a certificate that cannot be used: the certificate is for another key"
        in body["cause"]
    )
    assert "issuer ca allow" in body["hint"]
    assert "next_attempt_at" in body


def test_a_refused_name_is_told_that_nothing_more_is_tried_and_how_to_start_it(fleet: SimulatedFleet) -> None:
    ca_of(fleet).before = fails(
        Problem(ProblemType.CA_REFUSED, "policy forbids it", hint="use another name"), "new_order"
    )
    asked_for(fleet, NAME)
    calls = called_from_now_on(ca_of(fleet))
    fleet.beat(DAY, every=600)
    body = shown(fleet)
    assert len(calls) == 1
    assert (body["status"], body["code"], "next_attempt_at" in body) == ("error", "ca-refused", False)
    assert f"the CA {DIRECTORY} refuses to issue for the name: policy forbids it" == body["cause"]
    assert body["hint"].startswith("use another name; no further attempt is made by itself")
    assert f"PUT or POST /v2/x509/{NAME}" in body["hint"]
    assert "no further attempt" in body["error"]
