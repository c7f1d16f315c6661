"""Logs: one event per line, readable on a terminal, JSON otherwise; lines of libraries have the same form.

Every task binds `domain`, `issuance` and `step` once (`structlog.contextvars`), so that all its lines have them.
Tracebacks are plain: structlog's rich ones show local variables, which may be keys.
"""

import logging
import sys
import time
from importlib.metadata import version
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from issuer.logs import sentry
from issuer.logs.tracing import TRACING

log = structlog.get_logger(__name__)

__all__ = ["TRACING", "Outage", "configure_logs", "start_reporting"]

SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class Outage:
    """Something that this process needs. One line is written when it becomes unavailable, and one when that ends."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._since: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is unavailable, as far as is known."""
        return self._since is not None

    def begin(self, reason: object) -> None:
        """It has failed."""
        if self._since is None:
            self._since = time.monotonic()
            log.warning("unavailable; will be retried automatically", what=self._what, reason=str(reason))

    def end(self) -> None:
        """It works."""
        since, self._since = self._since, None
        if since is not None:
            log.warning("available again", what=self._what, seconds=round(time.monotonic() - since, 1))


CHATTY = ("celery.app.trace", "celery.beat", "celery.worker.request", "celery.worker.strategy")
"""These log every task at INFO; the steps log the same with more detail."""


def configure_logs(log_format: str, level: str) -> None:
    """Send every logger of this process to standard error. log_format: `console`, `json`, or empty: `console` on a
    terminal, otherwise `json`."""
    is_console = log_format == "console" or (not log_format and sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=SHARED, processors=_rendering(is_console=is_console))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel("WARNING" if level == "INFO" else level)
    structlog.configure(
        processors=[*SHARED, _for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _for_formatter(logger: Any, method: str, line: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    """The last processor: hands a line to logging, with its exception where Sentry looks for it."""
    arguments, named = structlog.stdlib.ProcessorFormatter.wrap_for_formatter(logger, method, line)
    return arguments, named | ({"exc_info": line["exc_info"]} if line.get("exc_info") else {})


def start_reporting(*, sentry_dsn: str, otlp_url: str) -> None:
    """Report errors to Sentry, and spans to OpenTelemetry, from now on, where they are set. Raises SystemExit, in one
    line, if a package that this needs is not installed."""
    sentry.start(sentry_dsn, version("issuer"))
    TRACING.start(otlp_url, version("issuer"))


def _rendering(*, is_console: bool) -> list[Processor]:
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if is_console:
        plain = structlog.dev.plain_traceback
        return [remove, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    return [remove, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
