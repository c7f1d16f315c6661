"""A CA's error as a Problem: by its type (RFC 8555 §6.7), never by its prose."""

import calendar
import re
import time
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import urllib3

from issuer.ca.transport import Refusal
from issuer.problem import TABLE, Problem, ProblemType

DEFAULT_RATE_LIMIT_SECONDS = 3600
MIN_WAIT_SECONDS = 1
"""The wait for a CA that says «at once»: without it, it would be asked without a pause."""
MAX_WAIT_SECONDS = 7 * 86400
MAX_CHARACTERS = 1000
"""How many characters of a CA's text are kept."""
MAX_DEPTH = 4
"""How many levels of subproblems are read."""
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500
LATER = frozenset({TOO_MANY_REQUESTS, 503})
"""HTTP statuses that mean «not now», and do not judge the request itself."""


class Meaning(NamedTuple):
    """The Problem type of an ACME error type, and the hint for whoever must act."""

    type: ProblemType
    hint: str = ""


POINTING = "point the domain's CNAME here, remove its other A and AAAA records, and require no login on port 80"
REACHABLE = "make port 80 reachable from the internet, over IPv6 too if the domain has an AAAA record"
ANSWERING = (
    "make all name servers of the domain answer, also for record types that the domain does not have, and repair DNSSEC"
)
ACCOUNT = "the domain owner does not need to do anything; the operator must check the account at the CA"
BINDING = "the operator must set eab_key_id and eab_hmac_key of this CA in ISSUER_CAS to the values that the CA issued"
NAME = "the domain owner does not need to do anything; the operator may set another CA for this domain"

TYPES: dict[str, Meaning] = {
    "accountDoesNotExist": Meaning(ProblemType.CA_ACCOUNT, ACCOUNT),
    "alreadyReplaced": Meaning(ProblemType.CA_MISUNDERSTOOD),
    "alreadyRevoked": Meaning(ProblemType.CA_MISUNDERSTOOD),
    "badCSR": Meaning(ProblemType.CA_REFUSED, "the operator may set another ISSUER_KEY_TYPE"),
    "badNonce": Meaning(ProblemType.CA_UNAVAILABLE),
    "badPublicKey": Meaning(ProblemType.CA_REFUSED, "the operator may set another ISSUER_KEY_TYPE"),
    "badRevocationReason": Meaning(ProblemType.CA_MISUNDERSTOOD),
    "badSignatureAlgorithm": Meaning(ProblemType.CA_ACCOUNT, ACCOUNT),
    "caa": Meaning(ProblemType.CAA, "allow the CA in the domain's CAA records, or remove them"),
    "compound": Meaning(ProblemType.CA_MISUNDERSTOOD),
    "connection": Meaning(ProblemType.VALIDATION_FAILED, REACHABLE),
    "dns": Meaning(ProblemType.VALIDATION_FAILED, ANSWERING),
    "externalAccountRequired": Meaning(ProblemType.CA_ACCOUNT, BINDING),
    "incorrectResponse": Meaning(ProblemType.VALIDATION_FAILED, POINTING),
    "invalidContact": Meaning(ProblemType.CA_ACCOUNT, "the operator must set another ISSUER_ACME_CONTACT"),
    "invalidProfile": Meaning(ProblemType.CA_MISUNDERSTOOD, "the operator must set a profile that the CA offers"),
    "malformed": Meaning(ProblemType.CA_MISUNDERSTOOD),
    "orderNotReady": Meaning(ProblemType.CA_SLOW),
    "rateLimited": Meaning(
        ProblemType.RATE_LIMITED, "no action is needed: it will be retried automatically when the CA allows it"
    ),
    "rejectedIdentifier": Meaning(ProblemType.CA_REFUSED, NAME),
    "serverInternal": Meaning(ProblemType.CA_UNAVAILABLE),
    "tls": Meaning(ProblemType.VALIDATION_FAILED, REACHABLE),
    "unauthorized": Meaning(ProblemType.VALIDATION_FAILED, POINTING),
    "unsupportedContact": Meaning(ProblemType.CA_ACCOUNT, "the operator must set another ISSUER_ACME_CONTACT"),
    "unsupportedIdentifier": Meaning(ProblemType.CA_REFUSED, NAME),
    "userActionRequired": Meaning(
        ProblemType.CA_ACCOUNT, "the operator must agree to the CA's terms of service, as the CA says"
    ),
}
"""By the last part of the URN: RFC 8555 §6.7, RFC 9773 §7.4, and the draft on profiles."""

OF_ANY_REQUEST = frozenset({ProblemType.CA_ACCOUNT, ProblemType.CA_UNAVAILABLE, ProblemType.RATE_LIMITED})


def from_refusal(refusal: Refusal, now: float) -> Problem:
    """The Problem of an answer with an error status."""
    known = TYPES.get(refusal.type)
    # An answer without a type does not come from the ACME server, but from a proxy in front of it.
    meaning = known or Meaning(ProblemType.CA_MISUNDERSTOOD if refusal.type else ProblemType.CA_UNAVAILABLE)
    if refusal.answer.status == TOO_MANY_REQUESTS:
        meaning = TYPES["rateLimited"]
    elif refusal.answer.status >= SERVER_ERROR:
        meaning = TYPES["serverInternal"]
    detail = words(refusal.problem) or f"status {refusal.answer.status}"
    if refusal.type == "userActionRequired":
        terms_url = refusal.problem.get("instance") or next(refusal.answer.links("terms-of-service"), "")
        detail = "; ".join(filter(None, (detail, plain(terms_url))))
    retry_at = retry_after(refusal.answer.headers, now)
    if meaning.type is ProblemType.RATE_LIMITED and retry_at is None:
        retry_at = _instant_in(detail, now) or now + DEFAULT_RATE_LIMIT_SECONDS
    return Problem(meaning.type, detail, hint=meaning.hint, retry_at=retry_at)


def of_account(refusal: Refusal, now: float, *, is_bound: bool = False) -> Problem:
    """The Problem of a request about our account, which concerns no domain. is_bound: the request carried an external
    account binding (§7.3.4)."""
    problem = from_refusal(refusal, now)
    if problem.type in OF_ANY_REQUEST:
        return problem
    return Problem(ProblemType.CA_ACCOUNT, problem.detail, hint=BINDING if is_bound else ACCOUNT)


def from_document(document: Any, default: ProblemType) -> Problem:
    """The Problem of an `error` in an order or a challenge. Such an error loses the order, so the Problem's type is one
    that is permanent or drops the order; `default` stands in for any other."""
    document = document if isinstance(document, dict) else {}
    unknown = Meaning(default, f"{POINTING}; {REACHABLE}" if default is ProblemType.VALIDATION_FAILED else "")
    meaning = TYPES.get(plain(document.get("type")).rpartition(":")[2], unknown)
    if not (TABLE[meaning.type].is_permanent or TABLE[meaning.type].drops_order):
        meaning = Meaning(default, meaning.hint or unknown.hint)
    return Problem(meaning.type, words(document) or "the CA gave no reason", hint=meaning.hint)


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
    code = plain(document.get("type")).rpartition(":")[2]
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
