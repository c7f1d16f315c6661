"""When to renew, and what happens to names whose renewal fails or that point to other servers.

The moment is picked at random once and stored in the domain: within the CA's suggested window if it gives one
(RFC 9773), else by the certificate's lifetime. Nothing here uses the queue.
"""

import random
from dataclasses import replace

import structlog

from issuer import backoff, keys
from issuer.authorities import health
from issuer.backoff import DAY, HOUR, clamp
from issuer.domain import Certificate, Domain, Reason, Record, Step, ending, new_issuance
from issuer.edge import ownership
from issuer.events import EventType
from issuer.ports import RenewalInfo, Services, Verdict
from issuer.problem import Actor, ProblemType

SHORT_LIFETIME_SECONDS = 10 * DAY
"""A certificate with a shorter lifetime is renewed at half of it, any other at two thirds."""
JITTER = 0.01
"""Of the lifetime, in both directions, so that certificates issued together are not renewed together."""
FLOOR_SECONDS = 6 * HOUR
"""Between two automatic issuances of one domain, whatever the CA's window says; less for short-lived certificates."""
NOT_STARTED = "it has not ended, and no problem is known"
LATEST = 0.9
"""Of the lifetime: no window of a CA delays a renewal beyond it."""

RECHECKED = frozenset({ProblemType.DNS_UNKNOWN, ProblemType.CAA})
"""Problems with records of owners that a look can tell the end of."""

log = structlog.get_logger(__name__)


def with_next_renewal(record: Record, now: float) -> Record:
    """The record after a step, with the next renewal planned if the step has closed the issuance."""
    issuance, certificate = record.issuance, record.domain.certificate
    if issuance.key and record.domain.moved_away_since is not None:
        # There is a key only after it has been found that the name points here.
        record = record.with_domain(moved_away_since=None, recheck_at=None).with_event(now, EventType.DOMAIN_RETURNED)
    if certificate is None or issuance.is_open:
        return record
    if issuance.step is Step.DONE:
        renew_at = moment_by_lifetime(certificate)
        record = record.with_domain(ask_at=now)
    else:
        end, lifetime = _end(record.domain, certificate, now), certificate.lifetime_seconds
        jitter = backoff.random_jitter()
        renew_at = backoff.new_renewal_at(now, certificate_end=end, lifetime=lifetime, jitter=jitter)
    return record.with_domain(renew_at=renew_at).with_event(now, EventType.RENEWAL_PLANNED, {"at": renew_at})


def moved_away(record: Record, now: float) -> Record:
    """The record after it has been found, without doubt, that the name points to other servers."""
    since = record.domain.moved_away_since
    if since is None:
        since = now
        record = record.with_event(now, EventType.DOMAIN_MOVED_AWAY)
    return record.with_domain(moved_away_since=since, recheck_at=backoff.dns_recheck_at(now, since))


def with_recheck(record: Record, now: float) -> Record:
    """The record after a failure. If its owner's records are the reason, they are looked at again between the tries
    (`fleet.rechecks`)."""
    domain, problem = record.domain, record.issuance.problem
    is_owners = problem is not None and problem.type in RECHECKED and problem.actor is Actor.OWNER
    if not is_owners or not record.issuance.is_open or domain.moved_away_since is not None:
        return record
    return record.with_domain(recheck_at=backoff.dns_recheck_at(now, failing_since(record, now)))


def failing_since(record: Record, now: float) -> float:
    """Since when the issuance has been failing for the reason of its last failure, as far as the timeline shows."""
    failures = [
        event for event in (*record.timeline, *record.pending) if event.type == EventType.ISSUANCE_RETRY_PLANNED
    ]
    since = now
    for event in reversed(failures):
        if event.code != failures[-1].code:
            break
        since = min(since, event.at)
    return since


def longest_retry_pause(domain: Domain, now: float) -> float:
    """How long a temporary problem may delay the next try for a domain, in seconds."""
    certificate = domain.certificate
    return backoff.longest_retry_pause(
        now,
        certificate_end=_end(domain, certificate, now) if certificate else None,
        lifetime=certificate.lifetime_seconds if certificate else 0,
        moved_away_since=domain.moved_away_since,
    )


def start(services: Services, name: str) -> Record | None:
    """Open the renewal of a name if it is still due. Returns the record to enqueue, or None. One that the operator has
    asked for replaces an open issuance, whose key may be from before."""
    now = services.clock()

    def change(record: Record | None) -> Record | None:
        at = record.renewal_start_at if record else None
        if record is None or at is None or at > now:
            return None
        # The operator's clock may be ahead of this one; the certificate must count as requested after he asked for it.
        issuance = new_issuance(name, Reason.RENEWAL, max(now, record.domain.forced_since or now))
        started = record.with_domain(forced_at=None).with_issuance(issuance)
        return started.with_event(now, EventType.RENEWAL_STARTED)

    return services.store.update(name, change, now=now)


def moment_by_lifetime(certificate: Certificate) -> float:
    """When to renew if the CA gives no window: around two thirds of the lifetime, or half of a short lifetime."""
    lifetime = certificate.lifetime_seconds
    share = 1 / 2 if lifetime < SHORT_LIFETIME_SECONDS else 2 / 3
    return max(certificate.not_after - (1 - share + _random(-JITTER, JITTER)) * lifetime, _soonest(certificate))


def refresh(services: Services, name: str) -> None:
    """Ask the CA for the suggested window of a name's certificate (RFC 9773), and plan the renewal in it. Raises
    Problem."""
    record, now = services.store.load(name), services.clock()
    certificate = record.domain.certificate if record else None
    if record is None or certificate is None:
        return
    ca = services.ca_at(certificate.ca) if certificate.is_valid(now) else None
    certificate_id = keys.certificate_id(certificate.chain) if ca and ca.has_renewal_info() else None
    info: RenewalInfo | None = None
    if ca and certificate_id:
        info = health.call_outside_orders(services, ca, "renewalInfo", lambda: ca.renewal_info(certificate_id))

    def change(current: Record | None) -> Record | None:
        if current is None or current.domain.certificate != certificate:
            return None
        domain = with_window(current.domain, info, now) if info else replace(current.domain, ask_at=None)
        planned = replace(current, domain=domain)
        if domain.renew_at == current.domain.renew_at:
            return planned
        return planned.with_event(now, EventType.RENEWAL_PLANNED, {"at": domain.renew_at})

    services.store.update(name, change, now=now)


def with_window(domain: Domain, info: RenewalInfo, now: float) -> Domain:
    """The domain with a renewal time in the CA's window: picked once, and picked again only if the window changes."""
    certificate, window, known = domain.certificate, info.window, domain.window
    assert certificate
    lifetime = certificate.lifetime_seconds
    ask_at = backoff.renewal_info_at(now, asked_for=info.ask_again_at, lifetime=lifetime)
    domain = replace(domain, ask_at=ask_at, window=window)
    if known and (known.certificate_id, known.start, known.end) == (window.certificate_id, window.start, window.end):
        return domain
    if window.end < now:
        log.warning("the CA wants it renewed at once", domain=domain.name, explanation=window.explanation_url)
    latest = certificate.not_after - (1 - LATEST) * lifetime
    return replace(domain, renew_at=clamp(_random(window.start, window.end), _soonest(certificate), latest))


def recheck(services: Services, name: str) -> Record | None:
    """Ask whether a name that has moved away points here again. If so, returns its record to enqueue, due now."""
    record, now = services.store.load(name), services.clock()
    if record is None or record.domain.moved_away_since is None:
        return None
    domain = record.domain
    had_certificate = domain.certificate is not None
    finding = ownership.points_here(services, name, domain.account, had_certificate=had_certificate)
    points_here = finding.verdict is Verdict.YES

    def change(current: Record | None) -> Record | None:
        if current is None or current.domain.moved_away_since is None:
            return None
        if not points_here:
            return current.with_domain(recheck_at=backoff.dns_recheck_at(now, current.domain.moved_away_since))
        returned = current.with_domain(moved_away_since=None, recheck_at=None)
        returned = returned.with_event(now, EventType.DOMAIN_RETURNED)
        if not returned.issuance.is_open:
            return returned.with_domain(renew_at=now)
        return returned.with_issuance(returned.issuance.wake(now, returned.issuance.reason))

    updated = services.store.update(name, change, now=now)
    return updated if updated and points_here and updated.issuance.is_open else None


def report_end(services: Services, name: str) -> list[Record]:
    """Report once that the certificate of a name has expired; or once for each threshold before that, that its renewal
    does not work. The renewal is still retried. Returns the record in the second case."""
    now, endings = services.clock(), list[Record]()

    def change(record: Record | None) -> Record | None:
        endings.clear()
        at = ending.look_at(record.domain, record.issuance) if record else None
        if record is None or at is None:
            return None
        if at > now:
            return record  # the index had an earlier time, and gets this one
        reported = _with_end_reported(record, now)
        if not reported.domain.is_expiry_reported:
            endings.append(reported)
        return reported

    services.store.update(name, change, now=now)
    return endings


def _with_end_reported(record: Record, now: float) -> Record:
    """The record with the event that its certificate has expired, or is about to."""
    certificate, problem = record.domain.certificate, record.issuance.problem
    assert certificate
    problem = None if record.issuance.step is Step.DONE else problem
    code, serial = problem.type.value if problem else "", certificate.serial
    if not certificate.is_valid(now):
        reported = record.with_domain(is_expiry_reported=True)
        ended = {"serial": serial, "reason": str(problem) if problem else None}
        return reported.with_event(now, EventType.CERTIFICATE_EXPIRED, ended, code=code)
    near = {"serial": serial, "at": certificate.not_after, "reason": str(problem) if problem else NOT_STARTED}
    reported = record.with_domain(warned_days=ending.reached(certificate, now))
    return reported.with_event(now, EventType.CERTIFICATE_ENDING, near, code=code)


def _end(domain: Domain, certificate: Certificate, now: float) -> float:
    """Until when the certificate in force is of use: until now if the operator wants it replaced. Failed tries are
    repeated the sooner, the nearer this is."""
    return now if domain.is_forced else certificate.not_after


def _soonest(certificate: Certificate) -> float:
    return certificate.installed_at + min(FLOOR_SECONDS, certificate.lifetime_seconds / 20)


def _random(least: float, most: float) -> float:
    return random.uniform(least, most)  # noqa: S311 - spreads load, hides nothing
