"""The command that makes a terminator read its certificates again, for terminators that do not notice a changed file.
nginx notices it with deploy/nginx.conf."""

import shlex
import subprocess
import time

from issuer.edge.sync.files import Refused

SECONDS = 60.0
RETRY_SECONDS = 5.0


class Reload:
    """command: with arguments in shell syntax, but run without a shell. done: the `Folder.mark` of its last success.
    Raises Refused for a command with an unclosed quote."""

    def __init__(self, command: str) -> None:
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise Refused(f"the reload command {command!r} cannot be parsed: {error}") from None
        self._tried, self._retry_at = -1, 0.0
        self.done = -1

    def is_needed(self, mark: int) -> bool:
        """Whether there are changes since the last success; just after a failure, only if there are newer changes."""
        return mark != self.done and (mark != self._tried or time.monotonic() >= self._retry_at)

    def run(self, mark: int) -> list[str]:
        """Run the command and wait for its end. Returns what went wrong, or an empty list."""
        self._tried, self._retry_at = mark, time.monotonic() + RETRY_SECONDS
        try:
            completed = subprocess.run(  # noqa: S603 - the operator's own command
                self._arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return [f"the reload failed and will be retried automatically: {error}"]
        if code := completed.returncode:
            last = (completed.stderr or completed.stdout).decode(errors="replace").strip().splitlines()[-1:]
            return [f"the reload failed with exit code {code} and will be retried automatically: {' '.join(last)}"]
        self.done = mark
        return []
