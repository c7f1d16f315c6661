"""The JSON that is sent to a CA and comes from it; only the members in use are checked."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from acme import challenges, messages
from josepy.errors import Error as JoseError

from issuer.ca import problems
from issuer.ca.transport import unusable
from issuer.domain import RenewalWindow
from issuer.problem import Problem, ProblemType

AUTHORIZATION_STATES = frozenset({"pending", "valid", "invalid", "deactivated", "expired", "revoked"})
MAX_AUTHORIZATIONS = 10
"""An order for one name has fewer; each authorization costs a request."""


def body(value: object) -> bytes:
    """The JSON of a request, which may contain the library's objects."""
    return json.dumps(value, default=lambda part: part.to_json()).encode()


def window(certificate_id: str, document: dict[str, Any]) -> RenewalWindow:
    """A CA's suggested window (RFC 9773 §4.2). Raises Problem(no-renewal-info) if a time has no zone, or if the end is
    not after the start."""
    suggested = document.get("suggestedWindow")
    try:
        start, end = (datetime.fromisoformat(suggested[member]) for member in ("start", "end"))  # type: ignore[index]
        if start.tzinfo is None or end.tzinfo is None or end <= start:
            raise ValueError("no window")
        span = start.timestamp(), end.timestamp()
    except (TypeError, KeyError, ValueError, OverflowError):
        raise Problem(ProblemType.NO_RENEWAL_INFO, "the CA's answer has no valid suggested window") from None
    return RenewalWindow(certificate_id, *span, explanation_url=problems.plain(document.get("explanationURL")))


def order(document: dict[str, Any]) -> messages.Order:
    """An order whose URLs are strings (§7.1.3). Its error is read separately, so that one which does not follow
    RFC 8555 is shown too."""
    parsed_order = parsed(messages.Order, document, "status", "authorizations", "finalize", optional=("certificate",))
    authorizations = parsed_order.authorizations if isinstance(parsed_order.authorizations, tuple) else (None,)
    urls = (parsed_order.finalize, *authorizations)
    if len(authorizations) > MAX_AUTHORIZATIONS or not all(isinstance(url, str) for url in urls):
        raise unusable("the CA's order has members that must be URLs and are not")
    if not isinstance(parsed_order.certificate, str | None):
        raise unusable("the CA's order has no URL for the certificate")
    return cast("messages.Order", parsed_order)


def authorization_state(document: dict[str, Any], name: str) -> str:
    """The status of an authorization for a name; the library does not know all of these words (§7.1.6)."""
    identifier, status = document.get("identifier"), document.get("status")
    value = identifier.get("value") if isinstance(identifier, dict) else None
    if not isinstance(value, str) or value.lower() != name:
        raise unusable(f"the CA's authorization is not for {name}")
    if not isinstance(status, str) or status not in AUTHORIZATION_STATES:
        raise unusable("the CA's authorization has no known status")
    return status


def challenge(authorization: dict[str, Any]) -> messages.ChallengeBody | None:
    """The HTTP-01 challenge of an authorization (RFC 8555 §8.3); challenges of other types are not checked."""
    for member in _challenges(authorization):
        if member.get("type") == challenges.HTTP01.typ:
            http_01 = parsed(messages.ChallengeBody, member, "url", "token", optional=("type", "status"))
            if not isinstance(http_01.uri, str):
                raise unusable("the CA's challenge has no URL")
            return cast("messages.ChallengeBody", http_01)
    return None


def parsed(
    kind: type[messages.ResourceBody], document: dict[str, Any], *required: str, optional: Sequence[str] = ()
) -> Any:
    """The named members of a resource, read by the library; other members are not checked (RFC 8555 §7.1)."""
    if missing := [member for member in required if document.get(member) is None]:
        raise unusable(f"the CA's {kind.__name__} has no {' and no '.join(missing)}")
    try:
        return kind.from_json({member: document[member] for member in (*required, *optional) if member in document})
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise unusable(f"the CA's {kind.__name__} cannot be read ({type(error).__name__})") from None


def failure(authorization: dict[str, Any], state: str) -> Problem:
    """Why an authorization is no longer valid."""
    no_reason = {"detail": f"the authorization is {state}"}
    return problems.from_document(next(iter(errors(authorization)), no_reason), ProblemType.VALIDATION_FAILED)


def errors(authorization: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors of its challenges, where a CA gives the reason (§8)."""
    members = [challenge.get("error") for challenge in _challenges(authorization)]
    return [error for error in members if isinstance(error, dict) and error]


def _challenges(authorization: dict[str, Any]) -> list[dict[str, Any]]:
    members = authorization.get("challenges")
    return [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []
