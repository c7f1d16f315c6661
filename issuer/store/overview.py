"""What an overview asks of the indexes: numbers and short ranges, so that a million domains cost no more than a
thousand."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from issuer.domain import Index, Listing
from issuer.store import keys
from issuer.store.connection import redis_errors
from issuer.store.damage import RedisDamage

AFTER_ALL = "\x7f"
"""Behind every character of a name."""


class RedisOverview(RedisDamage):
    """Part of `RedisStore`."""

    def count_between(self, index: Index, bounds: Sequence[float]) -> list[int]:
        """See `ports.Store`."""
        key = keys.index_key(index)
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for start, end in pairwise(bounds):
                pipeline.zcount(key, start, f"({end}")
            return cast("list[int]", pipeline.execute())

    def names_between(self, index: Index, start: float, end: float, *, limit: int) -> list[tuple[float, str]]:
        """See `ports.Store`."""
        key = keys.index_key(index)
        with redis_errors():
            found = cast("Any", self._redis.zrangebyscore(key, start, f"({end}", start=0, num=limit, withscores=True))
        return [(score, name) for name, score in found]

    def names_with_prefix(self, prefix: str, *, after: str, limit: int) -> list[str]:
        """See `ports.Store`."""
        first = f"({after}" if after >= prefix and after else f"[{prefix}"
        with redis_errors():
            ids = sorted(cast("set[str]", self._redis.smembers(keys.ACCOUNTS)))
            pipeline = self._redis.pipeline(transaction=False)
            for account_id in ids:
                index = keys.index_key((Listing.ACCOUNT, account_id))
                pipeline.zrangebylex(index, first, f"({prefix}{AFTER_ALL}", start=0, num=limit)
            found = cast("list[list[str]]", pipeline.execute())
        return sorted({name for names in found for name in names})[:limit]
