"""Has one of our own targets an address?"""

from dns.name import Name

from issuer.dns.cname import FAMILIES, MAX_SHOWN
from issuer.dns.queries import NoSuchNameError, Queries, UnansweredError, text_of
from issuer.ports import Finding, Verdict
from issuer.problem import Actor


def addresses_of_target(queries: Queries, target: Name) -> Finding:
    """Whether a target has an address of either family. The verdict is no only after clear answers for both."""
    shown, addresses = text_of(target), list[str]()
    unanswered: list[UnansweredError] = []
    for family in FAMILIES:
        try:
            addresses += sorted(record.to_text() for record in queries.resolve_target(target, family).rrset or ())
        except NoSuchNameError:
            return Finding(Verdict.NO, f"our own target {shown} does not exist in DNS", must_act=Actor.PLATFORM)
        except UnansweredError as error:
            unanswered.append(error)
    if addresses:
        listed = ", ".join(addresses[:MAX_SHOWN] + ["…"] * (len(addresses) > MAX_SHOWN))
        return Finding(Verdict.YES, f"our own target {shown} has the address{'es' * (len(addresses) > 1)} {listed}")
    if unanswered:
        summary = f"our own target {shown}: {unanswered[0]}"
        return Finding(Verdict.UNKNOWN, summary, must_act=Actor.PLATFORM)
    return Finding(Verdict.NO, f"our own target {shown} has no address", must_act=Actor.PLATFORM)
