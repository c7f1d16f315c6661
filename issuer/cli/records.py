"""`issuer list` and `issuer store`: commands for many records."""

import json
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from issuer import presenters
from issuer.actions import health, listing
from issuer.actions.listing import Page
from issuer.cli.context import load_services
from issuer.domain import Listing
from issuer.ports import Services

COLUMNS = ("domain", "account", "status", "not_after", "code", "message")


@click.command("list")
@click.option("--account", help="Only the domains of this account.")
@click.option("--ca", help="Only those with a certificate of this CA (its directory URL).")
@click.option("--code", help="Only those whose last problem has this code, such as caa.")
@click.option(
    "--expires-before", type=click.DateTime(["%Y-%m-%d"]), help="Only those that expire before this day (UTC)."
)
@click.option("--after", default="", help="Continue after this position, which the previous page has printed.")
@click.option("--limit", type=click.IntRange(1, listing.MAX_PAGE), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def show_list(
    *,
    account: str | None,
    ca: str | None,
    code: str | None,
    expires_before: datetime | None,
    after: str,
    limit: int,
    as_json: bool,
) -> None:
    """List domains by one of --account, --ca, --code and --expires-before; without any, count them by status."""
    filters = [(Listing.ACCOUNT, account), (Listing.CA, ca), (Listing.CODE, code), (Listing.EXPIRY, expires_before)]
    chosen = [(fact, value) for fact, value in filters if value is not None]
    services = load_services()
    if not chosen:
        _print_counts(services, as_json=as_json)
        return
    if len(chosen) > 1:
        raise click.UsageError("give only one of --account, --ca, --code and --expires-before")
    fact, value = chosen[0]
    if isinstance(value, datetime):
        until = value.replace(tzinfo=UTC).timestamp() - 1
        page = listing.by_expiry(services, until=until, after=after, limit=limit)
    else:
        page = listing.by_fact(services, fact, value, after=after, limit=limit)
    _print_page(services, page, as_json=as_json)


@click.group("store")
def store() -> None:
    """Maintain the records in Redis."""


@store.command("reindex")
def reindex() -> None:
    """Give indexes to records that an earlier release wrote. If it is interrupted, the running processes continue it.
    Run it again when the last process of the earlier release has ended."""
    services = load_services()
    progress = health.reindex(services, restart=True)
    while True:
        click.echo(f"{progress.seen:,} records, {progress.damaged:,} of them damaged")
        if progress.is_done:
            break
        progress = health.reindex(services)
    click.echo("all records have their indexes")
    if progress.damaged:
        click.echo("issuer list --code damaged-record shows the damaged ones")


@store.command("adopt")
@click.option("--instead-of", default="", metavar="ID", help="The identity that the alarm names.")
def adopt(instead_of: str) -> None:
    """Accept the data in Redis as they are, in place of those that were used before and are lost or elsewhere. All
    processes and edges then go on with them. Names that the edges serve and these data do not have are withdrawn after
    ISSUER_MISSING_DAYS."""
    click.echo(f"the store {health.adopt(load_services(), instead_of)} is in use")


def _print_page(services: Services, page: Page, *, as_json: bool) -> None:
    lines = [presenters.entry(record, services.clock()) for record in page.records]
    if as_json:
        for line in lines:
            click.echo(json.dumps(line))
    else:
        table = Table(*(Column(title, overflow="fold") for title in COLUMNS))
        for line in lines:
            table.add_row(*(Text(str(line.get(title) or "")) for title in COLUMNS))  # no markup of a CA's words
        Console().print(table)
    if page.next:
        click.echo(f"more: --after {page.next!r}", err=as_json)


def _print_counts(services: Services, *, as_json: bool) -> None:
    counts = listing.counts(services)
    by_status: dict[str, Any] = {
        "active": counts.active,
        "processing": counts.processing,
        "expired": counts.expired,
        "error": counts.error,
    }
    if as_json:
        click.echo(json.dumps(by_status))
        return
    for status, count in by_status.items():
        click.echo(f"{status:<11} {count:>12,}")


COMMANDS = {"list": show_list, "store": store}
