"""Checks of a domain from outside: each has three verdicts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from issuer.names import registered_domain
from issuer.ports.ca import Challenge
from issuer.problem import Actor, ProblemType


class Verdict(StrEnum):
    """The result of a check; unknown if the question could not be answered, which is never a no."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


UNKNOWN_HINT = (
    "the name servers of the domain must answer; if many domains show this, the operator must check ISSUER_DNS_SERVERS"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check. summary: what was found, in words. advice: what must be done, if that is known. is_bogus:
    it is unknown because DNSSEC of a zone is broken, so a CA refuses the name. must_act: who must do it. is_by_proxy: a
    proxy (CDN) has given or passed on the answer of a web server, by its own account. owner: the name that has the DNS
    records which decide. fault: what is wrong with the platform itself, if that is why it is unknown. is_unanswered: it
    is unknown because DNS does not answer, which a CA takes for a no."""

    verdict: Verdict
    summary: str
    advice: str = ""
    is_bogus: bool = False
    must_act: Actor = Actor.OWNER
    is_by_proxy: bool = False
    owner: str = field(default="", compare=False)
    fault: ProblemType | None = None
    is_unanswered: bool = False


@dataclass(frozen=True, slots=True)
class DnsFinding:
    """Whether a name points here, or proves which account it belongs to. summary: what was found, in words.
    required_record: the record that it must have; empty if that is not known, as our own targets have no address.
    advice: what must be done, if not create that record. is_elsewhere: it has addresses, and none is ours: those of
    other servers, or of a proxy before ours. is_bogus, must_act, fault: as in `Finding`. records: those to create, each
    `name TYPE value`. former: those in their place, in words. missing_targets: our own targets without an address, to
    which it may point all the same."""

    verdict: Verdict
    summary: str
    required_record: str
    advice: str = ""
    is_elsewhere: bool = False
    is_bogus: bool = False
    must_act: Actor = Actor.OWNER
    fault: ProblemType | None = None
    records: tuple[str, ...] = ()
    former: str = ""
    missing_targets: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """What must be done after a no, or while it is unknown: then the record may well be there."""
        if self.verdict is Verdict.UNKNOWN:
            return self.advice or UNKNOWN_HINT
        former = f"; remove the record {self.former}, as no other can stand beside it" if self.former else ""
        return self.advice or f"{creation(self.required_record, self.records)}{former}"


def creation(required: str, records: Sequence[str]) -> str:
    """How to create a record, also as the fields of a DNS provider's panel. required: the record in words. records: the
    ways to write it, of which the first is shown."""
    words = f"create the record {required}"
    name, type_, value = (*records[0].split(" ", 2), "", "")[:3] if records else ("", "", "")
    if not value:
        return words
    registered = registered_domain(name)
    label = name.removesuffix(f".{registered}")
    short = "" if label == name else f" (some panels want {label} alone)"
    if type_ == "CAA":
        value = "flags {}, tag {}, value {}".format(*value.split(" ", 2)).replace('"', "")
    else:
        value = f"value {value}"
    return f"{words}: in the DNS of {registered}, type {type_}, name {name}{short}, {value}"


class HolderProof(StrEnum):
    """What a name must have in DNS to prove which account it belongs to: nothing, a CNAME to a name that has the
    account's token as its first label, or a TXT record with the token."""

    NONE = ""
    CNAME = "cname"
    TXT = "txt"


class Resolver(Protocol):
    """DNS queries."""

    def points_here(self, name: str, below: str = "") -> DnsFinding:
        """Whether a name points to our targets, by its CNAMEs or its addresses. Never raises; limited in time.

        below: a label; then CNAMEs alone count, and they must end at the name with this label below a target.
        """

    def has_proof(self, name: str, token: str) -> DnsFinding:
        """Whether a TXT record of `_issuer.{name}` contains a token. Never raises; limited in time."""

    def has_address(self, target: str) -> Finding:
        """Whether one of our targets has an address; no only after clear answers. Never raises; limited in time."""

    def caa(self, name: str, issuers: Collection[str], account_url: str) -> Finding:
        """Whether the CAA records that apply to a name (RFC 8659) let a CA issue for it with HTTP-01.

        issuers: the CA's domains in CAA records (RFC 8555 §7.1.1, caaIdentities); none: it does not say. account_url:
        our account's URL there (RFC 8657 §3), empty if there is none yet. Never raises; limited in time.
        """

    def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a name, of both families, as far as DNS answers; sorted. Never raises; limited in time."""

    def is_answering(self) -> bool:
        """Whether our DNS servers answer for any name at all: for the root, or for one of our targets. Never raises;
        limited in time."""


class Solver(Protocol):
    """One challenge type: how control of a name is proved (RFC 8555 §8)."""

    def present(self, name: str, challenge: Challenge) -> None:
        """Put the response where the CA will fetch it. May be called again. Raises Problem."""

    def check(self, name: str, challenge: Challenge) -> Finding:
        """Whether the response is visible as the CA will see it. Advice only. Never raises; limited in time."""

    def clean_up(self, name: str) -> None:
        """Remove what was presented for a name, after its authorizations are valid. May be called again."""


class Handshake(Protocol):
    """A TLS handshake with an edge."""

    def serves(self, edge: str, name: str, serial: str) -> Finding:
        """Whether an edge (`host:port`) serves the certificate with a serial number (hexadecimal) for a name; unknown
        if it does not answer. The certificate need not be trusted. Never raises; limited in time."""


class SelfCheck(Protocol):
    """A fetch of a challenge response from outside, as a CA makes it."""

    def fetch(
        self, name: str, token: str, key_authorization: str, *, within_name: bool = False, address: str = ""
    ) -> Finding:
        """Whether `name` answers an HTTP-01 challenge (RFC 8555 §8.3). Advice only: the verdict is no only if a CA
        would clearly refuse, and unknown if a CA may see something different. The summary shows neither token nor key
        authorization. within_name: a redirect to another name is a no. address: the one at which `name` is asked;
        empty: one of those that DNS has. Never raises; limited in time."""


class Probe(Protocol):
    """A request through a name, to learn whether it arrives here."""

    def arrives_here(self, name: str, *, within_name: bool) -> Finding:
        """Whether this platform answers for a name over HTTP, however the request gets here. within_name: not if it is
        redirected to another name. Limited in time. Raises Problem(store-unavailable)."""

    def answers_at(self, name: str, address: str) -> Finding:
        """Whether this platform answers for a name at one of its addresses, as a CA would ask it there: an edge that
        is down, redirects to a login, or does not pass challenges on. Limited in time. Raises
        Problem(store-unavailable)."""

    def arrives_here_for_caller(self, name: str, *, within_name: bool) -> Finding | None:
        """The same while a caller of the API waits; None if too many callers of this process wait for probes."""
