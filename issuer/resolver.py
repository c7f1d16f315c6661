"""Does a customer's name lead to us? DNS, with three answers: yes, no, unknown."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dns.exception import DNSException, Timeout
from dns.message import Message
from dns.name import Name, from_text
from dns.nameserver import Do53Nameserver
from dns.rdatatype import AAAA, CNAME, NS, SOA, A, RdataType
from dns.resolver import NXDOMAIN, Answer, Resolver

from issuer.config import parse_dns_server
from issuer.ports import Pointing, Verdict

FAMILIES = (A, AAAA)
HOPS = 16
SHOWN = 3
"""How many hops, addresses or targets are spelled out in an answer."""
TRIES = 6
"""One try takes this fraction of the whole time: a silent server leaves enough of it to the next one."""


class _UnansweredError(Exception):
    """A question without a clear answer; the message says which and why."""


class DnsResolver:
    """Asks `servers` (as `parse_dns_server` reads them; none: the system's) whether names lead to `targets`.

    seconds: about the bound for one whole call. ValueError for a server that is no address, or no targets.
    """

    def __init__(self, targets: Sequence[str], servers: Sequence[str] = (), *, seconds: float = 3.0) -> None:
        if not targets:
            raise ValueError("there is no target for a CNAME to end at")
        self._targets = tuple(_name(target) for target in targets)
        self._servers = tuple(parse_dns_server(server) for server in servers)
        self._seconds = seconds

    def pointing(self, name: str) -> Pointing:
        """Whether a name leads to a target: by its CNAMEs or, where none shows, by all of its addresses.

        No comes from clear answers only, an error is unknown; nothing is raised.
        Chains: RFC 1034 §3.6.2; upper and lower case: RFC 4343.
        """
        wanted = f"{name.rstrip('.').lower()} CNAME {_either(self._targets)}"
        until = time.monotonic() + self._seconds
        try:
            inquiry = _Inquiry(self._resolver(), until, self._targets, chain=[_name(name)])
            return Pointing(*inquiry.verdict(), wanted)
        except (DNSException, OSError, ValueError) as error:
            return Pointing(Verdict.UNKNOWN, f"DNS could not be asked: {error}", wanted)

    def _resolver(self) -> Resolver:
        # A new one for every call: threads share nothing, and a changed resolv.conf is noticed.
        resolver = Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [Do53Nameserver(address, port) for address, port in self._servers]
        resolver.timeout = self._seconds / TRIES
        return resolver


@dataclass(frozen=True, slots=True)
class _Inquiry:
    """All questions about one name. until: their one deadline (monotonic). chain: the name, then its hops."""

    resolver: Resolver
    until: float
    targets: tuple[Name, ...]
    chain: list[Name]

    def verdict(self) -> tuple[Verdict, str]:
        try:
            return self._follow()
        except NXDOMAIN:
            return Verdict.NO, self._story("has no DNS record at all")
        except _UnansweredError as error:
            return Verdict.UNKNOWN, f"{self._story()}; {error}" if self.chain[1:] else str(error)

    def _follow(self) -> tuple[Verdict, str]:
        while (last := self.chain[-1]) not in self.targets:
            hop = self._cname(last)
            if hop is None:
                return self._compare()
            closes_loop = hop in self.chain
            self.chain.append(hop)
            if closes_loop:
                return Verdict.NO, self._story("closes a loop")
            if len(self.chain) - 1 > HOPS:
                return Verdict.NO, self._story(f"is more than {HOPS} CNAMEs away")
        self._require_address([last])
        return Verdict.YES, self._story(alone="is our own target")

    def _compare(self) -> tuple[Verdict, str]:
        """With no CNAME left (an ALIAS at the apex, flattening), every address must be one of ours."""
        doubts: list[_UnansweredError] = []
        seen: set[str] = set()
        for family in FAMILIES:
            theirs, doubts_here = self._addresses(self.chain[-1:], family)
            ours, our_doubts = self._addresses(self.targets, family) if theirs else (theirs, [])
            if strangers := theirs - ours:
                if not ours:
                    # In neither family: then there is nothing to compare with.
                    self._require_address(self.targets)
                if not our_doubts:
                    return Verdict.NO, self._story(alone=self._having(strangers))
                doubts += our_doubts
            doubts += doubts_here
            seen |= theirs
        if doubts:
            raise doubts[0]
        return Verdict.YES if seen else Verdict.NO, self._story(self._having(seen))

    def _require_address(self, targets: Sequence[Name]) -> None:
        """A target without an address is the operator's matter: unknown, no reason to refuse a customer."""
        doubts: list[_UnansweredError] = []
        for family in FAMILIES:
            known, doubts_here = self._addresses(targets, family)
            if known:
                return
            doubts += doubts_here
        raise doubts[0] if doubts else _UnansweredError(f"our own target {_either(targets)} has no address")

    def _addresses(self, names: Iterable[Name], family: RdataType) -> tuple[set[str], list[_UnansweredError]]:
        """The addresses that are known, and what could not be answered."""
        known: set[str] = set()
        doubts: list[_UnansweredError] = []
        for name in names:
            try:
                known |= self._addresses_of(name, family)
            except NXDOMAIN:
                continue
            except _UnansweredError as error:
                doubts.append(error)
        return known, doubts

    def _addresses_of(self, name: Name, family: RdataType) -> set[str]:
        for _ in range(HOPS):
            answer = self._ask(name, family)
            end = answer.canonical_name.canonicalize()
            if answer.rrset or end == name:
                return {record.to_text() for record in answer.rrset or ()}
            # A server that is no recursor may stop at a CNAME; its end is not empty, it was not asked.
            name = end
        return set()

    def _cname(self, name: Name) -> Name | None:
        rrset = self._ask(name, CNAME).rrset
        return _name(rrset[0].to_text()) if rrset else None

    def _ask(self, name: Name, rdtype: RdataType) -> Answer:
        """The answer, perhaps an empty one. Raises NXDOMAIN, or _UnansweredError for what is not clear."""
        question = f"DNS has no clear answer for {_text(name)} {rdtype.name}"
        left = self.until - time.monotonic()
        try:
            answer = self.resolver.resolve(name, rdtype, raise_on_no_answer=False, search=False, lifetime=left)
        except NXDOMAIN:
            raise
        except (DNSException, OSError, ValueError) as error:
            raise _UnansweredError(f"{question} ({_reason(error)})") from error
        if _is_referral(answer.response):
            raise _UnansweredError(f"{question} (a referral only)")
        return answer

    def _story(self, ending: str = "", *, alone: str = "") -> str:
        """The chain in words. ending: what its last name is or has; alone: the same, where there is no CNAME."""
        first, *hops = map(_text, self.chain)
        clauses = [f"is a CNAME to {hop}" for hop in hops[:SHOWN]]
        clauses += [f"leads on to {hops[-1]}"] if hops[SHOWN:] else []
        clauses += [ending or alone] if ending or not hops else []
        return f"{first} {', which '.join(clauses)}"

    def _having(self, addresses: set[str]) -> str:
        shown = sorted(addresses)[:SHOWN] + ["…"] * (len(addresses) > SHOWN)
        listed = f"the address{'es' * (len(shown) > 1)} {', '.join(shown)}" if shown else "no address"
        return f"has {listed}" if self.chain[1:] else f"has no CNAME and {listed}"


def _name(text: str) -> Name:
    # In lower case also on the wire: some servers compare byte by byte.
    return from_text(text).canonicalize()


def _text(name: Name) -> str:
    return name.to_text(omit_final_dot=True)


def _either(targets: Sequence[Name]) -> str:
    return " or ".join(map(_text, targets[:SHOWN]))


def _is_referral(response: Message) -> bool:
    """A lame server's empty answer, which is not a "no data" (RFC 2308 §2.2)."""
    types = {rrset.rdtype for rrset in response.authority}
    return not response.answer and NS in types and SOA not in types


def _reason(error: Exception) -> str:
    if isinstance(error, Timeout):
        return "no answer in time"
    failures = getattr(error, "kwargs", {}).get("errors", ())
    codes = [failure[3] for failure in failures if isinstance(failure[3], str)]
    return codes[-1] if codes else "no usable answer"
