"""What TLS terminators ask, with the edge token: the certificate and key of a name, whether a name has one, and its
HSTS header."""

import hmac
from http import HTTPStatus

from flask import Blueprint, Response, current_app, request

from issuer import names
from issuer.edge.bundle import EdgeBundle
from issuer.edge.cache import BundleCache
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

edge = Blueprint("edge", __name__, url_prefix="/edge")


@edge.before_request
def require_token() -> None:
    """Raise Problem(unauthorized) unless the request has the edge token, as a bearer token or in the query; raise
    Problem(not-found) if no edge token is set."""
    services: Services = current_app.extensions["services"]
    if not services.edge_token:
        raise Problem(ProblemType.NOT_FOUND, hint="the operator must set ISSUER_EDGE_TOKEN")
    authorization = request.authorization
    is_bearer = authorization is not None and authorization.type == "bearer"
    token = authorization.token if authorization and is_bearer else request.args.get("token")
    if not hmac.compare_digest((token or "").encode(), services.edge_token.encode()):
        raise Problem(
            ProblemType.UNAUTHORIZED,
            message="this call needs the edge token",
            hint="send it as a bearer token or as ?token=",
        )


@edge.get("/certificate", provide_automatic_options=False)
def certificate() -> Response:
    """200 with chain and key in one PEM, or 404 if `server_name` has none (Caddy's get_certificate http). With
    `otherwise=neutral`, the placeholder certificate instead of 404, so that challenges can be answered over TLS.

    It is not 204: with that, Caddy 2.11 goes on to its own issuers, and asks a public CA for any name that is sent."""
    bundle, cache = _bundle("server_name"), current_app.extensions["cache"]
    otherwise = cache.placeholder if request.args.get("otherwise") == "neutral" else ""
    pem = bundle.bundle if bundle else otherwise
    return Response(pem, content_type="application/x-pem-file") if pem else _no()


@edge.get("/ask", provide_automatic_options=False)
def ask() -> Response:
    """200 if exactly `domain` has a certificate, otherwise 404 (Caddy's ask)."""
    bundle = _bundle("domain")
    return Response("yes\n", content_type="text/plain; charset=utf-8") if bundle else _no()


@edge.get("/headers", provide_automatic_options=False)
def headers() -> Response:
    """204 if `domain` has a valid certificate, with the headers to send over HTTPS; 410 if its certificate has expired,
    404 if it has none."""
    services: Services = current_app.extensions["services"]
    bundle, now = _bundle("domain"), services.clock()
    if bundle is None or not bundle.is_valid(now):
        return _no(HTTPStatus.GONE if bundle else HTTPStatus.NOT_FOUND)
    header = bundle.header(now)
    return Response(status=204, headers={"Strict-Transport-Security": header} if header else None)


def _no(status: HTTPStatus = HTTPStatus.NOT_FOUND) -> Response:
    return Response("no\n", status, content_type="text/plain; charset=utf-8")


def _bundle(parameter: str) -> EdgeBundle | None:
    """The bundle for a name as a handshake has it: upper or lower case, with or without a dot at the end."""
    values = request.args.getlist(parameter)
    cache: BundleCache = current_app.extensions["cache"]
    try:
        return cache.bundle_for(names.known(values[0])) if len(values) == 1 else None
    except Problem as problem:
        if problem.type is ProblemType.INVALID_NAME:
            return None
        raise
