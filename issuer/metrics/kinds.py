"""The kinds of metrics: what is counted, and how Prometheus reads it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

MetricValues = Mapping[tuple[str, ...], float]
"""Values by key, either to add or in total. A key is a metric's name followed by its label values, and of a histogram
by its bucket."""
SUM = "sum"


@dataclass(frozen=True, slots=True)
class Counter:
    """A Prometheus counter. meaning: its help text. labels: their names."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    def once(self, *values: str) -> MetricValues:
        """One more occurrence. values: of the labels."""
        return {(self.name, *values): 1}

    def zero(self, *values: str) -> MetricValues:
        """No occurrence. Prometheus must have seen that: a counter that begins with 1 has not increased."""
        return {(self.name, *values): 0}

    def family(self, values: MetricValues) -> Metric:
        """The totals as a Prometheus metric family. One without labels is shown before its first occurrence, too."""
        family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels in _labels_of(self.name, self.labels, values) if self.labels else [()]:
            family.add_metric(labels, values.get((self.name, *labels), 0))
        return family


@dataclass(frozen=True, slots=True)
class Gauge:
    """A Prometheus gauge, which is measured when it is asked for. meaning: its help text. labels: their names."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    def at(self, value: float, *values: str) -> MetricValues:
        """Its present value. values: of the labels."""
        return {(self.name, *values): value}

    def of(self, counts: Mapping[str, float]) -> MetricValues:
        """Its present values, by those of its only label."""
        return {(self.name, value): count for value, count in counts.items()}

    def family(self, values: MetricValues) -> Metric:
        """The values as a Prometheus metric family."""
        family = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels in _labels_of(self.name, self.labels, values):
            family.add_metric(labels, values[self.name, *labels])
        return family


@dataclass(frozen=True, slots=True)
class Histogram:
    """A Prometheus histogram. meaning: its help text. buckets: their upper bounds, ascending. labels: their names."""

    name: str
    meaning: str
    buckets: tuple[float, ...]
    labels: tuple[str, ...] = ()

    def observed(self, value: float, *values: str) -> MetricValues:
        """One more observation of `value`. values: of the labels."""
        return {(self.name, *values, self._bucket(value)): 1, (self.name, *values, SUM): value}

    def family(self, values: MetricValues) -> Metric:
        """The totals as a Prometheus metric family. One without labels is shown before its first observation, too."""
        family = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        seen = {key[:-1] for key in _labels_of(self.name, (*self.labels, "le"), values)}
        for labels in sorted(seen) if self.labels else [()]:
            cumulated, buckets = 0.0, []
            for bound in [*map(str, self.buckets), "+Inf"]:
                cumulated += values.get((self.name, *labels, bound), 0)
                buckets.append((bound, cumulated))
            family.add_metric(labels, buckets, values.get((self.name, *labels, SUM), 0))
        return family

    def _bucket(self, value: float) -> str:
        return next((str(bound) for bound in self.buckets if value <= bound), "+Inf")


AnyMetric = Counter | Gauge | Histogram


def added(parts: Iterable[MetricValues]) -> dict[tuple[str, ...], float]:
    """All values together; those of the same key are added."""
    total: dict[tuple[str, ...], float] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0) + value
    return total


def _labels_of(name: str, labels: tuple[str, ...], values: MetricValues) -> list[tuple[str, ...]]:
    """The label values of a metric, sorted. A key with other labels is of another release, and is left out."""
    return sorted(key[1:] for key in values if key[0] == name and len(key) == len(labels) + 1)
