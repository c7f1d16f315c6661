"""`issuer show` and `issuer events`: all about one domain."""

import time
from typing import Any

import click

from issuer import presenters
from issuer.actions import lookup, refusals
from issuer.cli.context import load_services
from issuer.cli.output import as_json_option, say, show_json
from issuer.cli.problems import patiently
from issuer.domain import Record
from issuer.events import Event
from issuer.ports import Services

PAUSE_SECONDS = 1.0
FACTS = (
    ("code", "what is wrong"),
    ("cause", "cause"),
    ("detail", "found"),
    ("hint", "what to do"),
    ("must_act", "must act"),
)


@click.command("show")
@click.argument("domain")
@as_json_option
def show(domain: str, *, as_json: bool) -> None:
    """Show all about a domain: its state, what is wrong, who must act and how, the next attempt, and its timeline."""
    services = load_services()
    record = lookup.record_of(services, domain)
    body = presenters.domain_body(record, services.clock())
    body["refusals"] = [
        {"account": each.account, **presenters.refusal_body(each)} for each in refusals.of_name(services, domain)
    ]
    if as_json:
        show_json(body | {"timeline": presenters.timeline(record)})
        return
    say(f"{body['domain']}: {body['status']}, held by {body['account']}", style="bold")
    for title, text in _lines(body):
        say(f"{title:<14} {text}", indent=2)
    say("timeline", style="bold")
    for event in presenters.timeline(record):
        say_event(event)


@click.command("events")
@click.argument("domain")
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@as_json_option
def events(domain: str, *, follow: bool, as_json: bool) -> None:
    """Print the timeline of a domain, the newest event last. With --json, each event is a JSON object on a line."""
    services = load_services()
    record = lookup.record_of(services, domain)
    last = say_new(record, 0, as_json=as_json)
    try:
        while follow:
            time.sleep(PAUSE_SECONDS)
            record = look(services, record.domain.name)
            last = say_new(record, last, as_json=as_json)
    except KeyboardInterrupt:
        return


def say_new(record: Record, last: int, *, as_json: bool) -> int:
    """Print the events after the last one that was seen. Returns the id of the last one now."""
    for event in new_events(record.timeline, last):
        body = presenters.event_body(record.domain.name, event)
        show_json(body) if as_json else say_event(body)
    return max((event.id for event in record.timeline), default=0)


def look(services: Services, name: str) -> Record:
    """The record of a domain that is watched; if the store is unavailable, it is waited for."""
    return patiently(lambda: lookup.record_of(services, name), "this command goes on when it answers again")


def new_events(timeline: tuple[Event, ...], last: int) -> list[Event]:
    """The events after the last one that was seen; all of them if the timeline has begun anew."""
    is_anew = all(event.id < last for event in timeline)
    return [event for event in timeline if is_anew or event.id > last]


def say_event(event: dict[str, Any]) -> None:
    """Print a line of a timeline."""
    say(f"{event['at'][:19].replace('T', ' ')} UTC  {event['text']}", indent=2)


def _lines(body: dict[str, Any]) -> list[tuple[str, str]]:
    """What `show` says of a domain, each with its title."""
    lines = [(title, body[member]) for member, title in FACTS if body.get(member)]
    if body["status"] != "active":
        lines.append(("next attempt", body.get("next_attempt_at") or _without_time(body)))
    if certificate := body["certificate"]:
        lines.append(("certificate", f"{certificate['serial']} of {certificate['ca']}"))
        lines.append(("valid until", certificate["not_after"]))
    if body["renewal_at"]:
        lines.append(("renewal at", body["renewal_at"]))
    if body["moved_away_since"]:
        lines.append(("moved away", f"its DNS has pointed to other servers since {body['moved_away_since']}"))
    if body["renewal_forced_since"]:
        lines.append(("renewal", f"the operator has asked for a new certificate at {body['renewal_forced_since']}"))
    if body["held_until"]:
        lines.append(("withdrawn", f"reserved for this account until {body['held_until']}"))
    lines += [
        ("to be revoked", f"certificate {one['serial']} of {one['ca']}, {one['tries']} failed attempts so far")
        for one in body["revocations"]
    ]
    lines += [
        ("not ordered at", f"{one['ca']}: {one['reason']} ('issuer ca allow {one['ca']} {body['domain']}' allows it)")
        for one in body["rejections"]
    ]
    lines += [
        ("refused", f"{one['account']} at {one['at']}: {one['code']}: {one['cause']}") for one in body["refusals"]
    ]
    return lines


def _without_time(body: dict[str, Any]) -> str:
    is_open = body["issuance"]["step"] not in {"done", "failed"}
    return "now" if is_open else "none planned"


COMMANDS = {"events": events, "show": show}
