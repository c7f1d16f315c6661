"""Records as JSON texts for Redis, and back.

A member that is missing has its default value, and a member with its default value is left out. A member that this
release does not know is kept unchanged (`extra`), as a newer release may have written it. Some members have an older
name than their fields.
"""

import json
from collections.abc import Callable, Mapping
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
    Plan,
    Reason,
    Record,
    RenewalWindow,
    Revocation,
    Step,
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
"""No time or number of a record is as large."""

FORMER_EVENTS = "events"
"""The member of an issuance in which releases before the timeline stored their lines."""


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
        issuance = json.loads(values["issuance"])
        former = issuance.pop(FORMER_EVENTS, None) or []
        timeline = [_event(event) for event in json.loads(values.get("timeline", "[]"))]
        timeline += _former(former, timeline[-1].id if timeline else 0)
        return Record(
            _domain(json.loads(values["domain"])),
            _issuance(issuance),
            version=int(values["version"]),
            lease_until=float(values.get("lease_until", 0)),
            attempts_started=int(values["begun"]),
            timeline=tuple(timeline),
            callers_changes=int(values.get("callers_changes", 0)),
            schema=max(int(values.get("schema", 1)), SCHEMA),
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        detail = f"{name}: {type(error).__name__} in its record"
        raise Problem(ProblemType.DAMAGED_RECORD, detail) from None


def account(text: str) -> Account:
    """The inverse of `account_text`."""
    values = _known(Account, json.loads(text))
    return Account(**values | {"plan": Plan(values["plan"])})


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


def _domain(values: dict[str, Any]) -> Domain:
    parts = _parts(Domain, values)
    for name, kind in (("certificate", Certificate), ("window", RenewalWindow), ("hsts", Hsts)):
        if part := parts.get(name):
            parts[name] = _checked(kind(**_parts(kind, part)))
    revocations = [_checked(Revocation(**_parts(Revocation, part))) for part in parts.get("revocations") or ()]
    return _checked(Domain(**parts | {"revocations": tuple(revocations)}))


def _issuance(values: dict[str, Any]) -> Issuance:
    parts = _parts(Issuance, values)
    if problem := parts.get("problem"):
        parts["problem"] = Problem.from_dict(problem)
    parts |= {"step": Step(parts["step"]), "reason": Reason(parts["reason"])}
    parts |= {name: tuple(parts.get(name) or ()) for name in ("authorization_urls", "passed_over")}
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
    """The part. Raises TypeError if a field has another type than this release gives it."""
    for name, kinds in _kinds(cast("Any", type(part))).items():
        value: Any = getattr(part, name)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(name)
        if isinstance(value, (int, float)) and not abs(value) < LARGEST:
            raise TypeError(name)
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
