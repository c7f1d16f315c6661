"""The HSTS policy of a domain: PUT, GET and DELETE …/hsts below /v2/x509."""

from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from issuer.actions import eligibility, hsts
from issuer.domain import Hsts, Record
from issuer.edge import bundle
from issuer.ports import Services
from web import caller

HINT = 'send {"max_age": seconds}, and "include_subdomains": true and "preload": true only if you are sure'

policies = Blueprint("policies", __name__, url_prefix="/v2/x509")


@policies.put("/<anything:domain>/hsts", provide_automatic_options=False)
def set_hsts(domain: str) -> Response:
    """Set the policy; it takes effect at once."""
    return _policy_body(hsts.put(_services(), caller.account(), domain, _requested))


@policies.delete("/<anything:domain>/hsts", provide_automatic_options=False)
def end_hsts(domain: str) -> Response:
    """Switch HSTS off, and send max-age=0 until no browser remembers the policy."""
    return _policy_body(hsts.put(_services(), caller.account(), domain, lambda: hsts.OFF))


@policies.get("/<anything:domain>/hsts", provide_automatic_options=False)
def show_hsts(domain: str) -> Response:
    """Show the policy in force."""
    return _policy_body(eligibility.record_of(_services(), caller.account(), domain))


def _requested() -> Hsts:
    """The policy in the body of this request."""
    return hsts.asked_for(caller.json_object(HINT))


def _policy_body(record: Record) -> Response:
    """The policy, the header that is sent while the certificate is valid, and a warning if there is one."""
    services, domain = _services(), record.domain
    policy = bundle.policy(services, domain)
    header = policy.header(services.clock())
    body: dict[str, Any] = {
        "message": _in_words(policy, header)
        + ("" if domain.hsts else " by default, as this domain has no policy of its own"),
        "policy": dict(
            zip(hsts.MEMBERS, (policy.max_age_seconds, policy.includes_subdomains, policy.is_preload), strict=True)
        ),
        "header": header,
    }
    if warning := hsts.warning(domain.name, policy):
        body["warning"] = warning
    return jsonify(body)


def _in_words(policy: Hsts, header: str | None) -> str:
    if policy.max_age_seconds:
        return "HSTS is on"
    return "HSTS is off, and browsers are told to forget the policy" if header else "HSTS is off"


def _services() -> Services:
    services: Services = current_app.extensions["services"]
    return services
