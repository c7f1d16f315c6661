"""Events: the one list of types, their sentences, and the one function that logs them."""

import json

import pytest
from structlog.testing import capture_logs

from issuer import tasks
from issuer.actions import hsts, prefer, withdraw
from issuer.domain import Hsts
from issuer.events import TABLE, Event, EventType
from issuer.metrics import EVENTS
from issuer.ports import Services
from issuer.presenters import timeline
from issuer.problem import Problem, ProblemType
from tests.api_client import ApiClient, issued
from tests.fakes import ACCOUNT, NAME, NOW, fake_services, opened
from tests.faults import fails
from tests.simulated_fleet import DAY, SimulatedFleet

DATA = {
    "step": "order", "seconds": 0.1, "serial": "0f", "reason": "no", "ca": "https://ca.example/d", "verdict": "yes",
    "summary": "as it should be", "at": NOW, "policy": "max-age=60", "lacking": "edge1 is silent", "text": "seen",
    "why": "a leaked key", "deviations": "it is also for other.example",
}  # fmt: skip


def test_every_type_has_a_sentence_that_its_data_fills() -> None:
    assert set(TABLE) == set(EventType)
    for type_ in EventType:
        text = Event(1, NOW, type_.value, data=DATA).text
        assert text != type_.value
        assert "{" not in text


@pytest.mark.parametrize("event", [Event(1, NOW, "of.a_newer_release"), Event(1, NOW, "ca.selected", data={})])
def test_an_event_that_is_not_understood_is_shown_by_its_type(event: Event) -> None:
    assert event.text == event.type


def test_times_in_sentences_are_read_by_people() -> None:
    text = Event(1, NOW, EventType.RENEWAL_PLANNED, data={"at": NOW}).text
    assert text == "the next renewal is planned for 2026-09-21 14:13 UTC"


def test_what_is_written_is_logged_and_counted_once(services: Services) -> None:
    with capture_logs() as logs:
        record = issued(services)
    types = [event.type for event in record.timeline]
    assert [line["event"] for line in logs if "." in line["event"]] == types
    counted = {key[1]: count for key, count in services.counters.values().items() if key[0] == EVENTS.name}
    assert counted == {type_: types.count(type_) for type_ in types}
    assert types.count("issuance.step_done") == 4


def test_a_timeline_says_who_did_what_over_several_issuances() -> None:
    api_client = ApiClient().with_accounts()
    api_client.queued()
    fleet = SimulatedFleet(api_client.services)
    api_client.post()
    fleet.run(60)
    hsts.put(api_client.services, ACCOUNT, NAME, lambda: Hsts(60))
    prefer.prefer(api_client.services, NAME, profile="shortlived")
    fleet.run(70 * DAY)
    withdraw.withdraw(api_client.services, ACCOUNT, NAME)
    events = timeline(api_client.load())
    by = {event["type"]: event["by"] for event in events}
    assert (by["issuance.started"], by["hsts.changed"], by["domain.preferences_changed"], by["domain.withdrawn"]) == (
        "account", "account", "operator", "account",
    )  # fmt: skip
    assert [event["type"] for event in events].count("issuance.succeeded") == 2
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert {event["domain"] for event in events} == {NAME}
    assert json.loads(json.dumps(events)) == events


def test_no_event_has_a_secret(services: Services) -> None:
    record = issued(services)
    text = json.dumps(timeline(record))
    assert not any(secret in text for secret in ("PRIVATE", "gAAAA", record.domain.certificate.key))


def test_of_two_cas_that_refuse_the_first_is_a_failover_and_the_second_is_the_end() -> None:
    services = fake_services(hosts=("a.example", "b.example"))
    for ca in services.cas:
        ca.before = fails(Problem(ProblemType.CA_REFUSED, "high risk"))
    record = opened(services)
    for _ in range(6):
        tasks.attempt(services, services.store.load(NAME).issuance.step, record.issuance.id)
    outcomes = [
        (event.type, event.code, event.data["ca"]) for event in services.store.load(NAME).timeline if event.code
    ]
    first, second = (ca.directory_url for ca in services.cas)
    assert outcomes == [("ca.refused", "ca-refused", first), ("issuance.failed", "ca-refused", second)]
