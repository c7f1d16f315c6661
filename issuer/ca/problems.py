"""What a CA said, as a Problem: by its type (RFC 8555 §6.7), never by its prose."""

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
LEAST_WAIT_SECONDS = 1
"""What a CA that says «at once» gets: it would be asked without a pause."""
MAX_WAIT_SECONDS = 7 * 86400
MOST_SAID = 1000
DEEPEST = 4
"""How much of a CA's words is kept, in characters, and of subproblems within subproblems."""
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500


class Meaning(NamedTuple):
    """What an error type stands for, and what whoever must act can do."""

    type: ProblemType
    hint: str = ""


POINTING = (
    "let the domain's CNAME lead here, leave no other A or AAAA record beside it, and put no login before port 80"
)
REACHABLE = "let port 80 be reachable for everybody, over IPv6 too where the domain has an AAAA record"
ANSWERING = (
    "let all name servers of the domain answer, also for types of records that it does not have, and mend DNSSEC"
)
ACCOUNT = "the domain's owner need do nothing; the operator must see to the account at the CA"
BINDING = "the operator must set eab_key_id and eab_hmac_key of this CA in ISSUER_CAS, as the CA has given them"
NAME = "the domain's owner need do nothing; the operator may set another CA for this domain"

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
    "invalidProfile": Meaning(ProblemType.CA_MISUNDERSTOOD, "the operator must set a profile that the CA has"),
    "malformed": Meaning(ProblemType.CA_MISUNDERSTOOD),
    "orderNotReady": Meaning(ProblemType.CA_SLOW),
    "rateLimited": Meaning(
        ProblemType.RATE_LIMITED, "nobody need do anything: it is tried again when the CA allows it"
    ),
    "rejectedIdentifier": Meaning(ProblemType.CA_REFUSED, NAME),
    "serverInternal": Meaning(ProblemType.CA_UNAVAILABLE),
    "tls": Meaning(ProblemType.VALIDATION_FAILED, REACHABLE),
    "unauthorized": Meaning(ProblemType.VALIDATION_FAILED, POINTING),
    "unsupportedContact": Meaning(ProblemType.CA_ACCOUNT, "the operator must set another ISSUER_ACME_CONTACT"),
    "unsupportedIdentifier": Meaning(ProblemType.CA_REFUSED, NAME),
    "userActionRequired": Meaning(
        ProblemType.CA_ACCOUNT, "the operator must agree to the CA's terms, as it says there"
    ),
}
"""By the last part of the URN: RFC 8555 §6.7, RFC 9773 §7.4, and the profiles' own."""

OF_ANY_REQUEST = frozenset({ProblemType.CA_ACCOUNT, ProblemType.CA_UNAVAILABLE, ProblemType.RATE_LIMITED})


def from_refusal(refusal: Refusal, now: float) -> Problem:
    """The Problem of an answer with an error status."""
    known = TYPES.get(refusal.type)
    # Without a type it is no ACME server that speaks, but what stands before it.
    meaning = known or Meaning(ProblemType.CA_MISUNDERSTOOD if refusal.type else ProblemType.CA_UNAVAILABLE)
    if refusal.answer.status == TOO_MANY_REQUESTS:
        meaning = TYPES["rateLimited"]
    elif refusal.answer.status >= SERVER_ERROR:
        meaning = TYPES["serverInternal"]
    said = words(refusal.problem) or f"status {refusal.answer.status}"
    if refusal.type == "userActionRequired":
        where = refusal.problem.get("instance") or next(refusal.answer.links("terms-of-service"), "")
        said = "; ".join(filter(None, (said, plain(where))))
    retry_at = retry_after(refusal.answer.headers, now)
    if meaning.type is ProblemType.RATE_LIMITED and retry_at is None:
        retry_at = _instant_in(said, now) or now + DEFAULT_RATE_LIMIT_SECONDS
    return Problem(meaning.type, said, hint=meaning.hint, retry_at=retry_at)


def of_account(refusal: Refusal, now: float, *, is_bound: bool = False) -> Problem:
    """The Problem of a request about our account, in which no domain has a part. is_bound: it was to be bound to one
    that the operator has with the CA otherwise."""
    problem = from_refusal(refusal, now)
    if problem.type in OF_ANY_REQUEST:
        return problem
    return Problem(ProblemType.CA_ACCOUNT, problem.detail, hint=BINDING if is_bound else ACCOUNT)


def from_document(document: Any, default: ProblemType) -> Problem:
    """The Problem of an `error` in an order or a challenge that is lost by it, so never one that keeps the order."""
    document = document if isinstance(document, dict) else {}
    untold = Meaning(default, f"{POINTING}; {REACHABLE}" if default is ProblemType.VALIDATION_FAILED else "")
    meaning = TYPES.get(plain(document.get("type")).rpartition(":")[2], untold)
    if not (TABLE[meaning.type].is_permanent or TABLE[meaning.type].drops_order):
        meaning = Meaning(default, meaning.hint or untold.hint)
    return Problem(meaning.type, words(document) or "the CA gave no reason", hint=meaning.hint)


def words(document: dict[str, Any]) -> str:
    """The CA's own sentence and those of its subproblems (§6.7.1), each with its type."""
    return "; ".join(_sentences(document))[:MOST_SAID]


def plain(value: Any) -> str:
    """A text that a CA sent, fit for one line of a log or a page; of what is no text nothing is left."""
    text = str(value)[:MOST_SAID] if isinstance(value, str | int | float) else ""
    return "".join(one if one.isprintable() else " " for one in text).strip()


def retry_after(headers: urllib3.HTTPHeaderDict, now: float) -> float | None:
    """Retry-After as epoch seconds, a second to a week from now; None when absent or unreadable (RFC 9110 §10.2.3).

    Seconds with a fraction or a sign, and several at once, of which the longest counts, are no HTTP, but are sent.
    """
    text = headers.get("Retry-After", "")
    found = [_at(part, now) for part in (text, *text.split(","))]
    times = [at for at in found if at is not None]
    return min(max(*times, now + LEAST_WAIT_SECONDS), now + MAX_WAIT_SECONDS) if times else None


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
    for below in subproblems if isinstance(subproblems, list) and depth < DEEPEST else ():
        if isinstance(below, dict):
            yield from _sentences(below, depth + 1)


def _instant_in(text: str, now: float) -> float | None:
    """The UTC instant in «retry after 2026-01-31 12:00:00 UTC», where a CA sends no header."""
    found = re.search(r"retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)", text, re.IGNORECASE | re.ASCII)
    if not found:
        return None
    try:
        at = calendar.timegm(time.strptime(f"{found[1]} {found[2]}", "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return None
    return min(max(at, now), now + MAX_WAIT_SECONDS)
