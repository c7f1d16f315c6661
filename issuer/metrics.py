"""Every metric, by its name.

They are counted in the store for all processes together, and shown by any `web` at /metrics: a process that ends takes
nothing with it, and one place tells of all. Durations are in seconds. No label is a domain's name, of which there are
millions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CounterValues = Mapping[tuple[str, ...], float]
"""By how much to raise what is counted under a metric's name and more words, or how high that is."""


@dataclass(frozen=True, slots=True)
class Counter:
    """How often something has happened. labels: their names."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    def once(self, *values: str) -> CounterValues:
        """It has happened; values: of the labels."""
        return {(self.name, *values): 1}

    def family(self, counted: CounterValues) -> Metric:
        """What was counted, as Prometheus has it."""
        family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for name, *values in sorted(counted):
            if name == self.name:
                family.add_metric(values, counted[name, *values])
        return family


@dataclass(frozen=True, slots=True)
class Histogram:
    """How something is spread. buckets: their upper bounds, ascending."""

    name: str
    meaning: str
    buckets: tuple[float, ...]

    def observed(self, value: float) -> CounterValues:
        """It has been `value` once."""
        return {(self.name, self._bucket(value)): 1, (self.name, "sum"): value}

    def family(self, counted: CounterValues) -> Metric:
        """What was counted, as Prometheus has it."""
        reached, buckets = 0.0, []
        for bound in [*map(str, self.buckets), "+Inf"]:
            reached += counted.get((self.name, bound), 0)
            buckets.append((bound, reached))
        return HistogramMetricFamily(self.name, self.meaning, buckets, counted.get((self.name, "sum"), 0))

    def _bucket(self, value: float) -> str:
        return next((str(bound) for bound in self.buckets if value <= bound), "+Inf")


EDGE_LOOKS = Counter(
    "issuer_edge_looks_total",
    "Looks at whether an edge serves the certificate in force: yes, no, or unknown where it did not answer.",
    ("edge", "serves"),
)
EDGE_CONFIRMED = Histogram(
    "issuer_edge_confirmed_seconds",
    "From a certificate in force to the look at which all edges served it.",
    (3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0),
)
EDGE_GIVEN_UP = Counter(
    "issuer_edge_given_up_total", "Certificates that some edge did not serve for a day, and that are looked at no more."
)
EDGE_UNCONFIRMED = "issuer_edge_unconfirmed"
EVENTS = Counter(
    "issuer_events_total", "What has happened to domains, by event type and problem code.", ("type", "code")
)


def exposition(counted: CounterValues, *, unconfirmed: int) -> bytes:
    """All metrics in Prometheus' text format. unconfirmed: how many certificates are still to be confirmed."""

    class All(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from (metric.family(counted) for metric in (EDGE_LOOKS, EDGE_CONFIRMED, EDGE_GIVEN_UP, EVENTS))
            yield GaugeMetricFamily(
                EDGE_UNCONFIRMED, "Certificates in force that not all edges were seen to serve.", unconfirmed
            )

    registry = CollectorRegistry()
    registry.register(All())
    return generate_latest(registry)
