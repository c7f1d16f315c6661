"""The command `issuer`: its subcommands by name, and how it reports errors."""

import io
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from issuer.problem import Problem

COMMANDS = {
    "accounts": ("issuer.cli.accounts", "Create and change customers' accounts and their API keys."),
    "ca": ("issuer.cli.authorities", "Show the CAs, and change our accounts at them."),
    "check": ("issuer.cli.check", "Look at all that a certificate for a domain needs, and change nothing."),
    "completion": ("issuer.cli.completion", "Print a script for a shell to complete commands and options."),
    "delete": ("issuer.cli.delete", "Withdraw a domain, and revoke its certificate."),
    "demo": ("issuer.cli.demo", "Show the way from a POST to a certificate, on this machine."),
    "doctor": ("issuer.cli.doctor", "Look at everything that can be wrong, and say what to do."),
    "edge": ("issuer.cli.edge", "Provide certificates to the TLS terminators of this machine."),
    "events": ("issuer.cli.show", "Print the timeline of a domain, and follow it."),
    "issue": ("issuer.cli.issue", "Request a certificate, and watch how it comes."),
    "list": ("issuer.cli.records", "List domains by status, problem, who must act, end, account or CA."),
    "new-encryption-key": ("issuer.cli.encryption", "Print a new value for ISSUER_ENCRYPTION_KEYS."),
    "operator-key": ("issuer.cli.operators", "Make and revoke the keys for the operators' page."),
    "plan": ("issuer.cli.plan", "Show the coming renewals, by day and CA."),
    "prefer": ("issuer.cli.domains", "Choose a CA, a profile or a chain for one domain."),
    "renew": ("issuer.cli.renew", "Renew valid certificates now: of some domains, of an issuer, or all."),
    "retry": ("issuer.cli.retry", "Let a domain go on now, or all that wait for one cause."),
    "run": ("issuer.cli.run", "Run one process of the product: web, worker, …"),
    "settings": ("issuer.cli.settings", "Show every setting: its meaning, default and present value."),
    "show": ("issuer.cli.show", "Show all about a domain: state, cause, who must act, and its timeline."),
    "store": ("issuer.cli.records", "Maintain the records in Redis."),
    "status": ("issuer.cli.domains", "Show the state of a domain in a few lines."),
}
"""For each command its module and its line in `issuer --help`. A module is imported only when its command runs, so that
processes start fast."""


PROBLEMS = "issuer.cli.problems"


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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin with a text, without importing their modules; else the options of `issuer`."""
        found = [CompletionItem(name, help=line) for name, (_, line) in sorted(COMMANDS.items())]
        named = [item for item in found if item.value.startswith(incomplete)]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. If it raises a Problem, the Problem is printed and the exit code is 1."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # what its encoding does not have
        try:
            return super().invoke(ctx)
        except Problem as problem:
            raise click.ClickException(import_module(PROBLEMS).line(problem)) from None


@click.group(cls=Commands)
@click.version_option(package_name="issuer", message="%(prog)s %(version)s")
def main() -> None:
    """Issue and renew TLS certificates for the domains of a platform's customers."""
