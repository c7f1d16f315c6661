"""The connection to Redis, and the Problem that its errors become."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
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
ADDRESS = re.compile(r" (?:connecting to|reading from|writing to|to) (\S+:\d+)")
"""In redis-py's words for a connection that failed."""
STATES = {
    "READONLY": "is read-only",
    "MISCONF": "cannot write its files, and so refuses writes",
    "OOM": "is full, and so refuses writes",
    "NOREPLICAS": "has too few replicas, and so refuses writes",
    "LOADING": "is still loading its data",
    "BUSY": "is busy with a script",
    "NOAUTH": "requires a password",
    "WRONGPASS": "does not accept the password",
    "TimeoutError": "does not answer in time",
    "ConnectionError": "cannot be reached",
    "InvalidResponse": "does not answer as Redis does",
}
"""What an error says of a server, by its word."""
SETTINGS = {"records": "ISSUER_REDIS_URL", "messages": "ISSUER_BROKER_URL"}
"""The setting of each server, by its role."""


class Packer(HiredisRespSerializer):
    """What writes commands: redis-py's own, which refuses escaped bytes that are no text, whatever the errors of its
    encoding are."""

    def pack(self, *args: Any) -> list[bytes]:
        """The bytes of a command."""
        try:
            return cast("list[bytes]", super().pack(*args))
        except UnicodeEncodeError:
            encoded: Any = [arg.encode(errors="surrogateescape") if isinstance(arg, str) else arg for arg in args]
            return cast("list[bytes]", super().pack(*encoded))


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
        command_packer=Packer(),
    )
    return redis.Redis.from_pool(pool)  # and so its close() closes the connections


@contextmanager
def redis_errors(name: str = "", *, role: str = "records") -> Iterator[None]:
    """Turn every error of Redis (unavailable, silent, full, read-only, loading) into one Problem, which never contains
    what was sent. name: of the domain whose record is read. role: of the server. Raises Problem(store-unavailable,
    damaged-record, foreign-store)."""
    try:
        yield
    except redis.ResponseError as error:
        if FOREIGN in str(error):
            raise Problem(ProblemType.FOREIGN_STORE) from None
        if WRONG_TYPE not in str(error):
            raise _unavailable(error, role) from None
        detail = f"{name or 'a record'}: its key in Redis has the wrong type"
        raise Problem(ProblemType.DAMAGED_RECORD, detail) from None
    except (redis.RedisError, OSError) as error:
        raise _unavailable(error, role) from None


def _unavailable(error: Exception, role: str) -> Problem:
    word, address = _word(error), ADDRESS.search(str(error)) if isinstance(error, redis.ConnectionError) else None
    where = f"the Redis of the {role}{f' at {address[1]}' if address else ''}"
    hint = f"try again in a moment; if this lasts, the operator must see to the Redis of {SETTINGS[role]}"
    cause = f"{where} {STATES.get(word, 'is unavailable')}"
    return Problem(ProblemType.STORE_UNAVAILABLE, f"{word} from Redis", cause=cause, hint=hint)


def _word(error: Exception) -> str:
    """What kind of error it is: the word with which Redis begins its answer (READONLY, MISCONF, OOM), or its class."""
    if word := getattr(error, "status_code", None):
        return str(word)
    answered = ERROR_WORD.match(str(error)) if isinstance(error, redis.ResponseError) else None
    return answered[0] if answered else type(error).__name__
