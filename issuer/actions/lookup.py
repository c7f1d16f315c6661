"""The record of one domain, for the operator."""

from issuer import names
from issuer.domain import Record
from issuer.fleet import attention
from issuer.fleet.heartbeats import instant
from issuer.ports import Refusal, Services
from issuer.problem import Problem, ProblemType


def record_of(services: Services, text: str) -> Record:
    """The record of a domain of any account, as it is told. text: its name as typed. Raises Problem(invalid-name,
    not-found)."""
    name = names.known(text)
    record = services.store.load(name)
    if record is None:
        raise _not_found(name, next(iter(services.store.refusals_of(name, now=services.clock())), None))
    return attention.told(services, record)


def require_held(record: Record | None, name: str) -> Record:
    """The record. Raises Problem(not-found) unless an account holds the name."""
    if record is None:
        raise _not_found(name)
    if record.domain.is_withdrawn:
        raise Problem(ProblemType.NOT_FOUND, name, message="the domain has been withdrawn")
    return record


def _not_found(name: str, refusal: Refusal | None = None) -> Problem:
    if refusal is None:
        return Problem(ProblemType.NOT_FOUND, name, hint="'issuer list' shows the domains")
    cause = f"the last request for it, of the account {refusal.account}, was refused at {instant(refusal.at)}"
    return Problem(ProblemType.NOT_FOUND, f"{refusal.code}: {refusal.cause}", cause=cause, hint=refusal.hint)
