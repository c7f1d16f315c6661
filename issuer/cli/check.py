"""`issuer check`: a dry run for one domain."""

import sys

import click

from issuer.actions import accounts
from issuer.actions.check import check as look_at
from issuer.cli.checks import show_checks
from issuer.cli.context import load_services
from issuer.cli.output import as_json_option
from issuer.ports import CheckResult


@click.command("check")
@click.argument("domain")
@click.option(
    "--account", help="Look at what this account may have, too: its plan, and whether it may have the domain."
)
@as_json_option
def check(domain: str, *, account: str | None, as_json: bool) -> None:
    """Look at all that a certificate for a domain needs, as the CA will, and show the DNS records to set. Nothing is
    changed, and it costs the CA nothing.

    The exit code is 1 if something stands against a certificate.
    """
    services = load_services()
    found = look_at(services, accounts.by_id(services, account) if account else None, domain)
    show_checks(found, as_json=as_json)
    if any(one.result is CheckResult.FAILED for one in found):
        sys.exit(1)


COMMANDS = {"check": check}
