"""Names that the directory has, and whose records are missing although nobody has withdrawn them.

After a loss of data, an old backup or a wrong database, a missing record says nothing about the customer. So the files
stay for `ISSUER_MISSING_DAYS`, unless the record is back before.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from issuer.domain import DAY_SECONDS
from issuer.edge.sync.files import names_in
from issuer.ports import Services

LOOK_SECONDS = 600.0
"""How often missing records are looked for."""


class Missing:
    """state: `since` as it was saved."""

    def __init__(self, state: Any, services: Services, say: Callable[[str], None]) -> None:
        names = names_in(state) if isinstance(state, dict) else ()
        self.since: dict[str, float] = {name: state[name] for name in names if type(state[name]) in {int, float}}
        """Since when each has been missing, in epoch seconds."""
        self._services, self._say, self._look_at = services, say, 0.0

    def due(self) -> list[str]:
        """All of them every LOOK_SECONDS, otherwise none."""
        if not self.since or time.monotonic() < self._look_at:
            return []
        self._look_at = time.monotonic() + LOOK_SECONDS
        return sorted(self.since)

    def over(self, name: str) -> str:
        """Since when a name has been missing, if that is long enough to withdraw it; otherwise an empty text."""
        now = self._services.clock()
        seconds = self._services.settings.missing_days * DAY_SECONDS
        if name not in self.since or not 0 < self.since[name] <= now:  # a clock was wrong, or the state is damaged
            self.since[name] = now
            self._say(f"{name}: its record is missing; its files stay until {_day(now + seconds)}")
        since = self.since[name]
        return _day(since) if now >= since + seconds else ""

    def found(self, name: str) -> None:
        """A name is no longer missing."""
        self.since.pop(name, None)


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
