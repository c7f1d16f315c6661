"""What a set of CAA records allows (RFC 8659 §4, RFC 8657). It is untrusted input: any bytes, any number of records."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Self

from dns.rdtypes.ANY.CAA import CAA

from issuer.ports import Verdict

ISSUE, ACCOUNT, METHODS, HTTP_01 = "issue", "accounturi", "validationmethods", "http-01"
KNOWN = frozenset({ISSUE, "issuewild", "issuemail", "issuevmc", "iodef", "contactemail", "contactphone"})
"""Only `issue` decides about a TLS certificate for a host name: `issuewild` is for wildcards, `issuemail` for S/MIME
(RFC 9495), `issuevmc` for logos in mail, and the others say whom to contact. So no flag makes them forbid anything."""
CRITICAL = 0x80
"""Bit 0 of the flags, which RFC 8659 §4.1 counts from the most significant one. All other bits are ignored."""
BLANKS = " \t"
DOMAIN = re.compile(r"{0}(?:\.{0})*\.?".format("[a-z0-9]+(?:-+[a-z0-9]+)*"))
PARAMETER = re.compile(r"([A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*)[ \t]*=[ \t]*([!-:<-~]*)")
LABELS = re.compile(r"[A-Za-z0-9-]+(?:,[A-Za-z0-9-]+)*")
MAX_SHOWN = 3
MAX_CHARACTERS = 80
"""How many values a summary shows, and how many characters of each."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """A CA, by its domains in CAA records, and our account there (its URL; empty: none yet)."""

    issuers: frozenset[str]
    account_url: str

    @classmethod
    def of(cls, issuers: Iterable[str], account_url: str) -> Self:
        """With the domains in the form in which they are compared."""
        return cls(frozenset(filter(None, map(_domain, issuers))), account_url)


class _Match(IntEnum):
    """How well an `issue` property matches the applicant. The best match decides, and is named first."""

    FULL = 0
    POSSIBLE = 1
    ISSUER_ONLY = 2
    NONE = 3


@dataclass(frozen=True, slots=True)
class _Grant:
    """An `issue` property. issuer: empty for no CA. account, methods: what it requires, None for nothing."""

    issuer: str
    account: str | None
    methods: str | None

    def clause(self, applicant: Applicant) -> tuple[_Match, str]:
        """How well it matches, and whom it allows, in words."""
        issuer = _cut(self.issuer)
        if self.issuer not in applicant.issuers:
            return _Match.NONE, issuer
        if self.methods is not None and HTTP_01 not in self.methods.split(","):
            return _Match.ISSUER_ONLY, f"{issuer} with methods other than {HTTP_01}"
        if self.account is None:
            return _Match.FULL, issuer
        if not applicant.account_url:
            return _Match.POSSIBLE, f"{issuer} for one account"
        if self.account == applicant.account_url:
            return _Match.FULL, issuer
        return _Match.ISSUER_ONLY, f"{issuer} for another account"


def judge(records: Iterable[CAA], applicant: Applicant) -> tuple[Verdict, str]:
    """Whether a set lets the applicant issue for a name that is not a wildcard, and why: a predicate of the set's
    owner name."""
    tagged = [(record.tag.decode("latin-1").lower(), record) for record in records]
    verdict, words = _by_issue(tagged, applicant)
    unknown = sorted({tag for tag, record in tagged if record.flags & CRITICAL and tag not in KNOWN})
    if unknown and verdict is not Verdict.NO:
        # A CA that knows it may issue, any other must not.
        shown = _listed(map(_cut, unknown))
        return Verdict.UNKNOWN, f"has a critical CAA property that this service does not know: {shown}"
    return verdict, words


def _by_issue(tagged: list[tuple[str, CAA]], applicant: Applicant) -> tuple[Verdict, str]:
    """What the `issue` properties alone say."""
    values = sorted({record.value.decode("latin-1") for tag, record in tagged if tag == ISSUE})
    if not values:
        return Verdict.YES, "has CAA records, but none that restricts who may issue"
    grants = {value: _grant(value) for value in values}
    clauses = sorted({grant.clause(applicant) for grant in grants.values() if grant and grant.issuer})
    verdict, words = _verdict(clauses)
    malformed = next((value for value in values if grants[value] is None), None)
    if verdict is Verdict.YES or malformed is None:
        return verdict, words
    return verdict, f"{words}; its CAA value {_cut(ascii(malformed))} cannot be read"


def _verdict(clauses: list[tuple[_Match, str]]) -> tuple[Verdict, str]:
    if not clauses:
        return Verdict.NO, "forbids all CAs"
    match, allowed = clauses[0]
    if match is _Match.FULL:
        return Verdict.YES, f"allows {allowed}"
    words = f"allows only {_listed(words for _, words in clauses)}"
    if match is _Match.POSSIBLE:
        return Verdict.UNKNOWN, f"{words}, and our account at the CA is not known yet"
    return Verdict.NO, words


def _grant(value: str) -> _Grant | None:
    """A parsed `issue` value; None for a malformed one, which allows no CA."""
    domain, *parts = (part.strip(BLANKS) for part in value.split(";"))
    matches = [PARAMETER.fullmatch(part) for part in parts] if parts != [""] else []
    tags = [match[1] for match in matches if match]
    parameters = {match[1]: match[2] for match in matches if match}
    methods = parameters.get(METHODS)
    is_well_formed = (
        all(matches)
        and (not domain or DOMAIN.fullmatch(domain.lower()))
        and tags.count(ACCOUNT) <= 1
        and tags.count(METHODS) <= 1
        and (methods is None or LABELS.fullmatch(methods))
    )
    return _Grant(_domain(domain), parameters.get(ACCOUNT), methods) if is_well_formed else None


def _domain(text: str) -> str:
    return text.strip(BLANKS).removesuffix(".").lower()


def _listed(words: Iterable[str]) -> str:
    first = list(islice(words, MAX_SHOWN + 1))
    return " or ".join(first[:MAX_SHOWN] + ["…"] * (len(first) > MAX_SHOWN))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"
