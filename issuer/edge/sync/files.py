"""The directory that terminators read, and what is written there.

  NAME.pem           chain and key in one; a link to a file of versions/, which never changes
  versions/          who has followed a link may still open what it led to for KEPT_SECONDS; how the certificate stands
                     and what HSTS is due is in the file's name, for nginx: see `lists.for_nginx`
  neutral.pem        what names without a certificate are shown
  hsts.haproxy       the HSTS header: the default one, and the names that have another
  names.haproxy      the names that have a certificate, and how that stands
  crt-list.haproxy   the same names, with the file of each
  state.json         what has been done

Everything gets its place by a rename, when it is whole. What a terminator reads when it starts fits at any moment: a
certificate is there before its name is listed, and goes after.
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
from issuer.keys import PLACEHOLDER_NAME, placeholder_bundle, require_fit
from issuer.problem import Problem

VERSIONS = "versions"
MARK = "# issuer edge sync "
OURS = re.compile(r"versions/([0-9a-f]{32}\.[0-9a-z]+\.pem)")
NAME = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
KEPT_SECONDS = 10


class Refused(Exception):  # noqa: N818 - a refusal, not a fault
    """Not begun, or not done for a name, as it would not be safe; the text says what to change."""


class Folder:
    """The directory, while one process has it in use. gid: the group that may read it."""

    def __init__(self, path: Path, gid: int | None = None) -> None:
        self.path = path
        self.held: dict[str, Held] = {}
        self._gid = gid
        self._leaving: set[str] = set()
        self._left: list[tuple[float, str]] = []
        self._is_listed = False
        self.mark = 0
        """Of all that is held: another one after each change."""

    def __enter__(self) -> Self:
        """Raises Refused where others may look into the directory, or another process has it in use."""
        for path in (self.path, self.path / VERSIONS):
            self._make_directory(path)
        self._lock = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Refused(f"another `issuer edge sync` is at work in {self.path}") from None
        self._read()
        self._ensure_placeholder()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def put(self, found: EdgeBundle, now: float) -> None:
        """Chain and key of a name, at once for whoever asks from now on. Raises Refused, OSError."""
        link, before = pem_of(self.path, found.name), self.held.get(found.name)
        if not NAME.fullmatch(found.name):
            raise Refused(f"{found.name!a} is no name of a file")
        if os.path.lexists(link) and not _version(link):
            raise Refused(f"{link} was not written here, and is left alone")
        header, standing = found.header(now), lists.VALID if found.is_valid(now) else lists.ENDED
        file = f"{secrets.token_hex(16)}.{lists.for_nginx(standing, header)}.pem"
        held = Held(found.version, found.serial, header, standing, file)
        self._create(self.path / VERSIONS / held.file, f"{MARK}{lists.held_text(held)}\n{found.bundle}")
        self._place(link, lambda new: new.symlink_to(f"{VERSIONS}/{held.file}"))
        self._is_listed &= before is not None and (before.hsts, before.standing) == (held.hsts, held.standing)
        self._mark(before, held)
        self.held[found.name] = held
        self._leaving.discard(found.name)
        if before:
            self._left.append((time.monotonic() + KEPT_SECONDS, before.file))

    def withdraw(self, name: str) -> None:
        """Have a name no longer listed, and its files removed, by the next `settle`."""
        before = self.held.pop(name)
        self._mark(before)
        self._left.append((0, before.file))
        self._leaving.add(name)
        self._is_listed = False

    def settle(self, default_hsts: str | None) -> None:
        """Write the lists where they have changed, and remove what nobody can be reading any more."""
        if not self._is_listed:
            self._write("hsts.haproxy", lists.for_haproxy(lists.headers(self.held, default_hsts)))
            self._write("names.haproxy", lists.names_for_haproxy(self.held))
            self._write("crt-list.haproxy", lists.crt_list(self.path, self.held))
            self._is_listed = True
        for link in [pem_of(self.path, name) for name in sorted(self._leaving)]:
            if _version(link):
                link.unlink()
        self._leaving.clear()
        now = time.monotonic()
        for _, file in [one for one in self._left if one[0] <= now]:
            (self.path / VERSIONS / file).unlink(missing_ok=True)
        self._left = [one for one in self._left if one[0] > now]

    def state(self) -> dict[str, Any]:
        """What `keep_state` was given last; empty where nothing can be read."""
        with suppress(OSError, ValueError):
            found = json.loads((self.path / "state.json").read_text())
            return found if isinstance(found, dict) else {}
        return {}

    def keep_state(self, state: dict[str, Any]) -> None:
        """Keep it for the next start."""
        self._write("state.json", json.dumps(state))

    def distrust(self) -> None:
        """Have everything written anew when its turn comes; until then it stays as it is."""
        self.held = {name: replace(held, edge_version="") for name, held in self.held.items()}

    @property
    def is_whole(self) -> bool:
        """False while something must be written anew."""
        return all(held.edge_version for held in self.held.values())

    def _make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~0o750:
            raise Refused(f"{path} holds keys, and is open to others ({mode:04o}): chmod 0750 {path}")
        if self._gid is not None:
            os.chown(path, -1, self._gid)
            path.chmod(0o750)

    def _read(self) -> None:
        """What is held; and away with what a process left behind that was killed."""
        for link in self.path.glob("*.pem"):
            if file := _version(link):
                self.held[link.name.removesuffix(".pem")] = held = self._look(file)
                self._mark(held)
        known = {held.file for held in self.held.values()}
        for path in (self.path / VERSIONS).iterdir():
            if OURS.fullmatch(f"{VERSIONS}/{path.name}") and path.name not in known:
                path.unlink()

    def _ensure_placeholder(self) -> None:
        """The same one for good: running terminators have it."""
        with suppress(OSError, Problem):
            path = self.path / lists.PLACEHOLDER
            if self._is_right(path.stat()):
                require_fit(path.read_text(), PLACEHOLDER_NAME)
                return
        self._write(lists.PLACEHOLDER, placeholder_bundle())

    def _mark(self, *changed: Held | None) -> None:
        for held in filter(None, changed):
            self.mark ^= int(held.file.partition(".")[0], 16)

    def _look(self, file: str) -> Held:
        """What a file says of itself; to be written anew where it says nothing, or is not as it should be."""
        try:
            with (self.path / VERSIONS / file).open() as opened:
                held = lists.held_of(opened.readline().removeprefix(MARK))
                is_right = self._is_right(os.fstat(opened.fileno()))
        except (OSError, ValueError, TypeError, KeyError):
            return Held("", "0", None, lists.ENDED, file)
        return replace(held, file=file) if is_right else replace(held, file=file, edge_version="")

    def _is_right(self, found: os.stat_result) -> bool:
        return stat.S_IMODE(found.st_mode) == self._mode and self._gid in {None, found.st_gid}

    @property
    def _mode(self) -> int:
        return 0o600 if self._gid is None else 0o640

    def _create(self, path: Path, text: str) -> None:
        """A new file that from its first moment only we may read, and then the group."""
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
            if path.read_text() == text and self._is_right(path.stat()):
                return
        self._place(path, lambda new: self._create(new, text))


def _version(link: Path) -> str | None:
    """The file of versions/ that a link leads to; None for what is no link of ours."""
    try:
        found = OURS.fullmatch(str(link.readlink()))
    except OSError:
        return None
    return found[1] if found else None
