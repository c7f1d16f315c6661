"""A real Redis for the tests that need no server of their own: each store has a database of it to itself.

A script of ours takes Redis a third of the time that fakeredis takes for it, and most tests run many.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from urllib.parse import urlsplit

import redis

from issuer.sandbox import Sandbox
from issuer.store import RedisStore, connect

DATABASES = 64
"""More than the stores that are in use at the same time: then they are emptied and used again."""
NO_SERVER = 1
"""A port on which nobody listens."""
_unused: Iterator[redis.Redis] = iter(())
_port = NO_SERVER


@contextmanager
def one_server(sandbox: Sandbox) -> Iterator[None]:
    """Start the server, for all stores of this test process."""
    global _port, _unused
    url = sandbox.redis("--databases", str(DATABASES))
    clients = [connect(f"{url}/{number}") for number in range(DATABASES)]
    _port, _unused = urlsplit(url).port, cycle(clients)
    yield
    for client in clients:
        client.close()


def empty_store() -> RedisStore:
    """The real store on an empty database of a real Redis."""
    store = RedisStore(next(_unused))
    give_back(store)
    store._redis.flushdb()
    return store


def take_away(store: RedisStore) -> None:
    """From now on this store cannot reach its Redis."""
    _move(store._redis, NO_SERVER)


def give_back(store: RedisStore) -> None:
    """The store can reach its Redis again."""
    if store._redis.connection_pool.connection_kwargs["port"] == NO_SERVER:
        _move(store._redis, _port)


def _move(client: redis.Redis, port: int) -> None:
    pool = client.connection_pool
    pool.disconnect()
    pool.reset()
    pool.connection_kwargs["port"] = port
