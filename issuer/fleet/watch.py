"""Every process of the fleet that runs for long watches all: so one that is left can say that the others are gone."""

import time
from contextlib import suppress

from issuer.fleet import checks, faults
from issuer.ports import Check, CheckResult, Services
from issuer.problem import Problem

EVERY_SECONDS = 14
"""How often some process of the fleet looks."""
QUIET_SECONDS = 20
"""A process that has just started reports nothing: the others may be starting, too."""
LOCK = "fleet"


class Watch:
    """One process' share in watching the fleet."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._started = self._looked = time.monotonic()

    def look(self) -> None:
        """Look at the fleet and tell what has begun or ended, unless another process has done so just now. Call it
        often. Raises nothing: that the store is unavailable is told elsewhere."""
        with suppress(Problem):
            if self._is_due() and self._services.locks.take(LOCK, seconds=EVERY_SECONDS - 1):
                self.degraded()

    def degraded(self) -> list[Check]:
        """What is not as it should be, now. What has begun or ended is told. Raises Problem(store-unavailable)."""
        found = checks.checks(self._services)
        if time.monotonic() - self._started >= QUIET_SECONDS:
            found = faults.observe(self._services, found, checks.CODES)
        return [check for check in found if check.result is CheckResult.FAILED]

    def _is_due(self) -> bool:
        now = time.monotonic()
        is_due = now - self._looked >= EVERY_SECONDS
        if is_due:
            self._looked = now
        return is_due
