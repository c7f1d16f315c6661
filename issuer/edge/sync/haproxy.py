"""HAProxy's Runtime API (management guide, section 9.3): the certificates and maps of a running process.

The files are written before HAProxy is updated, so a HAProxy that starts reads the same. A new HAProxy process may have
read them just before a change, so everything that it has loaded is compared.

HAProxy has ONE transaction for certificates, whoever begins it. While one is open on file A, 2.6 puts what is set for
file B into A's transaction («Transaction updated for certificate A»), and 2.8 refuses it. So no certificate is set or
deleted while one is open, and the file's name in the answer decides. One that is open on a file of ours is what an
earlier command of ours has left, and is aborted; one of another program is waited for, and never touched.
"""

import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from issuer.edge.sync import lists
from issuer.edge.sync.lists import NO_HEADER, Held, pem_of

SECONDS = 5.0
"""The limit for one answer."""
WAIT_SECONDS = 1.0
"""How long the transaction of another program is waited for before it is reported."""
LOOK_SECONDS = 0.05
BATCH = 40
"""How many commands go into one line: HAProxy accepts 16 KiB, and a path may have a few hundred characters."""
CERTIFICATE = re.compile(r"^Filename: (.+)\nStatus: (\w+)(?:\nSerial: ([0-9A-F]+))?", re.MULTILINE)
TRANSACTION = re.compile(r"^\*(.+)$", re.MULTILINE)
"""In the answer to `show ssl cert`, the file whose transaction is open; it comes before all other files."""
SET = re.compile(r"^Transaction (?:created|updated) for certificate (.+)!$", re.MULTILINE)
ENTRIES = re.compile(r"found the certificate .* in several entries, .* \(([0-9, ]+)\)")
"""The answer if a file is several times in a crt-list: the numbers of the lines."""
MAP_ENTRY = re.compile(r"^0x[0-9a-f]+ (\S+) (.*)$", re.MULTILINE)


class CommandFailed(Exception):  # noqa: N818 - an answer of HAProxy
    """HAProxy refused a command; the text is HAProxy's."""


class Unreachable(CommandFailed):
    """HAProxy does not answer at its socket."""


class Blocked(CommandFailed):
    """Another program has an open transaction."""


class HAProxy:
    """A HAProxy on this host that was started with the files of `folder`. at: its socket (level admin)."""

    def __init__(self, at: Path, folder: Path) -> None:
        self._at = at
        self._folder = folder
        self._crt_list, self._names, self._hsts = (
            folder / file for file in ("crt-list.haproxy", "names.haproxy", "hsts.haproxy")
        )
        self._pid = ""
        self._pending: set[str] = set()
        self._blocked_by = ""
        """The file of another program whose transaction was open when we last looked; empty if none was."""

    def changed(self, name: str) -> None:
        """Let the next `settle` update this name."""
        self._pending.add(name)

    def settle(self, held: Mapping[str, Held], default_hsts: str | None) -> list[str]:
        """Send the changes to HAProxy and, if its process is new, everything that differs from `held`. Returns the
        errors; the next call tries the failed names again."""
        errors: list[str] = []
        blocked: Blocked | None = None
        try:
            pid = self._asked_pid()
            if pid != self._pid:
                self._pending |= set(self._different(held, default_hsts))
                self._pid = pid
            for name in sorted(self._pending):
                try:
                    self._update(name, held.get(name), default_hsts)
                    self._pending.discard(name)
                except Unreachable:
                    raise
                except Blocked as error:
                    blocked = error
                except CommandFailed as error:
                    errors.append(f"{name}: HAProxy: {error}")
        except CommandFailed as error:
            errors.append(f"HAProxy: {error}")
        if blocked:
            errors.append(f"HAProxy: {blocked}")
        else:
            self._blocked_by = ""
        return errors

    def _different(self, held: Mapping[str, Held], default_hsts: str | None) -> Iterator[str]:
        """The names for which HAProxy has loaded something other than what is held."""
        if str(self._crt_list) not in (known := self._ask("show ssl crt-list").split()):
            configured = ", ".join(known) or "no crt-list"
            raise CommandFailed(f"its configuration does not use {self._crt_list}, but {configured}")
        loaded = dict(self._loaded())
        for name in held.keys() | loaded.keys():
            if name not in held or loaded.get(name) != ("Used", int(held[name].serial, 16)):
                yield name
        listed = {name: entry.standing for name, entry in held.items()}
        yield from (name for name, _ in listed.items() ^ self._map(self._names).items())
        wanted = {name: header or NO_HEADER for name, header in lists.headers(held, default_hsts).items()}
        yield from (name for name, _ in wanted.items() ^ self._map(self._hsts).items())

    def _loaded(self) -> Iterator[tuple[str, tuple[str, int]]]:
        """The names with a loaded certificate, each with its state and serial number."""
        lines = self._ask("show ssl cert").split("\n")
        loaded = {line for line in lines if line.startswith(f"{self._folder}/") and line.endswith(".pem")}
        files = sorted(loaded - {str(self._folder / lists.PLACEHOLDER)})
        for first in range(0, len(files), BATCH):
            answer = self._ask("; ".join(f"show ssl cert {file}" for file in files[first : first + BATCH]))
            for file, state, serial in CERTIFICATE.findall(answer):
                yield Path(file).stem, (state, int(serial or "0", 16))

    def _update(self, name: str, held: Held | None, default_hsts: str | None) -> None:
        """Make HAProxy serve what is held for a name; nothing if `held` is None."""
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
        file, wanted = pem_of(self._folder, name), int(held.serial, 16)
        state, serial = self._state(file)
        if not state:
            self._do(f"new ssl cert {file}", "New empty")
        if serial != wanted:
            self._set(file)
            if self._state(file)[1] != wanted:
                raise CommandFailed("another program has put its certificate in; will be retried automatically")
        if state != "Used":
            self._do(f"add ssl crt-list {self._crt_list} <<\n{lists.crt_list_line(self._folder, name)}\n", "Success!")

    def _state(self, file: Path | str) -> tuple[str, int]:
        """The state of a loaded file, and its serial number; empty and 0 if it is not loaded."""
        match = CERTIFICATE.search(self._ask(f"show ssl cert {file}"))
        return (match[2], int(match[3] or "0", 16)) if match else ("", 0)

    def _set(self, file: Path) -> None:
        """Make HAProxy use what is in a file of ours."""
        self._require_no_transaction()
        # An empty line would end the payload in the middle; comments only make it longer.
        lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
        payload = "".join(f"{line}\n" for line in lines)
        answer = self._ask(f"set ssl cert {file} <<\n{payload}").strip()
        match = SET.search(answer)
        if match and match[1] != str(file):
            # Another program began it after we had looked. What it commits would be our certificate, under its name.
            self._ask(f"abort ssl cert {match[1]}")
            raise CommandFailed(f"the transaction of another program on {match[1]} came in between, and was aborted")
        try:
            if match is None or "Unknown command" in answer:
                silence = f"no answer: the {len(payload):,} bytes for {file} may be more than its tune.bufsize"
                raise CommandFailed(_first_line(answer) or silence)
            self._do(f"commit ssl cert {file}", "Success!")
        except CommandFailed:
            self._ask(f"abort ssl cert {file}")
            raise

    def _unload(self, name: str) -> None:
        file = pem_of(self._folder, name)
        if several := ENTRIES.search(self._ask(f"del ssl crt-list {self._crt_list} {file}")):
            for line in several[1].split(","):
                self._ask(f"del ssl crt-list {self._crt_list} {file}:{line.strip()}")
        if self._state(file)[0]:
            self._require_no_transaction()
            self._do(f"del ssl cert {file}", f"'{file}' deleted!")

    def _require_no_transaction(self) -> None:
        """Abort an open transaction on a file of ours, and wait for one of another program, but only when it is seen
        for the first time. Raises Blocked if that does not end."""
        end = time.monotonic() + WAIT_SECONDS
        while match := TRANSACTION.search(self._ask("show ssl cert", until=b"# filename")):
            file = match[1]
            if is_ours := Path(file).parent == self._folder:
                self._ask(f"abort ssl cert {file}")
            if file == self._blocked_by or time.monotonic() >= end:
                self._blocked_by = "" if is_ours else file
                whose = "and cannot be aborted" if is_ours else "begun by another program: `set ssl cert` alone"
                until = "until it ends, no certificate can be changed; will be retried automatically"
                raise Blocked(f"the transaction on {file} is open, {whose}; {until}")
            time.sleep(0 if is_ours else LOOK_SECONDS)

    def _map(self, file: Path) -> dict[str, str]:
        return dict(MAP_ENTRY.findall(self._ask(f"show map {file}")))

    def _put(self, file: Path, key: str, value: str | None) -> None:
        """Set the value of a key in a map; None removes the key."""
        if value is None:
            self._ask(f"del map {file} {key}")
            return
        escaped = re.sub(r"([ ;\\])", r"\\\1", value)
        if "not found" in self._ask(f"set map {file} {key} {escaped}"):
            self._do(f"add map {file} {key} {escaped}", "")

    def _asked_pid(self) -> str:
        match = re.search(r"^Pid: (\d+)$", self._ask("show info"), re.MULTILINE)
        if not match:
            raise CommandFailed(f"no process id in the answer at {self._at}")
        return match[1]

    def _do(self, command: str, success: str) -> None:
        """Run a command. Raises CommandFailed unless the answer contains `success`; '' for an empty answer."""
        answer = self._ask(command).strip()
        if success not in answer or (answer and not success):
            raise CommandFailed(_first_line(answer) or f"no answer to {_first_line(command)}")

    def _ask(self, command: str, *, until: bytes = b"") -> str:
        """The answer to a command; its beginning alone, up to `until`, if that is given."""
        answer = bytearray()
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(SECONDS)
                connection.connect(str(self._at))
                connection.sendall(f"{command}\n".encode())
                while (more := connection.recv(65_536)) and not (until and until in answer):
                    answer += more
        except OSError as error:
            raise Unreachable(f"{self._at}: {error.strerror or error}") from None
        return answer.decode(errors="replace")


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:200]
