"""What a process has counted and not yet added to the store: many tasks together take one trip to it."""

import os
import threading
from collections.abc import Callable

from issuer.metrics.kinds import MetricValues, added

SECONDS = 5
"""How long counts are kept together. A process that is killed loses them, and nothing else depends on them."""


class Tally:
    """Counts of this process; several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: MetricValues = {}
        self._timer: threading.Timer | None = None
        os.register_at_fork(after_in_child=self._begin_anew)

    def add(self, *counts: MetricValues) -> None:
        """Count."""
        with self._lock:
            self._counts = added((self._counts, *counts))

    def take(self) -> MetricValues:
        """All counts since the last call."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def later(self, add: Callable[[], None]) -> None:
        """Call `add` in a thread in some seconds, if there is something to add and no such call waits already."""
        with self._lock:
            if self._counts and self._timer is None:
                self._timer = threading.Timer(SECONDS, self._add, (add,))
                self._timer.daemon = True
                self._timer.start()

    def _add(self, add: Callable[[], None]) -> None:
        with self._lock:
            self._timer = None
        add()

    def _begin_anew(self) -> None:
        """In the child of a fork: what the parent has counted is the parent's, and so is its thread."""
        self._lock = threading.Lock()
        self._counts = {}
        self._timer = None
