"""A CA's error as a Problem: by its type and its place (`meanings`), never by its prose."""

import calendar
import re
import time
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import urllib3

from issuer.ca import meanings
from issuer.ca.faults import first_words
from issuer.ca.meanings import Meaning, Resource
from issuer.ca.transport import SERVER_ERROR, TOO_MANY_REQUESTS, Refusal, error_type
from issuer.problem import Problem, ProblemType

DEFAULT_RATE_LIMIT_SECONDS = 3600
MIN_WAIT_SECONDS = 1
"""The wait for a CA that says «at once»: without it, it would be asked without a pause."""
MAX_WAIT_SECONDS = 7 * 86400
MAX_CHARACTERS = 1000
"""How many characters of a CA's text are kept."""
MAX_DEPTH = 4
"""How many levels of subproblems are read."""
CONFLICT = 409
LATER = frozenset({TOO_MANY_REQUESTS, 503})
"""HTTP statuses that mean «not now», and do not judge the request itself."""


OF_ANY_REQUEST = frozenset(
    {ProblemType.CA_ACCOUNT, ProblemType.CA_SETTINGS, ProblemType.CA_UNAVAILABLE, ProblemType.RATE_LIMITED}
)
FOUND = {
    ProblemType.RATE_LIMITED: "limits {resource}",
    ProblemType.CA_REFUSED: "refuses to issue for the name",
    ProblemType.CA_ACCOUNT: "refuses our account ({resource})",
    ProblemType.CAA: "may not issue by the CAA records",
}
"""What a CA has done, by the Problem's type; of other types, only that it answers with a status."""


def from_refusal(refusal: Refusal, now: float, resource: Resource) -> Problem:
    """The Problem of an answer with an error status. resource: what the request was sent to."""
    type_ = _deciding_type(refusal.problem)
    # An answer without a type does not come from the ACME server, but from a proxy in front of it.
    meaning = meanings.of_request(type_, resource) if type_ else meanings.DOWN
    if refusal.answer.status == TOO_MANY_REQUESTS:
        meaning = meanings.LIMIT
    elif refusal.answer.status >= SERVER_ERROR:
        meaning = meanings.DOWN
    detail = words(refusal.problem) or f"status {refusal.answer.status}"
    if refusal.type == "userActionRequired":
        terms_url = refusal.problem.get("instance") or next(refusal.answer.links("terms-of-service"), "")
        detail = "; ".join(filter(None, (detail, plain(terms_url))))
    retry_at = retry_after(refusal.answer.headers, now)
    if meaning.type is ProblemType.RATE_LIMITED and retry_at is None:
        retry_at = _instant_in(detail, now) or now + DEFAULT_RATE_LIMIT_SECONDS
    return _problem(meaning, detail, retry_at, cause=_cause(meaning, refusal, resource))


def _cause(meaning: Meaning, refusal: Refusal, resource: Resource) -> str:
    """One sentence: which CA, what it has done, and its words."""
    template = meaning.found or FOUND.get(meaning.type, "answers {resource} with status {status}")
    found = f"the CA {refusal.ca} {template.format(resource=resource.value, status=refusal.answer.status)}"
    said = words(refusal.problem) or first_words(refusal.answer.body)
    return f"{found}: {said}" if said else found


def of_account(refusal: Refusal, now: float, *, is_bound: bool = False) -> Problem:
    """The Problem of a request about our account, which concerns no domain. is_bound: the request carried an external
    account binding (§7.3.4)."""
    problem = from_refusal(refusal, now, Resource.NEW_ACCOUNT)
    is_unclear = problem.is_of_one_order or problem.hint == meanings.ACCOUNT_KEY
    if problem.type in OF_ANY_REQUEST and not is_unclear:
        return problem
    if is_bound:  # CAs have many words for a binding that they do not accept
        cause = f"the CA {refusal.ca} does not accept eab_key_id and eab_hmac_key of its entry in ISSUER_CAS"
        cause = f"{cause}: {problem.detail}"
        return Problem(ProblemType.CA_SETTINGS, problem.detail, cause=cause, hint=meanings.BINDING)
    cause = f"the CA {refusal.ca} does not accept our account: {problem.detail}"
    hint = problem.hint if is_unclear else meanings.ACCOUNT
    if problem.hint != meanings.ACCOUNT_KEY:
        hint = f"{meanings.ACCOUNT}; {meanings.new_account(refusal.ca)}"
    return Problem(ProblemType.CA_ACCOUNT, problem.detail, cause=cause, hint=hint)


def from_document(document: Any, default: ProblemType) -> Problem:
    """The Problem of an `error` in an order, an authorization or a challenge. Such an error loses the order, so the
    Problem is permanent or drops the order. default: its type if the error's type does not decide."""
    document = document if isinstance(document, dict) else {}
    is_of_http = default is ProblemType.VALIDATION_FAILED
    hint = f"{meanings.POINTING}; {meanings.REACHABLE}" if is_of_http else ""
    meaning = meanings.of_document(_deciding_type(document)) or Meaning(default, hint, is_of_http=is_of_http)
    message = "the CA could not complete the order" if meaning.type is ProblemType.ORDER_LOST else ""
    return _problem(meaning, words(document) or "the CA gave no reason", message=message)


def words(document: dict[str, Any]) -> str:
    """The CA's own sentence and those of its subproblems (§6.7.1), each with its error type."""
    return "; ".join(_sentences(document))[:MAX_CHARACTERS]


def plain(value: Any) -> str:
    """A CA's text on one printable line, for logs and answers; empty if the value is neither text nor number."""
    text = str(value)[:MAX_CHARACTERS] if isinstance(value, str | int | float) else ""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def retry_after(headers: urllib3.HTTPHeaderDict, now: float) -> float | None:
    """Retry-After as epoch seconds, a second to a week from now; None if absent or unreadable (RFC 9110 §10.2.3).

    Some servers send what HTTP does not allow: seconds with a fraction or a sign, and several values at once, of which
    the longest counts.
    """
    text = headers.get("Retry-After", "")
    parsed = [_at(part, now) for part in (text, *text.split(","))]
    times = [at for at in parsed if at is not None]
    return min(max(*times, now + MIN_WAIT_SECONDS), now + MAX_WAIT_SECONDS) if times else None


def _problem(
    meaning: Meaning, detail: str, retry_at: float | None = None, *, message: str = "", cause: str = ""
) -> Problem:
    return Problem(
        meaning.type,
        detail,
        message=message,
        cause=cause,
        hint=meaning.hint,
        retry_at=retry_at,
        actor=meaning.actor,
        is_of_one_order=meaning.is_of_one_order,
        leaves_ca=meaning.leaves_ca,
        is_of_http=meaning.is_of_http,
    )


def _deciding_type(document: dict[str, Any]) -> str:
    """The type that decides: the document's own, or that of a subproblem (§6.7.1) if the own one does not say what is
    wrong («compound»), or says less («unauthorized», because of CAA)."""
    type_, subproblems = _type(document), document.get("subproblems")
    below = [_type(each) for each in subproblems if isinstance(each, dict)] if isinstance(subproblems, list) else []
    if type_ == "unauthorized" and "caa" in below:
        return "caa"
    return next((each for each in below if each in meanings.TYPES), type_) if type_ == "compound" else type_


def _type(document: dict[str, Any]) -> str:
    """The last part of a problem's URN, or an empty string."""
    return error_type(plain(document.get("type")))


def _at(text: str, now: float) -> float | None:
    text = text.strip()
    if re.fullmatch(r"[+-]?\d{1,4000}(\.\d{0,20})?", text, re.ASCII):
        return now + min(float(text), MAX_WAIT_SECONDS)
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _sentences(document: dict[str, Any], depth: int = 0) -> Iterator[str]:
    code = _type(document)
    detail = plain(document.get("detail"))
    if code or detail:
        yield f"{detail} ({code})" if code and detail else detail or code
    subproblems = document.get("subproblems")
    for subproblem in subproblems if isinstance(subproblems, list) and depth < MAX_DEPTH else ():
        if isinstance(subproblem, dict):
            yield from _sentences(subproblem, depth + 1)


def _instant_in(text: str, now: float) -> float | None:
    """The UTC instant in «retry after 2026-01-31 12:00:00 UTC», for a CA that sends no header; None without one."""
    match = re.search(r"retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)", text, re.IGNORECASE | re.ASCII)
    if not match:
        return None
    try:
        at = calendar.timegm(time.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return None
    return min(max(at, now), now + MAX_WAIT_SECONDS)
