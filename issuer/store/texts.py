"""Records as the texts that Redis holds, and back. A field that is missing has its default; one that this version does
not know is passed over, as a newer version beside it may have written it."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, cast

from issuer.domain import (
    Account,
    Certificate,
    Domain,
    Event,
    Hsts,
    Issuance,
    Plan,
    Reason,
    Record,
    RenewalWindow,
    Revocation,
    Step,
)
from issuer.ports import CaAccount
from issuer.problem import Problem

DOMAIN_MEMBERS = {"moved_away_since": "away_since", "is_expiry_reported": "is_end_told"}
"""Fields whose members in JSON have kept an older name."""
DOMAIN_FIELDS = {member: field for field, member in DOMAIN_MEMBERS.items()}


def domain_text(domain: Domain) -> str:
    """JSON of a domain."""
    return json.dumps({DOMAIN_MEMBERS.get(name, name): value for name, value in asdict(domain).items()})


def issuance_text(issuance: Issuance) -> str:
    """JSON of an issuance."""
    problem = issuance.problem
    values = {one.name: getattr(issuance, one.name) for one in fields(issuance)}
    told = {"problem": problem.as_dict() if problem else None, "events": [asdict(one) for one in issuance.events]}
    return json.dumps(values | told)


def account_text(account: Account | CaAccount) -> str:
    """JSON of a customer's account, or of ours at a CA; what has its default is left out."""
    defaults = {one.name: one.default for one in fields(account)}
    return json.dumps({name: value for name, value in asdict(account).items() if value != defaults[name]})


def record(values: dict[str, str]) -> Record:
    """The record of a domain's hash."""
    stored = json.loads(values["domain"])
    domain = _known(Domain, {DOMAIN_FIELDS.get(name, name): value for name, value in stored.items()})
    issuance = _known(Issuance, json.loads(values["issuance"]))
    if certificate := domain.get("certificate"):
        domain["certificate"] = Certificate(**_known(Certificate, certificate))
    if window := domain.get("window"):
        domain["window"] = RenewalWindow(**_known(RenewalWindow, window))
    if hsts := domain.get("hsts"):
        domain["hsts"] = Hsts(**_known(Hsts, hsts))
    domain["revocations"] = tuple(Revocation(**_known(Revocation, one)) for one in domain.get("revocations") or ())
    if problem := issuance.get("problem"):
        issuance["problem"] = Problem.from_dict(problem)
    issuance |= {"step": Step(issuance["step"]), "reason": Reason(issuance["reason"])}
    issuance |= {one: tuple(issuance.get(one) or ()) for one in ("authorization_urls", "passed_over")}
    issuance["events"] = tuple(_event(one) for one in issuance.get("events") or ())
    return Record(
        Domain(**domain),
        Issuance(**issuance),
        version=int(values["version"]),
        lease_until=float(values.get("lease_until", 0)),
        attempts_started=int(values["begun"]),
    )


def account(text: str) -> Account:
    """The inverse of `account_text`."""
    values = _known(Account, json.loads(text))
    return Account(**values | {"plan": Plan(values["plan"])})


def ca_account(text: str) -> CaAccount:
    """The inverse of `account_text`."""
    return CaAccount(**_known(CaAccount, json.loads(text)))


def _event(values: dict[str, Any]) -> Event:
    return Event(**_known(Event, values) | {"step": Step(values["step"])})


def _known(kind: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(cast("Any", kind))}
    return {name: value for name, value in values.items() if name in names}
