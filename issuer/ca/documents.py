"""The JSON that is sent to a CA and comes from it; only the members in use are checked."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeGuard, cast

from acme import challenges, messages
from josepy.errors import Error as JoseError

from issuer.ca import problems
from issuer.ca.transport import Answer, unusable
from issuer.domain import RenewalWindow
from issuer.problem import Problem, ProblemType

UNFINISHED = frozenset({"pending", "processing"})
"""States of an authorization whose validation is not over. Only drafts of RFC 8555 had `processing`."""
ENDED = frozenset({"invalid", "deactivated", "expired", "revoked"})
AUTHORIZATION_STATES = UNFINISHED | ENDED | {"valid"}
ENDED_ORDER = ("deactivated", "expired", "revoked", "canceled", "cancelled")
"""Words for an invalid order that RFC 8555 does not have."""
CHALLENGE_STATES = ("pending", "processing", "valid", "invalid")
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
"""The tokens that are published (§8.3). A token is opaque: it is never decoded."""
MAX_AUTHORIZATIONS = 10
"""An order for one name has fewer; each authorization costs a request."""


class HttpChallenge(NamedTuple):
    """An HTTP-01 challenge, its URL and token as the CA wrote them. error: its own, or that of its authorization."""

    url: str
    token: str
    status: str
    error: dict[str, Any] | None = None


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


def order(document: dict[str, Any], *, is_new: bool) -> messages.Order:
    """An order whose URLs are strings (§7.1.3). Only a new one must have authorizations and a finalize URL: of another,
    we know them. Its error is read separately, so that one which does not follow RFC 8555 is shown too."""
    urls = ("authorizations", "finalize")
    required, optional = (("status", *urls), ()) if is_new else (("status",), urls)
    present = {name: value for name, value in document.items() if value is not None}
    if document.get("status") in ENDED_ORDER:
        present["status"] = "invalid"
    parsed_order = parsed(messages.Order, present, *required, optional=(*optional, "certificate"))
    authorizations = parsed_order.authorizations or ()
    if not isinstance(authorizations, tuple) or len(authorizations) > MAX_AUTHORIZATIONS:
        raise unusable("the CA's order has members that must be URLs and are not")
    if not all(isinstance(url, str) for url in (parsed_order.finalize or "", *authorizations)):
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


def challenge(authorization: dict[str, Any]) -> HttpChallenge | None:
    """The HTTP-01 challenge of an authorization (RFC 8555 §8.3); challenges of other types are not checked."""
    for member in _challenges(authorization):
        if member.get("type") == challenges.HTTP01.typ:
            url, token, status = member.get("url"), member.get("token"), member.get("status", "pending")
            if not isinstance(url, str):
                raise unusable("the CA's challenge has no URL")
            if not isinstance(token, str) or not TOKEN.fullmatch(token):
                raise unusable("the CA's challenge has no token of base64url letters")
            if not isinstance(status, str):
                raise unusable("the CA's challenge has no known status")
            error = next((each for each in (member.get("error"), authorization.get("error")) if _is_error(each)), None)
            return HttpChallenge(url, token, status, error)
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


def failure(authorization: dict[str, Any], found: str, type_: ProblemType = ProblemType.VALIDATION_FAILED) -> Problem:
    """Why an authorization cannot be used. found, type_: what to say if it gives no reason that decides."""
    no_reason = {"detail": found}
    return problems.from_document(next(iter(errors(authorization)), no_reason), type_)


def ended(authorization: dict[str, Any]) -> Problem | None:
    """Why an authorization has ended; None if it has not. Only an invalid one says that a validation has failed: the
    others were withdrawn, or used too late (§7.1.6)."""
    state = authorization.get("status")
    if not isinstance(state, str) or state not in ENDED:
        return None
    type_ = ProblemType.VALIDATION_FAILED if state == "invalid" else ProblemType.ORDER_LOST
    return failure(authorization, f"the authorization is {state}", type_)


def without_reason(order: dict[str, Any]) -> Problem:
    """Why an order has failed that gives no reason."""
    status = order.get("status")
    reason = {"detail": f"the order is {status}"} if status in ENDED_ORDER else None
    return problems.from_document(reason, ProblemType.ORDER_LOST)


def errors(authorization: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors of its challenges, where a CA gives the reason (§8), that of HTTP-01 first; last its own, which some
    CAs have."""
    ours_first = sorted(_challenges(authorization), key=lambda each: each.get("type") != challenges.HTTP01.typ)
    return [error for error in (each.get("error") for each in (*ours_first, authorization)) if _is_error(error)]


def is_challenge(answer: Answer) -> bool:
    """Whether an answer to a POST to a challenge can come from the CA: a challenge (§7.5.1), or nothing at all. A page
    of a proxy that has not passed the POST on is neither."""
    try:
        document = json.loads(answer.body) if answer.body.strip() else {"status": "pending"}
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and (document.get("status") in CHALLENGE_STATES or "token" in document)


def _is_error(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and bool(value)


def _challenges(authorization: dict[str, Any]) -> list[dict[str, Any]]:
    members = authorization.get("challenges")
    return [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []
