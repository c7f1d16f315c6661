"""Do the edges serve a new certificate? Each edge is asked by a handshake, until all serve it or a day is over.

The issuance is already done, and nothing waits for the result: it goes into the timeline and the metrics.
"""

from concurrent.futures import ThreadPoolExecutor

import structlog

from issuer import backoff
from issuer.domain import DAY_SECONDS, Certificate, Record
from issuer.metrics import EDGE_CONFIRMED, EDGE_GIVEN_UP, EDGE_LOOKS
from issuer.ports import Finding, Services, Verdict

log = structlog.get_logger(__name__)


def confirm(services: Services, name: str) -> None:
    """Ask the edges (at least one) what they serve for a name with a new certificate, write it into the timeline, and
    plan the next check if one is needed."""
    record = services.store.load(name)
    if record is None or record.domain.confirm_at is None:
        return
    certificate = record.domain.certificate
    if certificate is None:
        services.store.amend(record.with_domain(confirm_at=None), now=services.clock())
        return
    findings = _handshakes(services, name, certificate)
    missing = "; ".join(finding.summary for finding in findings.values() if finding.verdict is not Verdict.YES)
    now = services.clock()
    installed_seconds = max(now - certificate.installed_at, 0.0)  # two machines' clocks may differ
    counts = [EDGE_LOOKS.once(edge, finding.verdict) for edge, finding in findings.items()]
    again_at = None
    if not missing:
        summary = f"all edges serve serial number {certificate.serial}"
        counts.append(EDGE_CONFIRMED.observed(installed_seconds))
    elif installed_seconds >= DAY_SECONDS:
        summary = f"not served by all edges after a day, and no longer checked: {missing}"
        counts.append(EDGE_GIVEN_UP.once())
    else:
        summary, again_at = missing, backoff.edge_look_at(now, installed_seconds)
    services.store.amend(_noted(record, now, summary).with_domain(confirm_at=again_at), now=now)
    # Of two concurrent calls, the one whose write is refused ends above: it logs and counts nothing.
    write_log = log.error if missing and again_at is None else log.info
    write_log(
        "edges checked", domain=name, serial=certificate.serial, summary=summary, seconds=round(installed_seconds, 1)
    )
    services.counters.add(*counts)


def _handshakes(services: Services, name: str, certificate: Certificate) -> dict[str, Finding]:
    """Whether each edge serves the certificate."""

    def ask(edge: str) -> Finding:
        return services.handshake.serves(edge, name, certificate.serial)

    with ThreadPoolExecutor(len(services.edges)) as pool:
        return dict(zip(services.edges, pool.map(ask, services.edges), strict=True))


def _noted(record: Record, now: float, text: str) -> Record:
    """The record with a new line in its timeline, unless the last line says the same."""
    events = record.issuance.events
    noted = record.issuance.note(now, text)
    return record if events and events[-1].text == noted.events[-1].text else record.with_issuance(noted)
