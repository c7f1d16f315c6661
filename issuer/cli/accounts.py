"""`issuer accounts`: customers' accounts and their API keys."""

import click

from issuer import presenters
from issuer.actions import accounts
from issuer.cli.context import format_time, load_services
from issuer.cli.output import as_json_option, say, show_json, show_table
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
@as_json_option
def create(account: str, plan: str, *, as_json: bool) -> None:
    """Create an account and print its API key. The key is shown only this once."""
    _show_key(account, accounts.create(load_services(), account, Plan(plan)), as_json=as_json)


@accounts_group.command("list")
@as_json_option
def show_all(*, as_json: bool) -> None:
    """List all accounts."""
    found = accounts.list_all(load_services())
    if as_json:
        show_json([presenters.account_body(account) for account in found])
        return
    rows = [(account.id, account.plan.value, format_time(account.created_at)) for account in found]
    show_table(("account", "plan", "created"), rows)


@accounts_group.command("show")
@click.argument("account")
@as_json_option
def show(account: str, *, as_json: bool) -> None:
    """Show an account, and the DNS records that prove that a domain belongs to it (ISSUER_HOLDER_PROOF)."""
    settings = load_settings()
    record = accounts.by_id(build_services(settings), account)
    targets = [f"{record.token}.{target}" for target in settings.cname_targets]
    if as_json:
        show_json(presenters.account_body(record) | {"token": record.token, "cname_targets": targets})
        return
    say(f"{record.id}: plan {record.plan}, created {format_time(record.created_at)}")
    say(f"token: {record.token}; required proof: {settings.holder_proof or 'none'}")
    say(f"cname: DOMAIN CNAME {' or '.join(targets)}", indent=2)
    say(f"txt:   _issuer.DOMAIN TXT {record.token}", indent=2)


@accounts_group.command("rotate-key")
@click.argument("account")
@as_json_option
def rotate_key(account: str, *, as_json: bool) -> None:
    """Print a new API key for an account. The old key stops working at once."""
    _show_key(account, accounts.rotate_key(load_services(), account), as_json=as_json)


@accounts_group.command("set-plan")
@click.argument("account")
@click.argument("plan", type=PLANS)
def set_plan(account: str, plan: str) -> None:
    """Change the plan of an account."""
    accounts.set_plan(load_services(), account, Plan(plan))
    say(f"{account} is on plan {plan} now")


def _show_key(account: str, key: str, *, as_json: bool) -> None:
    """Print an API key, whole and alone, so that a script can take it."""
    if as_json:
        show_json({"account": account, "key": key})
    else:
        click.echo(key)


COMMANDS = {"accounts": accounts_group}
