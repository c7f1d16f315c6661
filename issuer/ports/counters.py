"""The counters of the metrics."""

from typing import Protocol

from issuer.metrics import MetricValues


class Counters(Protocol):
    """The counters of the metrics, which all processes share. Every method raises Problem(store-unavailable) if the
    store is unavailable."""

    def add(self, *counts: MetricValues) -> None:
        """Increase counters."""

    def add_tally(self) -> None:
        """Increase counters by what this process has counted aside (`metrics.TALLY`). Never raises: if the store is
        unavailable, that is done the next time."""

    def add_tally_later(self) -> None:
        """The same within some seconds, for all tasks of this process in that time together."""

    def values(self) -> MetricValues:
        """The values of all counters."""
