"""What the whole fleet measures, for /metrics: the same from every `web` process."""

from collections.abc import Iterator
from importlib.metadata import version
from itertools import product

from issuer import metrics
from issuer.actions import listing
from issuer.authorities import limits
from issuer.domain import DAY_SECONDS, Due, Reason
from issuer.fleet import checks
from issuer.fleet.heartbeats import seen
from issuer.fleet.queues import QUEUES, READ_BY
from issuer.metrics import MetricValues
from issuer.ports import CertificateAuthority, CheckResult, DueCounts, QueueState, Services
from issuer.problem import Actor, Problem, ProblemType

PLATFORM = Actor.PLATFORM.value
DAYS = (1, 3, 7, 14, 30, 60, 90)
AT_RISK_DAYS = 3
"""Of these, so many are shown for certificates whose renewal fails."""


def metrics_text(services: Services) -> bytes:
    """All metrics in the text format of Prometheus. Raises Problem(store-unavailable)."""
    parts = [services.counters.values(), *_zeros(services), metrics.BUILD_INFO.at(1, version("issuer"))]
    parts += [_domains(services), _due(services), _fleet(services), _queues(services), _cas(services)]
    return metrics.exposition(metrics.added(parts))


def _zeros(services: Services) -> Iterator[MetricValues]:
    for ca in ("", *(ca.directory_url for ca in services.cas)):
        for result, reason in product(("succeeded", "failed_over", "retried", "failed"), Reason):
            yield metrics.ISSUANCES.zero(result, reason.value, ca)
    for process in READ_BY:
        yield metrics.CONSUMER_RESTARTS.zero(process)


def _domains(services: Services) -> MetricValues:
    now, within = services.clock(), [days * DAY_SECONDS for days in DAYS]
    statuses, overdue = listing.counts_and_overdue(services)
    counts = services.store.count_domains(now, within=within, cas=[ca.directory_url for ca in services.cas])
    since, by_code = counts.unconfirmed_since, {**counts.by_code, ProblemType.NOT_WORKED_ON.value: overdue}
    labels = [f"{days}d" for days in DAYS]
    return {
        **metrics.DOMAINS.of({word: getattr(statuses, word) for word in ("active", "error", "expired", "processing")}),
        **metrics.DOMAINS_BY_CODE.of({code: count for code, count in by_code.items() if count}),
        **metrics.DOMAINS_BY_ACTOR.of({**counts.by_actor, PLATFORM: counts.by_actor[PLATFORM] + overdue}),
        **metrics.DOMAINS_MOVED_AWAY.at(counts.moved_away),
        **metrics.DOMAINS_REJECTED.at(counts.rejected),
        **metrics.CERTIFICATES.of(counts.by_ca),
        **metrics.CERTIFICATES_ENDED.at(counts.ended),
        **metrics.CERTIFICATES_ENDING.of(dict(zip(labels, counts.ending, strict=True))),
        **metrics.CERTIFICATES_AT_RISK.of(dict(zip(labels[:AT_RISK_DAYS], counts.at_risk, strict=False))),
        **metrics.EDGE_LAG.at(0 if since is None else max(now - since, 0)),
        **metrics.DAMAGED.at(services.store.damaged()),
    }


def _due(services: Services) -> MetricValues:
    now, counts = services.clock(), services.store.count_due(services.clock())
    return {
        **metrics.DUE_ENTRIES.of({name: due.entries for name, due in counts.items()}),
        **metrics.DUE_NOW.of({name: due.due for name, due in counts.items()}),
        **metrics.DUE_OLDEST.of({name: _age(due, now) for name, due in counts.items()}),
        **metrics.EDGE_UNCONFIRMED.at(counts[Due.EDGE_CONFIRMATION].entries),
    }


def _age(due: DueCounts, now: float) -> float:
    return 0 if due.first_at is None else max(now - due.first_at, 0)


def _fleet(services: Services) -> MetricValues:
    fleet = seen(services)
    failed = [check for check in checks.of(fleet) if check.result is CheckResult.FAILED]
    degraded = {(check.code, check.subject) for check in (*failed, *services.faults.open())}
    beat_at, scans = fleet.heartbeats.beat_at or fleet.heartbeats.began_at, fleet.heartbeats.scans
    alive = {name: sum(map(fleet.is_alive, fleet.readers(name))) for name in QUEUES}
    unread = {name: fleet.unread_since(name) for name in QUEUES}
    return {
        **metrics.BROKER_UP.at(fleet.broker is not None),
        **metrics.BEAT_AGE.at(max(fleet.now - beat_at, 0)),
        **metrics.SCAN_AGE.of({name: max(fleet.now - at, 0) for name, at in scans.items()}),
        **metrics.QUEUE_CONSUMERS.of(alive),
        **metrics.QUEUE_UNREAD.of({name: 0 if at is None else max(fleet.now - at, 0) for name, at in unread.items()}),
        **metrics.added(metrics.DEGRADED.at(1, code, subject) for code, subject in degraded),
    }


def _queues(services: Services) -> MetricValues:
    """What waits at the broker; nothing if it does not answer."""
    try:
        queues, taken = services.servers.queues(QUEUES)
    except Problem:
        return {}
    now = services.clock()

    def waited(queue: QueueState) -> float:
        return 0 if queue.oldest_at is None else max(now - queue.oldest_at, 0)

    return {
        **metrics.QUEUE_MESSAGES.of({queue.name: queue.messages for queue in queues}),
        **metrics.QUEUE_OLDEST.of({queue.name: waited(queue) for queue in queues}),
        **metrics.QUEUE_UNACKNOWLEDGED.at(taken),
    }


def _cas(services: Services) -> MetricValues:
    return metrics.added(_ca(services, ca) for ca in services.cas)


def _ca(services: Services, ca: CertificateAuthority) -> MetricValues:
    now, url = services.clock(), ca.directory_url
    cooldown = services.limits.cooldown(url)
    values = {
        **metrics.CA_COOLDOWN.at(max(cooldown.until - now, 0) if cooldown else 0, url),
        **metrics.CA_FAILING.at(max(now - cooldown.since, 0) if cooldown else 0, url),
    }
    if rate := ca.policy.limits.new_orders:
        left = limits.orders_left(services, ca) or 0
        values |= {**metrics.CA_ORDERS_LIMIT.at(rate[0], url), **metrics.CA_ORDERS_LEFT.at(left, url)}
    return values
