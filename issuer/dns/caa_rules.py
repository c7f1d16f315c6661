"""What a set of CAA records allows (RFC 8659 §4, RFC 8657). They are foreign text: any bytes, any number of them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Self

from dns.rdtypes.ANY.CAA import CAA

from issuer.ports import Verdict

ISSUE, ACCOUNT, METHODS, HTTP_01 = "issue", "accounturi", "validationmethods", "http-01"
KNOWN = frozenset({ISSUE, "issuewild", "iodef"})
CRITICAL = 128
BLANKS = " \t"
DOMAIN = re.compile(r"{0}(?:\.{0})*\.?".format("[a-z0-9]+(?:-+[a-z0-9]+)*"))
PARAMETER = re.compile(r"([A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*)[ \t]*=[ \t]*([!-:<-~]*)")
LABELS = re.compile(r"[A-Za-z0-9-]+(?:,[A-Za-z0-9-]+)*")
SHOWN = 3
SHOWN_LETTERS = 80
"""How many of a kind, and how much of each, are spelled out."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """A CA by the domains it goes by, and the account that asks it (its URL; empty: none yet)."""

    issuers: frozenset[str]
    account_url: str

    @classmethod
    def of(cls, issuers: Iterable[str], account_url: str) -> Self:
        """The domains as they are compared."""
        return cls(frozenset(filter(None, map(_domain, issuers))), account_url)


class _Fit(IntEnum):
    """How near an `issue` property comes to the applicant. The nearest one decides, and is told of first."""

    ALLOWS = 0
    PERHAPS = 1
    ALMOST = 2
    OTHER = 3


@dataclass(frozen=True, slots=True)
class _Grant:
    """An `issue` property. issuer: empty for nobody. account, methods: what it demands, None for nothing."""

    issuer: str
    account: str | None
    methods: str | None

    def clause(self, applicant: Applicant) -> tuple[_Fit, str]:
        """How near it comes, and whom it allows in words."""
        issuer = _cut(self.issuer)
        if self.issuer not in applicant.issuers:
            return _Fit.OTHER, issuer
        if self.methods is not None and HTTP_01 not in self.methods.split(","):
            return _Fit.ALMOST, f"{issuer} by other methods than {HTTP_01}"
        if self.account is None:
            return _Fit.ALLOWS, issuer
        if not applicant.account_url:
            return _Fit.PERHAPS, f"{issuer} for one account"
        if self.account == applicant.account_url:
            return _Fit.ALLOWS, issuer
        return _Fit.ALMOST, f"{issuer} for another account"


def judge(records: Iterable[CAA], applicant: Applicant) -> tuple[Verdict, str]:
    """Whether a set lets the applicant issue, for a name that is no wildcard, and why: words that go after the name
    of the set's owner."""
    tagged = [(record.tag.decode("latin-1").lower(), record) for record in records]
    if unknown := sorted({tag for tag, record in tagged if record.flags & CRITICAL and tag not in KNOWN}):
        return Verdict.NO, f"has a critical CAA property that is not known here: {_listed(map(_cut, unknown))}"
    values = sorted({record.value.decode("latin-1") for tag, record in tagged if tag == ISSUE})
    if not values:
        return Verdict.YES, "has CAA records, but none that says who may issue"
    grants = {value: _grant(value) for value in values}
    clauses = sorted({grant.clause(applicant) for grant in grants.values() if grant and grant.issuer})
    verdict, words = _weighed(clauses)
    unread = next((value for value in values if grants[value] is None), None)
    if verdict is Verdict.YES or unread is None:
        return verdict, words
    return verdict, f"{words}; its CAA value {_cut(ascii(unread))} can not be read"


def _weighed(clauses: list[tuple[_Fit, str]]) -> tuple[Verdict, str]:
    if not clauses:
        return Verdict.NO, "forbids all CAs"
    fit, nearest = clauses[0]
    if fit is _Fit.ALLOWS:
        return Verdict.YES, f"allows {nearest}"
    words = f"allows {_listed(words for _, words in clauses)} only"
    if fit is _Fit.PERHAPS:
        return Verdict.UNKNOWN, f"{words}, and our own account there is not known yet"
    return Verdict.NO, words


def _grant(value: str) -> _Grant | None:
    """An `issue` value as read; None for one that is malformed, which allows nobody."""
    domain, *parts = (part.strip(BLANKS) for part in value.split(";"))
    found = [PARAMETER.fullmatch(part) for part in parts] if parts != [""] else []
    tags = [one[1] for one in found if one]
    parameters = {one[1]: one[2] for one in found if one}
    methods = parameters.get(METHODS)
    is_sound = (
        all(found)
        and (not domain or DOMAIN.fullmatch(domain.lower()))
        and tags.count(ACCOUNT) <= 1
        and tags.count(METHODS) <= 1
        and (methods is None or LABELS.fullmatch(methods))
    )
    return _Grant(_domain(domain), parameters.get(ACCOUNT), methods) if is_sound else None


def _domain(text: str) -> str:
    return text.strip(BLANKS).removesuffix(".").lower()


def _listed(words: Iterable[str]) -> str:
    shown = list(islice(words, SHOWN + 1))
    return " or ".join(shown[:SHOWN] + ["…"] * (len(shown) > SHOWN))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}…"
