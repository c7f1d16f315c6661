"""The command `issuer`: what an operator types."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from issuer import accounts as customer_accounts
from issuer import demo as demonstration
from issuer.config import load_settings
from issuer.keys import new_encryption_key
from issuer.ports import Plan, Services
from issuer.problem import Problem
from issuer.sandbox import SandboxError
from issuer.wiring import build_services

PLANS = click.Choice([plan.value for plan in Plan])


class Commands(click.Group):
    """Commands whose Problems end in one line, not in a traceback."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command; a Problem is told and ends with exit code 1."""
        try:
            return super().invoke(context)
        except (Problem, SandboxError) as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Commands)
def main() -> None:
    """Certificates for the domains of a platform's customers."""


@main.command("new-encryption-key")
def new_key_command() -> None:
    """Print a fresh value for ISSUER_ENCRYPTION_KEYS."""
    click.echo(new_encryption_key())


@main.group("accounts")
def accounts() -> None:
    """Customers' accounts and their API keys."""


@accounts.command("create")
@click.argument("account")
@click.option("--plan", type=PLANS, default=Plan.HTTPS.value, show_default=True, help="basic: answered with 402.")
def create(account: str, plan: str) -> None:
    """Make an account and print its API key, which is shown this once."""
    click.echo(customer_accounts.create(_services(), account, Plan(plan)))


@accounts.command("list")
def show() -> None:
    """Show all accounts."""
    table = Table("account", "plan", "created")
    for account in _services().store.accounts():
        created = datetime.fromtimestamp(account.created_at, UTC)
        table.add_row(account.id, account.plan.value, f"{created:%Y-%m-%d %H:%M} UTC")
    Console().print(table)


@accounts.command("rotate-key")
@click.argument("account")
def rotate_key(account: str) -> None:
    """Print a new API key for an account; the old one ends at once."""
    click.echo(customer_accounts.rotate_key(_services(), account))


@accounts.command("set-plan")
@click.argument("account")
@click.argument("plan", type=PLANS)
def set_plan(account: str, plan: str) -> None:
    """Change an account's plan."""
    customer_accounts.set_plan(_services(), account, Plan(plan))
    click.echo(f"{account} is on plan {plan}")


@main.command("demo")
@click.option("--once", is_flag=True, help="End by itself instead of running on.")
@click.option("--domain", help="The name to get a certificate for; a new one below .example by default.")
@click.option("--root", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The CA's root, PEM.")
@click.option("--port", type=int, help="Where web listens; the port that the CA validates at.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Where its data stay; .demo here.")
def demo(*, once: bool, domain: str | None, root: Path | None, port: int | None, folder: Path | None) -> None:
    """Show the whole way from a POST to a certificate, with real parts on this machine."""
    folder = folder or demonstration.FOLDER
    demonstration.run(demonstration.Wishes(once=once, domain=domain, root=root, port=port, folder=folder.absolute()))


def _services() -> Services:
    return build_services(load_settings())
