"""Indexes for the records of an earlier release: a scan over all records, in parts, which any process may continue."""

from typing import Any, cast

import redis

from issuer.domain import SCHEMA, Record
from issuer.ports import Reindexed
from issuer.problem import Problem, ProblemType
from issuer.store.connection import redis_errors
from issuer.store.keys import RECORDS, REINDEX
from issuer.store.records import RedisRecords


class RedisReindex(RedisRecords):
    """Part of `RedisStore`."""

    _redis: redis.Redis

    def reindex(self, *, now: float, limit: int, restart: bool = False) -> Reindexed:
        """See `ports.Store`."""
        with redis_errors():
            state = {} if restart else cast("dict[str, str]", self._redis.hgetall(REINDEX))
        seen, damaged = int(state.get("seen", 0)), int(state.get("damaged", 0))
        if state.get("schema") == str(SCHEMA):
            return Reindexed(seen, damaged, is_done=True)
        with redis_errors():
            cursor, keys = cast("Any", self._redis.scan(int(state.get("cursor", 0)), f"{RECORDS}*", limit))
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.hmget(key, "indexed", "version")
            versions = pipeline.execute(raise_on_error=False)
        pairs = zip(keys, versions, strict=True)
        stale = [key.removeprefix(RECORDS) for key, held in pairs if isinstance(held, Exception) or held[0] != held[1]]
        failed = sum(not self._is_indexed(name, now) for name in stale)
        is_done = cursor == 0
        seen, damaged = seen + len(keys), damaged + failed
        progress = ["cursor", cursor, "seen", seen, "damaged", damaged, *(["schema", SCHEMA] if is_done else [])]
        with redis_errors():
            if restart:
                self._redis.delete(REINDEX)
            self._redis.hset(REINDEX, items=progress)
        return Reindexed(seen, damaged, is_done=is_done)

    def _is_indexed(self, name: str, now: float) -> bool:
        """Write a record unchanged, which gives it its indexes. False if it is damaged."""

        def unchanged(record: Record | None) -> Record | None:
            return record

        try:
            self.update(name, unchanged, now=now)
        except Problem as problem:
            if problem.type is ProblemType.DAMAGED_RECORD:
                return False
            if problem.type is not ProblemType.BUSY:  # a lease: its end writes the record
                raise
        return True
