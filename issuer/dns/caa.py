"""May a CA issue for a name? The CAA records that count are found here as the CA will find them (RFC 8659 §3)."""

from collections.abc import Iterable
from typing import cast

from dns.name import Name, root
from dns.rdatatype import CAA
from dns.rdtypes.ANY.CAA import CAA as Record  # noqa: N811 - a class
from dns.resolver import NXDOMAIN
from dns.rrset import RRset

from issuer.dns.caa_rules import Applicant, judge
from issuer.dns.queries import Questions, UnansweredError, text_of
from issuer.ports import Finding, Verdict


def permission(questions: Questions, name: Name, applicant: Applicant) -> Finding:
    """Whether the applicant may have a certificate for a name, by the closest records on the way up from it."""
    try:
        level, records = _closest(questions, name)
    except UnansweredError as error:
        return Finding(Verdict.UNKNOWN, str(error))
    if not records:
        return Finding(Verdict.YES, f"neither {text_of(name)} nor a name above it has a CAA record")
    verdict, words = judge(cast("Iterable[Record]", records), applicant)
    owner = records.name.canonicalize()
    where = text_of(owner) if owner == level else f"{text_of(owner)}, where {text_of(level)} is a CNAME to,"
    return Finding(verdict, f"{where} {words}")


def _closest(questions: Questions, name: Name) -> tuple[Name, RRset | None]:
    """The first records on the way up, and the level they count for. A CNAME leads to the records of its end, never
    to those above its end."""
    level = name
    while level != root:
        try:
            records = questions.ask_the_end(level, CAA).rrset
        except NXDOMAIN:
            records = None
        if records:
            return level, records
        level = level.parent()
    return level, None
