"""HTTP-01 responses (RFC 8555 §8.3): plain HTTP, any Host, no redirect, no login; 404 for an unknown token."""

from flask import Blueprint, Response, abort, current_app

from issuer.actions.challenges import key_authorization

challenges = Blueprint("challenges", __name__)


@challenges.get("/.well-known/acme-challenge/<anything:token>", provide_automatic_options=False)
def answer(token: str) -> Response:
    """The key authorization, byte for byte."""
    response = key_authorization(current_app.extensions["services"], token)
    if response is None:
        abort(404)
    return Response(response, content_type="application/octet-stream")
