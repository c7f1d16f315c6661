"""Looks at all places where a fault must be told, and judges what is there."""

import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import urllib3

from issuer import presenters
from issuer.problem import Problem
from tests.fakes import TARGET
from tests.planted.faults import Fault, GoesOn, Kind, Next
from tests.planted.fleet import Fleet

BODY = ("status", "code", "actor", "next", "words")
OTHERS = ("timeline", "readyz", "metrics", "log")
COMMANDS = ("show", "doctor")
COLUMNS = (*BODY, "timeline", "show", "doctor", "readyz", "metrics", "log", "end")
OUR_WORDS = (
    r"\bissuances?\b|\bleases?\b|requeue|reconcile|due index|\blistings?\b|failover|cooldown|edge version|\bbundles?\b"
    r"|holder proof|placeholder|\bmust act\b"
)
"""Words of our glossary, which no hint has: its reader does not know them."""
COMMANDS_EVERY_SECONDS = 15
LOOK_EVERY_SECONDS = 0.5
GOES_ON_SECONDS = 60


class WrongError(Exception):
    """What is told is wrong; the message says what."""


@dataclass
class Told:
    """What was found. columns: None if it is right, else what is wrong with it; a column that no fault of this kind has
    is absent. body: the answer that was judged last; text: the same as the page of the API has it. told_seconds: until
    all was told, or in vain. end_seconds: from the end of the fault until the name went on."""

    columns: dict[str, str | None] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    told_seconds: float = 0
    end_seconds: float | None = None

    @property
    def wrong(self) -> dict[str, str]:
        return {column: text for column, text in self.columns.items() if text is not None}


def look_until_told(fleet: Fleet, fault: Fault, name: str, told: Told, without: Collection[str] = ()) -> None:
    """Look at every place, again and again, until all of them tell the fault, or its time is over. without: columns."""
    looks = {column: look for column, look in _looks(fleet, fault, name, told) if column not in without}
    told.columns = dict.fromkeys(looks, "not looked at")
    began, commands_at = time.monotonic(), 0.0
    while True:
        if any(told.columns.get(column) for column in BODY):
            for column in (column for column in BODY if column in looks):
                told.columns[column] = _judged(looks[column])
        _judge_wrong(told, looks, OTHERS)
        now = time.monotonic()
        is_over = fault.kind is Kind.START or now - began > fault.patience
        is_quiet = not set(told.wrong) - set(COMMANDS)
        if is_over or now - commands_at > (COMMANDS_EVERY_SECONDS / 5 if is_quiet else COMMANDS_EVERY_SECONDS):
            _judge_wrong(told, looks, COMMANDS)
            commands_at = time.monotonic()
        told.told_seconds = time.monotonic() - began
        if is_over or not told.wrong:
            return
        time.sleep(LOOK_EVERY_SECONDS)


def look_whether_it_goes_on(fleet: Fleet, fault: Fault, name: str, told: Told) -> None:
    """The fault has ended: the name must become active, after a request if that is the rule."""
    if fault.goes_on is GoesOn.NO:
        return
    began, seconds, last, names = time.monotonic(), GOES_ON_SECONDS + fault.end_patience, "?", [name, *fleet.many]
    if fault.goes_on is GoesOn.ON_REQUEST:
        fault.request(fleet, name)
    while time.monotonic() - began < seconds:
        try:
            while names and (last := fleet.status(names[0]).get("status", "none")) == "active":
                if fleet.is_open(names[0]):
                    break
                names.pop(0)
            if not names:
                told.columns["end"], told.end_seconds = None, time.monotonic() - began
                return
        except (urllib3.exceptions.HTTPError, Problem):
            last = "no answer"
        time.sleep(LOOK_EVERY_SECONDS)
    told.columns["end"] = f"still {last} {seconds:.0f} s after the end"


def _judge_wrong(told: Told, looks: dict[str, Callable[[], None]], columns: tuple[str, ...]) -> None:
    """Judge those of the columns that have not been right yet."""
    for column in columns:
        if told.columns.get(column) is not None:
            told.columns[column] = _judged(looks[column])


def _judged(look: Callable[[], None]) -> str | None:
    try:
        look()
    except WrongError as error:
        return str(error)
    except (Problem, urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _looks(fleet: Fleet, fault: Fault, name: str, told: Told) -> Iterator[tuple[str, Callable[[], None]]]:
    """The columns that this fault has, and the look for each; that for the status asks, and comes first."""
    yield "status", lambda: _require_answer(fleet, fault, name, told)
    if fault.kind not in {Kind.START, Kind.FLEET}:
        yield "code", lambda: _require_match(fault.code, str(told.body.get("code")), whole=True)
        yield "actor", lambda: _require_actor(fault, told.body.get("must_act"))
        yield "next", lambda: _require_next(fault, told.body)
    if fault.kind is not Kind.FLEET:
        yield "words", lambda: _require_words(fault, told.body)
    if fault.kind is Kind.STATUS:
        yield "timeline", lambda: _require_event(fleet, fault, name)
    if fault.kind in {Kind.STATUS, Kind.REFUSAL} and fault.is_shown:
        yield "show", lambda: _require_shown(fleet, fault, name)
    if fault.doctor:
        yield "doctor", lambda: _require_doctor(fleet, fault, told)
    if fault.degraded:
        yield "readyz", lambda: _require_ready(fleet, fault)
    if fault.metric or fault.kind in {Kind.STATUS, Kind.REFUSAL}:
        yield "metrics", lambda: _require_metric(fleet, fault, told)
    if fault.error_line:
        yield "log", lambda: _require_any(fault.error_line, fleet.errors(), "no such line of level ERROR")


def _require(is_right: object, text: str) -> None:
    if not is_right:
        raise WrongError(text)


def _require_match(pattern: str, text: str, *, whole: bool = False) -> None:
    match = re.fullmatch(pattern, text) if whole else re.search(pattern, text, re.IGNORECASE | re.DOTALL)
    _require(match, f"«{pattern}» is not in «{text}»")


def _require_any(pattern: str, texts: list[str], otherwise: str) -> None:
    _require(any(re.search(pattern, text, re.IGNORECASE | re.DOTALL) for text in texts), f"{otherwise}: {pattern}")


def _require_answer(fleet: Fleet, fault: Fault, name: str, told: Told) -> None:
    if fault.kind is Kind.START:
        told.body = {"cause": fleet.output[1]}
        _require(fleet.output[0] not in {0, -1}, f"the exit code is {fleet.output[0]}")
        _require(len(fleet.output[1].strip().splitlines()) == 1, f"not one line: {fleet.output[1]}")
        return
    if fault.kind is Kind.REFUSAL:
        status, told.body = fleet.post(name)
        _require(status == fault.http, f"POST answers {status}")
        _require(told.body["message"], "no message")
        body = fleet.status(name)
        _require(body.get("last_refusal", {}).get("code") == told.body["code"], f"no last_refusal in {body}")
        return
    if fault.kind is Kind.UNAVAILABLE:
        fleet.publish("www.another.example", "CNAME", [TARGET])
        status, told.body, headers = fleet.call("POST", "/v2/x509/www.another.example")
        _require(status == fault.http, f"POST answers {status}")
        _require(int(headers.get("Retry-After", 0)) > 0, "no Retry-After")
        return
    status, told.body, _ = fleet.call("GET", f"/v2/x509/{name}/status")
    _require(status == fault.http, f"GET answers {status}")
    _require(told.body["status"] in fault.words, f"the status is {told.body['status']}")
    _require(not (wrong := fault.also(fleet)), wrong)


def _require_actor(fault: Fault, actor: object) -> None:
    _require(actor in fault.actors, f"must_act is {actor}")


def _require_next(fault: Fault, body: dict[str, Any]) -> None:
    at = body.get("next_attempt_at")
    if at is None:
        _require(fault.next is not Next.PLANNED, "no next_attempt_at")
        return
    seconds = datetime.fromisoformat(at).timestamp() - time.time()
    _require(fault.next is not Next.NONE, f"next_attempt_at is {at}")
    _require(seconds > -1.5, f"next_attempt_at lies in the past: {at}")
    _require(fault.not_before is None or seconds > fault.not_before, f"{at} is too soon")


def _require_words(fault: Fault, body: dict[str, Any]) -> None:
    text = " | ".join(str(body.get(member) or "") for member in ("cause", "detail", "hint"))
    for pattern in fault.says:
        _require_match(pattern, text)
    for pattern in fault.never:
        _require(not re.search(pattern, text, re.IGNORECASE), f"«{pattern}» must not be in «{text}»")
    if fault.kind is Kind.START:
        return
    _require(body.get("cause"), "no cause")
    _require(body.get("hint"), "no hint")
    read = re.sub(r"ISSUER_[A-Z_]+|'issuer [^']*'", "", f"{body['cause']} {body['hint']}")
    _require(not (found := re.search(OUR_WORDS, read, re.IGNORECASE)), f"a word of our own: {found and found[0]}")
    if fault.kind is Kind.STATUS and body["status"] != "active":
        _require(body["cause"] in body["message"], f"the message is «{body['message']}», without the cause")


def _require_event(fleet: Fleet, fault: Fault, name: str) -> None:
    record = fleet.services.store.load(name)
    _require(record, "there is no record")
    lines = [f"{event['type']} {event['code']} {event['text']}" for event in presenters.timeline(record)]
    _require_any(fault.event or fault.says[0], lines, f"not in the timeline, which ends with «{lines[-1]}»")


def _require_shown(fleet: Fleet, fault: Fault, name: str) -> None:
    """The command shows the same as the API; of a refused POST, its trace."""
    code, text = fleet.cli("show", name, "--json")
    if fault.kind is Kind.REFUSAL and code == 1:  # there is no record, only the trace
        for pattern in (fault.code, fault.says[0], r"refused at \d{4}-"):
            _require_match(pattern, text)
        return
    try:
        shown = json.loads(text)
    except ValueError:
        raise WrongError(f"show --json ends with {code}: {text[:200]}") from None
    _require_match(fault.code, str(shown.get("code")), whole=True)
    _require_actor(fault, shown.get("must_act"))
    _require_match(fault.says[0], f"{shown.get('cause')} {shown.get('detail')} {shown.get('hint')}")


def _require_doctor(fleet: Fleet, fault: Fault, told: Told) -> None:
    code, text = fleet.cli("doctor", "--json")
    try:
        document = json.loads(text)
    except ValueError:
        raise WrongError(f"doctor --json ends with {code}: {text[:200]}") from None
    checks = document["checks"] if isinstance(document, dict) else document
    failed = [json.dumps(check, ensure_ascii=False) for check in checks if check["result"] == "failed"]
    _require_any(fault.doctor, failed, f"the doctor has found {[json.loads(one)['code'] for one in failed]} only")
    _require(code == 1, f"the doctor's exit code is {code}")
    if fault.kind is Kind.FLEET:
        told.body |= next(json.loads(one) for one in failed if re.search(fault.doctor, one, re.IGNORECASE | re.DOTALL))
        _require_actor(fault, told.body["must_act"])


def _require_ready(fleet: Fleet, fault: Fault) -> None:
    status, body, _ = fleet.call("GET", "/readyz")
    if fault.degraded == "503":
        _require(status == 503, f"/readyz answers {status}")
        return
    _require(status == 200, f"/readyz answers {status}")
    degraded = [json.dumps(one, ensure_ascii=False) for one in body.get("degraded", [])]
    _require_any(fault.degraded, degraded, f"/readyz has {degraded} only")


def _require_metric(fleet: Fleet, fault: Fault, told: Told) -> None:
    text = fleet.call("GET", "/metrics")[1]["text"]
    lines = [line for line in text.splitlines() if not line.startswith("#") and not line.endswith(" 0.0")]
    code, actor = told.body.get("code"), told.body.get("must_act")
    patterns = [f'issuer_domains_with_problem{{code="{code}"}}', f'issuer_domains_must_act{{must_act="{actor}"}}']
    if fault.kind is Kind.REFUSAL:
        patterns = [f'issuer_refused_requests_total{{code="{code}"}}']
    for pattern in [fault.metric] if fault.metric else map(re.escape, patterns):
        _require_any(pattern, lines, "no such metric above 0")
