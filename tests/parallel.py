"""What the processes of a parallel run (pytest -n) share, and what belongs to each process alone."""

import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import pytest

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
CONVERSATIONS = 8
"""How many conversations with CAs in processes of their own may run at once, in the whole run."""
LIGHT_FILES = 12
"""How many other files are tested while one file of tests/acceptance is."""
PORTS = range(10_000, 20_000)
"""The ports of our own servers: below the range of outgoing connections, and not those of `issuer demo`."""


class Once(list[int]):
    """Numbers to choose from. Each is chosen only once, so that a chosen port is still free when it is used."""

    def __getitem__(self, at: int) -> int:
        return self.pop(at)


def own(numbers: Sequence[int]) -> Sequence[int]:
    """The share of the numbers that no other process of this run has."""
    return numbers[WORKER::WORKERS]


@contextmanager
def conversation() -> Iterator[None]:
    """Wait for one of the places. A place is the name of a socket, which the kernel frees when its process ends."""
    with socket.socket(socket.AF_UNIX) as place:
        while not any(_is_ours(place, number) for number in range(CONVERSATIONS)):
            time.sleep(0.005)
        yield


def _is_ours(place: socket.socket, number: int) -> bool:
    try:
        place.bind(f"\0issuer-tests-{RUN}-{number}")
    except OSError:
        return False
    return True


def spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests in the order in which processes take their files. The files of tests/acceptance are spread out, as each
    of them keeps the whole machine busy with processes of its own."""
    files = [list(tests) for _, tests in groupby(items, lambda item: item.path)]
    heavy = deque(tests for tests in files if tests[0].path.parent.name == "acceptance")
    ordered = [heavy.popleft() for _ in range(min(2, len(heavy)))]
    for number, tests in enumerate((tests for tests in files if tests[0].path.parent.name != "acceptance"), start=1):
        ordered.append(tests)
        if heavy and number % LIGHT_FILES == 0:
            ordered.append(heavy.popleft())
    return [test for tests in (*ordered, *heavy) for test in tests]
