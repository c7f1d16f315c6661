"""What a CA said, as a Problem: by its type (RFC 8555 §6.7), never by its prose."""

import calendar
import re
import time
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import urllib3

from issuer.ca.transport import Refusal
from issuer.problem import TABLE, Problem, ProblemType

DEFAULT_RATE_LIMIT_SECONDS = 3600
LEAST_WAIT_SECONDS = 1
"""What a CA that says «at once» gets: it would be asked without a pause."""
MAX_WAIT_SECONDS = 7 * 86400
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500

TYPES: dict[str, ProblemType] = {
    "accountDoesNotExist": ProblemType.CA_ACCOUNT,
    "badCSR": ProblemType.CA_REFUSED,
    "badPublicKey": ProblemType.CA_REFUSED,
    "badSignatureAlgorithm": ProblemType.CA_ACCOUNT,
    "caa": ProblemType.CAA,
    "connection": ProblemType.VALIDATION_FAILED,
    "dns": ProblemType.VALIDATION_FAILED,
    "externalAccountRequired": ProblemType.CA_ACCOUNT,
    "incorrectResponse": ProblemType.VALIDATION_FAILED,
    "invalidContact": ProblemType.CA_ACCOUNT,
    "rateLimited": ProblemType.RATE_LIMITED,
    "rejectedIdentifier": ProblemType.CA_REFUSED,
    "serverInternal": ProblemType.CA_UNAVAILABLE,
    "tls": ProblemType.VALIDATION_FAILED,
    "unauthorized": ProblemType.VALIDATION_FAILED,
    "unsupportedContact": ProblemType.CA_ACCOUNT,
    "unsupportedIdentifier": ProblemType.CA_REFUSED,
    "userActionRequired": ProblemType.CA_ACCOUNT,
}
HINTS: dict[ProblemType, str] = {
    ProblemType.VALIDATION_FAILED: (
        "check that the domain's CNAME leads here and that port 80 is reachable for everybody, without a firewall, "
        "login or redirect before it"
    ),
    ProblemType.CAA: "allow the CA in the domain's CAA records, or remove them",
    ProblemType.CA_ACCOUNT: "the domain's owner need do nothing; the operator must see to the account at the CA",
}


def from_refusal(refusal: Refusal, now: float) -> Problem:
    """The Problem of an answer with an error status."""
    type_ = TYPES.get(refusal.type)
    if refusal.answer.status == TOO_MANY_REQUESTS:
        type_ = ProblemType.RATE_LIMITED
    elif refusal.answer.status >= SERVER_ERROR:
        type_ = ProblemType.CA_UNAVAILABLE
    said = words(refusal.problem) or f"status {refusal.answer.status}"
    retry_at = retry_after(refusal.answer.headers, now)
    if type_ is ProblemType.RATE_LIMITED and retry_at is None:
        retry_at = _instant_in(said, now) or now + DEFAULT_RATE_LIMIT_SECONDS
    return problem(type_ or ProblemType.CA_UNAVAILABLE, said, retry_at)


def from_document(document: dict[str, Any] | None, default: ProblemType) -> Problem:
    """The Problem of an `error` in an order or a challenge that is lost by it, so never one that keeps the order."""
    document = document or {}
    type_ = TYPES.get(str(document.get("type", "")).rpartition(":")[2], default)
    if not (TABLE[type_].is_permanent or TABLE[type_].drops_order):
        type_ = default
    return problem(type_, words(document) or "the CA gave no reason")


def problem(type_: ProblemType, said: str, retry_at: float | None = None) -> Problem:
    """A Problem with the CA's words and our hint."""
    return Problem(type_, said, hint=HINTS.get(type_, ""), retry_at=retry_at)


def words(document: dict[str, Any]) -> str:
    """The CA's own sentence and those of its subproblems (§6.7.1), each with its type."""
    return "; ".join(_sentences(document))


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


def _sentences(document: dict[str, Any]) -> Iterator[str]:
    code = str(document.get("type", "")).rpartition(":")[2]
    detail = str(document.get("detail", "")).strip()
    if code or detail:
        yield f"{detail} ({code})" if code and detail else detail or code
    subproblems = document.get("subproblems")
    for below in subproblems if isinstance(subproblems, list) else ():
        if isinstance(below, dict):
            yield from _sentences(below)


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
