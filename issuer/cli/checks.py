"""How `issuer doctor` and `issuer check` show what was checked."""

from collections.abc import Sequence

import click

from issuer.cli.context import format_time
from issuer.cli.output import plain, say, show_json
from issuer.ports import Check, CheckResult
from issuer.presenters import check_body

MARKS = {CheckResult.OK: ("✓", "green"), CheckResult.FAILED: ("✗", "red"), CheckResult.UNKNOWN: ("?", "yellow")}


def worst(checks: Sequence[Check]) -> CheckResult:
    """The result of all: failed if one has failed, else unknown if one is unknown."""
    order = (CheckResult.FAILED, CheckResult.UNKNOWN)
    return next((result for result in order if any(check.result is result for check in checks)), CheckResult.OK)


def show_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    """Print what was found: a line for each check; for what is not as it should be, lines with what to do, and with the
    DNS records to set."""
    if as_json:
        show_json({"result": worst(checks).value, "checks": [check_body(check) for check in checks]})
        return
    for check in checks:
        _say(check)
    results = [check.result for check in checks]
    say(", ".join(f"{results.count(result)} {mark}" for result, (mark, _) in MARKS.items()))


def _say(check: Check) -> None:
    mark, color = MARKS[check.result]
    since = f" (since {format_time(check.since)})" if check.since is not None else ""
    click.echo(f"{click.style(mark, fg=color)} {plain(f'{check.code}: {check.cause}{since}')}")
    if check.result is CheckResult.OK:
        return
    if check.hint:
        say(f"→ {check.hint}", indent=4)
    for record in check.records:
        click.echo(f"        {plain(record)}")  # whole, to be copied
