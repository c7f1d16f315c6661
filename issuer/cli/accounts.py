"""`issuer accounts`: customers' accounts and their API keys."""

import click
from rich.console import Console
from rich.table import Table

from issuer.actions import accounts
from issuer.cli.context import format_time, load_services
from issuer.config import load_settings
from issuer.domain import Plan
from issuer.wiring import build_services

PLANS = click.Choice([plan.value for plan in Plan])


@click.group("accounts")
def accounts_group() -> None:
    """Create and change customers' accounts and their API keys."""


@accounts_group.command("create")
@click.argument("account")
@click.option(
    "--plan",
    type=PLANS,
    default=Plan.HTTPS.value,
    show_default=True,
    help="What the account may do. Requests of an account on plan 'basic' are answered with 402.",
)
def create(account: str, plan: str) -> None:
    """Create an account and print its API key. The key is shown only this once."""
    click.echo(accounts.create(load_services(), account, Plan(plan)))


@accounts_group.command("list")
def show_all() -> None:
    """List all accounts."""
    table = Table("account", "plan", "created")
    for account in accounts.list_all(load_services()):
        table.add_row(account.id, account.plan.value, format_time(account.created_at))
    Console().print(table)


@accounts_group.command("show")
@click.argument("account")
def show(account: str) -> None:
    """Show an account, and the DNS records that prove that a domain belongs to it (ISSUER_HOLDER_PROOF)."""
    settings = load_settings()
    record = accounts.by_id(build_services(settings), account)
    targets = " or ".join(f"{record.token}.{target}" for target in settings.cname_targets)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{record.id}: plan {record.plan}, created {format_time(record.created_at)}", markup=False)
    console.print(f"token: {record.token}; required proof: {settings.holder_proof or 'none'}", markup=False)
    console.print(f"  cname: DOMAIN CNAME {targets}", markup=False)
    console.print(f"  txt:   _issuer.DOMAIN TXT {record.token}", markup=False)


@accounts_group.command("rotate-key")
@click.argument("account")
def rotate_key(account: str) -> None:
    """Print a new API key for an account. The old key stops working at once."""
    click.echo(accounts.rotate_key(load_services(), account))


@accounts_group.command("set-plan")
@click.argument("account")
@click.argument("plan", type=PLANS)
def set_plan(account: str, plan: str) -> None:
    """Change the plan of an account."""
    accounts.set_plan(load_services(), account, Plan(plan))
    click.echo(f"{account} is on plan {plan} now")


COMMANDS = {"accounts": accounts_group}
