"""The feed that the edges follow: the names whose certificate or policy has changed, in order.

It is a Redis stream whose oldest entries are dropped. A reader whose position has been dropped has missed changes, and
must read all names again.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import redis

from issuer.ports import Change
from issuer.store.connection import redis_errors
from issuer.store.keys import CHANGES, RECORDS, record_key

START = "0-0"
PAGE = 1000


class RedisFeed:
    """The `Feed` port over one Redis database."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def position(self) -> str:
        """See `ports.Feed`."""
        with redis_errors():
            last = cast("list[Any]", self._redis.xrevrange(CHANGES, count=1))
        return last[0][0] if last else START

    def is_complete_after(self, position: str) -> bool:
        """See `ports.Feed`."""
        with redis_errors():
            return position != START and bool(self._redis.xrange(CHANGES, position, position, count=1))

    def changes(self, position: str, *, limit: int, wait_seconds: float) -> list[Change]:
        """See `ports.Feed`."""
        wait = max(int(wait_seconds * 1000), 1)
        with redis_errors():
            streams = cast("Any", self._redis.xread({CHANGES: position}, count=limit, block=wait))
        entries = streams[0][1] if isinstance(streams, list) and streams else []
        return [_change(at, values) for at, values in entries]

    def edge_version(self, name: str) -> str:
        """See `ports.Feed`."""
        with redis_errors(name):
            return cast("str | None", self._redis.hget(record_key(name), "served")) or ""

    def names(self) -> Iterator[str]:
        """See `ports.Feed`."""
        with redis_errors():
            for key in self._redis.scan_iter(match=f"{RECORDS}*", count=PAGE):
                if key.isascii():  # else it is no record of a domain
                    yield key.removeprefix(RECORDS)


def _change(at: str, values: Mapping[str, str]) -> Change:
    """An entry that serves nothing is a tombstone. One that we have not written has no name, and changes nothing."""
    name, served = values.get("name", ""), values.get("served")
    return Change(at, name, served or "", is_withdrawn=served == "")
