"""The life of one record at a real CA, over a clock that jumps to whatever is due next."""

import time

from issuer import renewal, tasks
from issuer.domain import Record, Status, Step, status
from issuer.ports import Services
from issuer.presenters import status_body
from tests.fakes import NAME
from tests.real import opened

HOUR = 3600
DAY = 86400


UNTIL_THE_SECOND_RETRY = 200
"""In seconds: the first retry comes after a minute or so, the second after ten, so until then the status is `error`."""


def lived(services: Services, seconds: float = HOUR, until: Step = Step.DONE, name: str = NAME) -> Record:
    """Do what queue and beat do with an open record, over a clock that jumps to when it is due, for `seconds` at
    most."""
    end = services.clock() + seconds
    while (record := services.store.load(name)).issuance.is_open and record.issuance.step is not until:
        due_at = record.issuance.next_try_at or 0
        services.clock.now = max(services.clock(), min(due_at, end))
        if due_at > end:
            break
        tasks.attempt(services, record.issuance.step, record.issuance.id)
        time.sleep(0.005)  # the CA validates in real time
    return record


def is_active(services: Services, record: Record) -> bool:
    return status(record, services.clock()) is Status.ACTIVE


def issued(services: Services) -> Record:
    """The record of a name with a certificate that was issued without any failure."""
    opened(services, NAME)
    record = lived(services)
    assert status(record, services.clock()) is Status.ACTIVE, record.issuance.problem
    assert record.issuance.tries == 0, record.issuance.problem
    return record


def renewed(services: Services) -> Record:
    """The record after its renewal at the planned time."""
    services.clock.now = max(services.clock(), services.store.load(NAME).domain.renew_at)
    assert renewal.start(services, NAME)
    return lived(services)


def shown(services: Services) -> dict[str, str]:
    """The status that the owner of the domain gets."""
    return status_body(services.store.load(NAME), services.clock())
