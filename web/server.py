"""Classes for gunicorn: JSON errors also for requests that never reach the application, and its logs in our format."""

import json
from typing import Any

import structlog
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from issuer.config import load_settings
from issuer.logs import configure_logs

log = structlog.get_logger(__name__)


class Logs(Logger):
    """Writes gunicorn's log lines to our log, in our format."""

    def setup(self, cfg: Any) -> None:
        """Configure the logs. gunicorn calls this first, so a wrong setting ends the start here."""
        super().setup(cfg)
        settings = load_settings()
        configure_logs(settings.log_format, settings.log_level)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class JsonWorker(ThreadWorker):
    """A `gthread` worker that answers its own errors (a bad request line, too long headers) in JSON, not in HTML."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Send gunicorn's status with a JSON body."""
        captured = _Capture()
        super().handle_error(req, captured, addr, exc)
        status_line, _, _ = bytes(captured.data).partition(b"\r\n")
        _, status, reason = status_line.decode("latin-1").lower().split(" ", 2)
        if status >= "500":
            log.error("request failed", status=int(status), reason=str(exc))
        body = json.dumps({"message": reason, "code": reason.replace(" ", "-")}).encode()
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head = f"{kind}Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode()
        client.sendall(status_line + b"\r\n" + head + body)


class _Capture:
    """The part of a socket that gunicorn needs to write an error."""

    def __init__(self) -> None:
        self.data = bytearray()

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.data += data
