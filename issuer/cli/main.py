"""The command `issuer`: its subcommands by name, and how it reports errors."""

from importlib import import_module
from typing import Any

import click

from issuer.problem import Problem

COMMANDS = {
    "accounts": ("issuer.cli.accounts", "Create and change customers' accounts and their API keys."),
    "ca": ("issuer.cli.authorities", "Show the CAs, and change our accounts at them."),
    "demo": ("issuer.cli.demo", "Show the way from a POST to a certificate, on this machine."),
    "doctor": ("issuer.cli.doctor", "Look at everything that can be wrong, and say what to do."),
    "edge": ("issuer.cli.edge", "Provide certificates to the TLS terminators of this machine."),
    "list": ("issuer.cli.records", "List domains by account, CA, problem code or expiry."),
    "new-encryption-key": ("issuer.cli.encryption", "Print a new value for ISSUER_ENCRYPTION_KEYS."),
    "operator-key": ("issuer.cli.operators", "Make and revoke the keys for the operators' page."),
    "plan": ("issuer.cli.plan", "Show the coming renewals, by day and CA."),
    "prefer": ("issuer.cli.domains", "Choose a CA, a profile or a chain for one domain."),
    "renew": ("issuer.cli.renew", "Renew valid certificates now: of some domains, of an issuer, or all."),
    "run": ("issuer.cli.run", "Run one process of the product: web, worker, …"),
    "settings": ("issuer.cli.settings", "Show every setting: its meaning, default and present value."),
    "store": ("issuer.cli.records", "Maintain the records in Redis."),
    "status": ("issuer.cli.domains", "Show the state of a domain, and who must act."),
}
"""For each command its module and its line in `issuer --help`. A module is imported only when its command runs, so that
processes start fast."""


class Commands(click.Group):
    """A group of commands that report a Problem in one line, without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """The names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command with a name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        return import_module(module).COMMANDS[cmd_name]  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the list of commands in `--help`, without importing their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted(COMMANDS.items())])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. If it raises a Problem, the Problem is printed and the exit code is 1."""
        try:
            return super().invoke(ctx)
        except Problem as problem:
            raise click.ClickException(str(problem)) from None


@click.group(cls=Commands)
@click.version_option(package_name="issuer", message="%(prog)s %(version)s")
def main() -> None:
    """Issue and renew TLS certificates for the domains of a platform's customers."""
