"""The operator's preferences for one domain: its CA, its profile, the issuer that its chain leads to."""

from issuer.domain import Record
from issuer.events import By, EventType
from issuer.ports import Services
from issuer.problem import Problem, ProblemType


def prefer(
    services: Services,
    name: str,
    *,
    ca: str | None = None,
    profile: str | None = None,
    required_profile: str | None = None,
    chain: str | None = None,
) -> Record:
    """Set the only CA of a domain (its directory URL), its certificate profile (preferred or required, as in
    `ports.CaPolicy`), and the common name of the issuer that its chain should lead to, from its next order on.

    None leaves a preference unchanged, an empty text removes it. Raises Problem for an unknown domain or CA.
    """
    if ca and services.ca_at(ca) is None:
        known = ", ".join(authority.directory_url for authority in services.cas)
        raise Problem(ProblemType.INVALID_REQUEST, f"{ca} is not one of the CAs in use", hint=f"they are {known}")
    chosen = {"ca": ca, "profile": profile, "required_profile": required_profile, "preferred_chain": chain}
    preferences = {field: value or None for field, value in chosen.items() if value is not None}
    now = services.clock()

    unchanged: Record | None = None

    def change(record: Record | None) -> Record | None:
        nonlocal unchanged
        if record is None or record.domain.is_withdrawn or not record.domain.account:
            raise Problem(ProblemType.NOT_FOUND, name)
        preferring = record.with_domain(**preferences)
        if preferring.domain == record.domain:
            unchanged = record
            return None
        return preferring.with_event(now, EventType.DOMAIN_PREFERENCES_CHANGED, preferences, by=By.OPERATOR)

    record = services.store.update(name, change, now=now, repairs=True) or unchanged
    assert record
    return record
