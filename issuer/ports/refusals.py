"""The requests that were refused: they leave no record of a domain, so what was wrong with them is kept here."""

from dataclasses import dataclass
from typing import Protocol

REFUSAL_SECONDS = 86400
"""How long a refusal is kept."""
MAX_REFUSALS = 1000
"""Of one account; the oldest are dropped first."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The last refused request of an account for a name.

    name: the canonical form; or, of what is no name, the beginning in ASCII. at: epoch seconds. code, cause, hint,
    must_act: of the problem.
    """

    account: str
    name: str
    at: float
    code: str
    cause: str
    hint: str
    must_act: str


class Refusals(Protocol):
    """Part of the `Store` port."""

    def keep_refusal(self, refusal: Refusal) -> None:
        """Keep and count a refusal, in place of the last one of its account and name."""

    def refusal(self, account_id: str, name: str, *, now: float) -> Refusal | None:
        """The last refusal of an account for a name, if it is kept."""

    def refusals_of(self, name: str, *, now: float) -> list[Refusal]:
        """The last refusals of all accounts for a name, the newest first."""
