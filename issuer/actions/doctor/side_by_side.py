"""Looks that wait for the network, side by side, within one time for all.

The threads are daemons: a look that hangs beyond its time delays neither the answer nor the end of this process.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from issuer.ports import Check, CheckResult
from issuer.problem import Problem

AT_ONCE = 16

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """Something to look at. code, subject: of the check that says that it could not be finished."""

    code: str
    subject: str
    run: Callable[[], list[Check]]


def results(looks: Sequence[Look], *, seconds: float) -> list[Check]:
    """What the looks have found, in their order. One that does not end in time, or that fails, is unknown."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[int, list[Check]]] = queue.SimpleQueue()
    for number in range(len(looks)):
        waiting.put(number)

    def work() -> None:
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            ended.put((number, _result(looks[number])))

    for _ in range(min(len(looks), AT_ONCE)):
        threading.Thread(target=work, daemon=True).start()
    found: dict[int, list[Check]] = {}
    until = time.monotonic() + seconds
    while len(found) < len(looks):
        try:
            number, checks = ended.get(timeout=max(until - time.monotonic(), 0))
        except queue.Empty:
            break
        found[number] = checks
    late = f"this could not be found out within {seconds:g} seconds"
    return [
        check
        for number, look in enumerate(looks)
        for check in found.get(number, [Check(look.code, CheckResult.UNKNOWN, late, look.subject)])
    ]


def _result(look: Look) -> list[Check]:
    try:
        return look.run()
    except Problem as problem:
        return [Check(look.code, CheckResult.UNKNOWN, _words(problem), look.subject, problem.hint)]
    except Exception:  # one look that fails must not hide what the others find
        log.exception("a check failed", check=look.code, subject=look.subject)
        return [Check(look.code, CheckResult.UNKNOWN, "the check itself failed: its log has the reason", look.subject)]


def _words(problem: Problem) -> str:
    return ": ".join(dict.fromkeys(part for part in (problem.cause, problem.detail) if part))
