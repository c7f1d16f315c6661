"""The beat table, and what it starts. Safe to run twice at once: the store hands each issuance to one caller."""

from collections.abc import Callable

import structlog
from celery import Celery

from issuer import pipeline
from issuer.domain import domain_of
from issuer.ports import Services

BATCH = 500
NEXT_LOOK_SECONDS = 300
"""After a message has been sent again, how long until it is taken for lost once more."""

log = structlog.get_logger(__name__)


def register(app: Celery, services: Callable[[], Services], every_seconds: float) -> None:
    """Make the task, and have beat send it. A message older than its own interval is dropped unread."""

    def body() -> None:
        structlog.contextvars.clear_contextvars()
        reconcile(services(), app)

    app.task(body, name="reconcile", shared=False)
    app.conf.beat_schedule = {
        "reconcile": {
            "task": "reconcile",
            "schedule": every_seconds,
            "options": {"expires": max(every_seconds, 1)},
        }
    }


def reconcile(services: Services, app: Celery) -> int:
    """Queue again every open issuance whose time has come, or whose lease ran out; returns how many."""
    now = services.clock()
    found = services.store.claim_due(now=now, limit=BATCH, look_again_at=now + NEXT_LOOK_SECONDS)
    for issuance_id in found:
        record = services.store.load(domain_of(issuance_id))
        if record and record.issuance.id == issuance_id and record.issuance.is_open:
            pipeline.resume(app, record)
    if found:
        log.info("reconciled", issuances=len(found))
    return len(found)
