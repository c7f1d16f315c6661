"""What only one process of the fleet does at a time."""

from typing import Protocol


class Locks(Protocol):
    """Locks by name, each for a bounded time, so that a lock ends if its holder does. Every method raises
    Problem(store-unavailable) as in `Store`."""

    def take(self, name: str, *, seconds: int) -> str | None:
        """Take a lock. Returns what identifies this holder, or None if somebody else has it."""

    def extend(self, name: str, holder: str, *, seconds: int) -> bool:
        """Keep a lock for `seconds` from now. False if it is lost."""

    def give_back(self, name: str, holder: str) -> None:
        """Release a lock, if the holder still has it."""
