"""What the product says of each fault, as docs/api.md shows it: with example names and times."""

import re
from collections.abc import Mapping, Sequence

from tests.planted.faults import Fault, Kind
from tests.planted.fleet import Fleet
from tests.planted.told import Told

HEADING = "## What is said of 41 faults"
INTRODUCTION = """
Each fault was planted on running processes (`make faults`, [its report](faults.md)). This is what was read: `code`
and `must_act`, the `cause`, and after the arrow the `hint`. Names, addresses and times are examples.
"""
NAME, PARENT, CA, REDIS, TIME = (
    "track.customer.example",
    "customer.example",
    "https://ca.example",
    "127.0.0.1:6379",
    "2026-11-28 10:00:00 UTC",
)
PATTERNS = (
    (r"track\.customer\d+\.example", NAME),
    (r"customer\d+\.example", PARENT),
    (r"http://127\.0\.0\.1:\d+/\.well-known/acme-challenge/[\w-]{20,}", f"http://{NAME}/.well-known/acme-challenge/…"),
    (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?( UTC|\+00:00|Z)", TIME),
    (r"\b\d+ messages? waits?\b", "3 messages wait"),
    (r"\bthe edge 127\.0\.0\.1:\d+", "the edge 127.0.0.1:443"),
    (r"\bDNS server 127\.0\.0\.1:\d+", "DNS server 127.0.0.1:53"),
    (r"\b(worker|renewals)@[\w.-]+", r"\1@host"),
)


def told_text(fleet: Fleet, told: Told, fault: Fault) -> str:
    """Code, actor, cause and hint in one line."""
    body = told.body
    if not body.get("cause"):
        return ""
    if fault.kind is Kind.START:
        return _plain(fleet, body["cause"])
    hint = f" → {body['hint']}" if body.get("hint") else ""
    return _plain(fleet, f"`{body.get('code')}`, {body.get('must_act')}: {body['cause']}{hint}")


def section(faults: Sequence[Fault], texts: Mapping[str, str]) -> str:
    """The section of docs/api.md."""
    lines = [f"- **{fault.what}**: {texts.get(fault.id) or 'nothing yet'}" for fault in faults]
    return "\n".join([HEADING, INTRODUCTION, *lines]) + "\n"


def with_section(page: str, new: str) -> str:
    """A page with its section of texts replaced, or, where it has none, added at its end."""
    before, heading, rest = page.partition(HEADING)
    if not heading:
        return f"{page.rstrip()}\n\n{new}"
    _, next_heading, after = rest.partition("\n## ")
    return f"{before}{new}" + (f"\n## {after}" if next_heading else "")


def texts_of(page: str) -> dict[str, str]:
    """The texts that a page has, by the words for the fault."""
    rest = page.partition(HEADING)[2].partition("\n## ")[0]
    return dict(re.findall(r"^- \*\*(.+?)\*\*: (.+)$", rest, re.MULTILINE))


def _plain(fleet: Fleet, text: str) -> str:
    redis, broker = (fleet.port_of(url) for url in (fleet.redis_url, fleet.settings.celery_broker_url))
    text = text.replace(fleet.ca.origin, CA).replace(fleet.ca.host, CA.removeprefix("https://"))
    text = text.replace(f"127.0.0.1:{redis}", REDIS).replace(f"127.0.0.1:{broker}", REDIS)
    for pattern, instead in PATTERNS:
        text = re.sub(pattern, instead, text)
    return " ".join(text.split())
