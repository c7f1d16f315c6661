"""A certificate in force, its renewal window, revocations that a CA has not performed yet, and certificates that cannot
be used.

extra: members that a newer release has written; they are kept unchanged.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in force.

    chain: PEM, leaf first.
    key: the private key, encrypted.
    serial: the leaf's serial number, in hexadecimal digits.
    not_before, not_after: the leaf's validity; not_after is inclusive (RFC 5280 §4.1.2.5).
    ca: the directory URL of the CA that issued it.
    installed_at: in force since this moment.
    requested_at: when its issuance was started; 0 if an earlier release has installed it.
    """

    chain: str
    key: str = field(repr=False)
    serial: str
    not_before: float
    not_after: float
    ca: str
    installed_at: float = 0
    requested_at: float = 0
    extra: tuple[tuple[str, Any], ...] = ()

    def is_from_before(self, at: float) -> bool:
        """Whether it was requested before `at`: then its key and its chain may be from before, too."""
        return (self.requested_at or self.installed_at) < at

    @property
    def lifetime_seconds(self) -> float:
        """How long it is in use, from its installation to its expiry. Backdating by the CA does not count."""
        return self.not_after + 1 - max(self.not_before, self.installed_at)

    def is_valid(self, now: float) -> bool:
        """Whether it is valid, up to and including the second of notAfter."""
        return now < self.not_after + 1


@dataclass(frozen=True, slots=True)
class RenewalWindow:
    """The suggested window of a CA for the renewal of a certificate (RFC 9773 §4.2).

    certificate_id: the certificate's identifier (RFC 9773 §4.1).
    start, end: the bounds of the window.
    explanation_url: a page that explains the window; empty if the CA gives none.
    """

    certificate_id: str
    start: float
    end: float
    explanation_url: str = ""
    extra: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate that its CA has not revoked yet.

    chain: PEM, leaf first.
    ca: the directory URL of the CA that issued it.
    reason: a CRLReason (RFC 5280 §5.3.1).
    next_try_at: when to ask the CA next.
    tries: how often the CA has been asked without success.
    """

    chain: str
    serial: str
    ca: str
    reason: int
    not_after: float
    next_try_at: float
    tries: int = 0
    extra: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """A CA has issued a certificate that cannot be used. No other is ordered there for the domain until the operator
    allows it, as each costs.

    ca: the directory URL of the CA.
    reason: why it cannot be used, in words.
    at: when it was rejected.
    """

    ca: str
    reason: str
    at: float
    extra: tuple[tuple[str, Any], ...] = ()
