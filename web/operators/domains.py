"""`/operators/domains`: domains by the beginning of their names, and by facts, a page at a time."""

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import request, url_for
from werkzeug.wrappers import Response as AnyResponse

from issuer.actions import listing, lookup
from issuer.actions import overview as actions
from issuer.actions.listing import Page
from issuer.domain import DAY_SECONDS, Listing, Record, Status, status
from issuer.ports import DamagedRecord
from issuer.problem import Problem, ProblemType
from web.operators.blueprint import operators, render, see, services

PATH = "/operators/domains"
PAGE = 50
FACTS = {"code": Listing.CODE, "account": Listing.ACCOUNT, "ca": Listing.CA}
DAYS = re.compile(r"\d{1,4}", re.ASCII)
CURSOR = re.compile(r"([\d.e+-]{1,30} )?[a-z0-9.-]{1,253}", re.ASCII)
LISTS = ((f"{PATH}?ends_within=0", "Ended"), (f"{PATH}?ends_within=3", "End within 3 days"))
FIND = "Type the beginning of a name into the field above."


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
    filters = {name: value for name in ("q", *FACTS, "ends_within") if (value := request.args.get(name, "").strip())}
    if len(filters) > 1:
        raise _wrong("a list has one filter", "remove the others from the address")
    if not filters:
        return _page("Domains", Page([]), {}, nothing=FIND)
    ((name, value),) = filters.items()
    if name == "q":
        return _found(value)
    if name == "ends_within":
        return _ending(value)
    page = listing.by_fact(services(), FACTS[name], value, after=_after(), limit=PAGE)
    titles = {"code": f"Domains whose last problem is {value}", "account": f"Domains of the account {value}"}
    return _page(titles.get(name, f"Domains with a certificate of {value}"), page, filters, nothing="There are none.")


def _found(text: str) -> AnyResponse:
    if (name := _whole_name(text)) and not request.args.get("after"):
        return see(url_for("operators.show_domain", name=name))
    names = actions.search(services(), text, after=_after())
    records = actions.records(services(), names[: actions.SEARCHED])
    page = Page(records, names[actions.SEARCHED - 1] if len(names) > actions.SEARCHED else "")
    nothing = "No domain begins like this. A name that was withdrawn is found by its whole name alone."
    return _page(f"Domains that begin with {text}", page, {"q": text}, nothing=nothing)


def _ending(value: str) -> AnyResponse:
    if not DAYS.fullmatch(value):
        raise _wrong(f"{value[:40]!a} is not a number of days", "give a whole number, such as 3")
    until = services().clock() + int(value) * DAY_SECONDS - (int(value) == 0)
    page = listing.by_expiry(services(), until=until, after=_after(), limit=PAGE)
    title = (
        f"Domains whose certificate ends within {value} days" if int(value) else "Domains whose certificate has ended"
    )
    return _page(title, page, {"ends_within": value}, nothing="There are none.")


def _whole_name(text: str) -> str:
    """The name of a domain that a record exists for; empty if there is none."""
    try:
        return lookup.record_of(services(), text).domain.name
    except Problem as problem:
        if problem.type not in {ProblemType.INVALID_NAME, ProblemType.NOT_FOUND, ProblemType.DAMAGED_RECORD}:
            raise
        return ""


def _page(title: str, page: Page, filters: dict[str, str], *, nothing: str) -> AnyResponse:
    return render(
        "domains.html",
        title=title,
        rows=[_row(record) for record in page.records],
        lists=LISTS,
        nothing=nothing,
        is_later=bool(request.args.get("after")),
        first_path=_path(filters),
        next_path=_path(filters | {"after": page.next}) if page.next else "",
    )


def _row(record: Record | DamagedRecord) -> Row:
    if isinstance(record, DamagedRecord):
        damaged = Problem(ProblemType.DAMAGED_RECORD, record.reason)
        return Row(record.name, Status.ERROR.value, "", None, damaged)
    domain, word = record.domain, status(record, services().clock())
    problem = None if word is Status.ACTIVE else record.issuance.problem
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
