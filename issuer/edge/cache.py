"""The bundles that this process has served recently, so that it can still serve them while the store is unavailable."""

import threading
import time
from collections import OrderedDict

from issuer.edge.bundle import EdgeBundle, bundle_for
from issuer.keys import placeholder_bundle
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

MAX_BUNDLES = 10_000
UNAVAILABLE_SECONDS = 1.0
"""For so long after a failure of the store, cached bundles are served without asking it."""
TRIAL_SECONDS = 5.0
"""How long one caller may take to find out whether the store answers again, while the others do not wait for it."""


class BundleCache:
    """The bundles that this process has served recently: decrypted once, and compared with `Domain.edge_version` at
    each call. While the store is unavailable, they are served without that comparison."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._bundles: OrderedDict[str, EdgeBundle] = OrderedDict()
        self._lock = threading.Lock()
        self._ask_again_at = 0.0
        self.placeholder = placeholder_bundle()
        """The placeholder certificate for names without one, with its key, PEM."""

    def bundle_for(self, name: str) -> EdgeBundle | None:
        """What edges serve for a canonical name. Raises Problem(store-unavailable) if the cache does not have it."""
        cached = self._bundles.get(name)
        if cached and self._is_store_unavailable():
            return cached
        try:
            version = self._services.feed.edge_version(name)
            self._ask_again_at = 0.0
            if cached and cached.version == version:
                return cached
            current = bundle_for(self._services, name) if version else None
        except Problem as problem:
            if problem.type is ProblemType.STORE_UNAVAILABLE:
                self._ask_again_at = time.monotonic() + UNAVAILABLE_SECONDS
                if cached:
                    return cached
            raise
        with self._lock:
            self._bundles.pop(name, None)
            if current:
                self._bundles[name] = current
                if len(self._bundles) > MAX_BUNDLES:
                    self._bundles.popitem(last=False)
        return current

    def _is_store_unavailable(self) -> bool:
        """Whether the store has just failed, or another caller is finding out whether it answers again."""
        now = time.monotonic()
        if now < self._ask_again_at:
            return True
        if self._ask_again_at:
            self._ask_again_at = now + TRIAL_SECONDS
        return False
