"""Which store it is: a random id tells it from an empty one and from another one."""

import re
from dataclasses import dataclass
from typing import Protocol

from issuer.problem import Problem, ProblemType

STORE_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """id: random, made once; empty if the store has none. lost: the id of which a store without one is known to have
    lost the data. replaces: the ids of stores in whose place the operator has accepted it."""

    id: str
    lost: str = ""
    replaces: frozenset[str] = frozenset()

    def is_own(self, known: str) -> bool:
        """Whether it is the store with the known id ('': none is known), or has been accepted in its place."""
        return bool(self.id) and (not known or known == self.id or known in self.replaces)

    def refusal(self, known: str) -> Problem:
        """The Problem of a caller who knows another id."""
        former = known or self.lost
        what = f"has another identity, {self.id}" if self.id else "is empty, or has no identity"
        return Problem(
            ProblemType.FOREIGN_STORE,
            f"the store {what}; the one before was {former}",
            hint="the operator must restore the data or correct ISSUER_REDIS_URL, or accept this store as it is: "
            f"issuer store adopt --instead-of {former}",
        )


class Identified(Protocol):
    """Part of the `Store` port."""

    def require_own(self, *, max_age_seconds: float = 0) -> None:
        """Return if this is the store that this process, or the file of `identity_file`, knows. A store that is used
        for the first time becomes that. Every write of a record implies it. Raises Problem(foreign-store), which is
        logged once. max_age_seconds: a yes that is not older will do."""

    def identity(self, known: str, *, marks: bool = False) -> StoreIdentity:
        """The identity of the store; made, if it has none and none is known ('') or marked as lost. marks: if it has
        none, and one is known, mark that one as lost, for those who do not know it."""

    def adopt(self, instead_of: str = "") -> str:
        """Accept the store in place of the one with this id, of the one in the file, and of the one that is marked as
        lost. Returns its id."""
