"""What this process has served of late, so that it goes on being served while the store is unavailable."""

import threading
import time
from collections import OrderedDict

from issuer.edge.bundle import EdgeBundle, bundle_for
from issuer.keys import placeholder_bundle
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

KEPT = 10_000
AWAY_SECONDS = 1.0
"""For so long after the store did not answer it is not asked for what is held."""
TRIAL_SECONDS = 5.0
"""How long one caller may take to find out whether it answers again, while the others do not wait for it."""


class BundleCache:
    """What this process has served of late: decrypted once, and checked each time against `Domain.edge_version`. When
    the store is away, what is on it goes on being served."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._held: OrderedDict[str, EdgeBundle] = OrderedDict()
        self._lock = threading.Lock()
        self._ask_again_at = 0.0
        self.placeholder = placeholder_bundle()
        """What names without a certificate may be shown, PEM."""

    def bundle_for(self, name: str) -> EdgeBundle | None:
        """What edges serve for a canonical name. Raises Problem where the store is away and it is not on the cache."""
        held = self._held.get(name)
        if held and self._is_away():
            return held
        try:
            version = self._services.feed.edge_version(name)
            self._ask_again_at = 0.0
            if held and held.version == version:
                return held
            found = bundle_for(self._services, name) if version else None
        except Problem as problem:
            if problem.type is ProblemType.STORE_UNAVAILABLE:
                self._ask_again_at = time.monotonic() + AWAY_SECONDS
                if held:
                    return held
            raise
        with self._lock:
            self._held.pop(name, None)
            if found:
                self._held[name] = found
                if len(self._held) > KEPT:
                    self._held.popitem(last=False)
        return found

    def _is_away(self) -> bool:
        """Whether the store did not answer just now, or somebody else is finding out whether it does again."""
        now = time.monotonic()
        if now < self._ask_again_at:
            return True
        if self._ask_again_at:
            self._ask_again_at = now + TRIAL_SECONDS
        return False
