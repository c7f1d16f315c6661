"""What `issuer edge sync` does: keep the directory of a terminator as the records have it.

It reads all names once, then follows the feed of changes from the position it has reached; that is kept in the
directory, so that the next start goes on there, and all names are read again only when the feed no longer reaches back
so far. A change goes first into the files, then into a running HAProxy or through a reload; only then is the position
kept. So whenever it is killed, what was not finished is done again.
"""

import re
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from issuer.edge import bundle
from issuer.edge.sync.files import Folder, Refused
from issuer.edge.sync.haproxy import HAProxy
from issuer.edge.sync.reload import Reload
from issuer.keys import require_fit
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

__all__ = ["Folder", "HAProxy", "Refused", "Reload", "Sync"]

PAGE = 1000
"""How many changes make a batch at most."""
WAIT_SECONDS = 1.0
RETRY_SECONDS = 5.0
OWED_SECONDS = 60.0
"""How often names are looked at again with which something was wrong."""
PROGRESS_SECONDS = 5.0
POSITION = re.compile(r"\d+-\d+")
UNSOUND = (Refused, OSError, ValueError, TypeError, LookupError)
"""What a record or a file of one name may be wrong with; it keeps nobody else from being served."""


class Sync:
    """say: where a line for the operator goes. stop: set from outside when it is to end."""

    def __init__(
        self,
        services: Services,
        folder: Folder,
        *,
        say: Callable[[str], None],
        stop: threading.Event,
        haproxy: HAProxy | None = None,
        reload: Reload | None = None,
    ) -> None:
        self._services, self._feed, self._folder = services, services.feed, folder
        self._haproxy, self._reload, self._say, self._stop = haproxy, reload, say, stop
        self._default = bundle.default_hsts_header(services)
        self._told: dict[str, str] = {}
        self._owed_at = 0.0
        state = folder.state()
        self._owed = set[str](state.get("owed", ()))
        if reload:
            reload.done = state.get("reloaded", reload.done)
        self._position = str(state.get("position", ""))
        if state and state.get("default_hsts") != self._default:
            folder.distrust()
        if not folder.is_whole or not POSITION.fullmatch(self._position):
            self._position = ""

    def once(self) -> bool:
        """Do what there is to do; False when something of it could not be done."""
        try:
            while self._round(wait_seconds=0) and not self._stop.is_set():
                pass
        except (Problem, OSError) as error:
            self._trouble("round", str(error))
        return not self._told

    def follow(self) -> None:
        """Go on until `stop`. While the store is away, everything stays as it is."""
        while not self._stop.is_set():
            try:
                self._round(wait_seconds=WAIT_SECONDS)
                self._mended("round", "going on")
                pause = 0.0 if self._position else RETRY_SECONDS
            except (Problem, OSError) as error:
                self._trouble("round", f"{error}; what is there stays, and is tried again")
                pause = WAIT_SECONDS
            self._stop.wait(pause)

    def _round(self, *, wait_seconds: float) -> bool:
        """The next changes, waited for if there are none yet; True where there may be more."""
        if not self._position:
            return self._read_all()
        changes = self._feed.changes(self._position, limit=PAGE, wait_seconds=wait_seconds)
        if not (self._feed.is_complete_after(self._position) or self._position == self._feed.position()):
            self._say("the feed of changes does not reach back to where this was")
            return self._read_all()
        names = dict.fromkeys(change.name for change in changes)
        if self._owed and time.monotonic() >= self._owed_at:
            self._owed_at = time.monotonic() + OWED_SECONDS
            names |= dict.fromkeys(self._owed)
        for name in names:
            self._look(name)
        self._settle()
        self._keep(changes[-1].position if changes else self._position)
        return bool(changes)

    def _read_all(self) -> bool:
        """Look at all names, and withdraw those that are no more; False when it came to no end."""
        position, seen = self._feed.position(), set[str]()
        tell_at = time.monotonic() + PROGRESS_SECONDS
        for name in self._feed.names():
            if self._stop.is_set():
                self._settle()
                return False
            seen.add(name)
            self._look(name)
            if time.monotonic() >= tell_at:
                self._settle()
                self._say(f"{len(seen):,} names looked at, {len(self._folder.held):,} have a certificate …")
                tell_at = time.monotonic() + PROGRESS_SECONDS
        if self._folder.held and not seen and not self._feed.is_complete_after(position):
            self._trouble("empty", "the store is empty, as a new one or another one is: what is there stays")
            return False
        self._mended("empty", "the store has names again")
        for name in self._folder.held.keys() - seen:
            self._withdraw(name)
        for name in self._owed - seen:
            self._fits(name)
        self._settle()
        self._keep(position)
        self._say(f"all {len(seen):,} names looked at, {len(self._folder.held):,} have a certificate")
        return True

    def _look(self, name: str) -> None:
        """Have there what is to be served for a name. What is wrong with it is told, and tried again later."""
        try:
            version, held = self._feed.edge_version(name), self._folder.held.get(name)
            if not version or held is None or held.edge_version != version:
                found = bundle.bundle_for(self._services, name) if version else None
                if found:
                    self._put(found)
                elif held:
                    self._withdraw(name)
            self._fits(name)
        except Problem as problem:
            if problem.type is ProblemType.STORE_UNAVAILABLE:
                raise
            self._owe(name, str(problem))
        except UNSOUND as error:
            self._owe(name, str(error) or type(error).__name__)

    def _put(self, found: bundle.EdgeBundle) -> None:
        require_fit(found.bundle, found.name)
        self._folder.put(found, self._services.clock())
        self._changed(found.name)
        self._say(
            f"{found.name}: certificate {found.serial} until {datetime.fromtimestamp(found.not_after, UTC):%Y-%m-%d}"
        )

    def _withdraw(self, name: str) -> None:
        self._folder.withdraw(name)
        self._changed(name)
        self._say(f"{name}: withdrawn")

    def _changed(self, name: str) -> None:
        if self._haproxy:
            self._haproxy.changed(name)

    def _owe(self, name: str, text: str) -> None:
        self._owed.add(name)
        self._trouble(name, f"{name}: {text}; what is there for it stays")

    def _fits(self, name: str) -> None:
        self._owed.discard(name)
        self._told.pop(name, None)

    def _settle(self) -> None:
        """The lists, and whoever must be told of what has changed."""
        self._folder.settle(self._default)
        if self._haproxy:
            self._report("haproxy", self._haproxy.settle(self._folder.held, self._default))
        if self._reload and self._reload.is_needed(self._folder.mark):
            self._report("reload", self._reload.run(self._folder.mark))

    def _keep(self, position: str) -> None:
        self._position = position
        self._folder.keep_state(
            {
                "position": position,
                "default_hsts": self._default,
                "owed": sorted(self._owed),
                "reloaded": self._reload.done if self._reload else None,
            }
        )

    def _report(self, of: str, troubles: Collection[str]) -> None:
        if troubles:
            self._trouble(of, "\n".join(troubles))
        else:
            self._mended(of, f"{of} done")

    def _trouble(self, of: str, text: str) -> None:
        """Tell it, once; `once` is no success while there is any."""
        if self._told.get(of) != text:
            self._say(text)
        self._told[of] = text

    def _mended(self, of: str, text: str) -> None:
        if self._told.pop(of, None):
            self._say(text)
