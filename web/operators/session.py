"""Log-in and log-out."""

import re
import secrets
from http import HTTPStatus

from flask import Response, g, request
from werkzeug.wrappers import Response as AnyResponse

from issuer.actions import operators as actions
from issuer.problem import Problem, ProblemType
from web.operators.blueprint import COOKIE, LOG_IN_PATH, operators, render, require_form_token, see, services

LOG_IN_COOKIE = "issuer_log_in"
LOG_IN_SECONDS = 3600
OURS = re.compile(r"/operators/[\w.~%/?&=+:-]{1,500}", re.ASCII)
"""A page of ours, to go on to after a log-in, and no address of another site."""


@operators.get(LOG_IN_PATH, provide_automatic_options=False)
def show_log_in() -> AnyResponse:
    """The form; or how to make a key, as long as there is none."""
    if not actions.is_set_up(services()):
        return render("set_up.html")
    return _form(_next(request.args.get("next", "")))


@operators.post(LOG_IN_PATH, provide_automatic_options=False)
def log_in() -> AnyResponse:
    """Begin a session, and go on to the page that was asked for."""
    then = _next(request.form.get("next", ""))
    try:
        require_form_token(request.cookies.get(LOG_IN_COOKIE, ""))
        begun = actions.log_in(services(), request.form.get("key", "").strip(), request.remote_addr or "")
    except Problem as problem:
        if problem.type not in {ProblemType.UNAUTHORIZED, ProblemType.INVALID_REQUEST}:
            raise
        is_wrong = problem.type is ProblemType.UNAUTHORIZED
        return _form(then, problem, HTTPStatus.FORBIDDEN if is_wrong else HTTPStatus.BAD_REQUEST)
    answer = see(then)
    _set_cookie(answer, COOKIE, begun.token, actions.SESSION_SECONDS)
    answer.delete_cookie(LOG_IN_COOKIE, path=LOG_IN_PATH)
    return answer


@operators.post("/operators/log-out", provide_automatic_options=False)
def log_out() -> AnyResponse:
    """End the session of this browser."""
    actions.log_out(services(), request.cookies.get(COOKIE, ""))
    g.operator = None
    answer = see(LOG_IN_PATH)
    answer.delete_cookie(COOKIE)
    return answer


def _form(then: str, problem: Problem | None = None, status: HTTPStatus = HTTPStatus.OK) -> Response:
    token = secrets.token_urlsafe(32)
    page = render("log_in.html", status, form_token=token, next=then, problem=problem)
    _set_cookie(page, LOG_IN_COOKIE, token, LOG_IN_SECONDS, path=LOG_IN_PATH)
    return page


def _next(path: str) -> str:
    """Where to go on: a page of ours, else the first one."""
    return path if OURS.fullmatch(path) else "/"


def _set_cookie(answer: AnyResponse, name: str, value: str, seconds: int, *, path: str = "/") -> None:
    """A cookie that no script and no other site can use; over HTTPS, also if a proxy speaks that, only there."""
    is_https = request.is_secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
    answer.set_cookie(name, value, max_age=seconds, path=path, secure=is_https, httponly=True, samesite="Strict")
