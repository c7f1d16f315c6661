"""The faults of the fleet that are open, and what was found last: all processes share both."""

from dataclasses import dataclass
from typing import Protocol

from issuer.ports.checks import Check


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the fleet has found at a time (epoch seconds). cas_at: when the CAs were last looked at."""

    at: float
    checks: tuple[Check, ...]
    cas_at: float = 0


class Faults(Protocol):
    """Failed checks, by code and subject, from their begin to their end. Every method raises
    Problem(store-unavailable) if the store is unavailable."""

    def begin(self, check: Check) -> bool:
        """Open the fault of a failed check with its `since`, or give an open one the words of this check. True for the
        one caller that has opened it."""

    def end(self, check: Check) -> Check | None:
        """End the fault with the code and subject of a check. Returns the fault as it was, to the one caller that has
        ended it."""

    def open(self) -> list[Check]:
        """The open faults, ordered by code and subject, each with its `since`."""

    def keep_diagnosis(self, diagnosis: Diagnosis) -> None:
        """Save what was found, in place of what was found before."""

    def diagnosis(self) -> Diagnosis | None:
        """What was found last; None if nothing ever was."""
