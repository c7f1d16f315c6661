"""Where alarms go beside the log: a command of the operator, which gets one on its standard input, and a URL, which
gets a POST. What they say of a failure has no secret: a URL may contain one, and so may what a command prints."""

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import urllib3

from issuer.config import Settings, environment_without_settings
from issuer.ports import AlarmChannel

SECONDS = 10.0
"""How long a command may run, and a URL may take for its answer."""
OK_STATUSES = range(200, 300)


class CommandChannel:
    """The `AlarmChannel` port over a command, run without a shell and without our settings in its environment."""

    name, setting = "command", "ISSUER_ALARM_COMMAND"

    def __init__(self, command: str, *, seconds: float = SECONDS) -> None:
        self._words = shlex.split(command)
        self._seconds = seconds

    def defect(self) -> str:
        """See `ports.AlarmChannel`."""
        program = self._words[0]
        return "" if shutil.which(program) else f"there is no program {program} that this process may run"

    def deliver(self, body: Mapping[str, Any]) -> str:
        """See `ports.AlarmChannel`."""
        if reason := self.defect():
            return reason
        try:
            return self._run(json.dumps(body).encode() + b"\n")
        except OSError as error:
            return f"the command cannot be run: {error.strerror}"

    def _run(self, text: bytes) -> str:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command
            self._words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment_without_settings(),
            start_new_session=True,
        )
        try:
            process.communicate(text, timeout=self._seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return f"the command did not end within {self._seconds:g} seconds, and was killed"
        return f"the command ended with status {process.returncode}" if process.returncode else ""


class WebhookChannel:
    """The `AlarmChannel` port over a URL. A redirect counts as a failure, as it may lead to anybody."""

    name, setting = "url", "ISSUER_ALARM_URL"

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        self._url = url
        self._seconds = seconds

    def defect(self) -> str:
        """See `ports.AlarmChannel`."""
        return ""

    def deliver(self, body: Mapping[str, Any]) -> str:
        """See `ports.AlarmChannel`."""
        host = urlsplit(self._url).hostname
        try:
            status = self._post(body)
        except urllib3.exceptions.NewConnectionError as error:  # which counts as a timeout there
            return f"{host} cannot be reached: {type(error).__name__}"
        except urllib3.exceptions.TimeoutError:
            return f"{host} does not answer within {self._seconds:g} seconds"
        except urllib3.exceptions.SSLError:
            return f"the certificate of {host} cannot be verified"
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return f"{host} cannot be reached: {type(error).__name__}"
        return "" if status in OK_STATUSES else f"{host} answers {status}"

    def _post(self, body: Mapping[str, Any]) -> int:
        timeout = urllib3.Timeout(total=self._seconds)
        with urllib3.PoolManager(timeout=timeout, retries=False) as pool:
            answer = pool.request("POST", self._url, json=dict(body), redirect=False, preload_content=False)
            answer.close()
            return answer.status


def channels(settings: Settings) -> tuple[AlarmChannel, ...]:
    """The channels that are set."""
    command, url = settings.alarm_command, settings.alarm_url.get_secret_value()
    return (*([CommandChannel(command)] if command else []), *([WebhookChannel(url)] if url else []))
