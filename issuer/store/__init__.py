"""Records in Redis. Every write to a record that depends on what was read is one script, in `lua/`.

`keys` has the name of every key. `records` stores the domains with their issuances, `listings` lists them by facts,
`counts` counts them, `accounts` stores the accounts of customers and ours at the CAs, `ca_state` what all workers know
of each CA, `feed` the changes that the edges follow, `counters` the metrics. `reindex` gives indexes to old records.
`damage` is about records that cannot be read, `identity` about a store that is not ours, `servers` about the Redis
servers themselves, `locks` about what only one process does at a time, `heartbeats` about what the processes show of
themselves, `faults` and `alarms` about what is wrong with it, `operators` about who may use the operators' page,
`overview` about what that page asks of all domains.
"""

from pathlib import Path

import redis

from issuer.store.accounts import RedisAccounts
from issuer.store.alarms import RedisAlarms
from issuer.store.ca_state import RedisLimits
from issuer.store.connection import connect
from issuer.store.counters import RedisCounters
from issuer.store.counts import RedisCounts
from issuer.store.faults import RedisFaults
from issuer.store.feed import RedisFeed
from issuer.store.heartbeats import RedisFleetBoard
from issuer.store.listings import RedisListings
from issuer.store.locks import RedisLocks
from issuer.store.operators import RedisOperators
from issuer.store.overview import RedisOverview
from issuer.store.refusals import RedisRefusals
from issuer.store.reindex import RedisReindex
from issuer.store.servers import RedisServers

__all__ = [
    "RedisAlarms",
    "RedisCounters",
    "RedisFaults",
    "RedisFeed",
    "RedisFleetBoard",
    "RedisLimits",
    "RedisLocks",
    "RedisOperators",
    "RedisServers",
    "RedisStore",
    "connect",
]


class RedisStore(RedisReindex, RedisListings, RedisCounts, RedisOverview, RedisRefusals, RedisAccounts):
    """The `Store` and `CaAccounts` ports over one Redis database. identity_file: keeps the identity of the store
    outside of it."""

    def __init__(self, client: redis.Redis, identity_file: Path | None = None) -> None:
        self._redis = client
        self._identity_file = identity_file
        self._reported = set()
