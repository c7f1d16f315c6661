"""One line in the log for each request, and its id: the caller's, if it is harmless, else a new one.

The id is in all lines of the request, in the answer (`X-Request-Id`), and in the issuance that the request starts, so
also in the lines of its steps. No line has a token.
"""

import re
import secrets
import time
from contextlib import ExitStack
from urllib.parse import parse_qsl, quote, urlencode

import structlog
from flask import Flask, Response, g, request

from issuer.logs import TRACING

HEADER = "X-Request-Id"
HARMLESS = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
CHALLENGE = re.compile("(acme-challenge).+", re.ASCII | re.IGNORECASE)
MAX_SHOWN = 300
REDACTED = "[redacted]"
SHOWN_PARAMETERS = frozenset(
    {"account", "after", "code", "domain", "limit", "otherwise", "reason", "revoke", "server_name", "status"}
)
"""The query parameters that are logged: any other may be a secret, sent to the wrong place."""

log = structlog.get_logger(__name__)


def register(app: Flask) -> None:
    """Give every request an id, and log it once it is answered."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_tear_down)


def request_id() -> str:
    """The id of this request."""
    return str(g.request_id)


def shown_path() -> str:
    """The path of this request for a log line, without the token of a challenge."""
    path = CHALLENGE.sub(rf"\1/{REDACTED}", quote(request.path))
    return path if len(path) <= MAX_SHOWN else f"{path[:MAX_SHOWN]}…"


def _begin() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if HARMLESS.fullmatch(given) else secrets.token_hex(8)
    g.started = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    g.open_span = ExitStack()
    g.span = g.open_span.enter_context(
        TRACING.span("request", method=request.method, path=shown_path(), request_id=g.request_id)
    )


def _tear_down(_: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()
    if span := g.pop("open_span", None):
        span.close()


def _end(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    more = {"account": g.account} if "account" in g else {}
    g.span.update(status=response.status_code, **more)
    if request.query_string:
        more["query"] = _shown_query()
    log.info(
        "request",
        method=request.method,
        path=shown_path(),
        status=response.status_code,
        seconds=round(time.perf_counter() - g.started, 4),
        remote=request.remote_addr,
        **more,
    )
    return response


def _shown_query() -> str:
    pairs = parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True)
    shown = [urlencode([pair], safe=".:-*") if pair[0] in SHOWN_PARAMETERS else REDACTED for pair in pairs]
    return "&".join(shown)[:MAX_SHOWN]
