"""When the end of a certificate must be looked at: at some thresholds before it if its renewal does not work, and at
the end itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from issuer.domain.issuance import Step

if TYPE_CHECKING:
    from issuer.domain.certificate import Certificate
    from issuer.domain.domain import Domain
    from issuer.domain.issuance import Issuance

DAY_SECONDS = 86400
WARN_DAYS = {7: 1 / 4, 3: 1 / 8, 1: 1 / 16}
"""The thresholds in days before the end, and the share of its lifetime that a threshold is at most: the renewal of a
certificate of six days begins after half of them."""
PATIENCE_SECONDS, PATIENCE_SHARE = 3600, 1 / 40
"""A renewal that has not been done so long after its time does not work; less for short lifetimes."""
URGENT_DAYS = 3
"""From this threshold on, an operator must see to a renewal that does not work, whatever the reason."""


def warn_at(certificate: Certificate, days: int) -> float:
    """The moment of a threshold."""
    return certificate.not_after + 1 - min(days * DAY_SECONDS, WARN_DAYS[days] * certificate.lifetime_seconds)


def reached(certificate: Certificate, now: float) -> int | None:
    """The last threshold that has been reached; None: none yet."""
    return min((days for days in WARN_DAYS if warn_at(certificate, days) <= now), default=None)


def look_at(domain: Domain, issuance: Issuance) -> float | None:
    """When the end must be looked at next: when a threshold is reached and the renewal has not worked, or at the end;
    None once the end has been reported."""
    certificate = domain.certificate
    if certificate is None or domain.is_expiry_reported:
        return None
    left = [days for days in WARN_DAYS if domain.warned_days is None or days < domain.warned_days]
    end = certificate.not_after + 1
    return min(max(warn_at(certificate, left[0]), _works_until(domain, issuance, certificate)), end) if left else end


def _works_until(domain: Domain, issuance: Issuance, certificate: Certificate) -> float:
    """Until when nothing speaks against the renewal: a while after it was planned for, or has begun."""
    patience = min(PATIENCE_SECONDS, certificate.lifetime_seconds * PATIENCE_SHARE)
    if issuance.is_open:
        return issuance.created_at + patience
    if issuance.step is Step.FAILED or domain.renew_at is None:
        return 0
    return domain.renew_at + patience
