"""A certificate that cannot be used: one of a CA for a name, and no second before the operator allows it."""

import datetime as dt
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from issuer import tasks
from issuer.actions import authorities
from issuer.domain import Reason, Record, Status, Step, new_issuance, status
from issuer.ports import Services
from issuer.presenters import status_body
from issuer.problem import Problem, ProblemType
from tests.api_client import ApiClient, issued, reach
from tests.fakes import NAME, as_asked, fake_services, opened
from tests.writes import open_issuance

DAY = 86400
FIRST, SECOND = "https://ca.example/directory", "https://other.example/directory"


class Lost(BaseException):
    """The worker dies here."""


def lived(services: Services, seconds: float, name: str = NAME) -> Record:
    """Do what queue and beat do with an open record, over a clock that jumps to when it is due."""
    end = services.clock() + seconds
    while (record := services.store.load(name)).issuance.is_open:
        due_at = max(record.issuance.next_try_at or 0, record.lease_until, services.clock())
        services.clock.now = min(due_at, end)
        if due_at > end:
            break
        tasks.attempt(services, record.issuance.step, record.issuance.id)
    return services.store.load(name)


def another_key(csr):
    return ec.generate_private_key(ec.SECP256R1()).public_key(), as_asked(csr)[1]


def another_name(csr):
    return csr.public_key(), ["other.customer.example"]


def a_wildcard(csr):
    return csr.public_key(), ["*.customer.example"]


def no_name(csr):
    return csr.public_key(), []


FORGED = {"another key": another_key, "another name": another_name, "a wildcard": a_wildcard, "no name": no_name}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("is_renewal", ["the first", "a renewal"])
def test_n10_no_second_is_bought_where_one_was_rejected(services: Services, forge, is_renewal: str) -> None:
    ca, before = services.cas[0], 0
    held = None
    if is_renewal == "a renewal":
        held, before = issued(services), 1
        again = new_issuance(NAME, Reason.RENEWAL, services.clock())
        open_issuance(services.store, held.domain, again, version=held.version, requeue_at=services.clock())
    else:
        opened(services)
    ca.forge = forge
    record = lived(services, 30 * DAY)
    assert len(ca.certificates) == before + 1
    assert len(ca.orders) == before + 1
    assert record.domain.certificate == (held.domain.certificate if held else None)
    shown = status_body(record, services.clock())
    assert (shown["code"], shown["must_act"], shown["status"]) == ("bad-certificate", "platform", "error")
    assert shown["next_attempt_at"]
    assert f"issuer ca allow {FIRST} {NAME}" in shown["error"]
    assert [event.code for event in record.timeline if event.type == "certificate.rejected"] == ["bad-certificate"]
    assert [name for name, _ in authorities.rejected(services)] == [NAME]


def test_n10_the_next_ca_is_asked_and_the_first_not_again() -> None:
    services = fake_services(hosts=("ca.example", "other.example"))
    first, second = services.cas
    first.forge = another_key
    opened(services)
    record = lived(services, DAY)
    assert status(record, services.clock()) is Status.ACTIVE
    assert record.domain.certificate.ca == SECOND
    for _ in range(3):
        again = new_issuance(NAME, Reason.RENEWAL, services.clock())
        open_issuance(services.store, record.domain, again, version=record.version, requeue_at=services.clock())
        record = lived(services, DAY)
        assert record.domain.certificate.ca == SECOND
    assert (len(first.certificates), len(second.certificates)) == (1, 4)


def test_n10_two_cas_that_both_send_another_are_asked_once_each() -> None:
    services = fake_services(hosts=("ca.example", "other.example"))
    for ca in services.cas:
        ca.forge = another_name
    opened(services)
    record = lived(services, 10 * DAY)
    assert [len(ca.certificates) for ca in services.cas] == [1, 1]
    assert {rejection.ca for rejection in record.domain.rejections} == {FIRST, SECOND}
    assert status_body(record, services.clock())["must_act"] == "platform"


def test_n10_other_names_are_ordered_there(services: Services) -> None:
    services.cas[0].forge = another_key
    opened(services)
    lived(services, DAY)
    services.cas[0].forge = as_asked
    assert issued(services, "fine.customer.example").domain.certificate


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["new_order", "finalize", "chain"])
def test_n10_a_crash_on_the_way_buys_no_second(services: Services, method: str, when: str) -> None:
    ca = services.cas[0]
    ca.forge = another_key
    opened(services)

    def die(called: str) -> None:
        if called == method:
            setattr(ca, when, lambda _: None)
            raise Lost

    setattr(ca, when, die)
    with pytest.raises(Lost):
        lived(services, DAY)
    lived(services, 10 * DAY)
    assert len(ca.certificates) == 1


def test_n10_the_rejection_is_saved_with_the_drop_of_the_order(services: Services) -> None:
    services.cas[0].forge = another_key
    record = reach(services, Step.INSTALL)
    tasks.attempt(services, Step.INSTALL, record.issuance.id)
    after = services.store.load(NAME)
    assert (after.issuance.step, after.issuance.order_url, after.issuance.key) == (Step.ORDER, None, None)
    assert after.domain.rejected_at(FIRST).reason == "the certificate is for another key"


@pytest.mark.parametrize("call", ["PUT", "POST", "DELETE and POST", "DELETE, a year, and POST"])
def test_n10_a_caller_buys_no_second_either(call: str) -> None:
    api_client = ApiClient().with_accounts()
    services = api_client.services
    services.cas[0].forge = another_key
    assert api_client.post().status_code == 202
    lived(services, DAY / 2)
    if "DELETE" in call:
        assert api_client.call("DELETE", f"/v2/x509/{NAME}").status_code < 300
        services.clock.forward(400 * DAY if "year" in call else 60)
        if "year" in call:
            from issuer import schedule  # noqa: PLC0415

            schedule.forget_withdrawn(services)
        assert api_client.post().status_code == 202
    else:
        answer = api_client.put() if call == "PUT" else api_client.post()
        assert answer.status_code == 429
        assert "issuer ca allow" in answer.json["hint"]
    lived(services, 5 * DAY)
    assert len(services.cas[0].certificates) == 1
    assert api_client.status().json["code"] == "bad-certificate"


@pytest.mark.parametrize("state", ["waiting", "failed", "withdrawn", "active at another CA"])
def test_n10_the_operator_allows_another(state: str) -> None:
    services = fake_services(hosts=("ca.example", "other.example") if "active" in state else ("ca.example",))
    ca = services.cas[0]
    ca.forge = another_key
    opened(services)
    record = lived(services, DAY)
    if state == "failed":
        failed = replace(record.issuance, step=Step.FAILED, next_try_at=None)
        services.store.update(NAME, lambda held: held.with_issuance(failed), now=services.clock())
    if state == "withdrawn":
        withdrawn = record.domain.withdrawn(services.clock() + DAY, ())
        closed = replace(record.issuance, step=Step.FAILED, problem=Problem(ProblemType.WITHDRAWN))
        services.store.update(NAME, lambda held: replace(held, domain=withdrawn, issuance=closed), now=services.clock())
    ca.forge = as_asked
    assert [name for name, _ in authorities.rejected(services)] == [NAME]
    allowed = authorities.allow(services, FIRST, NAME.upper())
    assert not allowed.domain.rejections
    assert list(authorities.rejected(services)) == []
    record = lived(services, DAY)
    expected = 1 if state in {"withdrawn", "active at another CA"} else 2
    assert len(ca.certificates) == expected
    assert (record.domain.certificate is None) == (state == "withdrawn")
    assert record.domain.remove_at is None or state == "withdrawn"
    with pytest.raises(Problem, match="has issued no certificate"):
        authorities.allow(services, FIRST, NAME)


@pytest.mark.parametrize("hours", [3, 10, 24])
def test_n10_one_whose_time_has_not_come_is_waited_for(services: Services, hours: int) -> None:
    services.cas[0].not_before = dt.timedelta(hours=hours)
    opened(services)
    record = lived(services, 2 * DAY)
    assert status(record, services.clock()) is Status.ACTIVE
    assert len(services.cas[0].certificates) == 1
    assert not record.domain.rejections


@pytest.mark.parametrize("days", [2, 40])
def test_n10_one_that_is_not_valid_for_days_is_rejected(services: Services, days: int) -> None:
    services.cas[0].not_before = dt.timedelta(days=days)
    opened(services)
    record = lived(services, 60 * DAY)
    assert "not valid yet" in record.domain.rejected_at(FIRST).reason
    assert len(services.cas[0].certificates) == 1


@pytest.mark.parametrize(("late_days", "is_rejected"), [(0, True), (100, False), (400, False)])
def test_n10_one_that_expired_on_our_side_is_no_fault_of_the_ca(
    services: Services,
    late_days: int,
    is_rejected: bool,  # noqa: FBT001
) -> None:
    ca = services.cas[0]
    ca.lifetime = dt.timedelta(days=90) if late_days else dt.timedelta(minutes=-30)
    record = reach(services, Step.INSTALL)
    services.clock.forward(late_days * DAY)
    tasks.attempt(services, Step.INSTALL, record.issuance.id)
    record = services.store.load(NAME)
    assert bool(record.domain.rejections) == is_rejected
    if not is_rejected:
        assert status(lived(services, DAY), services.clock()) is Status.ACTIVE
