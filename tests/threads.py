"""Many callers of one thing at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from issuer.ports import Conflict


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """The results of `count` threads that start the work at the same moment; Conflict for those that raised it."""
    barrier = threading.Barrier(count, timeout=20)

    def run(number: int) -> object:
        barrier.wait()
        try:
            return work(number)
        except Conflict:
            return Conflict

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
