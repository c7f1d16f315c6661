"""The directory that terminators read, and its files.

  NAME.pem           chain and key in one; a link to a file in versions/, which never changes
  versions/          a replaced file stays for KEPT_SECONDS, for a process that has just followed the link; the file's
                     name tells nginx whether the certificate is valid, and the HSTS header: see `lists.for_nginx`
  neutral.pem        the placeholder certificate for names without one
  hsts.haproxy       the HSTS header: the default, and that of the names that have another
  names.haproxy      the names that have a certificate, and whether it is valid
  crt-list.haproxy   the same names, with the file of each
  state.json         the progress of the sync

Every file is complete before a rename puts it in place. What a terminator reads when it starts is consistent at any
moment: a certificate is there before its name is listed, and is removed after the name.
"""

import fcntl
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from issuer.edge.bundle import EdgeBundle
from issuer.edge.sync import lists
from issuer.edge.sync.lists import Held, pem_of
from issuer.keys import PLACEHOLDER_NAME, placeholder_bundle, verify_bundle
from issuer.problem import Problem

VERSIONS = "versions"
MARK = "# issuer edge sync "
OURS = re.compile(r"versions/([0-9a-f]{32}\.[0-9a-z]+\.pem)")
NAME = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
KEPT_SECONDS = 10


class Refused(Exception):  # noqa: N818 - a refusal, not a fault
    """The sync, or the update of one name, was not started, as it would not be safe; the text says what to change."""


class Folder:
    """The directory, while one process has locked it. gid: the group that may read it."""

    def __init__(self, path: Path, gid: int | None = None) -> None:
        self.path = path
        self.held: dict[str, Held] = {}
        self._gid = gid
        self._withdrawn: set[str] = set()
        self._replaced: list[tuple[float, str]] = []
        """Files of versions/ to remove, each with the monotonic time from when."""
        self._is_listed = False
        self.mark = 0
        """Changes with every change of what is held."""

    def __enter__(self) -> Self:
        """Raises Refused if other users have access to the directory, or another process uses it."""
        for path in (self.path, self.path / VERSIONS):
            self._make_directory(path)
        self._lock = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Refused(f"another `issuer edge sync` is already running for {self.path}") from None
        self._read()
        self._ensure_placeholder()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def put(self, bundle: EdgeBundle, now: float) -> None:
        """Write chain and key of a name; they take effect at once. Raises Refused, OSError."""
        link, before = pem_of(self.path, bundle.name), self.held.get(bundle.name)
        if not NAME.fullmatch(bundle.name):
            raise Refused(f"{bundle.name!a} cannot be used as a file name")
        if os.path.lexists(link) and not _version(link):
            raise Refused(f"{link} was not written by `issuer edge sync`, so it is not replaced")
        header, standing = bundle.header(now), lists.VALID if bundle.is_valid(now) else lists.ENDED
        file = f"{secrets.token_hex(16)}.{lists.for_nginx(standing, header)}.pem"
        held = Held(bundle.version, bundle.serial, header, standing, file)
        self._create(self.path / VERSIONS / held.file, f"{MARK}{lists.held_text(held)}\n{bundle.bundle}")
        self._place(link, lambda new: new.symlink_to(f"{VERSIONS}/{held.file}"))
        self._is_listed &= before is not None and (before.hsts, before.standing) == (held.hsts, held.standing)
        self._mark(before, held)
        self.held[bundle.name] = held
        self._withdrawn.discard(bundle.name)
        if before:
            self._replaced.append((time.monotonic() + KEPT_SECONDS, before.file))

    def withdraw(self, name: str) -> None:
        """Remove a name; the next `settle` removes it from the lists, and then its files."""
        before = self.held.pop(name)
        self._mark(before)
        self._replaced.append((0, before.file))
        self._withdrawn.add(name)
        self._is_listed = False

    def settle(self, default_hsts: str | None) -> None:
        """Write the lists if they have changed, and remove the files that no process can be reading any more."""
        if not self._is_listed:
            self._write("hsts.haproxy", lists.for_haproxy(lists.headers(self.held, default_hsts)))
            self._write("names.haproxy", lists.names_for_haproxy(self.held))
            self._write("crt-list.haproxy", lists.crt_list(self.path, self.held))
            self._is_listed = True
        for link in [pem_of(self.path, name) for name in sorted(self._withdrawn)]:
            if _version(link):
                link.unlink()
        self._withdrawn.clear()
        now = time.monotonic()
        for _, file in [entry for entry in self._replaced if entry[0] <= now]:
            (self.path / VERSIONS / file).unlink(missing_ok=True)
        self._replaced = [entry for entry in self._replaced if entry[0] > now]

    def state(self) -> dict[str, Any]:
        """The state that `save_state` saved last; empty if there is none, or if it cannot be read."""
        with suppress(OSError, ValueError, RecursionError):
            state = json.loads((self.path / "state.json").read_text())
            return state if isinstance(state, dict) else {}
        return {}

    def save_state(self, state: dict[str, Any]) -> None:
        """Save the state for the next start."""
        self._write("state.json", json.dumps(state))

    def mark_outdated(self) -> None:
        """Let the next update of each name write its files again; until then they stay as they are."""
        self.held = {name: replace(held, edge_version="") for name, held in self.held.items()}

    @property
    def is_whole(self) -> bool:
        """False while the files of a name must be written again."""
        return all(held.edge_version for held in self.held.values())

    def _make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~0o750:
            raise Refused(f"{path} contains keys, but other users have access to it ({mode:04o}): chmod 0750 {path}")
        if self._gid is not None:
            os.chown(path, -1, self._gid)
            path.chmod(0o750)

    def _read(self) -> None:
        """Read what is held, and remove the files that a killed process has left."""
        for link in self.path.glob("*.pem"):
            if file := _version(link):
                self.held[link.name.removesuffix(".pem")] = held = self._held_in(file)
                self._mark(held)
        known = {held.file for held in self.held.values()}
        for path in (self.path / VERSIONS).iterdir():
            if OURS.fullmatch(f"{VERSIONS}/{path.name}") and path.name not in known:
                path.unlink()

    def _ensure_placeholder(self) -> None:
        """Keep the placeholder that exists, as running terminators have loaded it; without one, make it."""
        with suppress(OSError, Problem):
            path = self.path / lists.PLACEHOLDER
            if self._has_permissions(path.stat()):
                verify_bundle(path.read_text(), PLACEHOLDER_NAME)
                return
        self._write(lists.PLACEHOLDER, placeholder_bundle())

    def _mark(self, *changed: Held | None) -> None:
        for held in filter(None, changed):
            self.mark ^= int(held.file.partition(".")[0], 16)

    def _held_in(self, file: str) -> Held:
        """What the first line of a file says; outdated if it cannot be read, or its permissions are wrong."""
        try:
            with (self.path / VERSIONS / file).open() as opened:
                held = lists.held_of(opened.readline().removeprefix(MARK))
                has_permissions = self._has_permissions(os.fstat(opened.fileno()))
        except (OSError, ValueError, TypeError, KeyError):
            return Held("", "0", None, lists.ENDED, file)
        return replace(held, file=file) if has_permissions else replace(held, file=file, edge_version="")

    def _has_permissions(self, status: os.stat_result) -> bool:
        return stat.S_IMODE(status.st_mode) == self._mode and self._gid in {None, status.st_gid}

    @property
    def _mode(self) -> int:
        return 0o600 if self._gid is None else 0o640

    def _create(self, path: Path, text: str) -> None:
        """Create a file that only we can read at first, and then the group."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w") as file:  # noqa: PTH123 - by descriptor
                if self._gid is not None:
                    os.fchown(descriptor, -1, self._gid)
                os.fchmod(descriptor, self._mode)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def _place(self, path: Path, make: Callable[[Path], None]) -> None:
        new = self.path / ".new"
        new.unlink(missing_ok=True)
        make(new)
        new.replace(path)

    def _write(self, name: str, text: str) -> None:
        path = self.path / name
        with suppress(OSError, ValueError):
            if path.read_text() == text and self._has_permissions(path.stat()):
                return
        self._place(path, lambda new: self._create(new, text))


def names_in(value: Any) -> list[str]:
    """The names in a part of the state, a list or an object, which may be damaged."""
    entries = value if isinstance(value, list | dict) else ()
    return [name for name in entries if isinstance(name, str) and NAME.fullmatch(name)]


def _version(link: Path) -> str | None:
    """The file of versions/ that a link points to; None if it is not a link of ours."""
    try:
        match = OURS.fullmatch(str(link.readlink()))
    except OSError:
        return None
    return match[1] if match else None
