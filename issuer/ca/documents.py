"""The JSON that goes to a CA and comes from it, checked as far as it is used."""

import json
from datetime import datetime
from typing import Any

from acme import messages
from josepy.errors import Error as JoseError

from issuer.ca import problems
from issuer.ca.transport import unusable
from issuer.domain import RenewalWindow
from issuer.problem import Problem, ProblemType


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
    return RenewalWindow(certificate_id, *span, explanation_url=str(document.get("explanationURL") or "")[:1000])


def parsed(kind: type[messages.ResourceBody], document: dict[str, Any], *required: str) -> Any:
    """A resource as the library reads it, with what RFC 8555 §7.1 requires of it."""
    try:
        found = kind.from_json(document)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise unusable(f"its {kind.__name__} can not be read ({type(error).__name__})") from None
    if missing := [one for one in required if getattr(found, one) is None]:
        raise unusable(f"its {kind.__name__} has no {' and no '.join(missing)}")
    return found


def failure(authorization: dict[str, Any], state: str) -> Problem:
    """Why an authorization is not valid any more."""
    untold = {"detail": f"the authorization is {state}"}
    return problems.from_document(next(iter(errors(authorization)), untold), ProblemType.VALIDATION_FAILED)


def errors(authorization: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors of its challenges, where a CA puts the reason (§8)."""
    found = authorization.get("challenges")
    challenges_of_it = found if isinstance(found, list) else []
    errors = [one.get("error") for one in challenges_of_it if isinstance(one, dict)]
    return [one for one in errors if isinstance(one, dict) and one]
