"""Orders at a CA that is slow or fails: what happens to them, and what the domain owner reads."""

import itertools
import time
from dataclasses import replace
from email.utils import formatdate

import pytest
from structlog.testing import capture_logs

from issuer import keys, tasks
from issuer.domain import Status, Step, status
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.sandbox import Dns
from issuer.wiring import build_services
from tests.fakes import NAME, FakeClock
from tests.real import opened, published, run_to_end, run_to_step, settings_for
from tests.scripted import ScriptedCa
from tests.scripted.answers import Refused, malformed, problem
from tests.time_travel import DAY, UNTIL_THE_SECOND_RETRY, issued, lived, renewed, shown
from tests.wire import FOR_GOOD, Fault, cut
from tests.writes import open_issuance

FOR_EVER = 10**6
SUBPROBLEMS = [problem("dns", "SERVFAIL for A"), problem("connection", "no route to 192.0.2.1")]


def looks_at_orders(ca: ScriptedCa, clock: FakeClock) -> list[float]:
    """The times of their requests."""
    looks: list[float] = []
    ca.add(Fault("/order/", FOR_GOOD, before=lambda: looks.append(clock())))
    return looks


@pytest.mark.parametrize("step", [Step.CHALLENGE, Step.FINALIZE])
def test_c01_a_certificate_for_another_workers_key_is_never_installed(
    services: Services, ca: ScriptedCa, redis_server: str, dns: Dns, clock: FakeClock, step: Step
) -> None:
    ca.reuse_orders = ca.reuse_authorizations = True
    other = build_services(settings_for(f"{redis_server}/2", ca.directory_url, dns), clock)
    opened(services, NAME)
    ours = lived(services, until=step)
    other.store.keep_ca_account(ca.directory_url, services.store.ca_account(ca.directory_url), instead_of=None)
    opened(other, NAME)
    theirs = lived(other, until=step)
    assert theirs.issuance.order_url == ours.issuance.order_url
    ours = lived(services)
    assert status(ours, clock()) is Status.ACTIVE
    theirs = lived(other, seconds=5)
    assert theirs.issuance.problem.type is ProblemType.ORDER_LOST
    assert "another key" in theirs.issuance.problem.detail
    assert theirs.domain.rejections == ()
    assert (theirs.domain.certificate, theirs.issuance.key) == (None, None)
    for record in (ours, lived(other)):
        certificate = record.domain.certificate
        keys.read_chain(certificate.chain, key=services.vault.decrypt(certificate.key), name=NAME, now=clock())
    assert (len(ca.orders.made), len(ca.certificates.log)) == (2, 2)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("looks", [0, 3])
def test_c02_a_finalize_that_was_cut_off_is_resumed(services: Services, ca: ScriptedCa, moment, looks) -> None:
    ca.looks_until_valid = looks
    ca.add(Fault("/finalize/", **{moment: cut}))
    opened(services, NAME)
    record = lived(services)
    assert (status(record, services.clock()), record.issuance.tries) == (Status.ACTIVE, 1)
    assert (len(ca.orders.made), len(ca.certificates.log)) == (1, 1)
    assert ca.count("/finalize/") == (2 if moment == "before" else 1)


@pytest.mark.parametrize("retry_after", ["", "0", "-5", "1.5", "0, 0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_c04_five_minutes_of_processing_are_asked_after_a_few_times(
    services: Services, ca: ScriptedCa, clock: FakeClock, retry_after: str
) -> None:
    ca.looks_until_valid, ca.retry_after = FOR_EVER, retry_after
    looks = looks_at_orders(ca, clock)
    opened(services, NAME)
    assert lived(services, 300).issuance.step is Step.FINALIZE
    assert 5 <= len(looks) <= 16
    assert min(late - early for early, late in itertools.pairwise(looks)) >= (1 if retry_after else 0.1)
    ca.orders.made["1"].until_valid = 0
    record = lived(services, 120)
    assert (status(record, clock()), record.issuance.tries) == (Status.ACTIVE, 0)
    assert (len(ca.orders.made), ca.count("/finalize/")) == (1, 1)


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("date", [{"usegmt": True}, {"localtime": True}], ids="-".join)
def test_c04_a_date_is_waited_for_in_any_zone(services: Services, ca: ScriptedCa, clock: FakeClock, date) -> None:
    opened(services, NAME)
    lived(services, until=Step.FINALIZE)
    ca.orders.made["1"].until_valid, until = 1, int(clock()) + 100
    ca.retry_after = formatdate(until, **date)
    looks = looks_at_orders(ca, clock)
    assert status(lived(services), clock()) is Status.ACTIVE
    assert looks[0] == pytest.approx(until, abs=1)


def test_c07_a_valid_authorization_is_not_proved_again(services: Services, ca: ScriptedCa) -> None:
    ca.reuse_authorizations = True
    issued(services)
    first = ca.count("/challenge/")
    record = renewed(services)
    assert (record.issuance.step, record.issuance.tries) == (Step.DONE, 0)
    assert (first, ca.count("/challenge/")) == (1, 1)
    assert (len(ca.authorizations.made), len(ca.certificates.log)) == (1, 2)


def test_c07_an_order_that_is_ready_at_once(services: Services, ca: ScriptedCa) -> None:
    ca.authorization_status = "valid"
    issued(services)
    assert (ca.count("/challenge/"), ca.authorizations.fetches) == (0, [])


@pytest.mark.parametrize("state", ["invalid", "deactivated", "revoked", "expired"])
def test_c07_an_authorization_that_is_lost_costs_its_order_alone(services: Services, ca: ScriptedCa, state) -> None:
    ca.authorization_status = state
    opened(services, NAME)
    record = lived(services, 5)
    is_of_owner = state == "invalid"
    assert record.issuance.problem.type is (ProblemType.VALIDATION_FAILED if is_of_owner else ProblemType.ORDER_LOST)
    assert state in record.issuance.problem.detail
    assert ("CNAME" in record.issuance.problem.hint) is is_of_owner
    assert (record.issuance.step, record.issuance.order_url, record.issuance.tries) == (Step.ORDER, None, 1)
    ca.authorization_status = "pending"
    assert status(lived(services), services.clock()) is Status.ACTIVE
    assert len(ca.orders.made) == 2


@pytest.mark.parametrize(
    "switches",
    [
        {"looks_until_ready": 3},
        {"looks_until_certificate": 2},
        {"looks_until_valid": 10, "looks_until_certificate": 2},
        {"looks_until_ready": 3, "looks_until_valid": 3, "looks_until_certificate": 3, "retry_after": "20"},
    ],
    ids="-".join,
)
def test_c09_c10_a_ca_that_takes_its_time_costs_neither_a_failure_nor_an_order(
    services: Services, ca: ScriptedCa, switches: dict[str, int]
) -> None:
    for switch, value in switches.items():
        setattr(ca, switch, value)
    issued(services)
    assert (len(ca.orders.made), len(ca.certificates.log)) == (1, 1)


@pytest.mark.parametrize("order_error", [None, {}, problem("malformed", "the order has failed")])
def test_c11_the_owner_reads_why_the_challenge_failed(services: Services, ca: ScriptedCa, order_error) -> None:
    ca.authorization_error = problem("connection", "Timeout during connect", subproblems=SUBPROBLEMS)
    ca.order_error = order_error
    opened(services, NAME)
    lived(services, UNTIL_THE_SECOND_RETRY)
    body = shown(services)
    assert body["status"] == "error"
    for words in ("Timeout during connect", "SERVFAIL for A (dns)", "no route to 192.0.2.1"):
        assert words in body["error"]


@pytest.mark.parametrize(
    ("order_error", "type_", "words"),
    [
        ({}, ProblemType.ORDER_LOST, ["the CA gave no reason"]),
        (problem("caa", "CAA forbids", subproblems=SUBPROBLEMS), ProblemType.CAA, ["CAA forbids", "SERVFAIL for A"]),
    ],
)
def test_c11_the_owner_reads_why_the_order_failed(services: Services, ca: ScriptedCa, order_error, type_, words):
    ca.order_error = order_error
    opened(services, NAME)
    assert lived(services).issuance.problem.type is type_
    assert all(one in shown(services)["error"] for one in words)
    ca.order_error = None
    assert status(lived(services, DAY), services.clock()) is Status.ACTIVE


def test_c11_the_owner_reads_why_the_name_is_refused(services: Services, ca: ScriptedCa) -> None:
    refused = Refused(400, "rejectedIdentifier", "policy forbids", subproblems=[*SUBPROBLEMS, problem("badNonce", "")])
    ca.add(Fault("/newOrder", before=lambda: refused.answer))
    opened(services, NAME)
    lived(services)
    body = shown(services)
    assert body["status"] == "error"
    for words in ("policy forbids (rejectedIdentifier)", "SERVFAIL for A (dns)", "no route to 192.0.2.1 (connection)"):
        assert words in body["error"]
    assert ca.count("/newOrder") == 1


def test_c15_changed_terms_are_the_operators_business(services: Services, ca: ScriptedCa) -> None:
    ca.terms_changed = True
    opened(services, NAME)
    record = lived(services, DAY)
    assert record.issuance.problem.type is ProblemType.CA_SETTINGS
    assert "operator" in shown(services)["error"]
    assert ca.count("/newOrder") <= 30
    ca.terms_changed = False
    assert status(lived(services, 2 * DAY), services.clock()) is Status.ACTIVE
    assert len(ca.accounts.made) == 1


def test_c15_the_operator_reads_where_to_agree_and_no_other_domain_asks(
    services: Services, ca: ScriptedCa, dns: Dns
) -> None:
    ca.terms_changed = True
    opened(services, NAME)
    with capture_logs() as logs:
        record = lived(services, 5)
    assert f"{ca.origin}/terms/agree" in str(record.issuance.problem)
    assert len([line for line in logs if line["log_level"] == "error"]) == 1
    other = published(dns, "other.customer.example")
    record = run_to_end(services, opened(services, other))
    assert record.issuance.problem.type is ProblemType.CA_SETTINGS
    assert f"{ca.origin}/terms/agree" in str(record.issuance.problem)
    assert ca.count("/newOrder") == 1


@pytest.mark.parametrize(("step", "path"), [(Step.CHALLENGE, "/authorization/1"), (Step.INSTALL, "/certificate/1")])
def test_g05_an_order_that_the_ca_has_forgotten_is_placed_again(
    services: Services, ca: ScriptedCa, step: Step, path: str
) -> None:
    opened(services, NAME)
    lived(services, until=step)
    for one in ("/order/1", "/finalize/1", path):
        ca.add(Fault(one, FOR_GOOD, before=lambda: malformed("expired", 404).answer))
    assert status(lived(services, DAY), services.clock()) is Status.ACTIVE
    assert len(ca.orders.made) == 2


@pytest.mark.parametrize("step", [Step.CHALLENGE, Step.FINALIZE, Step.INSTALL])
def test_c02_a_page_of_a_proxy_that_says_404_costs_no_order(services: Services, ca: ScriptedCa, step: Step) -> None:
    opened(services, NAME)
    lived(services, until=step)
    page = (404, {"Content-Type": "text/html"}, b"<html>not found</html>")
    for path in ("/order/1", "/finalize/1", "/authorization/1", "/certificate/1"):
        ca.add(Fault(path, before=lambda: page))
    assert status(lived(services, 3 * DAY), services.clock()) is Status.ACTIVE
    assert (len(ca.orders.made), len(ca.certificates.log)) == (1, 1)


def test_c11_the_reason_is_found_in_the_authorization_of_an_invalid_order(services: Services, ca: ScriptedCa) -> None:
    reason = problem("connection", "Timeout during connect")
    ca.add(Fault("/finalize/", before=lambda: ca.authorizations.made["1"].end("invalid", reason)))
    opened(services, NAME)
    assert "Timeout during connect" in str(lived(services, 5).issuance.problem)


def test_c09_five_hours_of_processing_are_no_failure(services: Services, ca: ScriptedCa) -> None:
    ca.looks_until_valid = FOR_EVER
    opened(services, NAME)
    lived(services, 5 * 3600)
    ca.orders.made["1"].until_valid = 0
    record = lived(services, 700)
    assert (status(record, services.clock()), record.issuance.tries) == (Status.ACTIVE, 0)


def test_g04_a_certificate_for_another_key_is_asked_for_rarely(services: Services, ca: ScriptedCa) -> None:
    ca.foreign_key = True
    opened(services, NAME)
    lived(services, 7 * DAY)
    assert len(ca.certificates.log) <= 10


def test_d03_the_answer_is_there_for_the_last_of_several_fetches(services: Services, ca: ScriptedCa) -> None:
    ca.validations, ca.validation_pause = 3, 0.6
    services = replace(services, clock=time.time)
    opened(services, NAME)
    record = run_to_end(services, services.store.load(NAME))
    assert (record.issuance.step, record.issuance.tries) == (Step.DONE, 0)
    assert [code for _, code in ca.authorizations.fetches] == [200, 200, 200]


def test_d03_a_try_with_another_token_leaves_the_first_in_place(services: Services, ca: ScriptedCa) -> None:
    ca.validations, ca.validation_pause = 3, 0.6
    services = replace(services, clock=time.time)
    opened(services, NAME)
    run_to_step(services, NAME, Step.CHALLENGE)
    tasks.attempt(services, Step.CHALLENGE, services.store.load(NAME).issuance.id)
    began_at = services.store.load(NAME)
    again = began_at.issuance.retry(Problem(ProblemType.VALIDATION_FAILED), services.clock())
    open_issuance(services.store, began_at.domain, again, version=began_at.version, requeue_at=0)
    assert run_to_end(services, began_at).issuance.step is Step.DONE
    assert len({token for token, _ in ca.authorizations.fetches}) == 2
    assert [code for _, code in ca.authorizations.fetches] == [200] * 6
