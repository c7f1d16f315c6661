"""The HSTS policy that an account sets for one of its domains (RFC 6797).

Browsers apply a policy for its whole max-age, even after the certificate has expired or the domain has moved away. So
whatever affects more than the name itself must be requested explicitly, and switching HSTS off is sent to browsers too.
"""

from collections.abc import Callable
from typing import Any

from issuer import names
from issuer.actions import eligibility
from issuer.domain import Account, Hsts, Record
from issuer.edge import bundle
from issuer.events import By, EventType
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

LONGEST_SECONDS = 63_072_000
PRELOAD_SECONDS = 31_536_000
"""The shortest max-age that the browsers' preload list accepts."""
OFF = Hsts(0)
MEMBERS = ("max_age", "include_subdomains", "preload")


def asked_for(body: dict[str, Any]) -> Hsts:
    """The policy in the JSON body of a request. Raises Problem(invalid-request)."""
    if unknown := sorted(set(body) - set(MEMBERS)):
        raise _wrong(f"{unknown[0][:60]!a} is not a member of a policy", f"its members are {', '.join(MEMBERS)}")
    seconds = body.get("max_age")
    if type(seconds) is not int or not 0 <= seconds <= LONGEST_SECONDS:
        raise _wrong("max_age is not a whole number of seconds in range", f"give 0 (off) to {LONGEST_SECONDS}")
    below, is_preload = (body.get(member, False) for member in MEMBERS[1:])
    if type(below) is not bool or type(is_preload) is not bool:
        raise _wrong("include_subdomains and preload must be true or false", "leave them out for false")
    if is_preload and not (below and seconds >= PRELOAD_SECONDS):
        raise _wrong(
            "the browsers' preload list does not accept this policy",
            f"preload needs include_subdomains and a max_age of at least {PRELOAD_SECONDS}",
        )
    return Hsts(seconds, includes_subdomains=below and seconds > 0, is_preload=is_preload)


def put(services: Services, account: Account, text: str, wanted: Callable[[], Hsts]) -> Record:
    """Set the policy of a domain that an account holds, even while an issuance is in progress. Raises
    Problem(not-initiated) for any other domain, and only then what `wanted` raises."""
    name, now = names.known(text), services.clock()

    def change(record: Record | None) -> Record:
        held = eligibility.require_held(record, account, name)
        policy = wanted().after(bundle.policy(services, held.domain), now)
        header = policy.header(now) or "none"
        return held.with_domain(hsts=policy).with_event(now, EventType.HSTS_CHANGED, {"policy": header}, by=By.ACCOUNT)

    record = services.store.update(name, change, now=now, repairs=True)
    assert record
    return record


def warning(name: str, policy: Hsts) -> str:
    """A warning about the effects of a policy on other hosts, for the one who sets it; empty if there are none."""
    days, sentences = policy.max_age_seconds // 86400, []
    how_long = f"{days} days" if days else f"{policy.max_age_seconds} seconds"
    if policy.includes_subdomains:
        sentences.append(
            f"for {how_long}, browsers that have received this policy open {name} and every name below it only over "
            "HTTPS, even names that other servers serve"
        )
    if policy.is_preload:
        sentences.append(
            "preload allows anybody to add the name to the list that is built into browsers, which then apply the "
            "policy even before a first visit; removal from the list takes months"
        )
    return "; ".join(sentences)


def _wrong(detail: str, hint: str) -> Problem:
    return Problem(ProblemType.INVALID_REQUEST, detail, message="this is not a valid HSTS policy", hint=hint)
