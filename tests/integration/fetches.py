"""Runs of the self-check: its names, what a server answers, and what the check finds."""

import time

from issuer.challenges import HttpSelfCheck
from issuer.ports import Finding, Verdict
from issuer.sandbox import LOOPBACK
from tests.integration.dns_server import Zone, dns_server
from tests.integration.raw_server import RawServer, Reply, raw_server

YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN
NAME, OTHER = "track.customer.example", "www.customer.example"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"
THUMBPRINT = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
KEY = f"{TOKEN}.{THUMBPRINT}"
PATH = f"/.well-known/acme-challenge/{TOKEN}"
HERE: Zone = {(NAME, "A"): [LOOPBACK], (OTHER, "A"): [LOOPBACK]}
SECONDS = 0.5
SOMETHING_ELSE = "does not answer with the challenge response"
UNREADABLE = "closes the connection early or sends an invalid answer"
LATE = "does not answer in time"


def http(body: bytes | str = KEY, status: int = 200, **headers: object) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    fields = {"Content-Length": len(body)} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def redirect(location: str, status: int = 302) -> bytes:
    return http("", status, Location=location)


def once(location: str, status: int = 302) -> Reply:
    """Redirects the challenge at NAME over plain HTTP, and answers everything else correctly."""
    answers = iter([redirect(location, status)])
    return lambda _: next(answers, http())


def self_check(reply: Reply | bytes, zone: Zone = HERE, *, seconds: float = 3, key: str = KEY) -> Finding:
    with raw_server(reply) as web:
        return self_check_at(web, zone, seconds=seconds, key=key)


def self_check_at(web: RawServer, zone: Zone = HERE, *, seconds: float = 3, key: str = KEY) -> Finding:
    """What a self-check finds; it must be limited in time, and its summary printable and without secrets."""
    with dns_server(zone) as dns:
        started = time.monotonic()
        finding = HttpSelfCheck([dns.address], seconds=seconds, test_port=web.port).fetch(NAME, TOKEN, key)
    assert time.monotonic() - started < seconds + 1
    assert TOKEN.lower() not in finding.summary.lower()
    assert THUMBPRINT.lower() not in finding.summary.lower()
    assert len(finding.summary) < 500
    assert finding.summary.replace("…", "").isascii()
    assert finding.summary.isprintable()
    return finding


def expected(verdict: Verdict, words: str) -> Finding:
    return Finding(verdict, f"http://{NAME} {words}")
