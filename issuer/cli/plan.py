"""`issuer plan`: the coming renewals."""

from collections import Counter
from typing import Any

import click

from issuer.actions import forecast
from issuer.cli.context import load_services
from issuer.cli.output import as_json_option, counted, say, show_json, show_table
from issuer.cli.values import Seconds
from issuer.config import load_settings_to_imagine
from issuer.ports import Services
from issuer.wiring import build_services

SHORTEST_SECONDS, LONGEST_SECONDS = 600, 10 * 365 * 86400
HOUR, DAY = 3600, 86400
BAR = 16
"""The width of the longest bar, in characters."""


@click.command("plan")
@click.option("--domains", type=click.IntRange(1, 100_000_000), help="Imagine this many domains, issued from now on.")
@click.option(
    "--lifetime",
    type=Seconds(SHORTEST_SECONDS, LONGEST_SECONDS, "90d or 160h"),
    help="With --domains: lifetime of the certificates, 90d or 160h.  [default: as the CA has announced it]",
)
@as_json_option
def plan(*, domains: int | None, lifetime: float | None, as_json: bool) -> None:
    """Show the coming renewals by day and CA, compare them with what each CA allows, and say what the lifetimes that
    the CAs have announced will mean.

    With --domains it needs neither Redis nor settings: without ISSUER_ACME_DIRECTORY and ISSUER_CAS, the CA is Let's
    Encrypt.
    """
    if domains is None and lifetime is not None:
        raise click.UsageError("--lifetime goes with --domains")
    if domains is None:
        services = load_services()
        found = forecast.of_stored(services)
    else:
        services = build_services(load_settings_to_imagine())
        found = forecast.of_imagined(services, domains, lifetime)
    held = Counter[str]()
    for (_, ca), number in found.renewals.items():
        held[ca] += number if domains is None else 0
    if domains is not None and lifetime is None:
        held.update(dict.fromkeys((ca for _, ca in found.renewals), domains))
    periods = forecast.calendar(services, held)
    if as_json:
        show_json(_body(services, found, periods))
    else:
        _print(services, found, periods)


def _print(services: Services, renewals: forecast.Forecast, periods: list[forecast.Period]) -> None:
    certificates = counted(renewals.domains, "certificate")
    say(f"{certificates} with a planned renewal, {counted(renewals.under_way, 'renewal')} open")
    count, examples = renewals.moved_away
    if count:
        more = ", …" if count > len(examples) else ""
        have, their = ("domains have", "their") if count != 1 else ("domain has", "its")
        say(f"{count:,} {have} moved away: {their} DNS points to other servers ({', '.join(examples)}{more})")
    if renewals.renewals:
        most = max(renewals.renewals.values())
        rows = [
            (f"{day}", ca, f"{number:,}", "█" * max(round(BAR * number / most), 1))
            for (day, ca), number in sorted(renewals.renewals.items())
        ]
        show_table(("day (UTC)", "CA", "renewals", ""), rows, numbers=["renewals"])
    for remark in forecast.remarks(services, renewals):
        say(remark)
    if periods:
        say("the CA's calendar, with as many certificates as these:")
        show_table(
            ("from", "CA", "lifetime", "renewals a day"),
            [(f"{one.since}", one.ca, _length(one.lifetime_seconds), f"{one.renewals_a_day:,.0f}") for one in periods],
            numbers=["lifetime", "renewals a day"],
        )


def _body(services: Services, renewals: forecast.Forecast, periods: list[forecast.Period]) -> dict[str, Any]:
    count, examples = renewals.moved_away
    return {
        "certificates": renewals.domains,
        "renewals_open": renewals.under_way,
        "moved_away": {"count": count, "examples": examples},
        "days": [
            {"day": f"{day}", "ca": ca, "renewals": number} for (day, ca), number in sorted(renewals.renewals.items())
        ],
        "remarks": forecast.remarks(services, renewals),
        "calendar": [
            {
                "ca": one.ca,
                "from": f"{one.since}",
                "lifetime_seconds": one.lifetime_seconds,
                "renewals_a_day": round(one.renewals_a_day, 1),
            }
            for one in periods
        ],
    }


def _length(seconds: float) -> str:
    return f"{seconds / DAY:g} days" if seconds % DAY == 0 else f"{seconds / HOUR:g} hours"


COMMANDS = {"plan": plan}
