"""Alarms reach the operator's command and webhook, once; what is wrong with these is told once, and delays nothing."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from structlog.testing import capture_logs

from issuer.actions import doctor
from issuer.config import load_settings
from issuer.fleet import alarms, faults
from issuer.fleet.channels import CommandChannel, WebhookChannel, channels
from issuer.keys import new_encryption_key
from issuer.ports import Check, CheckResult, PendingAlarm, Services
from issuer.sandbox import LOOPBACK
from tests.databases import give_back, take_away
from tests.fakes import TARGET, fake_services

OK, FAILED, UNKNOWN = CheckResult
NEEDED = {"encryption_keys": new_encryption_key(), "cname_targets": TARGET}
FAULT = Check("edge", FAILED, "the edge a:443 does not answer", "a:443", "start it", since=None)
WELL = Check("edge", OK, "a:443 answers", "a:443")


@dataclass
class Webhook:
    """A server that keeps what it gets. statuses: of its next answers; 204 after these."""

    url: str
    bodies: list[dict] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[HTTPServer, list[Webhook]]]:
    hooks: list[Webhook] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hooks[-1].bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(hooks[-1].statuses.pop(0) if hooks[-1].statuses else 204)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((LOOPBACK, 0), Handler) as made:
        thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made, hooks
        made.shutdown()
        thread.join()


@pytest.fixture
def webhook(server: tuple[HTTPServer, list[Webhook]]) -> Webhook:
    made, hooks = server
    hooks.append(Webhook(f"http://{LOOPBACK}:{made.server_port}/hook/a-secret"))
    return hooks[-1]


@pytest.fixture
def services(webhook: Webhook) -> Services:
    return replace(fake_services(), alarm_channels=(WebhookChannel(webhook.url),))


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def pending(services: Services) -> PendingAlarm:
    """An alarm that no thread of this process delivers."""
    now = services.clock()
    return PendingAlarm("1", alarms.body(FAULT, "begun", now), ("url",), tries=0, next_try_at=now)


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "alarm.py"
    path.write_text(text)
    return f"{sys.executable} '{path}'"


def test_a_fault_is_told_once_when_it_begins_and_once_when_it_ends(services: Services, webhook: Webhook) -> None:
    began = services.clock()
    with capture_logs() as logs:
        for check in (FAULT, FAULT, WELL, WELL):
            faults.observe(services, [check], {"edge"})
            until(lambda: not services.alarms.pending())
            services.clock.forward(60)
    told = [(line["log_level"], line["event"]) for line in logs]
    assert told == [("error", "degraded"), ("info", "no longer degraded")]
    assert logs[0].items() >= {"code": "edge", "subject": "a:443", "must_act": "platform", "hint": "start it"}.items()
    assert logs[1]["seconds"] == 120
    assert [(body["event"], body["key"], body["must_act"]) for body in webhook.bodies] == [
        ("begun", "edge a:443", "platform"),
        ("ended", "edge a:443", "platform"),
    ]
    assert webhook.bodies[0]["text"] == "issuer: the edge a:443 does not answer (start it)"
    assert webhook.bodies[0]["since"] == alarms.instant(began)


def test_a_fault_keeps_its_beginning_while_its_words_change_or_nobody_can_tell(services: Services) -> None:
    began = services.clock()
    faults.observe(services, [FAULT], {"edge"})
    services.clock.forward(60)
    again = Check("edge", FAILED, "it refuses", "a:443")
    assert faults.observe(services, [again], {"edge"})[0].since == began
    faults.observe(services, [Check("edge", UNKNOWN, "who knows", "a:443")], {"edge"})
    assert [(fault.cause, fault.since) for fault in services.faults.open()] == [("it refuses", began)]
    assert faults.with_since(services, [FAULT, WELL])[0].since == began


def test_a_subject_that_is_looked_at_no_more_has_no_fault_and_another_code_keeps_its_own(services: Services) -> None:
    other = Check("caa", FAILED, "CAA forbids it", "edge.platform.example")
    faults.observe(services, [FAULT, other], {"edge", "caa"})
    faults.observe(services, [], {"edge"})
    assert [fault.code for fault in services.faults.open()] == ["caa"]


def test_a_command_gets_the_alarm_and_none_of_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUER_EDGE_TOKEN", "a-secret-that-only-edges-have")
    monkeypatch.setenv("OWN_TOKEN", "the operator's")
    text = "import json, os, sys\nhas = sorted(n for n in os.environ if n.startswith(('ISSUER_', 'OWN_')))\n"
    text += f"open({str(tmp_path / 'out')!r}, 'w').write(json.dumps([json.load(sys.stdin), has]))"
    services = replace(fake_services(), alarm_channels=(CommandChannel(script(tmp_path, text)),))
    faults.observe(services, [FAULT], {"edge"})
    until(lambda: not services.alarms.pending())
    body, names = json.loads((tmp_path / "out").read_text())
    assert (body["code"], body["event"], names) == ("edge", "begun", ["OWN_TOKEN"])


def test_what_is_refused_is_sent_again_a_few_times_and_told_once(services: Services, webhook: Webhook) -> None:
    webhook.statuses = [503] * 3
    with capture_logs() as logs:
        services.alarms.keep(pending(services))
        for seconds in (0, 9, 1, 40, 160):
            services.clock.forward(seconds)
            alarms.deliver_pending(services)
    assert services.alarms.pending() == []
    assert len(webhook.bodies) == 4
    told = [line for line in logs if "deliver" in line["event"]]
    assert [line["event"] for line in told] == ["an alarm could not be delivered", "alarms are delivered again"]
    assert told[0]["cause"] == f"an alarm could not be delivered by ISSUER_ALARM_URL: {LOOPBACK} answers 503"
    assert "a-secret" not in str(logs)


def test_an_alarm_that_nobody_takes_is_given_up_and_the_doctor_says_so(services: Services, webhook: Webhook) -> None:
    webhook.statuses = [500] * 9
    services.alarms.keep(pending(services))
    for _ in range(6):
        services.clock.forward(1000)
        alarms.deliver_pending(services)
    assert len(webhook.bodies) == alarms.TRIES
    assert services.alarms.pending() == []
    [check] = [check for check in doctor.diagnose(services) if check.code == "alarms"]
    assert (check.result, check.subject) == (FAILED, "url")
    assert "--test-alarm" in check.hint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import sys; sys.exit(3)", "ended with status 3"),
        ("import time; time.sleep(60)", "did not end within 0.5 seconds"),
    ],
)
def test_a_command_that_fails_is_reported_in_words(tmp_path: Path, text: str, reason: str) -> None:
    assert reason in CommandChannel(script(tmp_path, text), seconds=0.5).deliver({})


def test_a_program_that_is_not_there_is_found_without_an_alarm() -> None:
    services = replace(fake_services(), alarm_channels=(CommandChannel("/no/such/program --now"),))
    [check] = [check for check in doctor.diagnose(services) if check.code == "alarms"]
    assert check.result is FAILED
    assert check.cause == "ISSUER_ALARM_COMMAND: there is no program /no/such/program that this process may run"


def test_a_redirect_is_not_followed_and_nobody_there_is_no_exception(webhook: Webhook) -> None:
    webhook.statuses = [302]
    assert WebhookChannel(webhook.url).deliver({}) == f"{LOOPBACK} answers 302"
    reason = WebhookChannel(f"http://{LOOPBACK}:1/a-secret").deliver({})
    assert reason == f"{LOOPBACK} cannot be reached: NewConnectionError"


def test_the_channels_are_those_that_are_set() -> None:
    settings = load_settings(**NEEDED, alarm_command="notify", alarm_url="https://hooks.example/a-secret")
    assert [channel.name for channel in channels(settings)] == ["command", "url"]
    assert channels(load_settings(**NEEDED)) == ()
    assert "a-secret" not in repr(settings)


def test_a_test_alarm_is_sent_and_judged_at_once(services: Services, webhook: Webhook) -> None:
    assert [check.result for check in doctor.test_alarm(services)] == [OK]
    assert webhook.bodies[0]["event"] == "test"
    webhook.statuses = [404]
    [check] = doctor.test_alarm(services)
    assert "answers 404" in check.cause
    [check] = doctor.test_alarm(fake_services())
    assert (check.result, "ISSUER_ALARM_URL" in check.hint) == (FAILED, True)


def test_a_channel_that_works_again_or_is_no_longer_set_is_no_fault(services: Services, webhook: Webhook) -> None:
    for ends in (lambda: doctor.test_alarm(services), lambda: alarms.start_delivery(fake_services(services.store))):
        webhook.statuses = [500]
        services.alarms.keep(pending(services))
        alarms.deliver_pending(services)
        assert [fault.subject for fault in services.faults.open()] == ["url"]
        ends()
        assert services.faults.open() == []


def test_an_alarm_gets_through_while_the_store_is_away(services: Services, webhook: Webhook) -> None:
    take_away(services.store)
    try:
        alarms.tell_begin(services, FAULT)
        until(lambda: webhook.bodies)
    finally:
        give_back(services.store)


def test_nothing_is_kept_where_nobody_wants_alarms() -> None:
    services = fake_services()
    with capture_logs() as logs:
        alarms.tell_begin(services, FAULT)
    assert services.alarms.pending() == []
    assert [line["event"] for line in logs] == ["degraded"]
