"""What an operator may set for one domain: its CA, its profile, whom its chain leads to."""

from issuer.domain import Record
from issuer.events import By, EventType
from issuer.ports import Services
from issuer.problem import Problem, ProblemType


def prefer(
    services: Services, name: str, *, ca: str | None = None, profile: str | None = None, chain: str | None = None
) -> Record:
    """Let a domain's certificates come from one CA (a directory URL), be of one profile, and have a chain that leads to
    the issuer of a common name, from its next order on.

    None leaves as it is, an empty text takes back what was set. Raises Problem for a domain or a CA that is not there.
    """
    if ca and services.ca_at(ca) is None:
        known = ", ".join(authority.directory_url for authority in services.cas)
        raise Problem(ProblemType.INVALID_REQUEST, f"{ca} is none of the CAs in use", hint=f"they are {known}")
    given = {
        field: value or None
        for field, value in (("ca", ca), ("profile", profile), ("preferred_chain", chain))
        if value is not None
    }
    now = services.clock()

    def change(record: Record | None) -> Record:
        if record is None or record.domain.is_withdrawn:
            raise Problem(ProblemType.NOT_FOUND, name)
        preferring = record.with_domain(**given)
        return preferring.with_event(now, EventType.DOMAIN_PREFERENCES_CHANGED, given, by=By.OPERATOR)

    record = services.store.update(name, change, now=now)
    assert record
    return record
