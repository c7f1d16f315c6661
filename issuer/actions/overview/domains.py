"""Domains of all accounts: one by its name, and those whose names begin alike."""

from collections.abc import Sequence

from issuer.actions import listing, lookup
from issuer.domain import Record
from issuer.names import known
from issuer.ports import DamagedRecord, Services
from issuer.problem import Problem, ProblemType

SEARCHED = 50


def look_up(services: Services, text: str) -> tuple[Record, Problem | None]:
    """The record of a domain, and None; of a damaged record, what can be read of it, and what is wrong. Raises
    Problem(invalid-name, not-found)."""
    try:
        return lookup.record_of(services, text), None
    except Problem as problem:
        if problem.type is not ProblemType.DAMAGED_RECORD:
            raise
        salvaged = services.store.salvage(known(text), now=services.clock())
        if salvaged is None:
            raise
        return salvaged, problem


def records(services: Services, names: Sequence[str]) -> list[Record | DamagedRecord]:
    """The records of these names as they are told, in the same order, without names that have no record."""
    return listing.records(services, names)


def search(services: Services, text: str, *, after: str = "") -> list[str]:
    """Names that begin with a text, of all accounts, ordered by name, one more than `SEARCHED` at most. A text that no
    name can begin with finds none."""
    prefix = _prefix(text)
    return services.store.names_with_prefix(prefix, after=after, limit=SEARCHED + 1) if prefix else []


def _prefix(text: str) -> str:
    """A text as names have it: a whole name in its canonical form, if it has other characters than names have."""
    plain = text.strip().lower()
    try:
        return plain if plain.isascii() else known(plain)
    except Problem:
        return ""
