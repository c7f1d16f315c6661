"""`issuer doctor`: everything around the product that can be wrong."""

import sys

import click

from issuer.actions import doctor
from issuer.cli.checks import show_checks, worst
from issuer.cli.context import load_services
from issuer.cli.output import as_json_option
from issuer.ports import CheckResult

EXIT_CODES = {CheckResult.FAILED: 1, CheckResult.UNKNOWN: 3, CheckResult.OK: 0}
"""The exit code, by the result of all; 2 is a wrong use of the command."""


@click.command("doctor")
@as_json_option
@click.option(
    "--test-alarm", is_flag=True, help="Send a test alarm by ISSUER_ALARM_COMMAND and ISSUER_ALARM_URL, and do no more."
)
def examine(*, as_json: bool, test_alarm: bool) -> None:
    """Look at everything around the product that can be wrong: settings, Redis, stored keys, CAs, our own names, edges,
    queues and processes. Nothing is changed.

    \b
    ✓  as it should be
    ✗  a problem, with what to do
    ?  cannot be told from this machine

    The exit code is 0 if all is well, 1 if there is a problem, 3 if something could not be told, 2 for a wrong option.
    """  # noqa: D301 - click's mark for lines that are not rewrapped
    services = load_services()
    checks = doctor.test_alarm(services) if test_alarm else doctor.diagnose(services)
    show_checks(checks, as_json=as_json)
    sys.exit(EXIT_CODES[worst(checks)])


COMMANDS = {"doctor": examine}
