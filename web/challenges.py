"""HTTP-01 responses (RFC 8555 §8.3): plain HTTP, any Host, no redirect, no login; 404 for an unknown token."""

import re

from flask import Blueprint, Response, abort, current_app

from issuer.ports import Services

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)

challenges = Blueprint("challenges", __name__)


@challenges.get("/.well-known/acme-challenge/<anything:token>", provide_automatic_options=False)
def answer(token: str) -> Response:
    """The key authorization, byte for byte."""
    services: Services = current_app.extensions["services"]
    key_authorization = services.store.key_authorization(token) if TOKEN.fullmatch(token) else None
    if key_authorization is None:
        abort(404)
    return Response(key_authorization, content_type="application/octet-stream")
