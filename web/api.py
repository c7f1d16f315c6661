"""The contract's fixed part: POST, PUT and GET …/status below /v2/x509."""

import json
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.routing import BaseConverter

from issuer import accounts, checks, pipeline
from issuer.domain import Record, Status, status
from issuer.ports import Account, Services
from issuer.problem import Problem, ProblemType

USER = "api"
"""The user name of HTTP Basic; the password is the API key."""

api = Blueprint("api", __name__, url_prefix="/v2/x509")


class AnyText(BaseConverter):
    """Whatever stands in the path, slashes and line breaks too: `checks` says what is wrong with it."""

    part_isolating = False
    regex = r"(?s:.+)"


@api.post("/<anything:domain>", provide_automatic_options=False)
def initiate(domain: str) -> Response:
    """Begin: 202, or 400, 402, 404, 409, 429 by the checks in their fixed order."""
    return _begun(domain, must_exist=False)


@api.put("/<anything:domain>", provide_automatic_options=False)
def regenerate(domain: str) -> Response:
    """Begin again for a name with an expired or failed certificate."""
    return _begun(domain, must_exist=True)


@api.get("/<anything:domain>/status", provide_automatic_options=False)
def show_status(domain: str) -> Response:
    """How it stands, with the certificate in force or last held."""
    account = _account()
    services: Services = current_app.extensions["services"]
    name = checks.canonical_name(services, domain)
    record = services.store.load(name)
    if record is None or record.domain.account != account.id:
        raise checks.not_initiated(name)
    return jsonify(status_body(record, services.clock()))


def status_body(record: Record, now: float) -> dict[str, Any]:
    """The contract's status answer."""
    word, certificate, issuance = status(record, now), record.domain.certificate, record.issuance
    last = str(issuance.problem) if issuance.problem else None
    said = {
        Status.ACTIVE: ("x509 key pair is active", None),
        Status.PROCESSING: (
            last or "x509 key pair generation is under way",
            "Waiting for x509 key pair generation",
        ),
        Status.EXPIRED: (last or "x509 certificate has expired", "x509 certificate has expired"),
        Status.ERROR: (
            "x509 key pair generation failed" if last else "x509 key pair generation is delayed",
            last or "the CA is not ready yet and has asked to be left alone until the next attempt",
        ),
    }
    message, error = said[word]
    body = {
        "status": word.value,
        "message": message,
        "error": error,
        "certificate": certificate.chain if certificate else None,
    }
    if issuance.problem and word is not Status.ACTIVE:
        body |= {"code": issuance.problem.type.value, "must_act": issuance.problem.actor.value}
    next_try_at = issuance.next_try_at if issuance.is_open else record.domain.renew_at
    if next_try_at and word is not Status.ACTIVE:
        body["next_attempt_at"] = datetime.fromtimestamp(next_try_at, UTC).isoformat(timespec="seconds")
    return body


def _begun(domain: str, *, must_exist: bool) -> Response:
    account = _account()
    _require_readable_body()
    record = pipeline.request(
        current_app.extensions["services"],
        current_app.extensions["celery"],
        account,
        domain,
        must_exist=must_exist,
    )
    location = f"/v2/x509/{record.domain.name}/status"
    response = jsonify({"message": "Initiated x509 key pair generation", "location": location})
    response.status_code = 202
    response.headers["Location"] = location
    response.autocorrect_location_header = False
    return response


def _account() -> Account:
    """Whose key it is: HTTP Basic (user `api`) or Bearer. 401 else."""
    given = request.authorization
    key = None
    if given and given.type == "basic" and given.username == USER:
        key = given.password
    elif given and given.type == "bearer":
        key = given.token
    account = accounts.by_key(current_app.extensions["services"], key) if key else None
    if account is None:
        raise Problem(
            ProblemType.UNAUTHORIZED, hint=f"send it as the password of the user {USER}, or as a bearer token"
        )
    return account


def _require_readable_body() -> None:
    """The calls take no body; one that is sent as JSON must at least be an object: else the client means another."""
    if request.is_json and request.get_data():
        try:
            value = json.loads(request.get_data())
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise Problem(ProblemType.INVALID_REQUEST, "the body is not a JSON object", hint="send no body")
