"""The command that has a terminator read its lists again. nginx reads certificates by itself, but not hsts.nginx."""

import hashlib
import shlex
import subprocess
import time
from pathlib import Path

from issuer.sync.files import Refused

SECONDS = 60.0
RETRY_SECONDS = 5.0


class Reload:
    """command: with its arguments, as in a shell, but run without one. done: what `file` was when it was last run with
    success, by its digest. Raises Refused for a command with a quote that is not closed."""

    def __init__(self, command: str, file: Path) -> None:
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise Refused(f"the reload {command!r} can not be read: {error}") from None
        self._file = file
        self._tried, self._retry_at = "", 0.0
        self.done = ""

    def is_needed(self) -> bool:
        """Whether `file` has changed since; soon after a failure, whether it has changed once more."""
        digest = self._digest()
        return digest != self.done and (digest != self._tried or time.monotonic() >= self._retry_at)

    def run(self) -> list[str]:
        """Run it and wait for its end; what went wrong, if anything."""
        digest = self._digest()
        self._tried, self._retry_at = digest, time.monotonic() + RETRY_SECONDS
        try:
            ended = subprocess.run(  # noqa: S603 - the operator's own command
                self._arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return [f"the reload failed, and will be tried again: {error}"]
        if ended.returncode:
            last = (ended.stderr or ended.stdout).decode(errors="replace").strip().splitlines()[-1:]
            return [f"the reload failed with {ended.returncode}, and will be tried again: {' '.join(last)}"]
        self.done = digest
        return []

    def _digest(self) -> str:
        return hashlib.sha256(self._file.read_bytes()).hexdigest()
