"""What an operator may set for one domain: its CA, its profile, whom its chain leads to."""

from issuer.domain import Record
from issuer.ports import Conflict, Services
from issuer.problem import Problem, ProblemType

MAX_CONFLICTS = 20


def prefer(
    services: Services, name: str, *, ca: str | None = None, profile: str | None = None, chain: str | None = None
) -> Record:
    """Let a domain's certificates come from one CA (a directory URL), be of one profile, and have a chain that leads to
    the issuer of a common name, from its next order on.

    None leaves as it is, an empty text takes back what was set. Raises Problem for a domain or a CA that is not there.
    """
    if ca and services.ca_at(ca) is None:
        known = ", ".join(one.directory_url for one in services.cas)
        raise Problem(ProblemType.INVALID_REQUEST, f"{ca} is none of the CAs in use", hint=f"they are {known}")
    given = {
        field: value or None
        for field, value in (("ca", ca), ("profile", profile), ("preferred_chain", chain))
        if value is not None
    }
    for _ in range(MAX_CONFLICTS):
        record = services.store.load(name)
        if record is None or record.domain.is_withdrawn:
            raise Problem(ProblemType.NOT_FOUND, name)
        try:
            return services.store.amend(record.with_domain(**given), now=services.clock())
        except Conflict:
            continue
    raise Problem(ProblemType.BUSY, hint="try again in a moment")
