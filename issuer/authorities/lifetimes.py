"""How long the certificates of known CAs last, as their operators have announced it. A new date is a line here."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from issuer.backoff import DAY, HOUR
from issuer.ports import CertificateAuthority

CLASSIC = "classic"
BEFORE = date(2026, 1, 1)
"""A date before all others."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The lifetime of certificates that are issued from a day on, in seconds."""

    since: date
    seconds: float


SHORT_LIVED = (Lifetime(BEFORE, 160 * HOUR),)
TLS_SERVER = (Lifetime(BEFORE, 90 * DAY), Lifetime(date(2026, 5, 13), 45 * DAY))
LAST = Lifetime(date(2028, 2, 16), 45 * DAY)
KNOWN: dict[str, dict[str, tuple[Lifetime, ...]]] = {
    "acme-v02.api.letsencrypt.org": {
        CLASSIC: (Lifetime(BEFORE, 90 * DAY), Lifetime(date(2027, 2, 10), 64 * DAY), LAST),
        "tlsserver": TLS_SERVER,
        "shortlived": SHORT_LIVED,
    },
    "acme-staging-v02.api.letsencrypt.org": {
        CLASSIC: (Lifetime(BEFORE, 90 * DAY), Lifetime(date(2026, 10, 14), 64 * DAY), LAST),
        "tlsserver": TLS_SERVER,
        "shortlived": SHORT_LIVED,
    },
}
"""By the host of the directory URL and the profile."""


def calendar(ca: CertificateAuthority, at: float) -> tuple[Lifetime, ...]:
    """The lifetime of a CA's certificates at a moment (epoch seconds), and those that have been announced for later; of
    its profile in use. Empty for a CA that is not known."""
    profile = ca.policy.required_profile or ca.policy.profile or CLASSIC
    all_ = KNOWN.get(urlsplit(ca.directory_url).hostname or "", {}).get(profile, ())
    today = datetime.fromtimestamp(at, UTC).date()
    past = [lifetime for lifetime in all_ if lifetime.since <= today]
    return (*past[-1:], *(lifetime for lifetime in all_ if lifetime.since > today))
