"""The one function that computes the API's status of a record."""

from enum import StrEnum

from issuer.domain.domain import Record
from issuer.domain.issuance import Step

PROCESSING_WITHIN_SECONDS = 120
"""An open issuance that is due within this time has the status `processing`; one that is due later has `error`."""


class Status(StrEnum):
    """The four statuses of the API."""

    PROCESSING = "processing"
    ACTIVE = "active"
    EXPIRED = "expired"
    ERROR = "error"


def status(record: Record, now: float) -> Status:
    """The status of a record at `now`; computed, never stored."""
    issuance = record.issuance
    if issuance.is_open:
        due_at = issuance.next_try_at or now
        if due_at <= now + PROCESSING_WITHIN_SECONDS:
            return Status.PROCESSING
    certificate = record.domain.certificate
    if certificate is not None and not certificate.is_valid(now):
        return Status.EXPIRED
    return Status.ACTIVE if issuance.step is Step.DONE else Status.ERROR
