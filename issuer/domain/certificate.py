"""A certificate in force, and what its CA says or is still to do about it.

extra: members that a newer release has written, kept as they are.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in force: chain (PEM, leaf first), its key (encrypted), and the leaf's facts.

    not_after is inclusive (RFC 5280 §4.1.2.5). ca is the directory URL it came from. installed_at: in force since.
    """

    chain: str
    key: str = field(repr=False)
    serial: str
    not_before: float
    not_after: float
    ca: str
    installed_at: float = 0
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def lifetime_seconds(self) -> float:
        """How long it serves: what a CA dates back, and what passed before it was in force, does not count."""
        return self.not_after + 1 - max(self.not_before, self.installed_at)

    def is_valid(self, now: float) -> bool:
        """True up to and including the second of notAfter."""
        return now < self.not_after + 1


@dataclass(frozen=True, slots=True)
class RenewalWindow:
    """When a CA wants a certificate to be renewed (RFC 9773 §4.2). explanation_url: why, or empty."""

    certificate_id: str
    start: float
    end: float
    explanation_url: str = ""
    extra: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate that its CA is still to revoke. chain: PEM, leaf first. ca: the directory URL it came from. reason:
    a CRLReason (RFC 5280 §5.3.1). tries: how often the CA was asked in vain; next_try_at: when to ask it."""

    chain: str
    serial: str
    ca: str
    reason: int
    not_after: float
    next_try_at: float
    tries: int = 0
    extra: tuple[tuple[str, Any], ...] = ()
