"""`/operators/domains`: domains by the beginning of their names, and by facts, a page at a time."""

import math
import re
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from flask import request, url_for
from werkzeug.wrappers import Response as AnyResponse

from issuer import presenters
from issuer.actions import finding, lookup
from issuer.actions import overview as actions
from issuer.actions.listing import Page
from issuer.domain import DAY_SECONDS, Record, Status, status
from issuer.ports import DamagedRecord
from issuer.problem import TYPES, Actor, Problem, ProblemType
from web.operators.blueprint import operators, render, see, services

Word = TypeVar("Word", Actor, Status)
PATH = "/operators/domains"
PAGE = 50
DAYS = re.compile(r"\d{1,4}", re.ASCII)
CURSOR = re.compile(r"([a-z_]{1,20} )?([\d.e+-]{1,30} )?[a-z0-9.-]{1,253}", re.ASCII)
FILTERS = ("status", "must_act", "code", "account", "ca", "ends_within")
LISTS = (
    ("must_act=platform", "You must act"),
    ("must_act=owner", "Owners must act"),
    ("status=error", "Error"),
    ("status=expired", "Expired"),
    ("status=processing", "Processing"),
    ("ends_within=3", "End within 3 days"),
)
FIND = "Choose a list, or type the beginning of a name into the field above."
NOTHING = "No domain begins like this. A name that was withdrawn is found by its whole name alone."
MORE = "None of those looked at so far; the next page goes on."


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list. account: its id; empty if that cannot be known. not_after: None without a certificate."""

    name: str
    status: str
    account: str
    not_after: float | None
    problem: Problem | None


@operators.get(PATH, provide_automatic_options=False)
def list_domains() -> AnyResponse:
    """A page of a list, or what a search has found. A whole name leads to its page at once."""
    given = {name: value for name in ("q", *FILTERS) if (value := request.args.get(name, "").strip())}
    if "q" in given:
        return _found(given["q"])
    if not given:
        return _page("Domains", Page([]), {}, nothing=FIND)
    found = finding.find(services(), _wanted(given), after=_after(), limit=PAGE)
    page = Page(found.records, found.next)
    repaired = f"issuer retry --code {given['code']}" if given.get("code") in TYPES else ""
    return _page(_title(given), page, given, nothing=MORE if found.next else "There are none.", command=repaired)


def _found(text: str) -> AnyResponse:
    if (name := _whole_name(text)) and not request.args.get("after"):
        return see(url_for("operators.show_domain", name=name))
    names = actions.search(services(), text, after=_after())
    records = actions.records(services(), names[: actions.SEARCHED])
    page = Page(records, names[actions.SEARCHED - 1] if len(names) > actions.SEARCHED else "")
    return _page(f"Domains that begin with {text}", page, {"q": text}, nothing=NOTHING)


def _wanted(given: dict[str, str]) -> finding.Wanted:
    """What the domains of a list must have. Raises Problem(invalid-request)."""
    now, until = services().clock(), math.inf
    if days := given.get("ends_within", ""):
        if not DAYS.fullmatch(days):
            raise _wrong(f"{days[:40]!a} is not a number of days", "give a whole number, such as 3")
        until = now + int(days) * DAY_SECONDS
    return finding.Wanted(
        account=given.get("account", ""),
        ca=given.get("ca", ""),
        code=given.get("code", ""),
        must_act=_one_of(Actor, given.get("must_act", "")),
        status=_one_of(Status, given.get("status", "")),
        ends_from=now if days else -math.inf,
        ends_until=until,
    )


def _one_of(kind: type[Word], text: str) -> Word | None:
    """The member of an enumeration; None for an empty text. Raises Problem(invalid-request) for any other text."""
    found = next((one for one in kind if one.value == text), None)
    if text and found is None:
        raise _wrong(f"{text[:40]!a} is not in this list", f"choose one of {', '.join(one.value for one in kind)}")
    return found


def _title(given: dict[str, str]) -> str:
    """A list in words, by its filters."""
    words = {
        "status": "with the status {}",
        "must_act": "whose {} must act",
        "code": "whose last problem is {}",
        "account": "of the account {}",
        "ca": "with a certificate of {}",
        "ends_within": "whose certificate ends within {} days",
    }
    return "Domains " + ", ".join(words[name].format(value) for name, value in given.items())


def _whole_name(text: str) -> str:
    """The name of a domain that a record exists for; empty if there is none."""
    try:
        return lookup.record_of(services(), text).domain.name
    except Problem as problem:
        if problem.type not in {ProblemType.INVALID_NAME, ProblemType.NOT_FOUND, ProblemType.DAMAGED_RECORD}:
            raise
        return ""


def _page(title: str, page: Page, filters: dict[str, str], *, nothing: str, command: str = "") -> AnyResponse:
    return render(
        "domains.html",
        title=title,
        rows=[_row(record) for record in page.records],
        lists=[(f"{PATH}?{query}", text) for query, text in LISTS],
        nothing=nothing,
        command=command,
        is_later=bool(request.args.get("after")),
        first_path=_path(filters),
        next_path=_path(filters | {"after": page.next}) if page.next else "",
    )


def _row(record: Record | DamagedRecord) -> Row:
    if isinstance(record, DamagedRecord):
        damaged = Problem(ProblemType.DAMAGED_RECORD, record.reason)
        return Row(record.name, Status.ERROR.value, "", None, damaged)
    domain, now = record.domain, services().clock()
    word = status(record, now)
    problem = None if word is Status.ACTIVE else presenters.problem_of(record, now)
    not_after = domain.certificate.not_after if domain.certificate else None
    return Row(domain.name, word.value, domain.account, not_after, problem)


def _path(filters: dict[str, str]) -> str:
    return f"{PATH}?{urlencode(filters)}"


def _after() -> str:
    """The position that the last page has given. Raises Problem(invalid-request) for what none has given."""
    after = request.args.get("after", "")
    if after and not CURSOR.fullmatch(after):
        raise _wrong("this is not a position in the list", "begin with its first page")
    return after


def _wrong(message: str, hint: str) -> Problem:
    return Problem(ProblemType.INVALID_REQUEST, message=message, hint=hint)
