"""What a process has counted where there is no store at hand, until it is added to the store."""

import os
import threading

from issuer.metrics.kinds import MetricValues, added


class Tally:
    """Counts of this process; several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: MetricValues = {}
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

    def _begin_anew(self) -> None:
        """In the child of a fork: what the parent has counted is the parent's."""
        self._lock = threading.Lock()
        self._counts = {}
