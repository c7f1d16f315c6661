"""`issuer issue`: request a certificate, and watch how it comes."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from issuer import presenters
from issuer.actions import accounts, eligibility
from issuer.actions.request import request
from issuer.cli.output import as_json_option, is_terminal, plain, say, show_json
from issuer.cli.queueing import load_services
from issuer.cli.show import look, say_new
from issuer.cli.values import Seconds
from issuer.domain import CHAIN, Record, Step, is_in_progress
from issuer.events import By
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

PAUSE_SECONDS = 0.25
IDLE_SECONDS = 60.0
DAY_SECONDS = 86400
DOCTOR = "'issuer doctor' says whether the workers run"
IDLE = f"nothing has happened for a while: {DOCTOR}"


@click.command("issue")
@click.argument("domain")
@click.option("--account", required=True, help="The account that the domain belongs to.")
@click.option("--wait", is_flag=True, help="Show each step, and end when there is a certificate, or a problem.")
@click.option(
    "--timeout",
    type=Seconds(1, DAY_SECONDS, "15m", unit="s"),
    default="15m",
    show_default=True,
    help="How long --wait waits. The issuance goes on after that.",
)
@as_json_option
def issue(domain: str, *, account: str, wait: bool, timeout: float, as_json: bool) -> None:
    """Request a certificate for a domain of an account, as a POST of the account does.

    With --wait the exit code is 1 if there is no certificate yet. If the command is interrupted, the issuance goes on,
    and the same call goes on watching it. With --json, each event is a JSON object on a line, and so is the state at
    the end.
    """
    services = load_services()
    owner = accounts.by_id(services, account)
    try:
        record = request(services, owner, domain, by=By.OPERATOR)
    except Problem as problem:
        if problem.type is not ProblemType.ALREADY_INITIATED or not wait:
            raise
        record = eligibility.record_of(services, owner, domain)
        if not record.issuance.is_open:
            raise
    if wait:
        record = _watched(services, record, timeout, as_json=as_json)
    body = presenters.domain_body(record, services.clock())
    if as_json:
        show_json(body)
    elif not wait:
        say(f"{record.domain.name}: requested; 'issuer show {record.domain.name}' shows how it goes")
    else:
        _say_end(record, body, services.clock())
    if wait and record.issuance.step is not Step.DONE:
        sys.exit(1)


def _watched(services: Services, record: Record, seconds: float, *, as_json: bool) -> Record:
    """The record when its issuance is over, waits for longer, or has taken `seconds`. What happens is shown."""
    created_at = record.issuance.created_at
    last = max((event.id for event in record.timeline if event.at < created_at), default=0)
    changed_at, version = time.monotonic(), -1
    until, spinner = changed_at + seconds, Spinner("dots")
    try:
        with _shown_live(is_on=is_terminal() and not as_json) as live:
            while True:
                record = look(services, record.domain.name)
                if live:
                    live.update(_steps(record, services.clock(), spinner))
                else:
                    last = say_new(record, last, as_json=as_json)
                now = time.monotonic()
                if record.version != version:
                    changed_at, version = now, record.version
                if not is_in_progress(record, services.clock()) or now >= until:
                    return record
                if now - changed_at >= IDLE_SECONDS:
                    say(IDLE, is_error=True)
                    changed_at = now
                time.sleep(PAUSE_SECONDS)
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; the issuance goes on, and the same call watches it again") from None


@contextmanager
def _shown_live(*, is_on: bool) -> Iterator[Live | None]:
    if not is_on:
        yield None
        return
    with Live(console=Console(highlight=False), refresh_per_second=8) as live:
        yield live


def _steps(record: Record, now: float, spinner: Spinner) -> Table:
    """The four steps: which are done, which one is under way, and what it waits for."""
    issuance, table = record.issuance, Table.grid(padding=(0, 2, 0, 0))
    took = {
        event.data.get("step"): event.data.get("seconds")
        for event in record.timeline
        if event.type == "issuance.step_done" and event.at >= issuance.created_at
    }
    at = len(CHAIN) if issuance.step is Step.DONE else CHAIN.index(issuance.step) if issuance.is_open else -1
    table.add_row("", Text(plain(record.domain.name), "bold"))
    for number, step in enumerate(CHAIN):
        if number < at:
            table.add_row(Text("✓", "green"), step.value, Text(f"{took.get(step.value, '')} s"))
        elif number == at:
            table.add_row(spinner, step.value, Text(_waits_for(record, now)))
        else:
            table.add_row("·", Text(step.value, "dim"), "")
    return table


def _waits_for(record: Record, now: float) -> str:
    issuance = record.issuance
    if issuance.problem:
        seconds = (issuance.next_try_at or now) - now
        again = f"; tried again in {seconds:.0f} s" if seconds > 0 else ""
        return plain(f"{issuance.problem.cause}{again}")
    return "the CA is asked again" if issuance.waits else ""


def _say_end(record: Record, body: dict[str, object], now: float) -> None:
    name, certificate = record.domain.name, record.domain.certificate
    if record.issuance.step is Step.DONE and certificate:
        say(f"{name}: active, until {presenters.instant(certificate.not_after)}", style="green")
        return
    if is_in_progress(record, now):
        say(
            f"{name}: there is no certificate yet; the issuance goes on, and 'issuer show {name}' shows how",
            style="yellow",
        )
        say(DOCTOR, indent=2)
        return
    say(f"{name}: {body['message']}", style="red")
    if body.get("must_act"):
        say(f"must act: {body['must_act']}", indent=2)
    say(f"next attempt: {body.get('next_attempt_at') or 'none planned'}", indent=2)


COMMANDS = {"issue": issue}
