"""The command that has a terminator read its certificates again: for those that do not see by themselves when a file
changes, as nginx does with deploy/nginx.conf."""

import shlex
import subprocess
import time

from issuer.edge.sync.files import Refused

SECONDS = 60.0
RETRY_SECONDS = 5.0


class Reload:
    """command: with its arguments, as in a shell, but run without one. done: the `Folder.mark` of its last success.
    Raises Refused for a command with a quote that is not closed."""

    def __init__(self, command: str) -> None:
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise Refused(f"the reload {command!r} can not be read: {error}") from None
        self._tried, self._retry_at = -1, 0.0
        self.done = -1

    def is_needed(self, mark: int) -> bool:
        """Whether something has changed since; soon after a failure, whether it has changed once more."""
        return mark != self.done and (mark != self._tried or time.monotonic() >= self._retry_at)

    def run(self, mark: int) -> list[str]:
        """Run it and wait for its end; what went wrong, if anything."""
        self._tried, self._retry_at = mark, time.monotonic() + RETRY_SECONDS
        try:
            ended = subprocess.run(  # noqa: S603 - the operator's own command
                self._arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return [f"the reload failed, and will be tried again: {error}"]
        if ended.returncode:
            last = (ended.stderr or ended.stdout).decode(errors="replace").strip().splitlines()[-1:]
            return [f"the reload failed with {ended.returncode}, and will be tried again: {' '.join(last)}"]
        self.done = mark
        return []
