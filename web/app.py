"""create_app(services): the blueprints, and JSON for every error."""

from flask import Flask, Response

from issuer.actions.health import Readiness
from issuer.edge.cache import BundleCache
from issuer.ports import Services
from web import access, errors
from web.api import AnyText, api
from web.challenges import challenges
from web.edge import edge
from web.health import health
from web.operators import operators
from web.policies import policies

MAX_BODY_BYTES = 65_536


def create_app(services: Services) -> Flask:
    """The WSGI application over what `issuer.wiring` builds."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]  # status first, certificate last
    app.url_map.merge_slashes = False
    app.url_map.converters["anything"] = AnyText
    app.extensions.update(services=services, cache=BundleCache(services), readiness=Readiness(services))
    for blueprint in (api, policies, challenges, edge, health, operators):
        app.register_blueprint(blueprint)
    access.register(app)
    errors.register(app)
    app.after_request(_forbid_storing)
    return app


def _forbid_storing(response: Response) -> Response:
    """Let no cache on the way keep an answer (RFC 9111 §5.2.2.5): some have a private key, others change within
    seconds, and without this a cache may keep even a 404 for as long as it likes (§4.2.2)."""
    response.headers["Cache-Control"] = "no-store"
    return response
