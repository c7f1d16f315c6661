"""The one function that computes the API's status of a record."""

from enum import StrEnum

from issuer.domain.domain import Record
from issuer.domain.issuance import Step
from issuer.problem import Actor, ProblemType

PROCESSING_WITHIN_SECONDS = 120
"""An open issuance that is due within this time has the status `processing`; one that is due later has `error`."""


URGENT_SECONDS = 3 * 86400
"""So long before its end, a certificate that is not renewed is the operator's business, whatever the reason; a third of
its lifetime if that is shorter."""


class Status(StrEnum):
    """The four statuses of the API."""

    PROCESSING = "processing"
    ACTIVE = "active"
    EXPIRED = "expired"
    ERROR = "error"


def status(record: Record, now: float) -> Status:
    """The status of a record at `now`; computed, never stored. A certificate that has ended comes first: its site does
    not work, whatever is open."""
    certificate = record.domain.certificate
    if certificate is not None and not certificate.is_valid(now):
        return Status.EXPIRED
    if is_in_progress(record, now):
        return Status.PROCESSING
    return Status.ACTIVE if record.issuance.step is Step.DONE else Status.ERROR


def is_in_progress(record: Record, now: float) -> bool:
    """Whether the issuance is open, due now or soon, and worked on."""
    issuance = record.issuance
    is_worked_on = issuance.problem is None or issuance.problem.type is not ProblemType.NOT_WORKED_ON
    return issuance.is_open and is_worked_on and issuance.due_at <= now + PROCESSING_WITHIN_SECONDS


def must_act(record: Record, now: float) -> Actor | None:
    """Who must act before the last problem of a record ends; None without one. Before the certificate ends, the
    operator must see to what would pass by itself: the CA's failure, say, may last longer."""
    problem, certificate = record.issuance.problem, record.domain.certificate
    if problem is None:
        return None
    is_urgent = certificate is not None and now > certificate.not_after - min(
        URGENT_SECONDS, certificate.lifetime_seconds / 3
    )
    return Actor.PLATFORM if problem.actor is Actor.NOBODY and is_urgent else problem.actor
