"""`issuer list` and `issuer store`: commands for many records."""

import math
from datetime import UTC, datetime
from typing import Any

import click

from issuer import presenters
from issuer.actions import finding, health, listing
from issuer.actions.finding import Found, Wanted
from issuer.cli.context import load_services
from issuer.cli.output import as_json_option, counted, is_terminal, progress_bar, say, show_json, show_table
from issuer.cli.values import Code, Seconds
from issuer.domain import Status
from issuer.ports import Services
from issuer.problem import Actor

COLUMNS = ("domain", "account", "status", "not_after", "code", "must_act", "message")
ENDS = "ends (UTC)"
TEN_YEARS = 3650 * 86400


@click.command("list")
@click.option("--status", type=click.Choice([one.value for one in Status]), help="Only those with this status.")
@click.option("--code", type=Code(), help="Only those whose last problem has this code, such as caa.")
@click.option("--must-act", type=click.Choice([one.value for one in Actor]), help="Only those for which they must act.")
@click.option(
    "--ends-within",
    type=Seconds(0, TEN_YEARS, "3d or 12h"),
    help="Only those whose valid certificate ends within this time: 3d, 12h.",
)
@click.option(
    "--expires-before", type=click.DateTime(["%Y-%m-%d"]), help="Only those that expire before this day (UTC)."
)
@click.option("--account", help="Only the domains of this account.")
@click.option("--ca", help="Only those with a certificate of this CA (its directory URL).")
@click.option("--after", default="", help="Continue after this position, which the previous page has printed.")
@click.option("--limit", type=click.IntRange(1, listing.MAX_PAGE), default=100, show_default=True)
@as_json_option
def show_list(*, after: str, limit: int, as_json: bool, **filters: Any) -> None:
    """List the domains that fit all of the options; without any, count all by status.

    One index is walked for a page, and its names are filtered. So a page may be short although there are more: then it
    ends with the position at which the next one begins. With --json, each domain is a JSON object on a line.
    """
    if filters["ends_within"] is not None and filters["expires_before"] is not None:
        raise click.UsageError("give only one of --ends-within and --expires-before")
    services = load_services()
    wanted = _wanted(services.clock(), **filters)
    if wanted.is_all:
        if after:
            raise click.UsageError("--after needs the options of the page that has printed it")
        _show_counts(services, as_json=as_json)
        return
    _show_page(services, finding.find(services, wanted, after=after, limit=limit), as_json=as_json)


def _wanted(
    now: float,
    *,
    status: str | None,
    code: str | None,
    must_act: str | None,
    ends_within: float | None,
    expires_before: datetime | None,
    account: str | None,
    ca: str | None,
) -> Wanted:
    """What the options say."""
    until = math.inf if ends_within is None else now + ends_within
    return Wanted(
        status=Status(status) if status else None,
        code=code or "",
        must_act=Actor(must_act) if must_act else None,
        ends_from=-math.inf if ends_within is None else now,
        ends_until=expires_before.replace(tzinfo=UTC).timestamp() - 1 if expires_before else until,
        account=account or "",
        ca=ca or "",
    )


@click.group("store")
def store() -> None:
    """Maintain the records in Redis."""


@store.command("reindex")
@as_json_option
def reindex(*, as_json: bool) -> None:
    """Give indexes to records that an earlier release wrote. If it is interrupted, the running processes continue it.
    Run it again when the last process of the earlier release has ended."""
    services = load_services()
    counts = listing.counts(services)
    total = counts.active + counts.processing + counts.expired + counts.error
    progress = health.reindex(services, restart=True)
    with progress_bar("reindex") as bar:
        while not progress.is_done:
            bar.show(progress.seen, max(total, progress.seen), f"({progress.damaged:,} damaged)")
            progress = health.reindex(services)
    if as_json:
        show_json({"seen": progress.seen, "damaged": progress.damaged})
        return
    say(f"{counted(progress.seen, 'record')}, {progress.damaged:,} of them damaged")
    say("all records have their indexes")
    if progress.damaged:
        say("issuer list --code damaged-record shows the damaged ones")


@store.command("adopt")
@click.option("--instead-of", default="", metavar="ID", help="The identity that the alarm names.")
def adopt(instead_of: str) -> None:
    """Accept the data in Redis as they are, in place of those that were used before and are lost or elsewhere. All
    processes and edges then go on with them. Names that the edges serve and these data do not have are withdrawn after
    ISSUER_MISSING_DAYS."""
    say(f"the store {health.adopt(load_services(), instead_of)} is in use")


def _show_page(services: Services, found: Found, *, as_json: bool) -> None:
    now = services.clock()
    lines = [presenters.entry(record, now) for record in found.records]
    if as_json:
        for line in lines:
            show_json(line)
    elif is_terminal():
        rows = [(line["domain"], line["status"], _end(line.get("not_after")), _problem(line)) for line in lines]
        show_table(("domain", "status", ENDS, "what is wrong"), rows)
    else:
        show_table(COLUMNS, [[line.get(title) for title in COLUMNS] for line in lines])
    if found.next:
        few = f"{len(lines):,} of the {found.seen:,} looked at fit; there may be more: "
        say(f"{few if len(lines) < found.seen else 'more: '}--after {found.next!r}", is_error=as_json)


def _end(instant: str | None) -> str:
    """The day of an instant."""
    return (instant or "")[:10]


def _problem(line: dict[str, str]) -> str:
    return f"{line['code']} ({line['must_act']} must act): {line['cause']}" if "code" in line else ""


def _show_counts(services: Services, *, as_json: bool) -> None:
    counts = listing.counts(services)
    by_status = {
        "active": counts.active,
        "processing": counts.processing,
        "expired": counts.expired,
        "error": counts.error,
    }
    if as_json:
        show_json(by_status)
        return
    for word, count in by_status.items():
        say(f"{word:<11} {count:>12,}")


COMMANDS = {"list": show_list, "store": store}
