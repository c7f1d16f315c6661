"""The command `issuer`: what an operator types."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from issuer.actions import accounts as customer_accounts
from issuer.actions import forecast
from issuer.actions.prefer import prefer as set_preferences
from issuer.cli.edge import edge
from issuer.config import load_settings
from issuer.domain import Plan, status
from issuer.keys import new_encryption_key
from issuer.names import canonical
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.sandbox import SandboxError
from issuer.sandbox import demo as demonstration
from issuer.wiring import build_services

PLANS = click.Choice([plan.value for plan in Plan])
SHORTEST_SECONDS, LONGEST_SECONDS = 600, 10 * 365 * 86400
BAR = 16
"""How wide the longest bar is, in characters."""


class Lifetime(click.ParamType[float]):
    """Days or hours, as seconds: `90d`, `90`, `160h`."""

    name = "lifetime"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds of a text. Fails for what is no lifetime of a certificate."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?)([dh]?)", value, re.ASCII)
        seconds = float(found[1]) * (3600 if found[2] == "h" else 86400) if found else 0
        if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            self.fail(f"{value!r} is not a lifetime such as 90d or 160h", param, ctx)
        return seconds


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


main.add_command(edge)


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
        table.add_row(account.id, account.plan.value, _time(account.created_at))
    Console().print(table)


@accounts.command("show")
@click.argument("account")
def show_one(account: str) -> None:
    """Show an account, and what its domains' DNS must have to show that they are its own (ISSUER_HOLDER_PROOF)."""
    settings = load_settings()
    found = customer_accounts.by_id(build_services(settings), account)
    targets = " or ".join(f"{found.token}.{target}" for target in settings.cname_targets)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{found.id}: plan {found.plan}, since {_time(found.created_at)}", markup=False)
    console.print(f"token: {found.token}; asked for as proof: {settings.holder_proof or 'nothing'}", markup=False)
    console.print(f"  cname: DOMAIN CNAME {targets}", markup=False)
    console.print(f"  txt:   _issuer.DOMAIN TXT {found.token}", markup=False)


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


@main.group("ca")
def cas() -> None:
    """The CAs and our accounts there."""


@cas.command("list")
def show_cas() -> None:
    """Show the CAs in order of preference, our account at each, and whether it is asked at the moment."""
    services = _services()
    table = Table(*(Column(title, overflow="fold") for title in ("CA", "account", "key thumbprint", "since", "state")))
    for ca in services.cas:
        known = ca.known_account()
        account = (
            [known.url or "not known to the CA yet", known.thumbprint, _time(known.created_at)]
            if known
            else ["none yet", "", ""]
        )
        until = services.limits.cooldown_until(ca.directory_url, now=services.clock())
        rolling = (
            ["its key is being rolled over: issuer ca roll-over ends that"] if known and known.is_rolling_over else []
        )
        state = [f"left alone until {_time(until)}" if until else "asked", *rolling]
        table.add_row(ca.directory_url, *account, "; ".join(state))
    Console().print(table)


@cas.command("roll-over")
@click.argument("directory", required=False)
def roll_over(directory: str | None) -> None:
    """Give our account at a CA a new key; DIRECTORY may be left out where there is one CA."""
    services = _services()
    ca = services.ca_at(directory) if directory else services.cas[0] if len(services.cas) == 1 else None
    if ca is None:
        raise click.UsageError(f"name one of: {', '.join(ca.directory_url for ca in services.cas)}")
    ca.roll_over()
    known = ca.known_account()
    click.echo(f"the account at {ca.directory_url} has a new key, of thumbprint {known.thumbprint if known else ''}")


@main.command("status")
@click.argument("domain")
def show_status(domain: str) -> None:
    """Show how a domain stands, who must act, and what has happened of late."""
    services = _services()
    name = canonical(domain, allow_reserved=True)
    record = services.store.load(name)
    if record is None:
        raise Problem(ProblemType.NOT_FOUND, name)
    issuance, certificate = record.issuance, record.domain.certificate
    console = Console(highlight=False, soft_wrap=True)
    word = "withdrawn" if record.domain.is_withdrawn else status(record, services.clock())
    console.print(f"{name}: {word}, held by {record.domain.account}", markup=False)
    if record.domain.withdrawn_until is not None:
        console.print(f"kept for it until {_time(record.domain.withdrawn_until)}")
    for one in record.domain.revocations:
        console.print(f"to be revoked: certificate {one.serial} of {one.ca}, asked in vain {one.tries} times")
    if certificate:
        console.print(
            f"certificate {certificate.serial} of {certificate.ca} until {_time(certificate.not_after)}", markup=False
        )
    if issuance.problem:
        console.print(f"{issuance.problem} [must act: {issuance.problem.actor}]", markup=False)
    at = issuance.next_try_at if issuance.is_open else record.domain.renew_at
    console.print(f"next attempt: {_time(at) if at else 'now' if issuance.is_open else 'none planned'}")
    for event in record.timeline:
        console.print(f"  {_time(event.at)}  {event.text}", markup=False)


@main.command("prefer")
@click.argument("domain")
@click.option("--ca", help="Directory URL of the one CA that its certificates come from; '' for any.")
@click.option("--profile", help="The profile of its certificates; '' for the CA's usual one.")
@click.option("--chain", help="Common name of the issuer that its chain should lead to; '' for the usual one.")
def prefer(domain: str, ca: str | None, profile: str | None, chain: str | None) -> None:
    """Choose a CA, a profile or a chain for one domain, from its next order on."""
    name = canonical(domain, allow_reserved=True)
    chosen = set_preferences(_services(), name, ca=ca, profile=profile, chain=chain).domain
    usual = "the usual one"
    click.echo(
        f"{name}: CA {chosen.ca or 'by preference'}, profile {chosen.profile or usual}, "
        f"chain to {chosen.preferred_chain or usual}"
    )


@main.command("plan")
@click.option("--domains", type=click.IntRange(1, 100_000_000), help="Imagine so many domains, issued from now on.")
@click.option("--lifetime", type=Lifetime(), help="How long their certificates serve: 90d or 160h.")
def plan(domains: int | None, lifetime: float | None) -> None:
    """Show the coming renewals, day by day and CA by CA, against what the CA allows."""
    if (domains is None) != (lifetime is None):
        raise click.UsageError("--domains and --lifetime go together")
    services = _services()
    if domains is None or lifetime is None:
        _show_forecast(forecast.of_stored(services), services)
    else:
        _show_forecast(forecast.of_imagined(services, domains, lifetime), services)


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


def _show_forecast(found: forecast.Forecast, services: Services) -> None:
    console = Console()
    console.print(f"{found.domains:,} certificates with a renewal planned, {found.under_way:,} renewals under way")
    count, some = found.moved_away
    if count:
        more = ", …" if count > len(some) else ""
        console.print(f"moved away: {count:,} names lead elsewhere ({', '.join(some)}{more})")
    if not found.renewals:
        return
    table = Table("day (UTC)", Column("CA", overflow="fold"), Column("renewals", justify="right"), "")
    most = max(found.renewals.values())
    for (day, ca), renewals in sorted(found.renewals.items()):
        table.add_row(f"{day}", ca, f"{renewals:,}", "█" * max(round(BAR * renewals / most), 1))
    console.print(table)
    for remark in forecast.remarks(services, found):
        console.print(remark)


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _services() -> Services:
    return build_services(load_settings())
