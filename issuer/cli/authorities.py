"""`issuer ca`: the CAs, and our accounts at them."""

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from issuer.actions import authorities
from issuer.cli.context import format_time, load_services

UNREADABLE = "cannot be decrypted with ISSUER_ENCRYPTION_KEYS"


@click.group("ca")
def ca_group() -> None:
    """Show the CAs, and change our accounts at them."""


@ca_group.command("list")
def show_all() -> None:
    """List the CAs in order of preference, our account at each, and whether it is asked at the moment."""
    titles = ("CA", "account", "key thumbprint", "created", "state")
    table = Table(*(Column(title, overflow="fold") for title in titles))
    for ca in authorities.list_all(load_services()):
        account = ca.account
        columns = ("none yet", "", "")
        if account:
            url = account.url or "not registered at the CA yet"
            columns = (url, account.thumbprint or UNREADABLE, format_time(account.created_at))
        table.add_row(ca.directory_url, *columns, _state(ca))
    Console().print(table)


@ca_group.command("roll-over")
@click.argument("directory", required=False)
def roll_over(directory: str | None) -> None:
    """Replace the key of our account at a CA. DIRECTORY is the CA's directory URL; it may be omitted if there is only
    one CA."""
    ca = authorities.roll_over(load_services(), directory)
    thumbprint = ca.account.thumbprint if ca.account else ""
    click.echo(f"our account at {ca.directory_url} has a new key with thumbprint {thumbprint}")


@ca_group.command("forget")
@click.argument("directory")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(directory: str, *, yes: bool) -> None:
    """Give up our account at a CA whose encryption key is lost for good, for a new account. DIRECTORY is the CA's
    directory URL. The CA keeps the former account, and nobody can use it again."""
    services = load_services()
    if not yes:
        click.confirm(f"The key of our account at {directory} will be gone for good. Go on?", abort=True)
    authorities.forget(services, directory)
    click.echo(f"our account at {directory} is forgotten; a new one is created when it is first needed")


@ca_group.command("rejected")
def show_rejected() -> None:
    """List the domains for which a CA has issued a certificate that cannot be used. No other is ordered there before
    'issuer ca allow'."""
    table = Table(*(Column(title, overflow="fold") for title in ("domain", "CA", "since", "reason")))
    for name, rejection in authorities.rejected(load_services()):
        table.add_row(name, rejection.ca, format_time(rejection.at), Text(rejection.reason))
    Console().print(table)


@ca_group.command("allow")
@click.argument("directory")
@click.argument("domains", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All domains of 'issuer ca rejected' with this CA.")
def allow(directory: str, domains: tuple[str, ...], *, is_all: bool) -> None:
    """Allow another order for DOMAINS at a CA that has issued a certificate for them which cannot be used. DIRECTORY is
    the CA's directory URL. Issuances that wait for this are tried at once."""
    if is_all == bool(domains):
        raise click.UsageError("name some domains, or give --all")
    services = load_services()
    named = (
        [name for name, rejection in authorities.rejected(services) if rejection.ca == directory] if is_all else domains
    )
    for name in named:
        authorities.allow(services, directory, name)
    click.echo(f"{len(named):,} domains may be ordered at {directory} again")


def _state(ca: authorities.AuthorityView) -> str:
    states = [f"not asked until {format_time(ca.cooldown_until)}" if ca.cooldown_until else "asked"]
    if ca.account and ca.account.is_rolling_over:
        states.append("a key roll-over was interrupted; 'issuer ca roll-over' completes it")
    return "; ".join(states)


COMMANDS = {"ca": ca_group}
