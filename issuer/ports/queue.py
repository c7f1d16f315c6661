"""What runs the steps of an issuance."""

from typing import Protocol

from issuer.domain import Record

SENT_AT = "sent_at"
"""The header of a message with the time at which it was sent (epoch seconds)."""


class TaskQueue(Protocol):
    """Where the steps of an issuance are queued. A message may be lost, repeated or late: the record is the truth."""

    def enqueue(self, record: Record) -> None:
        """Queue the rest of an issuance, from its current step on. Never raises: if the broker is unavailable,
        `reconcile` finds the record later."""

    def start_scan(self, name: str) -> None:
        """Queue a scan of `schedule` now, before its turn. Never raises: if the broker is unavailable, its turn
        comes."""
