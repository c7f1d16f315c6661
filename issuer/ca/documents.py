"""The JSON that goes to a CA and comes from it, checked as far as it is used."""

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
"""More than an order for one name has; each is asked for."""


def body(value: object) -> bytes:
    """JSON of a request, with the library's own objects in it."""
    return json.dumps(value, default=lambda part: part.to_json()).encode()


def window(certificate_id: str, document: dict[str, Any]) -> RenewalWindow:
    """A CA's suggested window; times without a zone, and an end that is not after the start, are none (§4.2)."""
    found = document.get("suggestedWindow")
    try:
        start, end = (datetime.fromisoformat(found[which]) for which in ("start", "end"))  # type: ignore[index]
        if start.tzinfo is None or end.tzinfo is None or end <= start:
            raise ValueError("no window")
        span = start.timestamp(), end.timestamp()
    except (TypeError, KeyError, ValueError, OverflowError):
        raise Problem(ProblemType.NO_RENEWAL_INFO, "its answer has no window") from None
    return RenewalWindow(certificate_id, *span, explanation_url=problems.plain(document.get("explanationURL")))


def order(document: dict[str, Any]) -> messages.Order:
    """An order, its URLs being texts; its error is read apart, as it need not be as RFC 8555 has it to be shown."""
    found = parsed(messages.Order, document, "status", "authorizations", "finalize", optional=("certificate",))
    listed = found.authorizations if isinstance(found.authorizations, tuple) else (None,)
    if len(listed) > MAX_AUTHORIZATIONS or not all(isinstance(one, str) for one in (found.finalize, *listed)):
        raise unusable("its order has no URLs where they belong")
    if not isinstance(found.certificate, str | None):
        raise unusable("its order has no URL for the certificate")
    return cast("messages.Order", found)


def authorization_state(document: dict[str, Any], name: str) -> str:
    """How an authorization for a name stands; the library does not know all of these words (§7.1.6)."""
    identifier, status = document.get("identifier"), document.get("status")
    value = identifier.get("value") if isinstance(identifier, dict) else None
    if not isinstance(value, str) or value.lower() != name:
        raise unusable(f"its authorization is for another name than {name}")
    if not isinstance(status, str) or status not in AUTHORIZATION_STATES:
        raise unusable("its authorization has no status")
    return status


def challenge(authorization: dict[str, Any]) -> messages.ChallengeBody | None:
    """The HTTP-01 challenge of an authorization (RFC 8555 §8.3); those of other types may be as they like."""
    for one in _challenges(authorization):
        if one.get("type") == challenges.HTTP01.typ:
            found = parsed(messages.ChallengeBody, one, "url", "token", optional=("type", "status"))
            if not isinstance(found.uri, str):
                raise unusable("its challenge has no URL")
            return cast("messages.ChallengeBody", found)
    return None


def parsed(
    kind: type[messages.ResourceBody], document: dict[str, Any], *required: str, optional: Sequence[str] = ()
) -> Any:
    """Some members of a resource as the library reads them; the others may be as they like (RFC 8555 §7.1)."""
    if missing := [one for one in required if document.get(one) is None]:
        raise unusable(f"its {kind.__name__} has no {' and no '.join(missing)}")
    try:
        return kind.from_json({one: document[one] for one in (*required, *optional) if one in document})
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise unusable(f"its {kind.__name__} can not be read ({type(error).__name__})") from None


def failure(authorization: dict[str, Any], state: str) -> Problem:
    """Why an authorization is not valid any more."""
    untold = {"detail": f"the authorization is {state}"}
    return problems.from_document(next(iter(errors(authorization)), untold), ProblemType.VALIDATION_FAILED)


def errors(authorization: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors of its challenges, where a CA puts the reason (§8)."""
    errors = [one.get("error") for one in _challenges(authorization)]
    return [one for one in errors if isinstance(one, dict) and one]


def _challenges(authorization: dict[str, Any]) -> list[dict[str, Any]]:
    found = authorization.get("challenges")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
