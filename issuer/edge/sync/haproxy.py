"""HAProxy's Runtime API (management guide, section 9.3): the certificates and maps of a running process.

The files are there before it is told, so a HAProxy that starts reads the same. One that is another process than before
may have read them just before they changed: then all that it has is compared.
"""

import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from issuer.edge.sync import lists
from issuer.edge.sync.lists import NO_HEADER, Held, pem_of

SECONDS = 5.0
"""For one answer."""
AT_ONCE = 40
"""How many questions go into one line: HAProxy has room for 16 KiB, and a path may have some hundred characters."""
SHOWN = re.compile(r"^Filename: (.+)\nStatus: (\w+)(?:\nSerial: ([0-9A-F]+))?", re.MULTILINE)
MAPPED = re.compile(r"^0x[0-9a-f]+ (\S+) (.*)$", re.MULTILINE)


class NotDone(Exception):  # noqa: N818 - what HAProxy says
    """HAProxy has refused something; the text is its own."""


class Unreachable(NotDone):
    """HAProxy does not answer at its socket."""


class HAProxy:
    """A HAProxy on this host, by its socket (of level admin), which was started with the files of `folder`."""

    def __init__(self, at: Path, folder: Path) -> None:
        self._at = at
        self._folder = folder
        self._crt_list, self._names, self._hsts = (
            folder / one for one in ("crt-list.haproxy", "names.haproxy", "hsts.haproxy")
        )
        self._pid = ""
        self._pending: set[str] = set()

    def changed(self, name: str) -> None:
        """Tell it of this name by the next `settle`."""
        self._pending.add(name)

    def settle(self, held: Mapping[str, Held], default_hsts: str | None) -> list[str]:
        """Tell it what has changed, and all that it does not have as it is held. What could not be done is answered,
        and done by the next call."""
        troubles = []
        try:
            pid = self._asked_pid()
            if pid != self._pid:
                self._pending |= set(self._different(held, default_hsts))
                self._pid = pid
            for name in sorted(self._pending):
                try:
                    self._bring(name, held.get(name), default_hsts)
                    self._pending.discard(name)
                except NotDone as trouble:
                    if isinstance(trouble, Unreachable):
                        raise
                    troubles.append(f"{name}: HAProxy: {trouble}")
        except NotDone as trouble:
            troubles.append(f"HAProxy: {trouble}")
        return troubles

    def _different(self, held: Mapping[str, Held], default_hsts: str | None) -> Iterator[str]:
        """The names for which it has something else than what is held."""
        if str(self._crt_list) not in (known := self._ask("show ssl crt-list").split()):
            raise NotDone(f"its configuration does not name {self._crt_list}, but {', '.join(known) or 'no crt-list'}")
        loaded = dict(self._loaded())
        for name in held.keys() | loaded.keys():
            if name not in held or loaded.get(name) != ("Used", int(held[name].serial, 16)):
                yield name
        listed = {name: one.standing for name, one in held.items()}
        yield from (name for name, _ in listed.items() ^ self._map(self._names).items())
        wanted = {name: header or NO_HEADER for name, header in lists.headers(held, default_hsts).items()}
        yield from (name for name, _ in wanted.items() ^ self._map(self._hsts).items())

    def _loaded(self) -> Iterator[tuple[str, tuple[str, int]]]:
        """The names that it has a certificate of, each with the state and the serial of that."""
        lines = self._ask("show ssl cert").split("\n")
        for begun in [line[1:] for line in lines if line.startswith(f"*{self._folder}/")]:
            self._ask(f"abort ssl cert {begun}")
        found = {line for line in lines if line.startswith(f"{self._folder}/") and line.endswith(".pem")}
        files = sorted(found - {str(self._folder / lists.PLACEHOLDER)})
        for first in range(0, len(files), AT_ONCE):
            answer = self._ask("; ".join(f"show ssl cert {file}" for file in files[first : first + AT_ONCE]))
            for file, state, serial in SHOWN.findall(answer):
                yield Path(file).stem, (state, int(serial or "0", 16))

    def _bring(self, name: str, held: Held | None, default_hsts: str | None) -> None:
        """Have it serve what is held for a name, and nothing where nothing is."""
        if name == lists.DEFAULT:
            self._put(self._hsts, name, default_hsts or NO_HEADER)
            return
        if held is None:
            self._put(self._names, name, None)
            self._unload(name)
            self._put(self._hsts, name, None)
            return
        self._put(self._hsts, name, (held.hsts or NO_HEADER) if held.hsts != default_hsts else None)
        self._load(name, held)
        self._put(self._names, name, held.standing)

    def _load(self, name: str, held: Held) -> None:
        file = pem_of(self._folder, name)
        found = SHOWN.search(self._ask(f"show ssl cert {file}"))
        state, serial = (found[2], found[3]) if found else ("", None)
        if not state:
            self._do(f"new ssl cert {file}", "New empty")
        if int(serial or "0", 16) != int(held.serial, 16):
            lines = "".join(f"{line}\n" for line in file.read_text().splitlines() if line)
            try:
                self._do(f"set ssl cert {file} <<\n{lines}", "Transaction")
                self._do(f"commit ssl cert {file}", "Success!")
            except NotDone:
                self._ask(f"abort ssl cert {file}")
                raise
        if state != "Used":
            self._do(f"add ssl crt-list {self._crt_list} <<\n{file} {name}\n", "Success!")

    def _unload(self, name: str) -> None:
        file = pem_of(self._folder, name)
        self._ask(f"del ssl crt-list {self._crt_list} {file}")
        if SHOWN.search(self._ask(f"show ssl cert {file}")):
            self._do(f"del ssl cert {file}", "' deleted!")

    def _map(self, file: Path) -> dict[str, str]:
        return dict(MAPPED.findall(self._ask(f"show map {file}")))

    def _put(self, file: Path, key: str, value: str | None) -> None:
        """A value into a map; None: no longer in it."""
        if value is None:
            self._ask(f"del map {file} {key}")
            return
        escaped = re.sub(r"([ ;\\])", r"\\\1", value)
        if "not found" in self._ask(f"set map {file} {key} {escaped}"):
            self._do(f"add map {file} {key} {escaped}", "")

    def _asked_pid(self) -> str:
        found = re.search(r"^Pid: (\d+)$", self._ask("show info"), re.MULTILINE)
        if not found:
            raise NotDone(f"no answer of HAProxy at {self._at}")
        return found[1]

    def _do(self, command: str, success: str) -> None:
        """Raises NotDone unless the answer has a word in it; '' for no answer at all."""
        answer = self._ask(command).strip()
        if success not in answer or (answer and not success):
            raise NotDone(answer.splitlines()[0][:200] if answer else f"no answer to {command.splitlines()[0]}")

    def _ask(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(SECONDS)
                connection.connect(str(self._at))
                connection.sendall(f"{command}\n".encode())
                return b"".join(iter(lambda: connection.recv(65_536), b"")).decode(errors="replace")
        except OSError as error:
            raise Unreachable(f"{self._at}: {error.strerror or error}") from None
