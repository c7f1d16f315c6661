"""How many domains are how: from the sizes of indexes, so that a million of them cost no more than a thousand."""

from collections.abc import Sequence
from typing import Any, cast

from issuer.domain import PROCESSING_WITHIN_SECONDS, Due, Index, Listing
from issuer.ports import DomainCounts, DueCounts, StatusCounts
from issuer.problem import Actor, ProblemType
from issuer.store import keys
from issuer.store.connection import redis_errors
from issuer.store.damage import RedisDamage

CHUNK = 1000
OPEN, FAILED, EXPIRY, MOVED_AWAY, REJECTED, AT_RISK, UNCONFIRMED, ENDED_OPEN, ENDED_FAILED = (
    keys.index_key((listing, ""))
    for listing in (
        Listing.OPEN,
        Listing.FAILED,
        Listing.EXPIRY,
        Listing.MOVED_AWAY,
        Listing.REJECTED,
        Listing.AT_RISK,
        Listing.UNCONFIRMED,
        Listing.ENDED_OPEN,
        Listing.ENDED_FAILED,
    )
)
UNREPORTED = keys.index_key((Due.EXPIRY, ""))
"""All names with a certificate whose end has not been reported."""


class RedisCounts(RedisDamage):
    """Part of `RedisStore`."""

    def count_by_status(self, now: float) -> StatusCounts:
        """See `ports.Store`."""
        soon = now + PROCESSING_WITHIN_SECONDS
        with redis_errors():
            ids = sorted(cast("set[str]", self._redis.smembers(keys.ACCOUNTS)))
            pipeline = self._redis.pipeline(transaction=True)
            for index in (OPEN, ENDED_OPEN):
                pipeline.zcount(index, "-inf", soon)
            for index in (OPEN, FAILED, ENDED_OPEN, ENDED_FAILED, EXPIRY, UNREPORTED):
                pipeline.zcard(index)
            pipeline.zcount(EXPIRY, "-inf", now - 1)
            for account_id in ids:
                pipeline.zcard(keys.index_key((Listing.ACCOUNT, account_id)))
            answers = cast("Any", pipeline.execute())
        processing, ended_soon, opened, failed, ended_open, ended_failed, certificates, unreported, ended = answers[:9]
        names = self._unreported(now, ended - (certificates - unreported))
        more_soon, more_open, more_failed = self._open_and_failed(names, soon)
        ended_soon, ended_open = ended_soon + more_soon, ended_open + more_open
        errors = opened - processing - (ended_open - ended_soon) + failed - (ended_failed + more_failed)
        in_progress = processing - ended_soon
        return StatusCounts(in_progress, sum(answers[9:]) - in_progress - ended - errors, ended, errors)

    def count_overdue(self, queues: Sequence[Due], *, until: float, now: float) -> tuple[int, int]:
        """See `ports.Store`."""
        overdue = ended = 0
        for queue in queues:
            index, start, names = keys.index_key((queue, "")), 0, [""]
            while names:
                with redis_errors():
                    names = cast("list[str]", self._redis.zrange(index, start, start + CHUNK - 1))
                    times = self._redis.zmscore(OPEN, names) if names else []
                    ends = self._redis.zmscore(EXPIRY, names) if names else []
                for at, end in zip(times, ends, strict=True):
                    is_overdue = at is not None and at <= until
                    overdue += is_overdue
                    ended += is_overdue and end is not None and end <= now - 1
                start += CHUNK
        return overdue, ended

    def count_domains(self, now: float, *, within: Sequence[float], cas: Sequence[str]) -> DomainCounts:
        """See `ports.Store`."""
        codes: list[Index] = [(Listing.CODE, code.value) for code in ProblemType]
        actors: list[Index] = [(Listing.MUST_ACT, actor.value) for actor in Actor]
        issuers: list[Index] = [(Listing.CA, ca) for ca in cas]
        sizes = [keys.index_key(index) for index in (*codes, *actors, *issuers)]
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for key in (*sizes, MOVED_AWAY, REJECTED):
                pipeline.zcard(key)
            pipeline.zcount(EXPIRY, "-inf", now - 1)
            for index in (EXPIRY, AT_RISK):
                for seconds in within:
                    pipeline.zcount(index, f"({now - 1}", now + seconds)
            pipeline.zrange(UNCONFIRMED, 0, 0, withscores=True)
            *found, unconfirmed = cast("Any", pipeline.execute())
        counts = iter(found)
        return DomainCounts(
            by_code={value: next(counts) for _, value in codes},
            by_actor={value: next(counts) for _, value in actors},
            by_ca={value: next(counts) for _, value in issuers},
            moved_away=next(counts),
            rejected=next(counts),
            ended=next(counts),
            ending=[next(counts) for _ in within],
            at_risk=[next(counts) for _ in within],
            unconfirmed_since=unconfirmed[0][1] if unconfirmed else None,
        )

    def count_due(self, now: float) -> dict[str, DueCounts]:
        """See `ports.Store`."""
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for due in Due:
                index = keys.index_key((due, ""))
                pipeline.zcard(index)
                pipeline.zcount(index, "-inf", now)
                pipeline.zrange(index, 0, 0, withscores=True)
            pipeline.zcard(keys.READY_INDEX)
            *found, ready = cast("Any", pipeline.execute())
        counts = dict[str, DueCounts]()
        for due, entries, now_due, first in zip(Due, found[::3], found[1::3], found[2::3], strict=True):
            counts[due.value] = DueCounts(entries, now_due, first[0][1] if first else None)
        return counts | {keys.READY: DueCounts(ready, ready, None)}

    def _unreported(self, now: float, count: int) -> list[str]:
        """The names whose certificate has ended, and whose end no scan has reported yet: so many, mostly none. They are
        mostly those that have ended last."""
        names, start = list[str](), 0
        while len(names) < count:
            with redis_errors():
                ended = cast("list[str]", self._redis.zrevrangebyscore(EXPIRY, now - 1, "-inf", start=start, num=CHUNK))
                marks = self._redis.zmscore(UNREPORTED, ended) if ended else []
            names += [name for name, mark in zip(ended, marks, strict=True) if mark is not None]
            start += CHUNK
            if len(ended) < CHUNK:
                break
        return names

    def _open_and_failed(self, names: Sequence[str], soon: float) -> tuple[int, int, int]:
        """How many of these names have an open issuance that is due soon, an open one, and one that has failed."""
        due_soon = opened = failed = 0
        for start in range(0, len(names), CHUNK):
            chunk = list(names[start : start + CHUNK])
            with redis_errors():
                next_tries = self._redis.zmscore(OPEN, chunk)
                failed += sum(score is not None for score in self._redis.zmscore(FAILED, chunk))
            opened += sum(at is not None for at in next_tries)
            due_soon += sum(at is not None and at <= soon for at in next_tries)
        return due_soon, opened, failed
