"""What an order asks for beside its name: to replace a certificate (RFC 9773 §5), and a profile
(draft-ietf-acme-profiles).

A CA that refuses such a wish is asked again without it, except for a required profile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import structlog

from issuer.ca import problems
from issuer.ca.transport import SERVER_ERROR, TOO_MANY_REQUESTS, Answer, Refusal
from issuer.problem import Problem, ProblemType

CONFLICT = 409
SUSPECTS = {"alreadyReplaced": {"replaces"}, "invalidProfile": {"profile"}}
"""The error types that are about one member of an order."""
ABOUT_OTHERS = frozenset(
    {
        *(
            "accountDoesNotExist",
            "externalAccountRequired",
            "invalidContact",
            "unsupportedContact",
            "userActionRequired",
        ),
        *("badNonce", "badPublicKey", "badSignatureAlgorithm", "orderNotReady", "rateLimited", "serverInternal"),
        *("caa", "connection", "dns", "rejectedIdentifier", "tls", "unsupportedIdentifier"),
    }
)
"""The error types that are about neither. CAs use `malformed`, `unauthorized` and types of their own for both."""
Members = dict[str, str]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Profiles:
    """A preferred profile, which is left out where a CA does not offer it, and a required one; empty: none."""

    preferred: str = ""
    required: str = ""


def profile(own: Profiles, usual: Profiles, offered: list[str]) -> tuple[Members, bool]:
    """The profile member of an order, and whether it is required. A required profile comes before a preferred one, and
    the domain's own before what is usual at the CA. Raises Problem if the CA does not offer a required one."""
    if required := own.required or usual.required:
        if required not in offered:
            shown = problems.plain(", ".join(offered))[:200] or "the CA offers none"
            hint = f"the operator must require one of the CA's profiles, or none: {shown}"
            raise Problem(ProblemType.CA_MISUNDERSTOOD, f"the CA has no profile {required!a}", hint=hint)
        return {"profile": required}, True
    preferred = [name for name in (own.preferred, usual.preferred) if name]
    chosen = next((name for name in preferred if name in offered), "")
    if preferred and not chosen:
        log.info("the CA does not offer the preferred profile", profile=preferred[0], offered=offered)
    return ({"profile": chosen} if chosen else {}), False


def ask(post: Callable[[Members], Answer], required: Members, optional: Members) -> Answer:
    """Send an order with as many of the optional members as the CA accepts. Raises Refusal."""
    variants = list(_variants(optional))
    while True:
        wishes, *variants = variants
        try:
            return post(required | wishes)
        except Refusal as refusal:
            suspects = _suspects(refusal).intersection(wishes)
            if not suspects:
                raise
            variants = [variant for variant in variants if not suspects.issubset(variant)]
            log.info("CA refused an order that asked for more", reason=problems.words(refusal.problem), **wishes)


def _variants(optional: Members) -> Iterator[Members]:
    """All choices of the members, from all of them to none."""
    for count in range(len(optional), -1, -1):
        for names in combinations(optional, count):
            yield {name: optional[name] for name in names}


def _suspects(refusal: Refusal) -> set[str]:
    """The members that a CA may have refused an order for. A failure of the CA, a rate limit, and what is clearly about
    something else, such as the name, are about none."""
    status, type_ = refusal.answer.status, refusal.type
    if not type_ or status >= SERVER_ERROR or status == TOO_MANY_REQUESTS or type_ in ABOUT_OTHERS:
        return set()
    return SUSPECTS.get(type_) or ({"replaces"} if status == CONFLICT else {"replaces", "profile"})
