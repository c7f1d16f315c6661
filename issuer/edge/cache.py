"""The bundles that this process has served recently, so that it can still serve them while the store is unavailable."""

import threading
import time
from collections import OrderedDict

from issuer.domain import DAY_SECONDS
from issuer.edge.bundle import EdgeBundle, Look, look
from issuer.keys import placeholder_bundle
from issuer.ports import Feed, Services
from issuer.problem import Problem, ProblemType

MAX_BUNDLES = 10_000
PAGE = 1000
SKEW_SECONDS = 3600
"""How far the clock of Redis, by which the feed is numbered, may be behind ours."""
KEPT_AT = frozenset(
    {
        ProblemType.STORE_UNAVAILABLE,
        ProblemType.FOREIGN_STORE,
        ProblemType.DAMAGED_RECORD,
        ProblemType.UNDECRYPTABLE,
    }
)
"""The problems at which a cached bundle is served."""
KNOWN_SECONDS = 1.0
"""For so long after it was known to be ours, the store is not asked again before a name is said to have nothing."""
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
        self._missing_since: dict[str, float] = {}
        self._tombstones = Tombstones(services.feed)
        self._lock = threading.Lock()
        self._ask_again_at = 0.0
        self.placeholder = placeholder_bundle()
        """The placeholder certificate for names without one, with its key, PEM."""

    def bundle_for(self, name: str) -> EdgeBundle | None:
        """What edges serve for a canonical name. What is cached is also served if the record is damaged, or has been
        missing for less than `missing_days`. Raises Problem if the cache does not have it."""
        cached = self._bundles.get(name)
        if cached and self._is_store_unavailable():
            return cached
        try:
            version = self._services.feed.edge_version(name)
            self._ask_again_at = 0.0
            if cached and cached.version == version:
                self._missing_since.pop(name, None)
                return cached
            self._services.store.require_own(max_age_seconds=0 if cached else KNOWN_SECONDS)
            current = look(self._services, name)
            is_kept = cached is not None and self._is_kept(name, current)
        except Problem as problem:
            if problem.type is ProblemType.STORE_UNAVAILABLE:
                self._ask_again_at = time.monotonic() + UNAVAILABLE_SECONDS
            if cached and problem.type in KEPT_AT:
                return cached
            raise
        if is_kept:
            return cached
        self._keep(name, current.bundle)
        return current.bundle

    def _is_kept(self, name: str, current: Look) -> bool:
        """Whether a cached bundle is kept although the store has none: a missing record is no withdrawal."""
        if current.bundle or current.is_withdrawn or self._tombstones.has(name):
            return False
        since = self._missing_since.setdefault(name, self._services.clock())
        return self._services.clock() < since + self._services.settings.missing_days * DAY_SECONDS

    def _keep(self, name: str, bundle: EdgeBundle | None) -> None:
        with self._lock:
            self._bundles.pop(name, None)
            self._missing_since.pop(name, None)
            if bundle:
                self._bundles[name] = bundle
                if len(self._bundles) > MAX_BUNDLES:
                    oldest, _ = self._bundles.popitem(last=False)
                    self._missing_since.pop(oldest, None)

    def _is_store_unavailable(self) -> bool:
        """Whether the store has just failed, or another caller is finding out whether it answers again."""
        now = time.monotonic()
        if now < self._ask_again_at:
            return True
        if self._ask_again_at:
            self._ask_again_at = now + TRIAL_SECONDS
        return False


class Tombstones:
    """The names whose last entry in the feed is a tombstone: they have been withdrawn, also where the record has been
    removed since. The feed is read only when somebody asks, and only from the start of this process on: what it has
    cached was in force then, or later."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._position = f"{int((time.time() - SKEW_SECONDS) * 1000)}-0"
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def has(self, name: str) -> bool:
        """Whether a name has one. Raises Problem(store-unavailable)."""
        with self._lock:
            while changes := self._feed.changes(self._position, limit=PAGE, wait_seconds=0):
                for change in changes:
                    (self._names.add if change.is_withdrawn else self._names.discard)(change.name)
                self._position = changes[-1].position
            return name in self._names
