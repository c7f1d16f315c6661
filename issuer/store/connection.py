"""The connection to Redis, and the one Problem that stands for all its troubles."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from issuer.problem import Problem, ProblemType

TIMEOUT_SECONDS = 2.0
"""How long Redis may take to connect and to answer, each."""
MAX_CONNECTIONS = 64
"""Of one process; a thread that finds all of them in use waits for one, as long as it would wait for Redis."""
WRONG_TYPE = "WRONGTYPE"
"""What Redis says of a key that is not of the type that a command is for."""


def connect(url: str) -> redis.Redis:
    """A client for a redis:// or rediss:// URL, made so that a Redis that is away or silent is noticed soon.

    Nothing is sent twice by itself: a write whose answer was lost may have happened.
    """
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_SECONDS,
        decode_responses=True,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis.from_pool(pool)  # and so its close() closes the connections


@contextmanager
def redis_errors() -> Iterator[None]:
    """Redis unavailable, silent, full, read-only or loading: one Problem, without what was sent to it."""
    try:
        yield
    except redis.ResponseError as error:
        if not str(error).startswith(WRONG_TYPE):
            raise _unavailable(error) from None
        raise Problem(ProblemType.DAMAGED_RECORD, "a key in Redis is of another type than it should be") from None
    except (redis.RedisError, OSError) as error:
        raise _unavailable(error) from None


def _unavailable(error: Exception) -> Problem:
    return Problem(ProblemType.STORE_UNAVAILABLE, f"{type(error).__name__} from Redis", hint="try again in a moment")
