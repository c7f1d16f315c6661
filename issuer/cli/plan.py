"""`issuer plan`: the coming renewals."""

import re
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from issuer.actions import forecast
from issuer.cli.context import load_services
from issuer.ports import Services

SHORTEST_SECONDS, LONGEST_SECONDS = 600, 10 * 365 * 86400
BAR = 16
"""The width of the longest bar, in characters."""


class Lifetime(click.ParamType[float]):
    """A lifetime in days or hours, converted to seconds: `90d`, `90`, `160h`."""

    name = "lifetime"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds of a text. Fails if the text is not a possible lifetime of a certificate."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?)([dh]?)", value, re.ASCII)
        seconds = float(match[1]) * (3600 if match[2] == "h" else 86400) if match else 0
        if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            self.fail(f"{value!r} is not a lifetime such as 90d or 160h", param, ctx)
        return seconds


@click.command("plan")
@click.option("--domains", type=click.IntRange(1, 100_000_000), help="Imagine this many domains, issued from now on.")
@click.option("--lifetime", type=Lifetime(), help="Lifetime of the imagined certificates: 90d or 160h.")
def plan(domains: int | None, lifetime: float | None) -> None:
    """Show the coming renewals by day and CA, and compare them with what each CA allows."""
    if (domains is None) != (lifetime is None):
        raise click.UsageError("--domains and --lifetime must be given together")
    services = load_services()
    if domains is None or lifetime is None:
        _print(forecast.of_stored(services), services)
    else:
        _print(forecast.of_imagined(services, domains, lifetime), services)


def _print(renewals: forecast.Forecast, services: Services) -> None:
    console = Console()
    console.print(f"{renewals.domains:,} certificates with a planned renewal, {renewals.under_way:,} renewals open")
    count, examples = renewals.moved_away
    if count:
        more = ", …" if count > len(examples) else ""
        console.print(
            f"{count:,} domains have moved away: their DNS points to other servers ({', '.join(examples)}{more})",
            soft_wrap=True,
        )
    if not renewals.renewals:
        return
    table = Table("day (UTC)", Column("CA", overflow="fold"), Column("renewals", justify="right"), "")
    most = max(renewals.renewals.values())
    for (day, ca), number in sorted(renewals.renewals.items()):
        table.add_row(f"{day}", ca, f"{number:,}", "█" * max(round(BAR * number / most), 1))
    console.print(table)
    for remark in forecast.remarks(services, renewals):
        console.print(remark, soft_wrap=True)


COMMANDS = {"plan": plan}
