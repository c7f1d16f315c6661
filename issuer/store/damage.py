"""Damaged records: each is reported once, and what can be read of it is kept when its account repairs it.

A damaged record is listed by its problem code (`issuer list --code damaged-record`) until it is written again.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import redis
import structlog

from issuer.domain import Listing, Record, lost_issuance
from issuer.problem import Problem, ProblemType
from issuer.store import keys, texts
from issuer.store.connection import redis_errors
from issuer.store.identity import RedisIdentity

DAMAGED_INDEX = keys.index_key((Listing.CODE, ProblemType.DAMAGED_RECORD.value))
MAX_REPORTED = 10_000
"""So many damaged names are remembered by a process, so that none is reported at every call."""

log = structlog.get_logger(__name__)


class RedisDamage(RedisIdentity):
    """Part of `RedisStore`."""

    _reported: set[str]

    def salvage(self, name: str, *, now: float) -> Record | None:
        """See `ports.Store`."""
        values = self._readable_fields(name)
        return None if values is None else self._salvaged(name, values, now)

    def damaged(self) -> int:
        """See `ports.Store`."""
        with redis_errors():
            return self._redis.zcard(DAMAGED_INDEX)

    def _unlist_damage(self, hashes: Mapping[str, dict[str, str]]) -> None:
        """Records that can be read again are no longer listed as damaged."""
        names = [name for name, held in hashes.items() if texts.DAMAGED_LINE not in held.get("indexes", "")]
        if names:
            with redis_errors():
                self._redis.zrem(DAMAGED_INDEX, *names)

    def _decoded(self, name: str, values: Mapping[str, str]) -> Record:
        """The record in a hash. Raises Problem(damaged-record), which is reported."""
        try:
            record = texts.record(name, values)
        except Problem as problem:
            self.report_damage(name, problem.detail)
            raise
        self._reported.discard(name)
        return record

    def report_damage(self, name: str, reason: str) -> None:
        """See `ports.Store`."""
        if name in self._reported:
            return
        if len(self._reported) >= MAX_REPORTED:
            self._reported.clear()
        self._reported.add(name)
        is_new: object = True
        try:
            is_new = self._redis.zadd(DAMAGED_INDEX, {name: 0}, nx=True)
        except (redis.RedisError, OSError):
            log.debug("the damage cannot be listed", domain=name)
        if is_new:
            log.error("damaged record: its certificate is not renewed", domain=name, reason=reason, hint=texts.REPAIR)

    def _readable_fields(self, name: str) -> dict[str, str] | None:
        """The fields of a record that may be damaged: none of a key of another type; None if there is no record."""
        key = keys.record_key(name)
        with redis_errors():
            try:
                return cast("dict[str, str]", self._redis.hgetall(key)) or None
            except redis.ResponseError:
                return {} if self._redis.exists(key) else None

    def _salvaged(self, name: str, values: Mapping[str, str], now: float) -> Record:
        """A record of what can be read: the domain's certificate and settings. Its issuance is a closed one."""
        domain = texts.readable_domain(name, self._holder(name, values), values.get("domain"), now)
        if domain.certificate is None and not domain.is_withdrawn and values.get("served", "unknown"):
            domain = replace(domain, lost_at=now)
        timeline = texts.readable_timeline(values.get("timeline"))
        return Record(domain, lost_issuance(name, now), timeline=timeline)

    def _holder(self, name: str, values: Mapping[str, str]) -> str:
        """The account that holds a name: as its domain says, else the indexes of its record, else the listings of all
        accounts; empty if it is in none."""
        said = [texts.account_of(values.get("domain")), texts.indexed_account(values.get("indexes"))]
        with redis_errors():
            ids = sorted(cast("set[str]", self._redis.smembers(keys.ACCOUNTS)))
            pipeline = self._redis.pipeline(transaction=False)
            for account_id in ids:
                pipeline.zscore(keys.index_key((Listing.ACCOUNT, account_id)), name)
            scores = pipeline.execute()
        listed = [account_id for account_id, score in zip(ids, scores, strict=True) if score is not None]
        known = [account_id for account_id in said if account_id in ids]
        return next(filter(None, (*known, *listed, *said)), "")
