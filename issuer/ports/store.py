"""What keeps the records, and what all workers know together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from issuer.domain import Account, Due, Listing, Record
from issuer.metrics import CounterValues
from issuer.ports.ca import CaAccounts
from issuer.ports.identity import Identified


class Conflict(Exception):  # noqa: N818 - a refusal, not a fault
    """A write was refused: the record has moved on since it was read. Read it again."""


class OverQuota(Exception):  # noqa: N818 - a refusal, not a fault
    """A quota is spent. retry_at: when it has one again (epoch seconds)."""

    def __init__(self, retry_at: float) -> None:
        super().__init__(retry_at)
        self.retry_at = retry_at


@dataclass(frozen=True, slots=True)
class Quota:
    """How often something may be done: `burst` times at once, and once more every `seconds`. of: what it is counted
    by. Burst 0: as often as you like. cost: how much of it is used up; with 0 there must only be room for one. reserve:
    how much must be left for others."""

    of: str
    seconds: float
    burst: int
    cost: int = 1
    reserve: int = 0


NO_QUOTA = Quota("none", seconds=1, burst=0)


@dataclass(frozen=True, slots=True)
class PlannedRenewal:
    """When a certificate is to be renewed (0: as soon as its turn comes), and at which CA it was issued."""

    name: str
    at: float
    ca: str


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """A record that cannot be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class StatusCounts:
    """How many domains have which status, computed for one moment."""

    processing: int
    active: int
    expired: int
    error: int


@dataclass(frozen=True, slots=True)
class Reindexed:
    """How far `Store.reindex` has come: records looked at so far, of those, damaged ones; is_done: all of them."""

    seen: int
    damaged: int
    is_done: bool


class Store(CaAccounts, Identified, Protocol):
    """The records, and our accounts at the CAs. Every method raises Problem(store-unavailable) when the store does not
    answer, and those that read a record Problem(damaged-record) where it cannot be read."""

    def load(self, name: str) -> Record | None:
        """The record of a domain, or None."""

    def update(
        self,
        name: str,
        change: Callable[[Record | None], Record | None],
        *,
        now: float,
        quota: Callable[[Record | None], Quota] | None = None,
        requeue_at: float | None = None,
        repairs: bool = False,
    ) -> Record | None:
        """Load the record of a domain, change it, and save it; again where somebody else came before, within a bound.
        The one way to write a record without a lease. Returns what was saved.

        change: gets the record, or None where there is none; returns it changed, or None to leave it as it is. May be
        called several times; whatever it raises ends the update. What callers set (`CALLERS_FIELDS`) may be changed
        while a worker has a lease; another issuance in its place ends that lease; for all else Problem(busy) is raised
        then, and also where it could not be saved. quota: of the record as it was read, spent in the same write; raises
        OverQuota. requeue_at: when
        `claim` is to return an issuance that this opens, should its message get lost; None: a minute after it is due.
        repairs: a damaged record is given to `change` as `salvage` returns it, and what it returns takes its place.
        """

    def salvage(self, name: str, *, now: float) -> Record | None:
        """What can be read of a record, which may be damaged: the account that holds it (empty if that cannot be
        known), and of the domain what is whole. Its issuance is a closed one. None if there is no record."""

    def report_damage(self, name: str, reason: str) -> None:
        """Log that a record is damaged, and list it by the code `damaged-record`; once until it is written again."""

    def damaged(self) -> int:
        """How many records are known to be damaged; they are listed by the code `damaged-record`."""

    def lease(self, issuance_id: str, *, now: float, until: float) -> Record | None:
        """Lease an open issuance's domain; None when it is stale, closed, or leased by somebody else."""

    def save(self, record: Record) -> Record:
        """Write the record of a lease in hand, keeping the lease. Raises Conflict when the lease has been lost."""

    def save_and_release(self, record: Record, *, requeue_at: float | None) -> Record:
        """Write and give the lease back; requeue_at None closes the issuance. Raises Conflict as `save`."""

    def remove(self, record: Record) -> None:
        """Remove a record that nobody has a lease of, and all that is due for it. Raises Conflict when it has moved
        on."""

    def claim(self, due: Due, *, now: float, limit: int, requeue_at: float) -> list[str]:
        """At most `limit` names for which something is due, the longest due first; each is put off to
        `requeue_at`, so that two callers do not get the same ones."""

    def claim_renewals(
        self, *, now: float, limit: int, requeue_at: float, per_second: float, at_once: int
    ) -> list[str]:
        """At most `limit` names whose renewal is due, the most urgent first: as many as the pace allows since the last
        call, and as leave no more than `at_once` renewals open and due before `requeue_at`. Each is put off as by
        `claim`."""

    def planned_renewals(self) -> Iterator[PlannedRenewal]:
        """Every renewal that is planned, in no order."""

    def names(self, due: Due, *, limit: int) -> tuple[int, list[str]]:
        """How many names a due index holds, and the first of them."""

    def names_of(self, listing: Listing, value: str, *, after: str, limit: int) -> list[str]:
        """At most `limit` names of a listing for a value, by name, those after one ('': from the start)."""

    def names_by_expiry(self, *, until: float, after: tuple[float, str] | None, limit: int) -> list[tuple[float, str]]:
        """At most `limit` names with the notAfter of their certificate, the earliest first, up to `until`; those after
        one such pair (None: from the start)."""

    def records(self, names: Sequence[str]) -> list[Record | DamagedRecord]:
        """The records of names, in their order, without those that are not there any more."""

    def count_by_status(self, now: float) -> StatusCounts:
        """How many domains have which status at `now`."""

    def reindex(self, *, now: float, limit: int, restart: bool = False) -> Reindexed:
        """Give records that an older release wrote their indexes, about `limit` of them in one call; the next call
        goes on from there, in whatever process, until all are done. restart: begin with the first one again."""

    def renewal_run(self, selection: str, *, now: float, seconds: int) -> float:
        """When the forced renewal of a selection began, in whatever process: now, unless an earlier call began it and
        nobody has ended it. It is remembered for `seconds` more."""

    def end_renewal_run(self, selection: str) -> None:
        """End the forced renewal of a selection: the next one begins anew."""

    def put_token(self, token: str, key_authorization: str, *, seconds: int) -> None:
        """Publish an HTTP-01 answer for all web processes (RFC 8555 §8.3)."""

    def key_authorization(self, token: str) -> str | None:
        """The answer to a token, or None."""

    def account(self, account_id: str) -> Account | None:
        """An account, or None."""

    def accounts(self) -> list[Account]:
        """All accounts, by id."""

    def create_account(self, account: Account) -> None:
        """Add an account, or write it in place of a damaged one. Raises Problem(account-exists)."""

    def change_account(self, account_id: str, *, only_missing: bool = False, **changes: str) -> None:
        """Change fields of an account, if it exists, and leave the others as they are at that moment. only_missing:
        those that it has already too."""


@dataclass(frozen=True, slots=True)
class Change:
    """A name for which the edges have something to do. position: its place in the feed. is_withdrawn: a tombstone."""

    position: str
    name: str
    edge_version: str
    is_withdrawn: bool = False


class Feed(Protocol):
    """What the edges follow; Problem(store-unavailable) as in `Store`."""

    def position(self) -> str:
        """The end of the feed: what comes after it is still to come."""

    def is_complete_after(self, position: str) -> bool:
        """False where something after it may have been cut off: then look at all names."""

    def changes(self, position: str, *, limit: int, wait_seconds: float) -> list[Change]:
        """The next changes after a position, waited for if there are none yet."""

    def edge_version(self, name: str) -> str:
        """`Domain.edge_version` of a name, at the cost of one look."""

    def names(self) -> Iterator[str]:
        """All names, in no order, some perhaps twice."""


class Counters(Protocol):
    """What is counted for the metrics, by all processes together; Problem(store-unavailable) as in `Store`."""

    def add(self, *counts: CounterValues) -> None:
        """Raise what is counted."""

    def values(self) -> CounterValues:
        """How high everything is that was ever raised."""
