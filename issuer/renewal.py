"""When to renew, and what becomes of names whose renewal fails or that lead elsewhere.

The moment is drawn once and stored in the domain: in the CA's window where it gives one (RFC 9773), else by the
certificate's lifetime. Nothing here talks to the queue.
"""

import random
from dataclasses import replace

import structlog

from issuer import choice, holder, keys
from issuer.domain import ASSUMED_LOST_SECONDS, DAY_SECONDS, Certificate, Domain, Reason, Record, Step, new_issuance
from issuer.ports import RenewalInfo, Services, Verdict

HOUR_SECONDS = 3600
SHORT_LIFETIME_SECONDS = 10 * DAY_SECONDS
"""Below it a certificate is renewed at half its lifetime, else at two thirds."""
JITTER = 0.01
"""Of the lifetime, to both sides: what was issued together is not renewed together."""
FLOOR_SECONDS = 6 * HOUR_SECONDS
"""Between two automatic issuances of one domain, whatever a CA's window says; less where certificates live shortly."""
LATEST = 0.9
"""Of the lifetime: no window of a CA puts a renewal off beyond it."""
AWAY_AFTER_SECONDS = 3 * DAY_SECONDS
"""A name that has led elsewhere for this long has moved away."""
WEEK_SECONDS = 7 * DAY_SECONDS

log = structlog.get_logger(__name__)


def planned(record: Record, now: float) -> Record:
    """The record as a step leaves it, with the next renewal drawn if the step has ended the issuance."""
    issuance, certificate = record.issuance, record.domain.certificate
    if issuance.key and record.domain.away_since is not None:
        record = record.with_domain(away_since=None, recheck_at=None)  # a key is made once DNS has said yes
    if certificate is None or issuance.is_open:
        return record
    if issuance.step is Step.DONE:
        return record.with_domain(renew_at=moment_by_lifetime(certificate), ask_at=now)
    shortest = min(DAY_SECONDS, certificate.lifetime_seconds / 4)
    pause = _clamp(abs(certificate.not_after - now) / 3, shortest, WEEK_SECONDS)
    return record.with_domain(renew_at=now + pause * _uniform(0.8, 1.2))


def led_away(record: Record, now: float) -> Record:
    """The record after DNS has clearly said that the name leads elsewhere."""
    since = now if record.domain.away_since is None else record.domain.away_since
    return record.with_domain(away_since=since, recheck_at=now + _recheck_seconds(now - since))


def longest_pause(domain: Domain, now: float) -> float:
    """How long a temporary problem may put off the next try, in seconds: a day; less as the certificate's end is
    near; up to a week where the name has moved away."""
    if domain.away_since is not None and now - domain.away_since >= AWAY_AFTER_SECONDS:
        return _clamp((now - domain.away_since) / 3, DAY_SECONDS, WEEK_SECONDS)
    if domain.certificate is None:
        return DAY_SECONDS
    shortest = min(HOUR_SECONDS, domain.certificate.lifetime_seconds / 20)
    return _clamp(abs(domain.certificate.not_after - now) / 6, shortest, DAY_SECONDS)


def begin(services: Services, name: str) -> Record | None:
    """Open the renewal of a name if it is still due; the record to be worked on, or None."""
    record, now = services.store.load(name), services.clock()
    if record is None or record.issuance.is_open or (record.domain.renew_at or now + 1) > now:
        return None
    issuance = new_issuance(name, Reason.RENEWAL, now)
    return services.store.open(
        record.domain, issuance, version=record.version, look_again_at=now + ASSUMED_LOST_SECONDS
    )


def moment_by_lifetime(certificate: Certificate) -> float:
    """A moment to renew at where the CA has not said: around two thirds of the lifetime, or a half of a short one."""
    lifetime = certificate.lifetime_seconds
    share = 1 / 2 if lifetime < SHORT_LIFETIME_SECONDS else 2 / 3
    return max(certificate.not_after - (1 - share + _uniform(-JITTER, JITTER)) * lifetime, _soonest(certificate))


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
    info = choice.aside(services, ca, "renewalInfo", lambda: ca.renewal_info(certificate_id))
    services.store.amend(replace(record, domain=with_window(record.domain, info, now)), now=now)


def with_window(domain: Domain, info: RenewalInfo, now: float) -> Domain:
    """The domain with a moment in the CA's window: drawn once, and anew only when the window has moved."""
    certificate, window, known = domain.certificate, info.window, domain.window
    assert certificate
    soonest, latest = min(60, certificate.lifetime_seconds / 20), min(DAY_SECONDS / 2, certificate.lifetime_seconds / 4)
    ask_again_at = info.ask_again_at or now + DAY_SECONDS / 4
    domain = replace(domain, ask_at=_clamp(ask_again_at, now + soonest, now + latest), window=window)
    if known and (known.certificate_id, known.start, known.end) == (window.certificate_id, window.start, window.end):
        return domain
    if window.end < now:
        log.warning("the CA wants it renewed at once", domain=domain.name, explanation=window.explanation_url)
    last = certificate.not_after - (1 - LATEST) * certificate.lifetime_seconds
    return replace(domain, renew_at=_clamp(_uniform(window.start, window.end), _soonest(certificate), last))


def recheck(services: Services, name: str) -> Record | None:
    """Ask DNS whether a name that led elsewhere leads here again; then its record, woken, to be worked on."""
    record, now = services.store.load(name), services.clock()
    if record is None or record.domain.away_since is None:
        return None
    pointing = holder.pointing(services, name, record.domain.account)
    if pointing.verdict is not Verdict.YES:
        recheck_at = now + _recheck_seconds(now - record.domain.away_since)
        services.store.amend(record.with_domain(recheck_at=recheck_at), now=now)
        return None
    log.info("leads here again", domain=name)
    back = record.with_domain(away_since=None, recheck_at=None)
    if not record.issuance.is_open:
        services.store.amend(back.with_domain(renew_at=now), now=now)
        return None
    return services.store.open(
        back.domain,
        record.issuance.wake(now, record.issuance.reason),
        version=record.version,
        look_again_at=now + ASSUMED_LOST_SECONDS,
    )


def tell_end(services: Services, name: str) -> None:
    """Report, once, that the certificate of a name has ended; its renewal goes on being tried."""
    record, now = services.store.load(name), services.clock()
    certificate = record.domain.certificate if record else None
    if record is None or certificate is None or certificate.is_valid(now) or record.domain.is_end_told:
        return
    services.store.amend(record.with_domain(is_end_told=True), now=now)
    problem = record.issuance.problem
    log.error("certificate expired", domain=name, serial=certificate.serial, reason=str(problem) if problem else None)


def _soonest(certificate: Certificate) -> float:
    return certificate.installed_at + min(FLOOR_SECONDS, certificate.lifetime_seconds / 20)


def _recheck_seconds(away_for: float) -> float:
    return _clamp(away_for / 8, HOUR_SECONDS, DAY_SECONDS)


def _clamp(value: float, least: float, most: float) -> float:
    return max(least, min(value, most))


def _uniform(least: float, most: float) -> float:
    return random.uniform(least, most)  # noqa: S311 - spreads load, hides nothing
