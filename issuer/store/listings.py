"""Listings of names by facts. Every page costs the same, the last one too."""

import math
from collections.abc import Sequence
from typing import Any, cast

from issuer.domain import Due, Listing, Record
from issuer.ports import DamagedRecord
from issuer.problem import Problem
from issuer.store import keys
from issuer.store.connection import redis_errors
from issuer.store.damage import RedisDamage


class RedisListings(RedisDamage):
    """Part of `RedisStore`."""

    def names(self, due: Due, *, limit: int) -> tuple[int, list[str]]:
        """See `ports.Store`."""
        index = keys.index_key((due, ""))
        with redis_errors():
            return self._redis.zcard(index), cast("list[str]", self._redis.zrange(index, 0, limit - 1))

    def names_of(self, listing: Listing, value: str, *, after: str, limit: int) -> list[str]:
        """See `ports.Store`."""
        index = keys.index_key((listing, value))
        with redis_errors():
            names = self._redis.zrangebylex(index, f"({after}" if after else "-", "+", start=0, num=limit)
        return cast("list[str]", names)

    def count_of(self, listing: Listing, value: str, *, since: float = -math.inf, until: float = math.inf) -> int:
        """See `ports.Store`."""
        with redis_errors():
            return self._redis.zcount(keys.index_key((listing, value)), since, until)

    def has_names_of(self, listing: Listing, values: Sequence[str]) -> bool:
        """See `ports.Store`."""
        with redis_errors():
            return bool(self._redis.exists(*(keys.index_key((listing, value)) for value in values)))

    def names_by_expiry(
        self, *, until: float, after: tuple[float, str] | None, limit: int, is_at_risk: bool = False
    ) -> list[tuple[float, str]]:
        """See `ports.Store`."""
        return self._by_score(Listing.AT_RISK if is_at_risk else Listing.EXPIRY, until, after, limit)

    def names_by_next_try(
        self, *, until: float, after: tuple[float, str] | None, limit: int
    ) -> list[tuple[float, str]]:
        """See `ports.Store`."""
        return self._by_score(Listing.OPEN, until, after, limit)

    def _by_score(
        self, listing: Listing, until: float, after: tuple[float, str] | None, limit: int
    ) -> list[tuple[float, str]]:
        index = keys.index_key((listing, ""))
        pairs: list[tuple[float, str]] = []
        with redis_errors():
            start = self._rank_after(index, after) if after else 0
            while len(pairs) < limit:
                stop = start + limit - len(pairs) - 1
                entries = cast("Any", self._redis.zrange(index, start, stop, withscores=True))
                pairs += [(at, name) for name, at in entries if at <= until and (after is None or (at, name) > after)]
                if start + len(entries) <= stop or entries[-1][1] > until:
                    break
                start += len(entries)
        return pairs

    def _rank_after(self, index: str, after: tuple[float, str]) -> int:
        """Where the pairs after one begin. If it is no longer there: where those of its time begin."""
        at, name = after
        rank = cast("int | None", self._redis.zrank(index, name))
        if rank is None or self._redis.zscore(index, name) != at:
            return self._redis.zcount(index, "-inf", f"({at}")
        return rank + 1

    def records(self, names: Sequence[str]) -> list[Record | DamagedRecord]:
        """See `ports.Store`."""
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(keys.record_key(name))
            hashes = pipeline.execute(raise_on_error=False)
        return [self._readable(name, values) for name, values in zip(names, hashes, strict=True) if values]

    def _readable(self, name: str, values: dict[str, str] | Exception) -> Record | DamagedRecord:
        if isinstance(values, Exception):
            self.report_damage(name, reason := f"{name}: its key in Redis has the wrong type")
            return DamagedRecord(name, reason)
        try:
            return self._decoded(name, values)
        except Problem as problem:
            return DamagedRecord(name, problem.detail)

    def renewal_run(self, selection: str, *, now: float, seconds: int) -> float:
        """See `ports.Store`."""
        key = keys.renewal_run_key(selection)
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.set(key, now, nx=True)
            pipeline.expire(key, seconds)
            pipeline.get(key)
            return float(pipeline.execute()[-1])

    def end_renewal_run(self, selection: str) -> None:
        """See `ports.Store`."""
        with redis_errors():
            self._redis.delete(keys.renewal_run_key(selection))
