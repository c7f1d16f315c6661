"""How a command tells a problem: in one line."""

import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import click

from issuer.cli.output import plain
from issuer.config import PREFIX, load_settings
from issuer.problem import Problem, ProblemType

SETTING = f"{PREFIX}REDIS_URL"
DEFAULT_PORT = 6379
AGAIN_SECONDS = 1.0

T = TypeVar("T")


def line(problem: Problem) -> str:
    """A problem on one line. Of an unavailable store it says which server that is, without its password."""
    if problem.type is not ProblemType.STORE_UNAVAILABLE or SETTING in str(problem):
        return plain(problem)
    try:
        parts = urlsplit(load_settings().redis_url.get_secret_value())
    except SystemExit:
        return plain(problem)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    does = "refuses" if problem.detail.partition(" ")[0].isupper() else "does not answer"
    return plain(
        f"{problem.message}: Redis at {host}:{parts.port or DEFAULT_PORT} ({SETTING}) {does}: {problem.detail}"
    )


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
