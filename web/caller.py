"""Who calls, and the JSON that they send."""

import json
from typing import Any

from flask import current_app, request

from issuer.actions import accounts
from issuer.domain import Account
from issuer.problem import Problem, ProblemType

USER = "api"
"""The user name of HTTP Basic; the password is the API key."""


def account() -> Account:
    """Whose key it is: HTTP Basic (user `api`) or Bearer. 401 else."""
    given = request.authorization
    key = None
    if given and given.type == "basic" and given.username == USER:
        key = given.password
    elif given and given.type == "bearer":
        key = given.token
    found = accounts.by_key(current_app.extensions["services"], key) if key else None
    if found is None:
        raise Problem(
            ProblemType.UNAUTHORIZED, hint=f"send it as the password of the user {USER}, or as a bearer token"
        )
    return found


def json_object(hint: str) -> dict[str, Any]:
    """The body. Raises Problem(invalid-request) unless it is a JSON object; hint: what to send."""
    try:
        value = json.loads(request.get_data())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Problem(ProblemType.INVALID_REQUEST, "the body is not a JSON object", hint=hint)
    return value
