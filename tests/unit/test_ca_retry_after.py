"""When a CA wants to be asked again: its Retry-After, or the time in its words, the same in every time zone."""

import time

import pytest
from urllib3 import HTTPHeaderDict

from issuer.ca.problems import retry_after
from issuer.problem import ProblemType
from tests.fakes import NOW
from tests.unit.test_ca_problems import document_of, headers, refused

WEEK = 7 * 86400
HOUR = 3600
SOON = int(NOW) + 5000
IMF = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(SOON))
RFC_850 = time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(SOON))
ASCTIME = time.asctime(time.gmtime(SOON))
INSTANT = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(SOON))

UNREADABLE = (
    "| |1e3|--5|1.5.5|soon|60s|\u0663|\u00b2|0x10|Sun|GMT|,|2030-01-01T00:00:00Z|06 Nov 1994 99:99 GMT"
    "|Sun, 99 Nov 1994 08:49:37 GMT"
)


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 1),
        ("-5", 1),
        ("0.2", 1),
        ("1", 1),
        ("1.5", 1.5),
        ("1.", 1),
        ("+5", 5),
        ("60, 60", 60),
        ("5, 120, 0", 120),
        (f"5, {IMF}", 5000),
        (f"{IMF}, {IMF}", 5000),
        ("60", 60),
        (" 60 ", 60),
        ("0060", 60),
        ("0" * 30 + "60", 60),
        ("-" + "9" * 4000, 1),
        ("9" * 4000, WEEK),
        (str(WEEK), WEEK),
        (str(WEEK + 1), WEEK),
        (str(10**11), WEEK),
        (str(10**12), WEEK),
        ("9" * 30, WEEK),
        (IMF, 5000),
        (RFC_850, 5000),
        (ASCTIME, 5000),
        (IMF.replace("GMT", "+0000"), 5000),
        (IMF.replace("GMT", "-0000"), 5000),
        (IMF.replace("GMT", "+0100"), 5000 - HOUR),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", WEEK),
    ],
)
def test_c04_retry_after_is_between_a_second_and_a_week_on(text: str, seconds: float) -> None:
    assert retry_after(headers(text), NOW) == NOW + seconds


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("text", [None, *UNREADABLE.split("|")])
def test_c04_an_invalid_retry_after_is_none(text: str | None) -> None:
    assert retry_after(headers(text), NOW) is None


def test_c04_of_two_headers_the_longer_wait_counts() -> None:
    twice = HTTPHeaderDict()
    twice.add("Retry-After", "60")
    twice.add("retry-after", "90")
    assert retry_after(twice, NOW) == NOW + 90


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("detail", "header", "seconds"),
    [
        ("too many", "120", 120),
        ("too many", "0", 1),
        ("too many", IMF, 5000),
        (f"too many, retry after {INSTANT} UTC", "120", 120),
        (f"too many, retry after {INSTANT} UTC", None, 5000),
        (f"too many, retry after {INSTANT.replace(' ', 'T')}Z", None, 5000),
        (f"too many. Retry after {INSTANT} UTC: see https://letsencrypt.org/docs/rate-limits/#x", None, 5000),
        (f"too many (1) in the last 168h0m0s, RETRY AFTER {INSTANT.replace(' ', 'T')}Z: see", None, 5000),
        (f"too many, retry after {INSTANT} UTC", "soon", 5000),
        ("too many, retry after 2020-01-01 00:00:00 UTC", None, 0),
        ("too many, retry after 9999-01-01 00:00:00 UTC", None, WEEK),
        ("too many, retry after 2030-02-31 00:00:00 UTC", None, HOUR),
        ("too many, retry after 2030-01-01 25:61:00 UTC", None, HOUR),
        ("too many, retry after lunch", None, HOUR),
        ("too many", "soon", HOUR),
        ("too many", None, HOUR),
        ("", None, HOUR),
    ],
)
@pytest.mark.parametrize("type_", ["rateLimited", "malformed", "unauthorized", ""])
def test_c03_a_429_says_when_to_come_back(detail: str, header: str | None, seconds: float, type_: str) -> None:
    problem = refused(429, document_of(type_, detail) if type_ else {"detail": detail}, header)
    assert problem.type is ProblemType.RATE_LIMITED
    assert problem.retry_at == NOW + seconds
    assert detail in problem.detail


@pytest.mark.parametrize("body", [b"", b"<html>slow down</html>", b"[]", b"null", b"\xff\xfe", b'"retry after"'])
def test_c03_a_429_without_a_document_waits_an_hour(body: bytes) -> None:
    problem = refused(429, body)
    assert (problem.type, problem.detail) == (ProblemType.RATE_LIMITED, "status 429")
    assert problem.retry_at == NOW + HOUR


def test_c03_rate_limited_by_type_alone_waits_too() -> None:
    assert refused(403, document_of("rateLimited")).retry_at == NOW + HOUR
    assert refused(403, document_of("rateLimited"), "7").retry_at == NOW + 7


def test_c03_an_instant_in_a_subproblem_counts_too() -> None:
    document = document_of("rateLimited", subproblems=[document_of("rateLimited", f"retry after {INSTANT} UTC")])
    assert refused(429, document).retry_at == SOON
