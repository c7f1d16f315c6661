"""The HSTS policy that an account sets for one of its domains (RFC 6797).

It outlives what set it: browsers keep to it for its whole max-age, also when the certificate has ended or the domain
has left us. So all that reaches further than the name itself must be asked for, and switching off is told.
"""

from collections.abc import Callable
from typing import Any

from issuer.actions import eligibility
from issuer.domain import Account, Hsts, Record
from issuer.edge import bundle
from issuer.events import By, EventType
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

LONGEST_SECONDS = 63_072_000
PRELOAD_SECONDS = 31_536_000
"""The least that browsers' preload list takes."""
OFF = Hsts(0)
MEMBERS = ("max_age", "include_subdomains", "preload")


def asked_for(body: dict[str, Any]) -> Hsts:
    """The policy of a request's JSON. Raises Problem(invalid-request)."""
    if unknown := sorted(set(body) - set(MEMBERS)):
        raise _wrong(f"{unknown[0][:60]!a} is no member of a policy", f"its members are {', '.join(MEMBERS)}")
    seconds = body.get("max_age")
    if type(seconds) is not int or not 0 <= seconds <= LONGEST_SECONDS:
        raise _wrong("max_age is not a whole number of seconds in range", f"give 0 (off) to {LONGEST_SECONDS}")
    below, is_preload = (body.get(member, False) for member in MEMBERS[1:])
    if type(below) is not bool or type(is_preload) is not bool:
        raise _wrong("include_subdomains and preload are true or false", "leave them out for false")
    if is_preload and not (below and seconds >= PRELOAD_SECONDS):
        raise _wrong(
            "browsers do not take this into their preload list",
            f"preload needs include_subdomains and a max_age of at least {PRELOAD_SECONDS}",
        )
    return Hsts(seconds, includes_subdomains=below and seconds > 0, is_preload=is_preload)


def put(services: Services, account: Account, text: str, wanted: Callable[[], Hsts]) -> Record:
    """Set the policy of a domain that an account holds, whatever else is in progress for it. Raises
    Problem(not-initiated) for any other domain, and only then what `wanted` raises."""
    name, now = eligibility.known_name(text), services.clock()

    def change(record: Record | None) -> Record:
        held = eligibility.require_held(record, account, name)
        policy = wanted().after(bundle.policy(services, held.domain), now)
        shown = policy.header(now) or "none"
        return held.with_domain(hsts=policy).with_event(now, EventType.HSTS_CHANGED, {"policy": shown}, by=By.ACCOUNT)

    record = services.store.update(name, change, now=now)
    assert record
    return record


def warning(name: str, policy: Hsts) -> str:
    """What whoever sets a policy should know, in plain words; empty where it binds nobody else."""
    days, words = policy.max_age_seconds // 86400, []
    how_long = f"{days} days" if days else f"{policy.max_age_seconds} seconds"
    if policy.includes_subdomains:
        words.append(
            f"browsers that have seen this open {name} and every name below it over HTTPS only, for {how_long}, "
            "on hosts that are not served here too"
        )
    if policy.is_preload:
        words.append(
            "preload lets anybody have the name built into browsers, for those too that have never been there; "
            "to get it out again takes months"
        )
    return "; ".join(words)


def _wrong(detail: str, hint: str) -> Problem:
    return Problem(ProblemType.INVALID_REQUEST, detail, message="this is no HSTS policy", hint=hint)
