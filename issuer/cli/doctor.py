"""`issuer doctor`: everything around the product that can be wrong."""

import json
import sys

import click

from issuer.actions import doctor
from issuer.cli.context import format_time, load_services
from issuer.ports import Check, CheckResult
from issuer.presenters import check_body

MARKS = {CheckResult.OK: ("✓", "green"), CheckResult.FAILED: ("✗", "red"), CheckResult.UNKNOWN: ("?", "yellow")}
EXIT_CODES = {CheckResult.FAILED: 1, CheckResult.UNKNOWN: 3, CheckResult.OK: 0}
"""The exit code, by the worst result; 2 is a wrong use of the command."""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def examine(*, as_json: bool) -> None:
    """Look at everything around the product that can be wrong: settings, Redis, stored keys, CAs, our own names, edges,
    queues and processes. Nothing is changed.

    \b
    ✓  as it should be
    ✗  a problem, with what to do
    ?  cannot be told from this machine

    The exit code is 0 if all is well, 1 if there is a problem, 3 if something could not be told, 2 for a wrong option.
    """  # noqa: D301 - click's mark for lines that are not rewrapped
    checks = doctor.diagnose(load_services())
    results = [check.result for check in checks]
    worst = next((result for result in EXIT_CODES if result in results), CheckResult.OK)
    if as_json:
        document = {"result": worst.value, "checks": [check_body(check) for check in checks]}
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        for check in checks:
            _print(check)
        click.echo(", ".join(f"{results.count(result)} {MARKS[result][0]}" for result in MARKS))
    sys.exit(EXIT_CODES[worst])


def _print(check: Check) -> None:
    """A line for what was found, and for a problem one with what to do."""
    mark, color = MARKS[check.result]
    since = f" (since {format_time(check.since)})" if check.since is not None else ""
    click.echo(f"{click.style(mark, fg=color)} {check.code}: {check.cause}{since}")
    if check.hint and check.result is not CheckResult.OK:
        click.echo(f"    → {check.hint}")


COMMANDS = {"doctor": examine}
