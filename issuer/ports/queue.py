"""What runs the steps of an issuance."""

from typing import Protocol

from issuer.domain import Record


class TaskQueue(Protocol):
    """Where the steps of an issuance are queued. A message may be lost, doubled or late: the record is the truth."""

    def enqueue(self, record: Record) -> None:
        """Queue what is left of an issuance, from its step on. Raises nothing where the broker is unavailable:
        `reconcile` finds the record."""
