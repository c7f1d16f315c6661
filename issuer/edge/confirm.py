"""Do the edges serve a new certificate? Each edge is asked by a handshake, until all serve it or a day is over.

The issuance is already done, and nothing waits for the result: it goes into the timeline and the metrics.
"""

from concurrent.futures import ThreadPoolExecutor

from issuer import backoff
from issuer.domain import DAY_SECONDS, Certificate
from issuer.events import EventType, shortened
from issuer.metrics import EDGE_CONFIRMED, EDGE_GIVEN_UP, EDGE_LOOKS
from issuer.ports import Finding, Services, Verdict


def confirm(services: Services, name: str) -> None:
    """Ask the edges (at least one) what they serve for a name with a new certificate, write it into the timeline, and
    plan the next check if one is needed."""
    record = services.store.load(name)
    if record is None or record.domain.confirm_at is None:
        return
    certificate = record.domain.certificate
    if certificate is None:
        services.store.update(name, record.with_domain(confirm_at=None).unless_changed, now=services.clock())
        return
    findings = _handshakes(services, name, certificate)
    missing = "; ".join(finding.summary for finding in findings.values() if finding.verdict is not Verdict.YES)
    now = services.clock()
    installed_seconds = max(now - certificate.installed_at, 0.0)  # two machines' clocks may differ
    counts = [EDGE_LOOKS.once(edge, finding.verdict) for edge, finding in findings.items()]
    again_at = None
    data = {"serial": certificate.serial, "lacking": missing, "seconds": round(installed_seconds, 1)}
    if not missing:
        type_ = EventType.EDGE_CONFIRMED
        counts.append(EDGE_CONFIRMED.observed(installed_seconds))
    elif installed_seconds >= DAY_SECONDS:
        type_ = EventType.EDGE_GIVEN_UP
        counts.append(EDGE_GIVEN_UP.once())
    else:
        type_, again_at = EventType.EDGE_UNCONFIRMED, backoff.edge_look_at(now, installed_seconds)
    last = record.timeline[-1:]
    if not (last and (last[0].type, last[0].data.get("lacking")) == (type_, shortened(missing))):
        record = record.with_event(now, type_, data)
    if services.store.update(name, record.with_domain(confirm_at=again_at).unless_changed, now=now):
        services.counters.add(*counts)  # of two concurrent calls, only one counts


def _handshakes(services: Services, name: str, certificate: Certificate) -> dict[str, Finding]:
    """Whether each edge serves the certificate."""

    def ask(edge: str) -> Finding:
        return services.handshake.serves(edge, name, certificate.serial)

    with ThreadPoolExecutor(len(services.edges)) as pool:
        return dict(zip(services.edges, pool.map(ask, services.edges), strict=True))
