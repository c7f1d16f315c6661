"""The HSTS policy of a domain (RFC 6797)."""

from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Hsts:
    """What the Strict-Transport-Security header says (RFC 6797 §6.1).

    max_age_seconds: how long browsers remember the policy; 0: HSTS is off.
    off_until: when the last browser has forgotten all former policies; None if that is not after this policy's own
        max-age. If HSTS is off, `max-age=0` is sent until then.
    """

    max_age_seconds: int
    includes_subdomains: bool = False
    is_preload: bool = False
    off_until: float | None = None
    extra: tuple[tuple[str, Any], ...] = ()

    def header(self, now: float) -> str | None:
        """The value of Strict-Transport-Security; None if no header is to be sent."""
        if self.max_age_seconds == 0:
            return "max-age=0" if (self.off_until or 0) > now else None
        parts = [f"max-age={self.max_age_seconds}"]
        parts += ["includeSubDomains"] if self.includes_subdomains else []
        parts += ["preload"] if self.is_preload else []
        return "; ".join(parts)

    def remembered_until(self, now: float) -> float:
        """When the last browser forgets this policy and all former ones, if no header is sent from now on."""
        return max(now + self.max_age_seconds, self.off_until or 0)

    def after(self, former: Self, now: float) -> Self:
        """The same policy as the successor of a former one, which browsers apply until their next visit."""
        until = former.remembered_until(now)
        return replace(self, off_until=until if until > now + self.max_age_seconds else None)
