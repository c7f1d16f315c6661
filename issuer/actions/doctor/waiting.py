"""Domains that wait for the platform: what no other check finds is told all the same, once for all of them."""

from issuer.domain import Listing, Record
from issuer.ports import Check, CheckResult, Services
from issuer.problem import Actor, ProblemType

CODE = "waiting"
"""The code of the check; its subject is the code of the problem."""
PAGE = 100
"""So many domains with a problem are looked at."""
OF_CAS = frozenset({ProblemType.CA_SETTINGS, ProblemType.CA_ACCOUNT})
"""Each CA has a check of its own, which says the same."""


def look(services: Services) -> list[Check]:
    """A failed check for each kind of problem for which domains wait until the platform has acted. Raises
    Problem(store-unavailable)."""
    if not services.store.count_of(Listing.MUST_ACT, Actor.PLATFORM):
        return [Check(CODE, CheckResult.OK, "no domain waits for the platform")]
    checks = [check for type_ in ProblemType if type_ not in OF_CAS and (check := _check(services, type_))]
    return checks or [Check(CODE, CheckResult.OK, "no domain waits for the platform with a problem of its own")]


def _check(services: Services, type_: ProblemType) -> Check | None:
    names = services.store.names_of(Listing.CODE, type_.value, after="", limit=PAGE)
    records = [record for record in services.store.records(names) if isinstance(record, Record) and _waits(record)]
    if not records:
        return None
    problem, first = records[0].issuance.problem, records[0].domain.name
    assert problem
    many = (
        f"{len(records)}{' and more' if len(names) == PAGE else ''} domains wait" if records[1:] else "1 domain waits"
    )
    cause = f"{many} for the platform, among them {first}: {problem.cause}"
    return Check(CODE, CheckResult.FAILED, cause, type_.value, problem.hint)


def _waits(record: Record) -> bool:
    """Whether its attempt is open, and goes on only once the platform has acted."""
    problem = record.issuance.problem
    return record.issuance.is_open and problem is not None and problem.actor is Actor.PLATFORM
