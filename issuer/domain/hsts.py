"""The policy that browsers are told to keep to (RFC 6797)."""

from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Hsts:
    """What browsers are told (RFC 6797 §6.1). max_age_seconds 0: switched off, and told so until off_until, when the
    last browser has forgotten what it was told before. With another max-age, off_until is when that will be, where it
    is later than by this policy."""

    max_age_seconds: int
    includes_subdomains: bool = False
    is_preload: bool = False
    off_until: float | None = None
    extra: tuple[tuple[str, Any], ...] = ()

    def header(self, now: float) -> str | None:
        """The value of Strict-Transport-Security; None where there is nothing to be told."""
        if self.max_age_seconds == 0:
            return "max-age=0" if (self.off_until or 0) > now else None
        parts = [f"max-age={self.max_age_seconds}"]
        parts += ["includeSubDomains"] if self.includes_subdomains else []
        parts += ["preload"] if self.is_preload else []
        return "; ".join(parts)

    def remembered_until(self, now: float) -> float:
        """When the last browser forgets it, and what it was told before it, if it is told nothing from now on."""
        return max(now + self.max_age_seconds, self.off_until or 0)

    def after(self, former: Self, now: float) -> Self:
        """The same, in the place of a former one: browsers that have not come back since still keep to that."""
        until = former.remembered_until(now)
        return replace(self, off_until=until if until > now + self.max_age_seconds else None)
