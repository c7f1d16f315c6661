"""Looks at a domain from outside: each has three answers."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from issuer.ports.ca import Challenge


class Verdict(StrEnum):
    """An answer of DNS: unknown when the question could not be answered, which is never a no."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer to a question about the outside: the verdict, and what was found, in words."""

    verdict: Verdict
    summary: str


@dataclass(frozen=True, slots=True)
class DnsFinding:
    """Whether a name points here, or shows whose it is. summary: what DNS has for it, in words. required_record: the
    record to create."""

    verdict: Verdict
    summary: str
    required_record: str


class HolderProof(StrEnum):
    """What a name must have in DNS to show which account it belongs to: nothing, a CNAME to a name that has the
    account's token as its label, or a TXT record with it."""

    NONE = ""
    CNAME = "cname"
    TXT = "txt"


class Resolver(Protocol):
    """Questions to DNS."""

    def points_here(self, name: str, below: str = "") -> DnsFinding:
        """Follow the name's CNAMEs, or compare its addresses, to our targets. Never raises; bounded in time.

        below: a label. Then CNAMEs alone count, and only where they lead to the name with this label below a target.
        """

    def shows(self, name: str, token: str) -> DnsFinding:
        """Whether a TXT record of `_issuer.{name}` contains a token. Never raises; bounded in time."""

    def caa(self, name: str, issuers: Collection[str], account_url: str) -> Finding:
        """Whether the CAA records that count for a name (RFC 8659) let a CA issue for it over HTTP-01.

        issuers: the domains that the CA goes by in them (RFC 8555 §7.1.1, caaIdentities); none: it does not say.
        account_url: our account's URL there (RFC 8657 §3), empty when there is none yet. Never raises; bounded in time.
        """


class Solver(Protocol):
    """One challenge type: how control of a name is proved (RFC 8555 §8)."""

    def present(self, name: str, challenge: Challenge) -> None:
        """Put the response where the CA will look for it. May be called again; raises Problem."""

    def check(self, name: str, challenge: Challenge) -> Finding:
        """Whether the response shows as the CA will see it. Advice only; never raises, bounded in time."""

    def clean_up(self, name: str) -> None:
        """Remove what was presented for a name, once its authorizations are valid. May be called again."""


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
