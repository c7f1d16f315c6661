"""Records as JSON texts for Redis, and back.

A member that is missing has its default value, and a member with its default value is left out. A member that this
release does not know is kept unchanged (`extra`), as a newer release may have written it. Some members have an older
name than their fields.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from issuer.domain import (
    SCHEMA,
    Account,
    Certificate,
    Domain,
    Hsts,
    Issuance,
    Listing,
    Plan,
    Reason,
    Record,
    Rejection,
    RenewalWindow,
    Revocation,
    Step,
    domain_of,
)
from issuer.events import Event, EventType
from issuer.ports import CaAccount
from issuer.problem import Problem, ProblemType

MEMBERS = {"moved_away_since": "away_since", "is_expiry_reported": "is_end_told"}
FIELDS = {member: field for field, member in MEMBERS.items()}
ALWAYS = frozenset({"step"})
"""Members that are always written, as older releases have no default for them."""
Part = TypeVar("Part")
LARGEST = 1e13
"""No number in a field of the hash is as large."""
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
"""Every time and number in the JSON lies between the years 1 and 9999, so that it can be shown as a date."""
NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"\d+", re.ASCII)
"""Numbers that Lua and Python read alike, unlike `1_0`, `0x10` and ` 4 `."""
TEXTS = ("domain", "issuance", "timeline", "id", "ca", "served", "indexes")
"""The fields of the hash that are texts."""
INDEXED_ACCOUNT = re.compile(rf"^index:{Listing.ACCOUNT}:([^=\n]+)=", re.MULTILINE)
DAMAGED_LINE = f"index:{Listing.CODE}:{ProblemType.DAMAGED_RECORD}="
"""In the indexes of a record that was damaged and has no issuance since."""
NOT_READABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
REPAIR = "its account repairs it: PUT starts a new issuance, DELETE withdraws the domain"

FORMER_EVENTS = "events"
"""The member of an issuance in which releases before the timeline stored their lines."""


class InconsistentError(ValueError):
    """The parts of a record contradict each other."""


def domain_text(domain: Domain) -> str:
    """JSON of a domain."""
    return _text(_values(domain))


def issuance_text(issuance: Issuance) -> str:
    """JSON of an issuance."""
    return _text(_values(issuance))


def timeline_text(events: tuple[Event, ...]) -> str:
    """JSON of a timeline."""
    return _text([_values(event) for event in events])


def account_text(account: Account | CaAccount) -> str:
    """JSON of a customer's account, or of our account at a CA; members with their default value are left out."""
    defaults = {field.name: field.default for field in fields(account)}
    return json.dumps({name: value for name, value in asdict(account).items() if value != defaults[name]})


def record(name: str, values: Mapping[str, str]) -> Record:
    """The record in a domain's hash. Raises Problem(damaged-record) if it cannot be read."""
    try:
        "".join(values.get(field, "") for field in TEXTS).encode()  # fails for what is not UTF-8
        issuance = json.loads(values["issuance"])
        former = issuance.pop(FORMER_EVENTS, None) or []
        timeline = [_event(event) for event in json.loads(values.get("timeline", "[]"))]
        timeline += _former(former, timeline[-1].id if timeline else 0)
        found = Record(
            _domain(json.loads(values["domain"])),
            _issuance(issuance),
            version=_whole(values["version"]),
            lease_until=_number(values.get("lease_until", "0")),
            attempts_started=_whole(values["begun"]),
            timeline=tuple(timeline),
            callers_changes=_whole(values.get("callers_changes", "0")),
            schema=max(int(values.get("schema", 1)), SCHEMA),
        )
        _require_consistent(name, found, values)
    except NOT_READABLE as error:
        what = error.args[0] if isinstance(error, InconsistentError) else f"{type(error).__name__} in its record"
        raise Problem(ProblemType.DAMAGED_RECORD, f"{name}: {what}", hint=REPAIR) from None
    return found


def readable_domain(name: str, account: str, text: str | None, now: float) -> Domain:
    """What can be read of a damaged domain, member by member, as the domain of an account."""
    base: dict[str, Any] = {"created_at": now}
    try:
        members = dict(json.loads(text or ""))
    except NOT_READABLE:
        members = {}
    own = {"name": name, "account": account}
    for member, value in members.items():
        with suppress(*NOT_READABLE):
            _domain(base | {member: value} | own)
            base[member] = value
    return _domain(base | own)


def readable_timeline(text: str | None) -> tuple[Event, ...]:
    """The events of a damaged record; none if its timeline is damaged too."""
    with suppress(*NOT_READABLE):
        return tuple(_event(event) for event in json.loads(text or "[]"))
    return ()


def account_of(text: str | None) -> str:
    """The account in the JSON of a domain that may be damaged; empty if it cannot be read."""
    with suppress(*NOT_READABLE):
        account_id = json.loads(text or "")["account"]
        return account_id if isinstance(account_id, str) and account_id.encode() else ""
    return ""


def indexed_account(indexes: str | None) -> str:
    """The account in the indexes of a record; empty if there is none."""
    match = INDEXED_ACCOUNT.search(indexes or "")
    return match[1] if match else ""


def _require_consistent(name: str, found: Record, values: Mapping[str, str]) -> None:
    """Raise InconsistentError unless what the scripts compare, and what edges look at, agrees with the record."""
    if found.domain.name != name or domain_of(found.issuance.id) != name:
        raise InconsistentError("the record of another domain")
    if values.get("id") != found.issuance.id:
        raise InconsistentError("its issuance has another id")
    account = indexed_account(values.get("indexes"))
    if account and values.get("indexed") == values["version"] and account != found.domain.account:
        raise InconsistentError("it is listed for another account")
    if values.get("served") and found.domain.certificate is None:
        raise InconsistentError("its certificate is missing")


def account(text: str) -> Account:
    """The inverse of `account_text`. Raises Problem(damaged-record) if it cannot be read."""
    try:
        values = _known(Account, json.loads(text))
        return _checked(Account(**values | {"plan": Plan(values["plan"])}))
    except NOT_READABLE as error:
        detail = f"the account of a customer: {type(error).__name__}"
        raise Problem(ProblemType.DAMAGED_RECORD, detail) from None


def ca_account(text: str) -> CaAccount:
    """The inverse of `account_text`. Raises Problem(damaged-record) if it cannot be read."""
    try:
        return _checked(CaAccount(**_known(CaAccount, json.loads(text))))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        detail = f"our account at a CA: {type(error).__name__}"
        raise Problem(ProblemType.DAMAGED_RECORD, detail) from None


def _text(values: Any) -> str:
    return json.dumps(values, separators=(",", ":"))


def _values(item: Any) -> dict[str, Any]:
    """JSON values of a part of a record, under the names of its members."""
    values: dict[str, Any] = dict(item.extra)
    for field in fields(item):
        value = getattr(item, field.name)
        if field.name != "extra" and (field.name in ALWAYS or value != _default(field)):
            values[MEMBERS.get(field.name, field.name)] = _value(value)
    return values


def _value(value: Any) -> Any:
    if isinstance(value, Problem):
        return value.as_dict()
    if is_dataclass(value):
        return _values(value)
    if isinstance(value, tuple):
        return [_value(part) for part in value]
    return value.value if isinstance(value, StrEnum) else value


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _number(text: str) -> float:
    """A number of a field of the hash. Raises ValueError if it is none, or none that a script can compare."""
    if not NUMBER.fullmatch(text) or float(text) >= LARGEST:
        raise ValueError
    return float(text)


def _whole(text: str) -> int:
    """The same for a whole number, which the scripts compare as it is written."""
    if not WHOLE.fullmatch(text):
        raise ValueError
    return int(_number(text))


def _domain(values: dict[str, Any]) -> Domain:
    parts = _parts(Domain, values)
    for name, kind in (("certificate", Certificate), ("window", RenewalWindow), ("hsts", Hsts)):
        if part := parts.get(name):
            parts[name] = _checked(kind(**_parts(kind, part)))
    for name, member in (("revocations", Revocation), ("rejections", Rejection)):
        parts[name] = tuple(_checked(member(**_parts(member, part))) for part in parts.get(name) or ())
    return _checked(Domain(**parts))


def _issuance(values: dict[str, Any]) -> Issuance:
    parts = _parts(Issuance, values)
    for name in ("problem", "failover_problem"):
        if problem := parts.get(name):
            parts[name] = Problem.from_dict(problem)
    parts |= {"step": Step(parts["step"]), "reason": Reason(parts["reason"])}
    parts |= {name: tuple(parts.get(name) or ()) for name in ("authorization_urls", "passed_over", "refused_by")}
    return _checked(Issuance(**parts))


def _event(values: dict[str, Any]) -> Event:
    return _checked(Event(**_parts(Event, values)))


def _former(lines: list[dict[str, Any]], last_id: int) -> list[Event]:
    """The events of lines that a release before the timeline wrote."""
    return [
        Event(last_id + number, line["at"], EventType.NOTE.value, data={"text": line["text"], "step": line["step"]})
        for number, line in enumerate(lines, 1)
    ]


def _parts(kind: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """The fields of a part of a record, by the names of this release; unknown members are in `extra`."""
    named = {FIELDS.get(member, member): value for member, value in values.items()}
    known = _known(kind, named)
    known["extra"] = tuple((name, value) for name, value in named.items() if name not in known)
    return known


def _known(kind: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(cast("Any", kind))} - {"extra"}
    return {name: value for name, value in values.items() if name in names}


def _checked(part: Part) -> Part:
    """The part. Raises TypeError or ValueError if a field has another type than this release gives it, or a value
    that is none."""
    for name, kinds in _kinds(cast("Any", type(part))).items():
        value: Any = getattr(part, name)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(name)
        if isinstance(value, (int, float)) and not EARLIEST <= value <= LATEST:
            raise TypeError(name)
        if isinstance(value, str):
            value.encode()  # fails for half a character of JSON, which nothing can print
    return part


@cache
def _kinds(kind: Any) -> dict[str, tuple[type, ...]]:
    """The types that each field of a part may have; every number is one."""
    kinds = {}
    for name, hint in get_type_hints(kind).items():
        options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        types = tuple(get_origin(option) or option for option in options)
        kinds[name] = (*types, int, float) if {int, float} & set(types) else types
    return kinds
