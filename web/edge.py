"""What TLS terminators ask, with a token: a certificate with its key by name, whether a name is one of ours, and which
headers it has."""

import hmac

from flask import Blueprint, Response, current_app, request

from issuer import names
from issuer.edge.bundle import EdgeBundle
from issuer.edge.cache import BundleCache
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

edge = Blueprint("edge", __name__, url_prefix="/edge")


@edge.before_request
def require_token() -> None:
    """Raise unless the token that is set is shown, as a bearer token or in the query. Without one nothing is here."""
    services: Services = current_app.extensions["services"]
    if not services.edge_token:
        raise Problem(ProblemType.NOT_FOUND, hint="the operator must set ISSUER_EDGE_TOKEN")
    given = request.authorization
    shown = given.token if given and given.type == "bearer" else request.args.get("token")
    if not hmac.compare_digest((shown or "").encode(), services.edge_token.encode()):
        raise Problem(ProblemType.UNAUTHORIZED, hint="show the edge token, as a bearer token or as ?token=")


@edge.get("/certificate", provide_automatic_options=False)
def certificate() -> Response:
    """200 with chain and key in one PEM, or 204 where `server_name` has none (Caddy's get_certificate http). With
    `otherwise=neutral` in place of 204 a certificate that is nobody's, under which challenges can be answered."""
    found, cache = _bundle("server_name"), current_app.extensions["cache"]
    otherwise = cache.placeholder if request.args.get("otherwise") == "neutral" else ""
    bundle = found.bundle if found else otherwise
    return Response(bundle, 200 if bundle else 204, content_type="application/x-pem-file")


@edge.get("/ask", provide_automatic_options=False)
def ask() -> Response:
    """200 where there is a certificate for exactly `domain`, else 404 (Caddy's ask)."""
    found = _bundle("domain")
    return Response("yes\n" if found else "no\n", 200 if found else 404, content_type="text/plain; charset=utf-8")


@edge.get("/headers", provide_automatic_options=False)
def headers() -> Response:
    """204 where there is a valid certificate for `domain`, with the headers that are due over HTTPS; 410 where it has
    ended, 404 where there is none."""
    services: Services = current_app.extensions["services"]
    found, now = _bundle("domain"), services.clock()
    if found is None or not found.is_valid(now):
        return Response("no\n", 410 if found else 404, content_type="text/plain; charset=utf-8")
    header = found.header(now)
    return Response(status=204, headers={"Strict-Transport-Security": header} if header else None)


def _bundle(parameter: str) -> EdgeBundle | None:
    """What is served for a name as it comes in a handshake: in any case, with a dot at the end or without."""
    given = request.args.getlist(parameter)
    cache: BundleCache = current_app.extensions["cache"]
    try:
        return cache.bundle_for(names.canonical(given[0], allow_reserved=True)) if len(given) == 1 else None
    except Problem as problem:
        if problem.type is ProblemType.INVALID_NAME:
            return None
        raise
