"""Looks at a domain from outside: each has three answers."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Verdict(StrEnum):
    """An answer of DNS: unknown when the question could not be answered, which is never a no."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer to a question about the outside: the verdict, and what was found in words."""

    verdict: Verdict
    found: str


@dataclass(frozen=True, slots=True)
class Pointing:
    """Whether a name leads to us, or shows whose it is. found: what DNS has for it, in words. wanted: the record to
    create."""

    verdict: Verdict
    found: str
    wanted: str


class HolderProof(StrEnum):
    """What a name must have in DNS to show which account it belongs to: nothing, a CNAME to a name that has the
    account's token as its label, or a TXT record with it."""

    NONE = ""
    CNAME = "cname"
    TXT = "txt"


class Resolver(Protocol):
    """Questions to DNS."""

    def pointing(self, name: str, below: str = "") -> Pointing:
        """Follow the name's CNAMEs, or compare its addresses, to our targets. Never raises; bounded in time.

        below: a label. Then CNAMEs alone count, and only where they lead to the name with this label below a target.
        """

    def shows(self, name: str, token: str) -> Pointing:
        """Whether a TXT record of `_issuer.{name}` contains a token. Never raises; bounded in time."""

    def caa(self, name: str, issuers: Collection[str], account_url: str) -> Finding:
        """Whether the CAA records that count for a name (RFC 8659) let a CA issue for it over HTTP-01.

        issuers: the domains that the CA goes by in them (RFC 8555 §7.1.1, caaIdentities); none: it does not say.
        account_url: our account's URL there (RFC 8657 §3), empty when there is none yet. Never raises; bounded in time.
        """


class Handshake(Protocol):
    """A look at what an edge serves."""

    def serves(self, edge: str, name: str, serial: str) -> Finding:
        """Whether an edge (`host:port`) serves the certificate of a serial number (hexadecimal) for a name; unknown
        when it does not answer. Nobody need trust that certificate. Never raises; bounded in time."""


class SelfCheck(Protocol):
    """A look at a challenge's answer from outside, as a CA takes it."""

    def fetch(self, name: str, token: str, key_authorization: str) -> Finding:
        """Whether `name` answers an HTTP-01 challenge (RFC 8555 §8.3). Advice only: no is clearly seen, and unknown is
        what can not be seen from here. The words tell neither token nor answer. Never raises; bounded in time."""
