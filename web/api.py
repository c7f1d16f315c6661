"""POST, PUT, DELETE and GET …/status below /v2/x509."""

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.routing import BaseConverter

from issuer import presenters
from issuer.actions import eligibility
from issuer.actions import withdraw as withdrawal
from issuer.actions.request import request as start
from issuer.domain import Domain
from issuer.edge import bundle
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from web import caller

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
    account = caller.account()
    services: Services = current_app.extensions["services"]
    record = eligibility.record_of(services, account, domain)
    return jsonify(presenters.status_body(record, services.clock()))


@api.delete("/<anything:domain>", provide_automatic_options=False)
def withdraw(domain: str) -> Response:
    """Give the name up, and with `?revoke=true` have its certificate revoked, for a `reason`."""
    account = caller.account()
    services: Services = current_app.extensions["services"]
    reason = _reason(is_revoked=_chosen("revoke"))
    former, left = withdrawal.withdraw(services, account, domain, reason=reason)
    return jsonify(_left_of(services, former, left, is_revoked=reason is not None))


def _begun(domain: str, *, must_exist: bool) -> Response:
    account = caller.account()
    if request.is_json and request.get_data():
        # No body is needed; but one that can not be read means another call.
        caller.json_object("send no body")
    record = start(current_app.extensions["services"], account, domain, must_exist=must_exist)
    location = f"/v2/x509/{record.domain.name}/status"
    response = jsonify({"message": "Initiated x509 key pair generation", "location": location})
    response.status_code = 202
    response.headers["Location"] = location
    response.autocorrect_location_header = False
    return response


def _chosen(name: str) -> bool:
    """A query parameter that is true or false. Raises Problem(invalid-request) for anything else: who means to revoke
    must not be told that all is well."""
    given = request.args.getlist(name) or ["false"]
    if given not in (["true"], ["false"]):
        raise Problem(
            ProblemType.INVALID_REQUEST, f"{name} is not true or false", hint=f"give ?{name}=true, or nothing"
        )
    return given == ["true"]


def _reason(*, is_revoked: bool) -> int | None:
    """Why to revoke; None: it is not to be."""
    given = request.args.getlist("reason")
    if len(given) > is_revoked:
        raise Problem(
            ProblemType.INVALID_REQUEST, "one reason goes with revoke=true", hint="give ?revoke=true&reason=…"
        )
    return withdrawal.reason_of(given[0] if given else "unspecified") if is_revoked else None


def _left_of(services: Services, former: Domain, left: Domain, *, is_revoked: bool) -> dict[str, Any]:
    """What becomes of a name that was given up, in words and in times."""
    now, name = services.clock(), left.name
    said = [f"{name} is served and renewed no more"]
    if left.revocations:
        said.append("a certificate of it is being revoked at the CA")
    elif is_revoked:
        said.append("there is no valid certificate to revoke")
    if is_held := not left.is_free(now):
        said.append("it is held for your account, which may ask for it again by POST; nobody else can meanwhile")
    body = {
        "message": "; ".join(said),
        "held_until": presenters.instant(left.withdrawn_until or now) if is_held else None,
        "revocation": "pending" if left.revocations else None,
    }
    until = bundle.policy(services, former).remembered_until(now)
    if former.certificate and until > now:
        body["warning"] = f"browsers that have been told HSTS keep to HTTPS for it until {presenters.instant(until)}"
    return body
