"""`issuer ca`: the CAs, and our accounts at them."""

from typing import Any

import click

from issuer import presenters
from issuer.actions import authorities
from issuer.cli import queueing
from issuer.cli.context import format_time, load_services
from issuer.cli.output import as_json_option, is_terminal, plain, say, show_json, show_table

TITLES = ("CA", "account", "key thumbprint", "created", "state")
UNREADABLE = "cannot be decrypted with ISSUER_ENCRYPTION_KEYS"


@click.group("ca")
def ca_group() -> None:
    """Show the CAs, and change our accounts at them."""


@ca_group.command("list")
@as_json_option
def show_all(*, as_json: bool) -> None:
    """List the CAs in order of preference, our account at each, and whether it is asked at the moment."""
    cas = authorities.list_all(load_services())
    if as_json:
        show_json([_body(ca) for ca in cas])
        return
    rows = [_row(ca) for ca in cas]
    if not is_terminal():
        show_table(TITLES, rows)
        return
    for directory, *facts in rows:
        say(directory, style="bold")
        for title, fact in zip(TITLES[1:], facts, strict=True):
            if fact:
                say(f"{title:<14}  {fact}", indent=2)


@ca_group.command("roll-over")
@click.argument("directory", required=False)
def roll_over(directory: str | None) -> None:
    """Replace the key of our account at a CA. DIRECTORY is the CA's directory URL; it may be omitted if there is only
    one CA."""
    ca = authorities.roll_over(load_services(), directory)
    thumbprint = ca.account.thumbprint if ca.account else ""
    say(f"our account at {ca.directory_url} has a new key with thumbprint {thumbprint}")


@ca_group.command("forget")
@click.argument("directory")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(directory: str, *, yes: bool) -> None:
    """Make a new account at a CA, in place of one whose encryption key is lost for good, or which the CA has
    deactivated. DIRECTORY is the CA's directory URL. The CA keeps the former account, and nobody can use it again."""
    services = load_services()
    if not yes:
        click.confirm(plain(f"The key of our account at {directory} will be gone for good. Go on?"), abort=True)
    authorities.forget(services, directory)
    say(f"our account at {directory} is forgotten; a new one is created when it is first needed")


@ca_group.command("rejected")
@as_json_option
def show_rejected(*, as_json: bool) -> None:
    """List the domains for which a CA has issued a certificate that cannot be used. No other is ordered there before
    'issuer ca allow'."""
    found = list(authorities.rejected(load_services()))
    if as_json:
        for name, rejection in found:
            show_json({"domain": name} | presenters.rejection_body(rejection))
        return
    rows = [(name, rejection.ca, format_time(rejection.at), rejection.reason) for name, rejection in found]
    show_table(("domain", "CA", "since", "reason"), rows)


@ca_group.command("allow")
@click.argument("directory")
@click.argument("domains", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All domains of 'issuer ca rejected' with this CA.")
def allow(directory: str, domains: tuple[str, ...], *, is_all: bool) -> None:
    """Allow another order for DOMAINS at a CA that has issued a certificate for them which cannot be used. DIRECTORY is
    the CA's directory URL. Issuances that wait for this are tried at once."""
    if is_all == bool(domains):
        raise click.UsageError("name some domains, or give --all")
    services = queueing.load_services()
    named = (
        [name for name, rejection in authorities.rejected(services) if rejection.ca == directory] if is_all else domains
    )
    for name in named:
        authorities.allow(services, directory, name)
    say(f"{len(named):,} domains may be ordered at {directory} again")


def _row(ca: authorities.AuthorityView) -> tuple[str, ...]:
    account = ca.account
    if account is None:
        return ca.directory_url, "none yet", "", "", _state(ca)
    url = account.url or "not registered at the CA yet"
    return ca.directory_url, url, account.thumbprint or UNREADABLE, format_time(account.created_at), _state(ca)


def _body(ca: authorities.AuthorityView) -> dict[str, Any]:
    account = ca.account
    return {
        "directory": ca.directory_url,
        "account": account
        and {
            "url": account.url,
            "thumbprint": account.thumbprint,
            "created_at": presenters.instant(account.created_at),
            "is_rolling_over": account.is_rolling_over,
        },
        "cooldown_until": presenters.instant(ca.cooldown_until) if ca.cooldown_until else None,
        "problem": presenters.problem_body(ca.problem) if ca.problem else None,
    }


def _state(ca: authorities.AuthorityView) -> str:
    states = [f"not asked until {format_time(ca.cooldown_until)}" if ca.cooldown_until else "asked"]
    if ca.problem:
        states.append(f"{ca.problem.cause} ({ca.problem.hint})" if ca.problem.hint else ca.problem.cause)
    if ca.account and ca.account.is_rolling_over:
        states.append("a key roll-over was interrupted; 'issuer ca roll-over' completes it")
    return "; ".join(states)


COMMANDS = {"ca": ca_group}
