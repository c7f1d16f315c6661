"""How a command tells a problem: in one line."""

import re
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import click

from issuer.cli.output import plain
from issuer.config import PREFIX, load_settings
from issuer.problem import Problem, ProblemType

STORE = re.compile(r"the Redis of the records( at \S+:\d+)?")
DEFAULT_PORT = 6379
AGAIN_SECONDS = 1.0

T = TypeVar("T")


def line(problem: Problem) -> str:
    """A problem on one line. Of an unavailable store it says which server that is, without its password."""
    if problem.type is not ProblemType.STORE_UNAVAILABLE or not STORE.search(problem.cause):
        return plain(problem)
    try:
        parts = urlsplit(load_settings().redis_url.get_secret_value())
    except SystemExit:
        return plain(problem)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    server = f"Redis at {host}:{parts.port or DEFAULT_PORT} ({PREFIX}REDIS_URL)"
    return plain(f"{problem.message}: {STORE.sub(server, problem.cause)}: {problem.detail}")


def patiently(work: Callable[[], T], meanwhile: str) -> T:
    """The result of work that may be done again; if the store is unavailable, it is. meanwhile: what is said then."""
    is_said = False
    while True:
        try:
            return work()
        except Problem as problem:
            if problem.type is not ProblemType.STORE_UNAVAILABLE:
                raise
            if not is_said:
                click.echo(f"{line(problem)}; {meanwhile}", err=True)
            is_said = True
        time.sleep(AGAIN_SECONDS)
