"""Is a new certificate served? Each edge is asked by a handshake, until all have it or a day is over.

Its issuance has long been done then, and nothing waits for the answer: it goes into the timeline and the metrics.
"""

from concurrent.futures import ThreadPoolExecutor

import structlog

from issuer import backoff
from issuer.domain import DAY_SECONDS, Certificate, Record
from issuer.metrics import EDGE_CONFIRMED, EDGE_GIVEN_UP, EDGE_LOOKS
from issuer.ports import Finding, Services, Verdict

log = structlog.get_logger(__name__)


def confirm(services: Services, name: str) -> None:
    """Ask the edges, one at least, for a name whose certificate is new, note what they serve, and plan the next look
    where it is needed."""
    record = services.store.load(name)
    if record is None or record.domain.confirm_at is None:
        return
    certificate = record.domain.certificate
    if certificate is None:
        services.store.amend(record.with_domain(confirm_at=None), now=services.clock())
        return
    findings = _looked_at(services, name, certificate)
    lacking = "; ".join(one.summary for one in findings.values() if one.verdict is not Verdict.YES)
    now = services.clock()
    for_seconds = max(now - certificate.installed_at, 0.0)  # by two machines' clocks
    counts = [EDGE_LOOKS.once(edge, one.verdict) for edge, one in findings.items()]
    again_at = None
    if not lacking:
        seen = f"served everywhere: serial number {certificate.serial}"
        counts.append(EDGE_CONFIRMED.observed(for_seconds))
    elif for_seconds >= DAY_SECONDS:
        seen = f"given up after a day: {lacking}"
        counts.append(EDGE_GIVEN_UP.once())
    else:
        seen, again_at = lacking, backoff.edge_look_at(now, for_seconds)
    services.store.amend(_noted(record, now, seen).with_domain(confirm_at=again_at), now=now)
    # Of two at once, the one whose write was refused tells and counts nothing.
    tell = log.error if lacking and again_at is None else log.info
    tell("asked the edges", domain=name, serial=certificate.serial, seen=seen, seconds=round(for_seconds, 1))
    services.counters.add(*counts)


def _looked_at(services: Services, name: str, certificate: Certificate) -> dict[str, Finding]:
    """Whether each edge serves the certificate."""

    def ask(edge: str) -> Finding:
        return services.handshake.serves(edge, name, certificate.serial)

    with ThreadPoolExecutor(len(services.edges)) as pool:
        return dict(zip(services.edges, pool.map(ask, services.edges), strict=True))


def _noted(record: Record, now: float, text: str) -> Record:
    """The record with a line in its timeline, unless that says the same already."""
    events = record.issuance.events
    noted = record.issuance.note(now, text)
    return record if events and events[-1].text == noted.events[-1].text else record.with_issuance(noted)
