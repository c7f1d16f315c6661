"""Is a new certificate served? Each edge is asked by a handshake, until all have it or a day is over.

Its issuance has long been done then, and nothing waits for the answer: it goes into the timeline and the metrics.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from issuer import backoff
from issuer.domain import DAY_SECONDS, Certificate, Record
from issuer.events import EventType
from issuer.metrics import EDGE_CONFIRMED, EDGE_GIVEN_UP, EDGE_LOOKS
from issuer.ports import Finding, Services, Verdict


def confirm(services: Services, name: str) -> None:
    """Ask the edges, one at least, for a name whose certificate is new, note what they serve, and plan the next look
    where it is needed."""
    record = services.store.load(name)
    if record is None or record.domain.confirm_at is None:
        return
    certificate = record.domain.certificate
    if certificate is None:
        services.store.update(name, _planned(record, None), now=services.clock())
        return
    findings = _looks(services, name, certificate)
    lacking = "; ".join(finding.summary for finding in findings.values() if finding.verdict is not Verdict.YES)
    now = services.clock()
    for_seconds = max(now - certificate.installed_at, 0.0)  # by two machines' clocks
    counts = [EDGE_LOOKS.once(edge, finding.verdict) for edge, finding in findings.items()]
    again_at, data = None, {"serial": certificate.serial, "lacking": lacking, "seconds": round(for_seconds, 1)}
    if not lacking:
        type_ = EventType.EDGE_CONFIRMED
        counts.append(EDGE_CONFIRMED.observed(for_seconds))
    elif for_seconds >= DAY_SECONDS:
        type_ = EventType.EDGE_GIVEN_UP
        counts.append(EDGE_GIVEN_UP.once())
    else:
        type_, again_at = EventType.EDGE_UNCONFIRMED, backoff.edge_look_at(now, for_seconds)
    last = record.timeline[-1:]
    if not (last and (last[0].type, last[0].data.get("lacking")) == (type_, lacking)):
        record = record.with_event(now, type_, data)
    if services.store.update(name, _planned(record, again_at), now=now):
        services.counters.add(*counts)  # of two looks at once, one


def _planned(looked_at: Record, again_at: float | None) -> Callable[[Record | None], Record | None]:
    """The change to a record that was looked at: when to look again. None where it has changed meanwhile."""

    def change(record: Record | None) -> Record | None:
        is_same = record is not None and record.version == looked_at.version
        return looked_at.with_domain(confirm_at=again_at) if is_same else None

    return change


def _looks(services: Services, name: str, certificate: Certificate) -> dict[str, Finding]:
    """Whether each edge serves the certificate."""

    def ask(edge: str) -> Finding:
        return services.handshake.serves(edge, name, certificate.serial)

    with ThreadPoolExecutor(len(services.edges)) as pool:
        return dict(zip(services.edges, pool.map(ask, services.edges), strict=True))
