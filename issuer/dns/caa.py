"""May a CA issue for a name? Finds the CAA records that apply, in the same way as the CA does (RFC 8659 §3)."""

from collections.abc import Iterable
from typing import cast

from dns.name import Name, root
from dns.rdatatype import CAA
from dns.rdtypes.ANY.CAA import CAA as Record  # noqa: N811 - a class
from dns.rrset import RRset

from issuer.dns.caa_rules import Applicant, judge
from issuer.dns.queries import NoSuchNameError, Queries, text_of
from issuer.ports import Finding, Verdict


def permission(queries: Queries, name: Name, applicant: Applicant) -> Finding:
    """Whether the applicant may issue a certificate for a name, by the closest records on the way up from it. Raises
    UnansweredError."""
    level, records = _closest(queries, name)
    if not records:
        return Finding(Verdict.YES, f"neither {text_of(name)} nor a name above it has a CAA record")
    verdict, words = judge(cast("Iterable[Record]", records), applicant)
    owner = records.name.canonicalize()
    subject = text_of(owner) if owner == level else f"{text_of(level)} is a CNAME to {text_of(owner)}, which"
    return Finding(verdict, f"{subject} {words}", owner=text_of(owner))


def _closest(queries: Queries, name: Name) -> tuple[Name, RRset | None]:
    """The first records on the way up, and the name on that way which has them. A CNAME is followed to the records of
    its target, never to those above the target."""
    level = name
    while level != root:
        try:
            records = queries.resolve_target(level, CAA).rrset
        except NoSuchNameError:
            records = None
        if records:
            return level, records
        level = level.parent()
    return level, None
