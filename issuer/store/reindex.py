"""Indexes for the records of an earlier release: a scan over all records, in parts, which any process may continue."""

import re
from typing import Any, cast

import redis

from issuer.domain import Listing, Record
from issuer.ports import Reindexed
from issuer.problem import Problem, ProblemType
from issuer.store import keys
from issuer.store.connection import redis_errors
from issuer.store.keys import RECORDS, REINDEX
from issuer.store.records import RedisRecords

NUMBER = re.compile(r"\d{1,20}(\.\d+)?", re.ASCII)
LISTINGS = str(len(Listing))
"""How many listings a release has: one with more begins a new round at once."""
ROUND_SECONDS = 86400
"""A new round begins a day after the last one ended: a process of an earlier release may have written meanwhile."""


class RedisReindex(RedisRecords):
    """Part of `RedisStore`."""

    _redis: redis.Redis

    def reindex(self, *, now: float, limit: int, restart: bool = False) -> Reindexed:
        """See `ports.Store`."""
        with redis_errors():
            state = _readable(cast("dict[str, str]", self._redis.hgetall(REINDEX)))
        state = state if state.get("listings") == LISTINGS else {}
        is_over = "done_at" in state and now < float(state["done_at"]) + ROUND_SECONDS
        if is_over and not restart:
            return Reindexed(int(state["seen"]), int(state["damaged"]), is_done=True)
        server = self._run_id()
        if restart or "done_at" in state or state.get("server") != server:
            state = {}  # a cursor is of no meaning after a restart of Redis
        with redis_errors():
            cursor, scanned = cast("Any", self._redis.scan(int(state.get("cursor", 0)), f"{RECORDS}*", limit))
            found = [key for key in scanned if key.isascii()]  # others are no records of domains
            pipeline = self._redis.pipeline(transaction=False)
            for key in found:
                pipeline.hgetall(key)
            hashes = pipeline.execute(raise_on_error=False)
        names = [key.removeprefix(RECORDS) for key in found]
        whole = {name: held for name, held in zip(names, hashes, strict=True) if self._is_indexed(name, held, now)}
        self._unlist_damage(whole)
        failed = len(names) - len(whole)
        seen, damaged = int(state.get("seen", 0)) + len(found), int(state.get("damaged", 0)) + failed
        progress = ["cursor", cursor, "seen", seen, "damaged", damaged, "server", server, "listings", LISTINGS]
        progress += ["done_at", now] if cursor == 0 else []
        with redis_errors(), self._redis.pipeline() as pipeline:
            pipeline.delete(REINDEX)
            pipeline.hset(REINDEX, items=progress)
            pipeline.execute()
        return Reindexed(seen, damaged, is_done=cursor == 0)

    def _run_id(self) -> str:
        """What tells one run of the server from the next; empty where the server does not say."""
        with redis_errors():
            try:
                return str(self._redis.info("server").get("run_id", ""))
            except redis.ResponseError:
                return ""

    def _is_indexed(self, name: str, held: dict[str, str] | Exception, now: float) -> bool:
        """Write a record unchanged, which gives it its indexes, unless it has them. False if it is damaged."""

        def unchanged(record: Record | None) -> Record | None:
            return record

        try:
            if isinstance(held, dict) and held:
                record = self._decoded(name, held)
                if held.get("indexed") == held["version"] and _is_listed(record, held.get("indexes", "")):
                    return True
            self.update(name, unchanged, now=now)
        except Problem as problem:
            if problem.type is ProblemType.DAMAGED_RECORD:
                return False
            if problem.type is not ProblemType.BUSY:  # a lease: its end writes the record
                raise
        return True


def _is_listed(record: Record, indexes: str) -> bool:
    """Whether a record is in every listing that this release has for it."""
    listed = {line.partition("=")[0] for line in indexes.split("\n")}
    listings = [index for index in record.indexes(None) if isinstance(index[0], Listing)]
    wanted = {keys.index_key(index).removeprefix(keys.ROOT) for index in listings}
    return wanted <= listed


def _readable(state: dict[str, str]) -> dict[str, str]:
    """The progress, or none if it is damaged: then all records are looked at again."""
    numbers = (text for name, text in state.items() if name != "server")
    is_whole = all(NUMBER.fullmatch(text) for text in numbers) and {"seen", "damaged"} <= state.keys()
    return state if is_whole else {}
