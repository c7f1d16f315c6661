"""Problem -> HTTP: the only place with HTTP status codes of errors. Every error body is JSON and has a `message`, and
every answer of 500 and above is logged."""

import math
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, current_app, jsonify, request
from gunicorn.http.errors import NoMoreData, ParseException
from werkzeug.exceptions import HTTPException

from issuer import presenters
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from web.access import shown_path

STATUS: dict[ProblemType, HTTPStatus] = {
    ProblemType.INVALID_NAME: HTTPStatus.BAD_REQUEST,
    ProblemType.INVALID_CNAME: HTTPStatus.BAD_REQUEST,
    ProblemType.INVALID_REQUEST: HTTPStatus.BAD_REQUEST,
    ProblemType.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    ProblemType.PLAN: HTTPStatus.PAYMENT_REQUIRED,
    ProblemType.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ProblemType.NOT_INITIATED: HTTPStatus.NOT_FOUND,
    ProblemType.ALREADY_INITIATED: HTTPStatus.CONFLICT,
    ProblemType.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ProblemType.OVER_BUDGET: HTTPStatus.TOO_MANY_REQUESTS,
    ProblemType.FOREIGN_STORE: HTTPStatus.SERVICE_UNAVAILABLE,
    ProblemType.DAMAGED_RECORD: HTTPStatus.SERVICE_UNAVAILABLE,
    ProblemType.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    ProblemType.STORE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ProblemType.UNSAFE_STORE: HTTPStatus.SERVICE_UNAVAILABLE,
}
RETRY_AFTER_SECONDS = 5
"""The Retry-After of a 503: short, as a restart of the store takes seconds."""

log = structlog.get_logger(__name__)


def register(app: Flask) -> None:
    """Answer every error of this application in JSON."""
    app.register_error_handler(Problem, from_problem)
    app.register_error_handler(ParseException, _from_cut_body)
    app.register_error_handler(NoMoreData, _from_cut_body)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, _from_unexpected)


def from_problem(problem: Problem, status: HTTPStatus | None = None, **more: Any) -> Response:
    """The answer to a Problem: its message and the members that a status has, too. status: if not the usual one. more:
    further members."""
    status = status or STATUS.get(problem.type, HTTPStatus.INTERNAL_SERVER_ERROR)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log_failure(status, problem.type.value, str(problem))
    services: Services = current_app.extensions["services"]
    now, retry_at = services.clock(), problem.retry_at
    if retry_at is None and status is HTTPStatus.SERVICE_UNAVAILABLE:
        retry_at = now + RETRY_AFTER_SECONDS
    body = {"message": problem.message, **presenters.problem_body(problem), **more}
    if retry_at is not None:
        body["next_attempt_at"] = presenters.instant(max(retry_at, now + 1))
    response = _answer(status, body)
    if retry_at is not None:
        response.headers["Retry-After"] = str(retry_after_seconds(problem, now))
    elif status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Basic realm="api"'
    return response


def retry_after_seconds(problem: Problem, now: float) -> int:
    """The `Retry-After` of an answer to a problem that passes."""
    return max(math.ceil((problem.retry_at or now + RETRY_AFTER_SECONDS) - now), 1)


def _from_http(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    phrase = status.phrase.lower()
    response = _answer(status, {"message": phrase, "code": phrase.replace(" ", "-")})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log_failure(status, error.name, error.description or "")
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _from_cut_body(_: Exception) -> Response:
    """Gunicorn reads a body only when the application does, so it notices only then that it is cut off or malformed."""
    return from_problem(Problem(ProblemType.INVALID_REQUEST, "the body cannot be read", hint="send no body"))


def _from_unexpected(error: Exception) -> Response:
    """An error of ours: the log has the traceback, the answer has no details."""
    log_failure(HTTPStatus.INTERNAL_SERVER_ERROR, type(error).__name__, "", exc_info=error)
    message = "an internal error occurred; the operator can find it in the log"
    return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"message": message, "code": "internal", "must_act": "platform"})


def log_failure(status: HTTPStatus, code: str, reason: str, **more: Any) -> None:
    """Log an answer that says that we failed. The query is left out: it may contain a token."""
    path, method = shown_path(), request.method
    log.error("request failed", status=status.value, method=method, path=path, code=code, reason=reason, **more)


def _answer(status: HTTPStatus, body: dict[str, str]) -> Response:
    response = jsonify(body)
    response.status_code = status
    return response
