"""`issuer edge sync`: keeps the directory of a TLS terminator equal to the records.

It reads all names once, then follows the change feed from its last position. It saves the position in the directory, so
that the next start continues there; it reads all names again only if the feed no longer contains the position. A change
is first written to the files, then sent to a running HAProxy or followed by a reload; only then is the position saved.
So if the process is killed at any point, the next start repeats what was not finished.
"""

import re
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from issuer.edge import bundle
from issuer.edge.sync.files import Folder, Refused, names_in
from issuer.edge.sync.haproxy import HAProxy
from issuer.edge.sync.missing import Missing
from issuer.edge.sync.reload import Reload
from issuer.keys import verify_bundle
from issuer.ports import STORE_ID, Services
from issuer.problem import Problem, ProblemType

__all__ = ["Folder", "HAProxy", "Refused", "Reload", "Sync"]

PAGE = 1000
"""The most changes in one batch."""
WAIT_SECONDS = 1.0
RETRY_SECONDS = 5.0
RETRY_LATER_SECONDS = 60.0
"""How often names that failed are tried again."""
PROGRESS_SECONDS = 5.0
POSITION = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)
NAME_ERRORS = (Refused, OSError, ValueError, TypeError, LookupError)
"""Errors of one name's record or files; the other names are not affected."""


class Sync:
    """say: prints a line for the operator. stop: the caller sets it to end the sync."""

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
        self._failures: dict[str, str] = {}
        """The last message of each failure that lasts, by what failed: a name, or a part of the round."""
        self._retry_later_at = 0.0
        state = folder.state()
        self._retry_later = set(names_in(state.get("owed")))
        if reload:
            reload.done = state.get("reloaded", reload.done)
        self._position = str(state.get("position", ""))
        identity = str(state.get("identity"))
        self._identity = identity if STORE_ID.fullmatch(identity) else ""
        self._missing = Missing(state.get("missing"), services, self._say)
        if state and state.get("default_hsts") != self._default:
            folder.mark_outdated()
        if not folder.is_whole or not POSITION.fullmatch(self._position):
            self._position = ""

    def once(self) -> bool:
        """Bring the directory up to date; False if a part of that failed."""
        try:
            while self._round(wait_seconds=0) and not self._stop.is_set():
                pass
        except (Problem, OSError) as error:
            self._failed("round", str(error))
        return not self._failures

    def follow(self) -> None:
        """Follow the changes until `stop` is set. While the store is unavailable, nothing changes."""
        while not self._stop.is_set():
            try:
                self._round(wait_seconds=WAIT_SECONDS)
                self._recovered("round", "the sync works again")
                pause = 0.0 if self._position else RETRY_SECONDS
            except (Problem, OSError) as error:
                self._failed("round", f"{error}; the existing files stay, and the sync will be retried automatically")
                pause = WAIT_SECONDS
            self._stop.wait(pause)

    def _round(self, *, wait_seconds: float) -> bool:
        """Apply the next changes, after waiting for them if there are none yet; True if there may be more."""
        self._require_own()
        if not self._position:
            return self._read_all()
        changes = self._feed.changes(self._position, limit=PAGE, wait_seconds=wait_seconds)
        if not (self._feed.is_complete_after(self._position) or self._position == self._feed.position()):
            self._say("the change feed no longer contains the last position, so all names are read again")
            return self._read_all()
        names = {change.name: change.is_withdrawn for change in changes}
        if self._retry_later and time.monotonic() >= self._retry_later_at:
            self._retry_later_at = time.monotonic() + RETRY_LATER_SECONDS
            names = dict.fromkeys(self._retry_later, False) | names
        names = dict.fromkeys(self._missing.due(), False) | names
        for name, is_withdrawn in names.items():
            self._update(name, is_withdrawn=is_withdrawn)
        self._settle()
        self._save(changes[-1].position if changes else self._position)
        return bool(changes)

    def _read_all(self) -> bool:
        """Update all names, and withdraw those that have been missing for long; False if it was stopped before the
        end."""
        position, seen = self._feed.position(), set[str]()
        report_at = time.monotonic() + PROGRESS_SECONDS
        for name in self._feed.names():
            if self._stop.is_set():
                self._settle()
                return False
            seen.add(name)
            self._update(name)
            if time.monotonic() >= report_at:
                self._settle()
                self._say(f"{len(seen):,} names checked so far, {len(self._folder.held):,} have a certificate")
                report_at = time.monotonic() + PROGRESS_SECONDS
        for name in sorted(self._folder.held.keys() - seen):
            self._miss(name)
        for name in self._retry_later - seen:
            self._name_succeeded(name)
        self._settle()
        self._save(position)
        self._say(f"all {len(seen):,} names checked, {len(self._folder.held):,} have a certificate")
        return True

    def _update(self, name: str, *, is_withdrawn: bool = False) -> None:
        """Make the files of a name equal to its record. is_withdrawn: the feed says so. A failure is reported, and
        retried later."""
        try:
            version, held = self._feed.edge_version(name), self._folder.held.get(name)
            if not version or held is None or held.edge_version != version:
                current = bundle.look(self._services, name)
                if current.bundle and (held is None or held.edge_version != current.bundle.version):
                    self._put(current.bundle)
                elif held and current.bundle is None and (is_withdrawn or current.is_withdrawn):
                    self._withdraw(name)
                elif held and current.bundle is None:
                    self._miss(name)
                    return
            self._missing.found(name)
            self._name_succeeded(name)
        except Problem as problem:
            if problem.type is ProblemType.STORE_UNAVAILABLE:
                raise
            self._name_failed(name, str(problem))
        except NAME_ERRORS as error:
            self._name_failed(name, str(error) or type(error).__name__)

    def _put(self, current: bundle.EdgeBundle) -> None:
        verify_bundle(current.bundle, current.name)
        self._folder.put(current, self._services.clock())
        self._changed(current.name)
        until = datetime.fromtimestamp(current.not_after, UTC)
        self._say(f"{current.name}: certificate {current.serial} until {until:%Y-%m-%d}")

    def _withdraw(self, name: str, why: str = "") -> None:
        self._folder.withdraw(name)
        self._missing.found(name)
        self._changed(name)
        self._say(f"{name}: withdrawn{why}")

    def _miss(self, name: str) -> None:
        """The record of a held name is missing: it is withdrawn only if that lasts."""
        if since := self._missing.over(name):
            self._withdraw(name, f", as its record has been missing since {since}")
        self._name_succeeded(name)

    def _require_own(self) -> None:
        """Raise Problem(foreign-store) if the store is not the one whose certificates the directory has."""
        found = self._services.store.identity(self._identity)
        if not found.is_own(self._identity):
            raise found.refusal(self._identity)
        if self._identity not in {"", found.id}:
            self._say(f"the store {found.id} has been accepted, so all names are read again")
            self._position = ""
        self._identity = found.id

    def _changed(self, name: str) -> None:
        if self._haproxy:
            self._haproxy.changed(name)

    def _name_failed(self, name: str, text: str) -> None:
        self._retry_later.add(name)
        self._failed(name, f"{name}: {text}; its existing files stay")

    def _name_succeeded(self, name: str) -> None:
        self._retry_later.discard(name)
        self._failures.pop(name, None)

    def _settle(self) -> None:
        """Write the lists, then bring the changes to HAProxy, or run the reload."""
        self._folder.settle(self._default)
        if self._haproxy:
            self._report("haproxy", self._haproxy.settle(self._folder.held, self._default))
        if self._reload and self._reload.is_needed(self._folder.mark):
            self._report("reload", self._reload.run(self._folder.mark))

    def _save(self, position: str) -> None:
        self._position = position
        self._folder.save_state(
            {
                "position": position,
                "identity": self._identity,
                "missing": self._missing.since,
                "default_hsts": self._default,
                "owed": sorted(self._retry_later),
                "reloaded": self._reload.done if self._reload else None,
            }
        )

    def _report(self, part: str, errors: Collection[str]) -> None:
        if errors:
            self._failed(part, "\n".join(errors))
        else:
            self._recovered(part, f"{part} succeeded")

    def _failed(self, part: str, text: str) -> None:
        """Print a failure, unless the last one of this part said the same."""
        if self._failures.get(part) != text:
            self._say(text)
        self._failures[part] = text

    def _recovered(self, part: str, text: str) -> None:
        if self._failures.pop(part, None):
            self._say(text)
