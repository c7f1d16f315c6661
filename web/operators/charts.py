"""The geometry of a histogram: where its bars and the limits beside them are. The template draws it as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from issuer.actions.overview import Histogram, Limit
from issuer.domain import DAY_SECONDS

WIDTH, HEIGHT, GAP = 600, 120, 2
FAR = 3
"""A limit of up to so many times the highest bar is drawn in its place; a higher one at the top."""
HEADROOM = 1.05
LABELS = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One day. y, height: in the units of the chart, from its top. is_over: more than a limit allows."""

    day: str
    count: int
    x: float
    y: float
    height: float
    is_over: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A limit. is_above: it is so high that its place is outside."""

    by: str
    a_day: int
    y: float
    is_above: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn. top: what the upper end stands for. labels: days below it, evenly spaced."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    labels: tuple[str, ...]
    top: int
    step: float
    width: int = WIDTH
    height: int = HEIGHT
    gap: int = GAP


def chart(histogram: Histogram) -> Chart:
    """The chart of a histogram. It is as high as its highest bar, and as the limits that are not much higher."""
    highest = max(histogram.days)
    near = [limit.a_day for limit in histogram.limits if limit.a_day <= FAR * highest]
    top = max(highest, *near, 1) if near else max(highest, 1)
    step, unit = WIDTH / len(histogram.days), HEIGHT / (top * HEADROOM)
    lowest = min((limit.a_day for limit in histogram.limits), default=None)
    bars = [
        Bar(
            day=_day(histogram.start, number),
            count=count,
            x=round(number * step, 2),
            y=round(HEIGHT - _height(count, unit), 2),
            height=round(_height(count, unit), 2),
            is_over=lowest is not None and count > lowest,
        )
        for number, count in enumerate(histogram.days)
    ]
    lines = tuple(_line(limit, top, unit) for limit in histogram.limits)
    return Chart(tuple(bars), lines, _labels(histogram.start, histogram.days), top, step)


def _height(count: int, unit: float) -> float:
    """A bar of one is seen, beside one of a million too."""
    return max(count * unit, 2) if count else 0


def _line(limit: Limit, top: int, unit: float) -> Line:
    is_above = limit.a_day > top
    return Line(limit.by, limit.a_day, 1.0 if is_above else round(HEIGHT - limit.a_day * unit, 2), is_above)


def _labels(start: float, days: Sequence[int]) -> tuple[str, ...]:
    numbers = [len(days) * label // LABELS for label in range(LABELS)]
    return tuple(_day(start, number)[5:] for number in numbers)


def _day(start: float, number: int) -> str:
    return f"{datetime.fromtimestamp(start + number * DAY_SECONDS, UTC):%Y-%m-%d}"
