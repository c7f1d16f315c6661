"""The record of one domain, for the operator."""

from issuer import names
from issuer.domain import Record
from issuer.ports import Services
from issuer.problem import Problem, ProblemType


def record_of(services: Services, text: str) -> Record:
    """The record of a domain of any account. text: its name as typed. Raises Problem(invalid-name, not-found)."""
    name = names.known(text)
    record = services.store.load(name)
    if record is None:
        raise Problem(ProblemType.NOT_FOUND, name)
    return record
