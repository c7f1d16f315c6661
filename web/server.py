"""What gunicorn is told to use: JSON also for requests that never reach the application, and our logs for its own."""

import json
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from issuer.config import load_settings
from issuer.logs import configure_logs


class Logs(Logger):
    """The lines of gunicorn go where ours go, and look like them."""

    def setup(self, cfg: Any) -> None:
        """Called first of all, so a wrong setting ends the start here."""
        super().setup(cfg)
        settings = load_settings()
        configure_logs(settings.log_format, settings.log_level)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class JsonWorker(ThreadWorker):
    """A `gthread` worker whose own errors (a bad request line, too long headers) are not HTML."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Keep gunicorn's choice of status, in our form."""
        written = _Capture()
        super().handle_error(req, written, addr, exc)
        status_line, _, _ = bytes(written.data).partition(b"\r\n")
        reason = status_line.split(b" ", 2)[-1].decode("latin-1").lower()
        body = json.dumps({"message": reason, "code": reason.replace(" ", "-")}).encode()
        head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        client.sendall(status_line + b"\r\n" + head + body)


class _Capture:
    """Enough of a socket for gunicorn to write an error to."""

    def __init__(self) -> None:
        self.data = bytearray()

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.data += data
