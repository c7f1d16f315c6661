"""POST, PUT, DELETE and GET …/status below /v2/x509."""

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.routing import BaseConverter

from issuer import presenters
from issuer.actions import eligibility, refusals
from issuer.actions import withdraw as withdrawal
from issuer.actions.request import request as start
from issuer.domain import Domain
from issuer.edge import bundle
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from web import access, caller
from web.errors import from_problem

api = Blueprint("api", __name__, url_prefix="/v2/x509")


class AnyText(BaseConverter):
    """Any text in the path, also with slashes and line breaks: `issuer.names` says what is wrong with it."""

    part_isolating = False
    regex = r"(?s:.+)"


@api.post("/<anything:domain>", provide_automatic_options=False)
def initiate(domain: str) -> Response:
    """Start an issuance: 202; or 400, 402, 404, 409 or 429, by checks in a fixed order."""
    return _start(domain, must_exist=False)


@api.put("/<anything:domain>", provide_automatic_options=False)
def regenerate(domain: str) -> Response:
    """Start a new issuance for a name whose certificate has expired or whose issuance has failed."""
    return _start(domain, must_exist=True)


@api.get("/<anything:domain>/status", provide_automatic_options=False)
def show_status(domain: str) -> Response:
    """The status of a name, with its current or last certificate."""
    account = caller.account()
    services: Services = current_app.extensions["services"]
    try:
        record = eligibility.record_of(services, account, domain)
    except Problem as problem:
        last = refusals.last(services, account, domain) if problem.type is ProblemType.NOT_INITIATED else None
        if last is None:
            raise
        return from_problem(problem, last_refusal=presenters.refusal_body(last))
    return jsonify(presenters.status_body(record, services.clock()))


@api.delete("/<anything:domain>", provide_automatic_options=False)
def withdraw(domain: str) -> Response:
    """Stop serving and renewing a name; with `?revoke=true`, revoke its certificate too, for a `reason`."""
    account = caller.account()
    services: Services = current_app.extensions["services"]
    reason = _reason(is_revoked=_flag("revoke"))
    former, withdrawn = withdrawal.withdraw(services, account, domain, reason=reason)
    return jsonify(_withdrawal_body(services, former, withdrawn, is_revoked=reason is not None))


def _start(domain: str, *, must_exist: bool) -> Response:
    account = caller.account()
    services: Services = current_app.extensions["services"]
    with refusals.kept(services, account, domain):
        if request.is_json and request.get_data():
            # No body is needed; but an invalid one may mean that the caller wanted something else.
            caller.json_object("send no body")
        record = start(services, account, domain, must_exist=must_exist, request_id=access.request_id())
    location = f"/v2/x509/{record.domain.name}/status"
    response = jsonify({"message": "Initiated x509 key pair generation", "location": location})
    response.status_code = 202
    response.headers["Location"] = location
    response.autocorrect_location_header = False
    return response


def _flag(name: str) -> bool:
    """A query parameter that is true or false. Raises Problem(invalid-request) for any other value: a caller who wants
    to revoke must not get a success without a revocation."""
    values = request.args.getlist(name) or ["false"]
    if values not in (["true"], ["false"]):
        raise Problem(
            ProblemType.INVALID_REQUEST, f"{name} is not true or false", hint=f"send ?{name}=true, or leave it out"
        )
    return values == ["true"]


def _reason(*, is_revoked: bool) -> int | None:
    """The reason for a revocation; None if nothing is revoked. Raises Problem(invalid-request)."""
    values = request.args.getlist("reason")
    if len(values) > is_revoked:
        raise Problem(
            ProblemType.INVALID_REQUEST,
            "reason is allowed only once, and only with revoke=true",
            hint="send ?revoke=true&reason=…",
        )
    return withdrawal.reason_of(values[0] if values else "unspecified") if is_revoked else None


def _withdrawal_body(services: Services, former: Domain, withdrawn: Domain, *, is_revoked: bool) -> dict[str, Any]:
    """What happens to a withdrawn name, in words and in times. former: the domain as it was before."""
    now, name = services.clock(), withdrawn.name
    sentences = [f"{name} is no longer served or renewed"]
    if withdrawn.revocations:
        sentences.append("the CA is asked to revoke its certificate")
    elif is_revoked:
        sentences.append("it has no valid certificate to revoke")
    held_until = None if withdrawn.is_free(now) else presenters.instant(withdrawn.withdrawn_until or now)
    if held_until:
        sentences.append(f"it is reserved for your account until {held_until}, so only you can POST it again")
    body = {
        "message": "; ".join(sentences),
        "held_until": held_until,
        "revocation": "pending" if withdrawn.revocations else None,
    }
    until = bundle.policy(services, former).remembered_until(now)
    if former.certificate and until > now:
        warning = f"browsers that received its HSTS header use only HTTPS for it until {presenters.instant(until)}"
        body["warning"] = warning
    return body
