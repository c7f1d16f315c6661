"""Who may see and use the operators' page: keys, and the sessions that they begin."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """A key for the operators' page. name: of its holder. key_hash: SHA-256 of the key, in hexadecimal digits.
    last_used_at: to the minute; None if it was never used."""

    name: str
    key_hash: str = field(repr=False)
    created_at: float
    last_used_at: float | None = None


@dataclass(frozen=True, slots=True)
class OperatorSession:
    """What one log-in has begun. name, key_hash: of its key, as they were then. form_token: what every form of the
    session must send, so that no other site can send one."""

    name: str
    key_hash: str = field(repr=False)
    form_token: str = field(repr=False)


class Operators(Protocol):
    """The keys and sessions of operators. Every method raises Problem(store-unavailable) as in `Store`. A session is
    known by the hash of its token, so that nobody who reads the store can use one."""

    def keys(self) -> list[OperatorKey]:
        """All keys, ordered by name; without those that cannot be read."""

    def key(self, name: str) -> OperatorKey | None:
        """The key with a name; None if there is none, or if it cannot be read."""

    def has_keys(self) -> bool:
        """Whether there is any key."""

    def create_key(self, key: OperatorKey) -> bool:
        """Add a key. False if there is one with its name."""

    def revoke_key(self, name: str) -> bool:
        """Remove a key. False if there is none with this name."""

    def record_use(self, name: str, at: float) -> None:
        """Record when a key was last used."""

    def begin_session(self, token_hash: str, session: OperatorSession, *, seconds: int) -> None:
        """Keep a session for so many seconds."""

    def session(self, token_hash: str) -> OperatorSession | None:
        """A session that has neither expired nor ended; else None."""

    def end_session(self, token_hash: str) -> None:
        """End a session, if there is one."""
