"""The account that calls, and its JSON body."""

import json
from typing import Any

from flask import current_app, g, request

from issuer.actions import accounts
from issuer.domain import Account
from issuer.problem import Problem, ProblemType

USER = "api"
"""The user name of HTTP Basic; the password is the API key."""


def account() -> Account:
    """The account of the API key, from HTTP Basic (user `api`) or Bearer. Raises Problem(unauthorized)."""
    authorization = request.authorization
    key = None
    if authorization and authorization.type == "basic" and authorization.username == USER:
        key = authorization.password
    elif authorization and authorization.type == "bearer":
        key = authorization.token
    owner = accounts.by_key(current_app.extensions["services"], key) if key else None
    if owner is None:
        raise Problem(
            ProblemType.UNAUTHORIZED,
            hint=f"send the API key as the password of the user {USER}, or as a bearer token",
        )
    g.account = owner.id
    return owner


def json_object(hint: str) -> dict[str, Any]:
    """The body of the request. hint: what to send. Raises Problem(invalid-request) if it is not a JSON object."""
    try:
        value = json.loads(request.get_data())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Problem(ProblemType.INVALID_REQUEST, "the body is not a JSON object", hint=hint)
    return value
