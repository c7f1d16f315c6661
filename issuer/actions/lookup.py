"""One domain, as its operator asks for it."""

from issuer.domain import Record
from issuer.names import canonical
from issuer.ports import Services
from issuer.problem import Problem, ProblemType


def record_of(services: Services, text: str) -> Record:
    """The record of a domain, whichever account holds it. text: its name as somebody typed it. Raises
    Problem(invalid-name, not-found)."""
    name = canonical(text, allow_reserved=True)
    record = services.store.load(name)
    if record is None:
        raise Problem(ProblemType.NOT_FOUND, name)
    return record
