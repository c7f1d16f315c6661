"""Every metric, by its name.

Counters and histograms are counted in the store, for all processes together; gauges are measured in it when somebody
asks. So any `web` shows the same at /metrics: nothing is lost when a process ends, and one scrape covers all. Durations
are in seconds. No label is a domain name: there are millions of them.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from issuer.metrics.kinds import AnyMetric, Counter, Gauge, Histogram, MetricValues, added
from issuer.metrics.tally import Tally

__all__ = ["ALL", "TALLY", "AnyMetric", "Counter", "Gauge", "Histogram", "MetricValues", "added", "exposition"]

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
EDGE_UNCONFIRMED = Gauge("issuer_edge_unconfirmed", "Certificates in force that not all edges are known to serve.")
EDGE_LAG = Gauge(
    "issuer_edge_lag_seconds", "Seconds since the installation of the oldest certificate that not all edges serve."
)
DAMAGED = Gauge("issuer_damaged_records", "Records that cannot be read, so that nothing renews them.")
EVENTS = Counter(
    "issuer_events_total", "What has happened to domains, by event type and problem code.", ("type", "code")
)
ISSUANCES = Counter(
    "issuer_issuances_total",
    "Attempts that have ended: succeeded, failed_over (to the next CA), retried (they will be) or failed (for good); "
    "by reason (first, manual, renewal) and CA (empty if none was selected yet).",
    ("result", "reason", "ca"),
)
STEP_SECONDS = Histogram(
    "issuer_step_seconds",
    "Seconds that the last run of a step took which completed it.",
    (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    ("step",),
)
CA_REQUESTS = Counter(
    "issuer_ca_requests_total",
    "Requests to a CA, by the status of its answer; «none» if there was no answer that could be read.",
    ("ca", "status"),
)
CA_PROBLEMS = Counter(
    "issuer_ca_problems_total",
    "Requests that a CA refused, by the type of its problem document (RFC 8555 §6.7); «none» for an answer without "
    "one, «other» for a type that is not known.",
    ("ca", "type"),
)
REFUSED_REQUESTS = Counter(
    "issuer_refused_requests_total",
    "Requests for a certificate (POST, PUT) that were refused, by problem code.",
    ("code",),
)
BUILD_INFO = Gauge("issuer_build_info", "The release of the process that answers; always 1.", ("version",))
DOMAINS = Gauge("issuer_domains", "Domains, by their status now.", ("status",))
DOMAINS_BY_CODE = Gauge(
    "issuer_domains_with_problem", "Domains whose last problem has not ended, by its code.", ("code",)
)
DOMAINS_BY_ACTOR = Gauge(
    "issuer_domains_must_act",
    "Domains whose last problem has not ended, by who must act; those on which nobody works are the platform's.",
    ("must_act",),
)
DOMAINS_MOVED_AWAY = Gauge("issuer_domains_moved_away", "Domains that DNS has clearly pointed to other servers.")
DOMAINS_REJECTED = Gauge(
    "issuer_domains_rejected", "Domains for which a CA has issued a certificate that cannot be used."
)
CERTIFICATES = Gauge("issuer_certificates", "Certificates in force, by the CA that issued them.", ("ca",))
CERTIFICATES_ENDED = Gauge("issuer_certificates_ended", "Certificates whose notAfter has passed.")
CERTIFICATES_ENDING = Gauge(
    "issuer_certificates_ending", "Valid certificates that end within so many days (cumulative).", ("within",)
)
CERTIFICATES_AT_RISK = Gauge(
    "issuer_certificates_at_risk",
    "Valid certificates that end within so many days (cumulative), and whose renewal has failed so far.",
    ("within",),
)
DUE_ENTRIES = Gauge("issuer_due_entries", "Names in a list of what is due, now or later.", ("list",))
DUE_NOW = Gauge("issuer_due_now", "Names in a list of what is due, that are due now.", ("list",))
DUE_OLDEST = Gauge(
    "issuer_due_oldest_seconds", "For how long the oldest entry of a list has been due; 0 if none is due.", ("list",)
)
QUEUE_MESSAGES = Gauge("issuer_queue_messages", "Messages that wait in a queue of the broker.", ("queue",))
QUEUE_OLDEST = Gauge(
    "issuer_queue_oldest_seconds",
    "For how long the oldest message of a queue has waited; 0 if there is none.",
    ("queue",),
)
QUEUE_UNACKNOWLEDGED = Gauge(
    "issuer_queue_unacknowledged_messages", "Messages of all queues that a process has taken and not finished."
)
QUEUE_CONSUMERS = Gauge(
    "issuer_queue_consumers", "Running consumers that take messages from a queue of the broker.", ("queue",)
)
QUEUE_UNREAD = Gauge(
    "issuer_queue_unread_seconds",
    "For how long no consumer has taken messages from a queue, though it could have; 0 if one does.",
    ("queue",),
)
CONSUMER_RESTARTS = Counter(
    "issuer_consumer_restarts_total",
    "Consumers that were started anew, as they took no messages though some waited, by their process.",
    ("process",),
)
BEAT_AGE = Gauge("issuer_beat_age_seconds", "Seconds since beat last showed that it runs.")
SCAN_AGE = Gauge("issuer_scan_age_seconds", "Seconds since the last run of a scan.", ("scan",))
DEGRADED = Gauge(
    "issuer_degraded",
    "What is not as it should be in the fleet, by the code of a check and by what it is about, such as a queue; always "
    "1. `issuer doctor` says what to do.",
    ("code", "subject"),
)
BROKER_UP = Gauge("issuer_broker_up", "1 if the broker answers, else 0; then nothing is said of its queues.")
CA_COOLDOWN = Gauge(
    "issuer_ca_cooldown_seconds", "For how long a CA is not asked, as it has failed; 0 if it may be asked.", ("ca",)
)
CA_FAILING = Gauge(
    "issuer_ca_failing_seconds", "For how long a CA has failed, without a success since; 0 if it works.", ("ca",)
)
CA_ORDERS_LIMIT = Gauge(
    "issuer_ca_orders_limit", "How many orders a CA allows our account at once, if it has a limit.", ("ca",)
)
CA_ORDERS_LEFT = Gauge(
    "issuer_ca_orders_left", "How many orders a CA's limit leaves our account now, if it has a limit.", ("ca",)
)

ALL: tuple[AnyMetric, ...] = tuple(found for found in globals().values() if isinstance(found, AnyMetric))
"""Every metric, in the order above."""

TALLY = Tally()
"""What this process has counted and not yet added to the store."""


def exposition(values: MetricValues) -> bytes:
    """All metrics in Prometheus' text format."""

    class Fleet(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from (metric.family(values) for metric in ALL)

    registry = CollectorRegistry()
    registry.register(Fleet())
    return generate_latest(registry)
