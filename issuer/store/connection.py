"""The connection to Redis, and the Problem that its errors become."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from issuer.problem import Problem, ProblemType

TIMEOUT_SECONDS = 2.0
"""How long connecting to Redis, and each of its answers, may take."""
MAX_CONNECTIONS = 64
"""Of one process. If all are in use, a thread waits for one as long as it would wait for Redis."""
WRONG_TYPE = "WRONGTYPE"
"""The error of Redis for a command on a key that holds another type."""
FOREIGN = "FOREIGN the store"
"""The error of our scripts for a store that has another identity."""

ERROR_WORD = re.compile(r"[A-Z]{2,20}\b")


def connect(url: str) -> redis.Redis:
    """A client for a redis:// or rediss:// URL, which notices soon if Redis is unavailable or does not answer.

    It never repeats a command by itself: a write whose answer was lost may have happened. Bytes that are no text are
    escaped, and are the same bytes when they are sent again: an error for them would cut off the other answers, too.
    """
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_SECONDS,
        decode_responses=True,
        encoding_errors="surrogateescape",
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis.from_pool(pool)  # and so its close() closes the connections


@contextmanager
def redis_errors(name: str = "") -> Iterator[None]:
    """Turn every error of Redis (unavailable, silent, full, read-only, loading) into one Problem, which never contains
    what was sent. name: of the domain whose record is read. Raises Problem(store-unavailable, damaged-record,
    foreign-store)."""
    try:
        yield
    except redis.ResponseError as error:
        if FOREIGN in str(error):
            raise Problem(ProblemType.FOREIGN_STORE) from None
        if WRONG_TYPE not in str(error):
            raise _unavailable(error) from None
        detail = f"{name or 'a record'}: its key in Redis has the wrong type"
        raise Problem(ProblemType.DAMAGED_RECORD, detail) from None
    except (redis.RedisError, OSError) as error:
        raise _unavailable(error) from None


def _unavailable(error: Exception) -> Problem:
    return Problem(ProblemType.STORE_UNAVAILABLE, f"{_word(error)} from Redis", hint="try again in a moment")


def _word(error: Exception) -> str:
    """What kind of error it is: the word with which Redis begins its answer (READONLY, MISCONF, OOM), or its class."""
    if word := getattr(error, "status_code", None):
        return str(word)
    answered = ERROR_WORD.match(str(error)) if isinstance(error, redis.ResponseError) else None
    return answered[0] if answered else type(error).__name__
