"""Every metric, by its name.

The store counts them for all processes together, and any `web` shows them at /metrics: nothing is lost when a process
ends, and one scrape covers all. Durations are in seconds. No label is a domain name: there are millions of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CounterValues = Mapping[tuple[str, ...], float]
"""Values by key, either to add or in total. A key is a metric's name followed by its label values or its bucket."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A Prometheus counter. meaning: its help text. labels: their names."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    def once(self, *values: str) -> CounterValues:
        """One more occurrence. values: of the labels."""
        return {(self.name, *values): 1}

    def family(self, counted: CounterValues) -> Metric:
        """The totals as a Prometheus metric family."""
        family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for name, *values in sorted(counted):
            if name == self.name:
                family.add_metric(values, counted[name, *values])
        return family


@dataclass(frozen=True, slots=True)
class Histogram:
    """A Prometheus histogram. meaning: its help text. buckets: their upper bounds, ascending."""

    name: str
    meaning: str
    buckets: tuple[float, ...]

    def observed(self, value: float) -> CounterValues:
        """One more observation of `value`."""
        return {(self.name, self._bucket(value)): 1, (self.name, "sum"): value}

    def family(self, counted: CounterValues) -> Metric:
        """The totals as a Prometheus metric family."""
        cumulated, buckets = 0.0, []
        for bound in [*map(str, self.buckets), "+Inf"]:
            cumulated += counted.get((self.name, bound), 0)
            buckets.append((bound, cumulated))
        return HistogramMetricFamily(self.name, self.meaning, buckets, counted.get((self.name, "sum"), 0))

    def _bucket(self, value: float) -> str:
        return next((str(bound) for bound in self.buckets if value <= bound), "+Inf")


EDGE_LOOKS = Counter(
    "issuer_edge_looks_total",
    "Checks whether an edge serves the certificate in force: yes, no, or unknown if it did not answer.",
    ("edge", "serves"),
)
EDGE_CONFIRMED = Histogram(
    "issuer_edge_confirmed_seconds",
    "Seconds from the installation of a certificate to the check at which all edges served it.",
    (3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0),
)
EDGE_GIVEN_UP = Counter(
    "issuer_edge_given_up_total", "Certificates that some edge did not serve within a day; they are no longer checked."
)
EDGE_UNCONFIRMED = "issuer_edge_unconfirmed"
DAMAGED = "issuer_damaged_records"
EVENTS = Counter(
    "issuer_events_total", "What has happened to domains, by event type and problem code.", ("type", "code")
)


def exposition(counted: CounterValues, *, unconfirmed: int, damaged: int = 0) -> bytes:
    """All metrics in Prometheus' text format. unconfirmed: how many certificates not all edges serve yet. damaged: how
    many records cannot be read."""

    class All(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from (metric.family(counted) for metric in (EDGE_LOOKS, EDGE_CONFIRMED, EDGE_GIVEN_UP, EVENTS))
            yield GaugeMetricFamily(
                EDGE_UNCONFIRMED, "Certificates in force that not all edges are known to serve.", unconfirmed
            )
            yield GaugeMetricFamily(DAMAGED, "Records that cannot be read, so that nothing renews them.", damaged)

    registry = CollectorRegistry()
    registry.register(All())
    return generate_latest(registry)
