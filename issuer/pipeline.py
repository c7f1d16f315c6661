"""The chain of an issuance, as Celery runs it:

    order       a CNAME that points here, key and CSR, a CA, an order there
    challenge   every authorization proved over HTTP-01
    finalize    the CSR sent, the order watched until there is a certificate
    install     the chain fetched, verified, and put in force with its key

The steps are in `steps`, their skin in `tasks`. Starting and resuming are one thing: queue what is left.
"""

from celery import Celery, chain

from issuer.domain import CHAIN, Record

SCAN_EXPIRES_SECONDS = 10


class CeleryQueue:
    """The `TaskQueue` port over Celery."""

    def __init__(self, celery: Celery) -> None:
        self.celery = celery

    def enqueue(self, record: Record) -> None:
        """Queue what is left of an issuance. If the broker is unavailable, nothing is lost: `reconcile` finds it."""
        issuance = record.issuance
        steps = CHAIN[CHAIN.index(issuance.step) :]
        tasks = [self.celery.tasks[step.value].si(issuance.id).set(queue=issuance.queue.value) for step in steps]
        chain(*tasks).apply_async()  # `broker.Task` raises nothing

    def start_scan(self, name: str) -> None:
        """See `ports.TaskQueue`."""
        self.celery.tasks[name].apply_async(expires=SCAN_EXPIRES_SECONDS)  # `broker.Task` raises nothing
