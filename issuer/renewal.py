"""When to renew, and what becomes of names whose renewal fails or that point elsewhere.

The moment is picked at random once and stored in the domain: in the CA's window where it gives one (RFC 9773), else by
the certificate's lifetime. Nothing here talks to the queue.
"""

import random
from dataclasses import replace

import structlog

from issuer import backoff, keys, ownership
from issuer.authorities import health
from issuer.backoff import ASSUMED_LOST, DAY, HOUR, clamp
from issuer.domain import Certificate, Domain, Reason, Record, Step, new_issuance
from issuer.ports import RenewalInfo, Services, Verdict

SHORT_LIFETIME_SECONDS = 10 * DAY
"""Below it a certificate is renewed at half its lifetime, else at two thirds."""
JITTER = 0.01
"""Of the lifetime, to both sides: certificates that were issued together are not renewed together."""
FLOOR_SECONDS = 6 * HOUR
"""Between two automatic issuances of one domain, whatever a CA's window says; less where certificates live shortly."""
LATEST = 0.9
"""Of the lifetime: no window of a CA puts a renewal off beyond it."""

log = structlog.get_logger(__name__)


def with_next_renewal(record: Record, now: float) -> Record:
    """The record as a step leaves it, with the next renewal planned if the step has ended the issuance."""
    issuance, certificate = record.issuance, record.domain.certificate
    if issuance.key and record.domain.moved_away_since is not None:
        record = record.with_domain(moved_away_since=None, recheck_at=None)  # a key is made once DNS has said yes
    if certificate is None or issuance.is_open:
        return record
    if issuance.step is Step.DONE:
        return record.with_domain(renew_at=moment_by_lifetime(certificate), ask_at=now)
    end, lifetime = certificate.not_after, certificate.lifetime_seconds
    jitter = backoff.random_jitter()
    renew_at = backoff.new_renewal_at(now, certificate_end=end, lifetime=lifetime, jitter=jitter)
    return record.with_domain(renew_at=renew_at)


def moved_away(record: Record, now: float) -> Record:
    """The record after DNS has said clearly that the name points elsewhere."""
    since = now if record.domain.moved_away_since is None else record.domain.moved_away_since
    return record.with_domain(moved_away_since=since, recheck_at=backoff.dns_recheck_at(now, since))


def longest_retry_pause(domain: Domain, now: float) -> float:
    """How long a temporary problem may put off the next try of a domain, in seconds."""
    certificate = domain.certificate
    return backoff.longest_retry_pause(
        now,
        certificate_end=certificate.not_after if certificate else None,
        lifetime=certificate.lifetime_seconds if certificate else 0,
        moved_away_since=domain.moved_away_since,
    )


def start(services: Services, name: str) -> Record | None:
    """Open the renewal of a name if it is still due; the record to be worked on, or None."""
    record, now = services.store.load(name), services.clock()
    if record is None or record.issuance.is_open or (record.domain.renew_at or now + 1) > now:
        return None
    issuance = new_issuance(name, Reason.RENEWAL, now)
    return services.store.open(record.domain, issuance, version=record.version, requeue_at=now + ASSUMED_LOST)


def moment_by_lifetime(certificate: Certificate) -> float:
    """A moment to renew at where the CA has not said: around two thirds of the lifetime, or a half of a short one."""
    lifetime = certificate.lifetime_seconds
    share = 1 / 2 if lifetime < SHORT_LIFETIME_SECONDS else 2 / 3
    return max(certificate.not_after - (1 - share + _random(-JITTER, JITTER)) * lifetime, _soonest(certificate))


def refresh(services: Services, name: str) -> None:
    """Ask the CA when it wants the certificate of a name to be renewed, and plan by that."""
    record, now = services.store.load(name), services.clock()
    certificate = record.domain.certificate if record else None
    if record is None or certificate is None:
        return
    ca = services.ca_at(certificate.ca) if certificate.is_valid(now) else None
    certificate_id = keys.certificate_id(certificate.chain) if ca and ca.has_renewal_info() else None
    if ca is None or certificate_id is None:
        services.store.amend(record.with_domain(ask_at=None), now=now)
        return
    info = health.call_outside_orders(services, ca, "renewalInfo", lambda: ca.renewal_info(certificate_id))
    services.store.amend(replace(record, domain=with_window(record.domain, info, now)), now=now)


def with_window(domain: Domain, info: RenewalInfo, now: float) -> Domain:
    """The domain with a moment in the CA's window: picked once, and anew only when the window has moved."""
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
    """Ask DNS whether a name that moved away points here again; then its record, woken, to be worked on."""
    record, now = services.store.load(name), services.clock()
    if record is None or record.domain.moved_away_since is None:
        return None
    finding = ownership.points_here(services, name, record.domain.account)
    if finding.verdict is not Verdict.YES:
        recheck_at = backoff.dns_recheck_at(now, record.domain.moved_away_since)
        services.store.amend(record.with_domain(recheck_at=recheck_at), now=now)
        return None
    log.info("points here again", domain=name)
    back = record.with_domain(moved_away_since=None, recheck_at=None)
    if not record.issuance.is_open:
        services.store.amend(back.with_domain(renew_at=now), now=now)
        return None
    return services.store.open(
        back.domain,
        record.issuance.wake(now, record.issuance.reason),
        version=record.version,
        requeue_at=now + ASSUMED_LOST,
    )


def report_expiry(services: Services, name: str) -> None:
    """Report, once, that the certificate of a name has expired; its renewal goes on being tried."""
    record, now = services.store.load(name), services.clock()
    certificate = record.domain.certificate if record else None
    if record is None or certificate is None or certificate.is_valid(now) or record.domain.is_expiry_reported:
        return
    services.store.amend(record.with_domain(is_expiry_reported=True), now=now)
    problem = record.issuance.problem
    log.error("certificate expired", domain=name, serial=certificate.serial, reason=str(problem) if problem else None)


def _soonest(certificate: Certificate) -> float:
    return certificate.installed_at + min(FLOOR_SECONDS, certificate.lifetime_seconds / 20)


def _random(least: float, most: float) -> float:
    return random.uniform(least, most)  # noqa: S311 - spreads load, hides nothing
