"""The records of domains, their leases, and their due indexes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

from issuer import backoff, events
from issuer.domain import CALLERS_FIELDS, Due, Record, domain_of
from issuer.metrics import TALLY
from issuer.ports import NO_QUOTA, Conflict, OverQuota, PlannedRenewal, Quota
from issuer.problem import Problem, ProblemType
from issuer.store import keys, texts
from issuer.store.connection import redis_errors
from issuer.store.counters import counter_field, counts_of, tally_of
from issuer.store.damage import RedisDamage
from issuer.store.scripts import run

PACE_BURST_SECONDS = 60
"""After a pause of the scheduler, at most as many renewals as the pace allows in this time, and at least one, start at
once."""
LINE_UP = 1000
MAX_LINE_UPS = 50
PAGE = 1000
MAX_CONFLICTS = 20
"""How often a change is tried before the caller gets an error, if others change the record at the same time."""
COMPARED = ("domain", "issuance", "id", "version")
"""The fields by which a damaged record is still the same."""
CHANGED, LEASED = 0, -1
"""What a script that writes a record returns instead of the new version."""


class RedisRecords(RedisDamage):
    """Part of `RedisStore`."""

    def load(self, name: str) -> Record | None:
        """See `ports.Store`."""
        try:
            with redis_errors(name):
                values = cast("dict[str, str]", self._redis.hgetall(keys.record_key(name)))
        except Problem as problem:
            if problem.type is ProblemType.DAMAGED_RECORD:
                self.report_damage(name, problem.detail)
            raise
        return self._decoded(name, values) if values else None

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
        """See `ports.Store`."""
        for _ in range(MAX_CONFLICTS):
            held, damaged = self._load_to_change(name, now, repairs=repairs)
            changed = change(held)
            if changed is None:
                return None
            answer = self._update(held, changed, now, quota(held) if quota else NO_QUOTA, requeue_at, damaged=damaged)
            if isinstance(answer, str):
                raise OverQuota(float(answer))
            if answer == LEASED:
                raise Problem(ProblemType.BUSY, hint="nothing was changed; try again in a moment", retry_at=now + 1)
            if answer != CHANGED:
                return _written(changed, answer, lease_until=_lease(held, changed))
        raise Problem(ProblemType.BUSY, hint="nothing was changed; try again in a moment")

    def _load_to_change(self, name: str, now: float, *, repairs: bool) -> tuple[Record | None, dict[str, str] | None]:
        """A record; or, to be repaired, what can be read of a damaged one, with the fields that it was read from."""
        try:
            return self.load(name), None
        except Problem as problem:
            if problem.type is not ProblemType.DAMAGED_RECORD or not repairs:
                raise
        values = self._readable_fields(name)
        return (None, None) if values is None else (self._salvaged(name, values, now), values)

    def _update(
        self,
        held: Record | None,
        changed: Record,
        now: float,
        quota: Quota,
        requeue_at: float | None,
        *,
        damaged: dict[str, str] | None,
    ) -> int | str:
        issuance = changed.issuance
        is_other = held is None or held.issuance.id != issuance.id
        opens = is_other or requeue_at is not None or _due(held) != _due(changed)
        if issuance.is_open and opens and requeue_at is None:
            requeue_at = backoff.requeue_at(issuance.next_try_at, now, is_queued=True)
        args = _args(changed, requeue_at) | {
            "read_version": held.version if held else 0,
            "now": now,
            "opens": "1" if opens else "",
            "during_lease": "1" if held and _is_callers_change(held, changed) else "",
            "seconds": quota.seconds,
            "burst": quota.burst,
            "is_tombstone": "1" if held and held.domain.lost_at is not None and changed.domain.is_withdrawn else "",
        }
        if damaged is not None:
            args |= {"repairs": "1"} | {f"damaged_{field}": damaged.get(field, "") for field in COMPARED}
        answer: int | str = self._guarded("update", _keys(changed, quota=keys.quota_key(quota.of)), args)
        return answer

    def lease(self, issuance_id: str, *, now: float, until: float) -> Record | None:
        """See `ports.Store`."""
        name = domain_of(issuance_id)
        args = {"name": name, "id": issuance_id, "now": now, "until": until}
        if self._is_refused:
            self.require_own()
        values = run(self._redis, "lease", {"record": keys.record_key(name)}, args)
        if not values:
            return None
        fields = values if isinstance(values, dict) else dict(zip(values[::2], values[1::2], strict=True))
        return self._decoded(name, fields)

    def save(self, record: Record) -> Record:
        """See `ports.Store`."""
        return self._save(record, None, {"release": ""})

    def save_and_release(self, record: Record, *, requeue_at: float | None) -> Record:
        """See `ports.Store`."""
        released = self._save(record, requeue_at, {"release": "1", "attempts_started": record.attempts_started})
        return replace(released, lease_until=0)

    def _save(self, record: Record, requeue_at: float | None, how: dict[str, Any]) -> Record:
        for _ in range(MAX_CONFLICTS):
            fence: dict[str, Any] = {"read_version": record.version, "callers_changes": record.callers_changes}
            fence["lease_until"] = record.lease_until
            answer = run(self._redis, "save", _keys(record), _args(record, requeue_at) | fence | how)
            if answer == CHANGED:
                break
            if answer != LEASED:
                return _written(record, answer, lease_until=record.lease_until)
            record = _with_callers_changes(record, self.load(record.domain.name))
        raise Conflict

    def remove(self, record: Record) -> None:
        """See `ports.Store`."""
        name = record.domain.name
        args = {"name": name, "id": record.issuance.id, "read_version": record.version}
        if not run(self._redis, "remove", {"record": keys.record_key(name), "ready": keys.READY_INDEX}, args):
            raise Conflict

    def claim(self, due: Due, *, now: float, limit: int, requeue_at: float) -> list[str]:
        """See `ports.Store`."""
        args = {"now": now, "limit": limit, "requeue_at": requeue_at}
        return cast("list[str]", self._guarded("claim", {"due": keys.index_key((due, ""))}, args, is_first=True))

    def claim_renewals(
        self, *, now: float, limit: int, requeue_at: float, per_second: float, at_once: int
    ) -> list[str]:
        """See `ports.Store`."""
        renew = keys.index_key((Due.RENEWAL_START, ""))
        line = {"renew": renew, "ready": keys.READY_INDEX}
        for _ in range(MAX_LINE_UPS):
            args: dict[str, Any] = {"now": now, "limit": LINE_UP, "records": keys.RECORDS}
            if run(self._redis, "line_up", line, args) < LINE_UP:
                break
        line |= {"renewals": keys.index_key((Due.OPEN_RENEWAL, "")), "pace": keys.PACE}
        args = {
            "now": now,
            "requeue_at": requeue_at,
            "limit": limit,
            "per_second": per_second,
            "burst_seconds": max(PACE_BURST_SECONDS, 1 / per_second),
            "at_once": at_once,
        }
        return cast("list[str]", self._guarded("claim_renewals", line, args, is_first=True))

    def planned_renewals(self) -> Iterator[PlannedRenewal]:
        """See `ports.Store`."""
        for index in (keys.index_key((Due.RENEWAL_START, "")), keys.READY_INDEX):
            cursor = None
            while cursor != 0:
                with redis_errors():
                    cursor, entries = cast("Any", self._redis.zscan(index, cursor or 0, count=PAGE))
                    pipeline = self._redis.pipeline(transaction=False)
                    for name, _ in entries:
                        pipeline.hget(keys.record_key(name), "ca")
                    cas = pipeline.execute(raise_on_error=False)
                for (name, at), ca in zip(entries, cas, strict=True):
                    known = ca if isinstance(ca, str) and ca.isascii() else ""  # an error, if the record is damaged
                    yield PlannedRenewal(name, 0 if index == keys.READY_INDEX else at, known)

    def put_token(self, token: str, key_authorization: str, *, seconds: int) -> None:
        """See `ports.Store`."""
        with redis_errors():
            self._redis.set(keys.token_key(token), key_authorization, ex=seconds)

    def key_authorization(self, token: str) -> str | None:
        """See `ports.Store`."""
        with redis_errors():
            return cast("str | None", self._redis.get(keys.token_key(token)))


def _keys(record: Record, **more: str) -> dict[str, str]:
    """The keys of the scripts that write a record."""
    name = record.domain.name
    own = {"record": keys.record_key(name), "ready": keys.READY_INDEX}
    return own | {"changes": keys.CHANGES, "metrics": keys.METRICS} | more


def _args(record: Record, requeue_at: float | None) -> dict[str, Any]:
    """The arguments of `write` in `shared.lua`."""
    domain = record.domain
    counts = [f"{amount:.6g} {counter_field(key)}" for key, amount in counts_of(record).items()]
    indexes = record.indexes(requeue_at).items()
    return {
        "name": domain.name,
        "id": record.issuance.id,
        "domain": texts.domain_text(domain),
        "issuance": texts.issuance_text(record.issuance),
        "timeline": texts.timeline_text(events.newest((*record.timeline, *record.pending))),
        "schema": record.schema,
        "urgent_by": domain.urgent_by,
        "ca": domain.certificate.ca if domain.certificate else "",
        "served": domain.edge_version,
        "is_lost": "1" if domain.lost_at is not None and domain.certificate is None else "",
        "indexes": "\n".join(f"{keys.index_key(index).removeprefix(keys.ROOT)}={at}" for index, at in indexes),
        "counts": "\n".join(counts),
    }


def _written(record: Record, version: int, *, lease_until: float) -> Record:
    """The record as Redis has it after the write. Its pending events are logged, and counted."""
    events.emit(record.domain.name, record.issuance.id, record.pending)
    TALLY.add(tally_of(record))
    timeline = events.newest((*record.timeline, *record.pending))
    return replace(record, version=version, lease_until=lease_until, timeline=timeline, pending=())


def _lease(held: Record | None, changed: Record) -> float:
    is_other = held is None or held.issuance.id != changed.issuance.id
    return 0 if is_other else changed.lease_until


def _due(record: Record | None) -> tuple[float | None, Due] | None:
    """When the issuance of a record is due, and in which queue."""
    return (record.issuance.next_try_at, record.issuance.queue) if record else None


def _is_callers_change(held: Record, changed: Record) -> bool:
    """Whether a change is only of fields that callers set, so that a lease does not matter."""
    settings = {name: getattr(changed.domain, name) for name in CALLERS_FIELDS}
    return changed.issuance == held.issuance and changed.domain == replace(held.domain, **settings)


def _with_callers_changes(record: Record, current: Record | None) -> Record:
    """The record of a worker that has a lease, with what callers have set in the meantime."""
    if current is None or current.lease_until != record.lease_until:
        raise Conflict
    if current.version - record.version != current.callers_changes - record.callers_changes:
        raise Conflict  # something else came between as well
    settings = {name: getattr(current.domain, name) for name in CALLERS_FIELDS}
    last = max((event.id for event in current.timeline), default=0)
    pending = tuple(replace(event, id=last + number) for number, event in enumerate(record.pending, 1))
    rebased = replace(record, version=current.version, callers_changes=current.callers_changes)
    return replace(rebased, timeline=current.timeline, pending=pending).with_domain(**settings)
