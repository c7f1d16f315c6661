"""Values that options take, and how they are typed."""

import difflib
import re
from typing import Any

import click

from issuer.problem import ProblemType

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
CODES = sorted(code.value for code in ProblemType)


class Seconds(click.ParamType[float]):
    """A length of time, converted to seconds: `3d`, `12h`, `90m`, `2w`. unit: that of a number alone."""

    name = "time"

    def __init__(self, shortest: float, longest: float, example: str, *, unit: str = "d") -> None:
        self._shortest, self._longest, self._example, self._unit = shortest, longest, example, unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds of a text. Fails for any other text, and for a time that is too short or too long."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhdw]?)", value, re.ASCII)
        seconds = float(match[1]) * UNITS[match[2] or self._unit] if match else -1
        if not self._shortest <= seconds <= self._longest:
            self.fail(f"{value[:80]!a} is not a {self.name} such as {self._example}", param, ctx)
        return seconds


class Code(click.ParamType[str]):
    """The code of a problem, as in docs/api.md."""

    name = "code"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The code. Fails for a text that is none, and then names the ones that are meant."""
        text = str(value)
        if text not in CODES:
            alike = difflib.get_close_matches(text, CODES, n=3)
            hint = f"did you mean {' or '.join(alike)}?" if alike else f"it is one of: {', '.join(CODES)}"
            self.fail(f"{text[:80]!a} is no problem code; {hint}", param, ctx)
        return text
