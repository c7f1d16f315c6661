"""How the pages write numbers and times."""

from datetime import UTC, datetime

from flask import Blueprint

from issuer.presenters import LAST_INSTANT, instant

UNITS = ((86400, "d"), (3600, "h"), (60, "min"))
ALMOST = 0.99
"""So much of an hour is an hour, and not 60 minutes."""


def register(blueprint: Blueprint) -> None:
    """Let all templates use these."""
    blueprint.add_app_template_filter(number)
    blueprint.add_app_template_filter(clock)
    blueprint.add_app_template_filter(relative)
    blueprint.add_app_template_filter(instant)


def number(value: float) -> str:
    """A number with a comma between thousands."""
    return f"{value:,.0f}"


def clock(at: float) -> str:
    """A time to the minute, in UTC."""
    return f"{datetime.fromtimestamp(min(max(at, 0), LAST_INSTANT), UTC):%Y-%m-%d %H:%M}"


def relative(at: float, now: float) -> str:
    """A time as people say it: `in 4 min`, `3 h ago`, `now`."""
    seconds = abs(at - now)
    for length, unit in UNITS:
        if (count := round(seconds / length)) >= 1 and seconds >= length * ALMOST:
            return f"in {count} {unit}" if at > now else f"{count} {unit} ago"
    return "now"
