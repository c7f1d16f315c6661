"""Records as a test wants them: written by the store's own `update`, and refused where they have changed since."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from issuer.domain import Domain, Issuance, Record
from issuer.ports import NO_QUOTA, Conflict, Quota
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore


def open_issuance(
    store: RedisStore,
    domain: Domain,
    issuance: Issuance,
    *,
    version: int,
    requeue_at: float,
    now: float = 0,
    quota: Quota = NO_QUOTA,
) -> Record:
    """Save a domain with an issuance to work on, if its version is still `version` (0: not there yet)."""

    def change(record: Record | None) -> Record:
        if (record.version if record else 0) != version:
            raise Conflict
        return Record(domain, issuance, timeline=record.timeline if record else ())

    with _busy_as_conflict():
        return store.update(domain.name, change, now=now, quota=lambda _: quota, requeue_at=requeue_at)


def write(store: RedisStore, record: Record, *, now: float) -> Record:
    """Save a record without a lease, if it has not changed since it was read. Raises Conflict otherwise."""
    with _busy_as_conflict():
        return store.update(record.domain.name, unless_changed(record), now=now)


def unless_changed(record: Record) -> Callable[[Record | None], Record]:
    """A change to this record. Raises Conflict if the record has changed since it was read."""

    def change(current: Record | None) -> Record:
        if current is None or current.version != record.version:
            raise Conflict
        return record

    return change


@contextmanager
def _busy_as_conflict() -> Iterator[None]:
    try:
        yield
    except Problem as problem:
        if problem.type is ProblemType.BUSY:
            raise Conflict from None
        raise
