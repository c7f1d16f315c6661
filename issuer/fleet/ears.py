"""Whether a consumer hears: deaf is one that takes nothing for half a minute, though it could, and messages wait."""

import time
from collections.abc import Callable
from contextlib import suppress

from issuer.ports import Services
from issuer.problem import Problem

SUSPECT_SECONDS = 15
"""After so long without a message, a consumer is looked after: does any wait?"""
DEAF_SECONDS = 30


class Ears:
    """Those of one consumer. A time during which the broker is unavailable does not count, nor one during which no
    message waits: then it has half of the time once more."""

    def __init__(self, services: Services, steady: Callable[[], float] = time.monotonic) -> None:
        self._services, self._steady = services, steady
        self._heard_at = steady()
        self._suspected_at: float | None = None

    def hear(self) -> None:
        """The consumer has taken a message, has no free slot, or has found that no message waits."""
        self._heard_at, self._suspected_at = self._steady(), None

    @property
    def silent_seconds(self) -> float:
        """For how long it has not."""
        return self._steady() - self._heard_at

    def is_deaf(self, queues: tuple[str, ...]) -> bool:
        """Whether a consumer of these queues is deaf."""
        now = self._steady()
        if self.silent_seconds < SUSPECT_SECONDS or not self._do_messages_wait(queues):
            self._suspected_at = None
            return False
        self._suspected_at = now if self._suspected_at is None else self._suspected_at
        return self.silent_seconds >= DEAF_SECONDS and now - self._suspected_at >= SUSPECT_SECONDS

    def _do_messages_wait(self, queues: tuple[str, ...]) -> bool:
        with suppress(Problem):
            return any(self._services.board.broker(queues).waiting.values())
        return False
