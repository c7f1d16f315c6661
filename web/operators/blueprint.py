"""Who may look at the page, what every answer of it has, and its errors: HTML, with one clear sentence."""

from http import HTTPStatus
from urllib.parse import quote, urlencode

import structlog
from flask import Blueprint, Response, current_app, g, make_response, redirect, render_template, request
from gunicorn.http.errors import NoMoreData, ParseException
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from issuer.actions import operators as actions
from issuer.ports import OperatorSession, Services
from issuer.problem import Problem, ProblemType
from web import errors
from web.operators import formats

COOKIE = "issuer_session"
LOG_IN_PATH = "/operators/log-in"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
OPEN_TO_ALL = frozenset({"operators.static", "operators.show_log_in", "operators.log_in"})
"""The endpoints that need no session."""
STALE_FORM = "this form is no longer valid"
STALE_FORM_HINT = "nothing was changed; go back, load the page again, and send its form once more"

log = structlog.get_logger(__name__)
operators = Blueprint(
    "operators",
    __name__,
    static_folder="static",
    static_url_path="/operators/static",
    template_folder="templates",
)
formats.register(operators)


def services() -> Services:
    """The services of this application."""
    found: Services = current_app.extensions["services"]
    return found


def render(template: str, status: HTTPStatus = HTTPStatus.OK, **values: object) -> Response:
    """A page. Every text in it is escaped."""
    shown = {"now": services().clock(), "operator": g.get("operator")}
    return make_response(render_template(f"operators/{template}", **shown | values), status)


def see(path: str) -> AnyResponse:
    """Send the browser to another page of ours."""
    answer = redirect(path, HTTPStatus.SEE_OTHER)
    answer.autocorrect_location_header = False
    return answer


def require_form_token(expected: str) -> None:
    """Raise Problem(invalid-request) unless the form has the token that this page has put into it."""
    if not expected or not actions.is_same(request.form.get("form_token", ""), expected):
        raise Problem(ProblemType.INVALID_REQUEST, message=STALE_FORM, hint=STALE_FORM_HINT)


@operators.before_request
def require_session() -> AnyResponse | None:
    """Let nobody see a page, or send a form, without a session; and no form without the token of the session."""
    if request.endpoint in OPEN_TO_ALL:
        return None
    token = request.cookies.get(COOKIE, "")
    session: OperatorSession | None = actions.session_of(services(), token) if token else None
    if session is None:
        if not actions.is_set_up(services()):
            return render("set_up.html")
        is_link = request.method in {"GET", "HEAD"} and request.path != "/"
        return see(LOG_IN_PATH + (f"?{urlencode({'next': request.full_path.rstrip('?')})}" if is_link else ""))
    g.operator = session
    if request.method not in {"GET", "HEAD"}:
        require_form_token(session.form_token)
        log.info("an operator has sent a form", operator=session.name, path=quote(request.path))
    return None


@operators.after_request
def protect(response: Response) -> Response:
    """Let a browser run and load only what is ours, and let no other site show the page."""
    response.headers.update(HEADERS)
    return response


@operators.route("/operators/<anything:rest>", methods=["GET", "POST"], provide_automatic_options=False)
@operators.route("/operators/", defaults={"rest": ""}, provide_automatic_options=False, strict_slashes=False)
def no_such_page(rest: str) -> Response:  # noqa: ARG001 - whatever it is, it is no page
    """404, in HTML."""
    raise Problem(ProblemType.NOT_FOUND, message="there is no such page", hint="the menu has all pages")


@operators.errorhandler(Exception)
def show_error(error: Exception) -> Response:
    """An error of any kind as a page, without asking Redis for anything."""
    if isinstance(error, ParseException | NoMoreData):
        error = Problem(ProblemType.INVALID_REQUEST, "the form cannot be read", hint=STALE_FORM_HINT)
    if isinstance(error, Problem):
        return _problem_page(error)
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        return render("error.html", status, title=status.phrase, cause=status.description or status.phrase)
    errors.log_failure(HTTPStatus.INTERNAL_SERVER_ERROR, type(error).__name__, "", exc_info=error)
    cause, hint = "An internal error occurred.", "The log of web has the reason. Other pages may work."
    return render("error.html", HTTPStatus.INTERNAL_SERVER_ERROR, title="Internal error", cause=cause, hint=hint)


def _problem_page(problem: Problem) -> Response:
    status = errors.STATUS.get(problem.type, HTTPStatus.CONFLICT)
    if status is HTTPStatus.UNAUTHORIZED:
        status = HTTPStatus.FORBIDDEN  # 401 is for HTTP's own log-in (RFC 9110 §15.5.2)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        errors.log_failure(status, problem.type.value, str(problem))
    title = "The store is unavailable" if problem.type is ProblemType.STORE_UNAVAILABLE else problem.message
    page = render("error.html", status, title=title, problem=problem)
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        page.headers["Retry-After"] = str(errors.retry_after_seconds(problem, services().clock()))
    return page
