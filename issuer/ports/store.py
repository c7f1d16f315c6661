"""What keeps the records, and what all workers know together."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from issuer.domain import Account, Due, Index, Listing, Record
from issuer.ports.ca import CaAccounts
from issuer.ports.identity import Identified
from issuer.ports.refusals import Refusals


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
class DomainCounts:
    """How many domains there are: by the code of a problem that has not ended, by who must end it, and by the CA of the
    certificate; those that have moved away, those with a certificate of a CA that cannot be used, and those whose
    certificate has ended. ending: whose valid certificate ends within each of the times asked for. at_risk: of these,
    those whose renewal has failed so far. unconfirmed_since: of the certificates that not all edges serve, when the
    oldest was installed."""

    by_code: Mapping[str, int]
    by_actor: Mapping[str, int]
    by_ca: Mapping[str, int]
    moved_away: int
    rejected: int
    ended: int
    ending: Sequence[int]
    at_risk: Sequence[int]
    unconfirmed_since: float | None


@dataclass(frozen=True, slots=True)
class DueCounts:
    """The names in a due index, and how many of them are due. first_at: when the first one is, or was, due; None if
    there is none, or if the order is another one."""

    entries: int
    due: int
    first_at: float | None


@dataclass(frozen=True, slots=True)
class Reindexed:
    """How far `Store.reindex` has come: records looked at so far, of those, damaged ones; is_done: all of them."""

    seen: int
    damaged: int
    is_done: bool


class Store(CaAccounts, Identified, Refusals, Protocol):
    """The records, and our accounts at the CAs. Every method raises Problem(store-unavailable) if the store is
    unavailable. Methods that read a record raise Problem(damaged-record) if it cannot be read."""

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
        """Load the record of a domain, change it, and save it. If somebody else saves it meanwhile, repeat that, a few
        times at most. This is the only way to write a record without a lease. Returns the saved record.

        change: gets the record, or None if there is none; returns the changed record, or None to leave it as it is. It
        may be called several times, and what it raises ends the update. While a worker has a lease, it may change what
        callers set (`CALLERS_FIELDS`), or start another issuance, which ends the lease; any other change then raises
        Problem(busy), and so does a record that is changed by others too often.
        quota: the quota for the record as it was read, used in the same write. Raises OverQuota.
        requeue_at: when `claim` returns an issuance that this opens, if its message is lost; None: a minute after it is
        due.
        repairs: `change` gets a damaged record as `salvage` returns it, and what it returns replaces that record.
        """

    def salvage(self, name: str, *, now: float) -> Record | None:
        """What can be read of a record, which may be damaged: the account that holds it (empty if that cannot be
        known), and of the domain what is whole. Its issuance is a closed one. None if there is no record."""

    def report_damage(self, name: str, reason: str) -> None:
        """Log that a record is damaged, and list it by the code `damaged-record`; once until it is written again."""

    def damaged(self) -> int:
        """How many records are known to be damaged; they are listed by the code `damaged-record`."""

    def lease(self, issuance_id: str, *, now: float, until: float) -> Record | None:
        """Lease the record of an open issuance. None if the issuance is stale, closed, or leased by somebody else."""

    def save(self, record: Record) -> Record:
        """Save a leased record and keep the lease. Raises Conflict if the lease has been lost."""

    def save_and_release(self, record: Record, *, requeue_at: float | None) -> Record:
        """Save a leased record and end the lease. requeue_at: as of `update`; None if the issuance is closed. Raises
        Conflict as `save` does."""

    def remove(self, record: Record) -> None:
        """Remove a record without a lease, and its entries in all indexes. Raises Conflict if it has been changed."""

    def claim(self, due: Due, *, now: float, limit: int, requeue_at: float) -> list[str]:
        """At most `limit` names for which something is due, those first that have been due for longest. Each becomes
        due again at `requeue_at`, so two callers never get the same name."""

    def claim_renewals(
        self, *, now: float, limit: int, requeue_at: float, per_second: float, at_once: int
    ) -> list[str]:
        """At most `limit` names whose renewal is due, the most urgent first: as many as the pace allows since the last
        call, and as leave no more than `at_once` renewals open and due before `requeue_at`. Each becomes due again
        as with `claim`."""

    def planned_renewals(self) -> Iterator[PlannedRenewal]:
        """Every planned renewal, in no particular order."""

    def names(self, due: Due, *, limit: int) -> tuple[int, list[str]]:
        """The number of names in a due index, and the first ones."""

    def names_of(self, listing: Listing, value: str, *, after: str, limit: int) -> list[str]:
        """At most `limit` names that a listing has for a value, ordered by name. after: the name before the first one;
        empty: from the start."""

    def count_of(self, listing: Listing, value: str, *, since: float = -math.inf, until: float = math.inf) -> int:
        """How many names a listing has for a value, with a score between these."""

    def has_names_of(self, listing: Listing, values: Sequence[str]) -> bool:
        """Whether a listing has a name for one of these values, by one command."""

    def names_by_expiry(
        self, *, until: float, after: tuple[float, str] | None, limit: int, is_at_risk: bool = False
    ) -> list[tuple[float, str]]:
        """At most `limit` pairs of notAfter (epoch seconds, up to `until`) and name, the earliest first. after: the
        pair before the first one; None: from the start. is_at_risk: only those whose renewal has failed so far."""

    def names_by_next_try(
        self, *, until: float, after: tuple[float, str] | None, limit: int
    ) -> list[tuple[float, str]]:
        """At most `limit` pairs of the time of the next try (epoch seconds, up to `until`; 0: now) and name, of the
        names with an open issuance; as `names_by_expiry`."""

    def records(self, names: Sequence[str]) -> list[Record | DamagedRecord]:
        """The records of these names, in the same order, without names that have no record."""

    def count_overdue(self, queues: Sequence[Due], *, until: float, now: float) -> tuple[int, int]:
        """How many open issuances of some queues have been due since `until` or longer; and of how many of these the
        certificate has ended at `now`. It looks at each of them."""

    def count_by_status(self, now: float) -> StatusCounts:
        """The number of domains with each status at `now`."""

    def count_domains(self, now: float, *, within: Sequence[float], cas: Sequence[str]) -> DomainCounts:
        """The numbers of domains at `now`. within: times in seconds, for `ending` and `at_risk`. cas: directory URLs,
        for `by_ca`."""

    def count_due(self, now: float) -> dict[str, DueCounts]:
        """What is due at `now`, by the value of `Due`; and as `ready` the renewals that are due and wait for their
        turn."""

    def count_between(self, index: Index, bounds: Sequence[float]) -> list[int]:
        """How many names of an index have a score from each bound up to the next one, which it does not reach."""

    def names_between(self, index: Index, start: float, end: float, *, limit: int) -> list[tuple[float, str]]:
        """At most `limit` pairs of score and name with a score from `start` up to `end`, which it does not reach, the
        lowest first."""

    def names_with_prefix(self, prefix: str, *, after: str, limit: int) -> list[str]:
        """At most `limit` names of all accounts that begin with a prefix, ordered by name; without withdrawn names.
        after: the name before the first one; empty: from the start."""

    def reindex(self, *, now: float, limit: int, restart: bool = False) -> Reindexed:
        """Give the records of an earlier release their indexes, about `limit` of them in one call. The next call, in
        any process, goes on from there until all are done. restart: begin with the first record again."""

    def renewal_run(self, selection: str, *, now: float, seconds: int) -> float:
        """When the forced renewal of a selection began, in whatever process: now, unless an earlier call began it and
        nobody has ended it. It is remembered for `seconds` more."""

    def end_renewal_run(self, selection: str) -> None:
        """End the forced renewal of a selection: the next one begins anew."""

    def put_token(self, token: str, key_authorization: str, *, seconds: int) -> None:
        """Publish a key authorization for all web processes, for some seconds (RFC 8555 §8.3)."""

    def key_authorization(self, token: str) -> str | None:
        """The key authorization of a token, or None."""

    def account(self, account_id: str) -> Account | None:
        """An account, or None."""

    def accounts(self) -> list[Account]:
        """All accounts, ordered by id."""

    def create_account(self, account: Account) -> None:
        """Add an account, or write it in place of a damaged one. Raises Problem(account-exists)."""

    def change_account(self, account_id: str, *, only_missing: bool = False, **changes: str) -> None:
        """Change some fields of an account, if it exists. only_missing: do not change a field that it has already."""


@dataclass(frozen=True, slots=True)
class Change:
    """A name for which the edges have something to do. position: its place in the feed. is_withdrawn: a tombstone."""

    position: str
    name: str
    edge_version: str
    is_withdrawn: bool = False


class Feed(Protocol):
    """The changes that the edges follow. Every method raises Problem(store-unavailable) if the store is unavailable."""

    def position(self) -> str:
        """The present end of the feed."""

    def is_complete_after(self, position: str) -> bool:
        """False if changes after this position may have been dropped. Then all names must be looked at."""

    def changes(self, position: str, *, limit: int, wait_seconds: float) -> list[Change]:
        """The next changes after a position. If there are none yet, they are waited for, so many seconds."""

    def edge_version(self, name: str) -> str:
        """`Domain.edge_version` of a name, by one command."""

    def names(self) -> Iterator[str]:
        """All names, in no particular order; some may come twice."""
