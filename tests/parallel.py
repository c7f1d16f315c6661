"""What the processes of a parallel run (pytest -n) share, and what each of them has of its own."""

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
"""With CAs that are processes, at once in the whole run."""
LIGHT_FILES = 12
"""That are tested while one of tests/acceptance is."""
PORTS = range(10_000, 20_000)
"""Of our own servers: below the range of outgoing connections, and apart from where `issuer demo` looks for its own."""


class Once(list[int]):
    """Numbers to choose from: each is given only once, so that what has been chosen is still free when it is used."""

    def __getitem__(self, at: int) -> int:
        return self.pop(at)


def own(numbers: Sequence[int]) -> Sequence[int]:
    """Those of them that no other process of this run has."""
    return numbers[WORKER::WORKERS]


@contextmanager
def conversation() -> Iterator[None]:
    """Waits for one of the places. A place is the name of a socket, which the kernel takes back from whoever ends."""
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
    """Tests in the order in which processes take their files: those of tests/acceptance, each of which keeps the whole
    machine busy with processes of its own, not all at the same time."""
    files = [list(tests) for _, tests in groupby(items, lambda item: item.path)]
    heavy = deque(tests for tests in files if tests[0].path.parent.name == "acceptance")
    ordered = [heavy.popleft() for _ in range(min(2, len(heavy)))]
    for number, tests in enumerate((tests for tests in files if tests[0].path.parent.name != "acceptance"), start=1):
        ordered.append(tests)
        if heavy and number % LIGHT_FILES == 0:
            ordered.append(heavy.popleft())
    return [test for tests in (*ordered, *heavy) for test in tests]
