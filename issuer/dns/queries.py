"""DNS queries: an answer is clear, even if it is empty, or there is none."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dns import rcode
from dns.exception import DNSException, Timeout
from dns.message import ANSWER, Message, QueryMessage
from dns.name import Name, from_text
from dns.nameserver import Nameserver
from dns.rdataclass import IN
from dns.rdatatype import CNAME, NS, SOA, RdataType
from dns.resolver import Answer

from issuer.dns.exchange import ask

HOPS = 16
"""How many CNAMEs are followed."""
SILENT = "no answer in time"


class NoSuchNameError(Exception):
    """A clear answer: there is no such name (NXDOMAIN). hop: the CNAME of the name, if the answer has one: then it is a
    further name that does not exist (RFC 6604 §3)."""

    def __init__(self, words: str, hop: Name | None = None) -> None:
        super().__init__(words)
        self.hop = hop


class UnansweredError(Exception):
    """A query without a clear answer; the message names the query and the reasons.

    name, rdtype: the query. is_silent: no server has answered at all. servfail: the server that said SERVFAIL, and its
    response; None if none did.
    """

    def __init__(
        self,
        name: Name,
        rdtype: RdataType,
        reasons: list[str],
        servfail: tuple[Nameserver, Message] | None = None,
    ) -> None:
        reason = ", ".join(dict.fromkeys(reasons))
        super().__init__(f"DNS has no clear answer for {text_of(name)} {rdtype.name} ({reason})")
        self.name = name
        self.rdtype = rdtype
        self.is_silent = set(reasons) == {SILENT}
        self.servfail = servfail


@dataclass(frozen=True, slots=True)
class Queries:
    """All queries of one call. servers: in the order in which they are asked; one that fails is moved to the end.
    until: the common deadline (monotonic seconds). try_seconds: the limit for one try at one server. is_answering:
    finds out, by a deadline, whether the servers answer for any name. found: what it has found."""

    servers: list[Nameserver]
    until: float
    try_seconds: float
    is_answering: Callable[[float], bool] | None = None
    found: list[bool] = field(default_factory=list)

    def resolve(self, name: Name, rdtype: RdataType) -> Answer:
        """The answer, which may be empty, of the first server that has a clear one. Servers that are silent are asked
        again, without EDNS, unless another one says SERVFAIL; those that answer uselessly are not. Raises
        NoSuchNameError, or UnansweredError if no server has a clear answer."""
        left, reasons, edns = list(self.servers), list[str](), True
        servfail: tuple[Nameserver, Message] | None = None
        while left and servfail is None:
            for server in tuple(left):
                seconds = min(self.until - time.monotonic(), self.try_seconds)
                if seconds <= 0:
                    raise UnansweredError(name, rdtype, reasons or [SILENT], servfail)
                try:
                    response = ask(server, name, rdtype, seconds=seconds, edns=edns)
                    return _answer(name, rdtype, response)
                except Timeout:
                    reasons.append(SILENT)
                except _LameError as error:
                    reasons.append(str(error))
                    left.remove(server)
                    if response.rcode() == rcode.SERVFAIL:
                        servfail = server, response
                except (DNSException, OSError, EOFError, ValueError):
                    reasons.append("no usable answer")
                    left.remove(server)
                self.servers.append(self.servers.pop(self.servers.index(server)))
            edns = False
            if set(reasons) == {SILENT}:
                self.do_servers_answer()  # now, as no time may be left at the end
        raise UnansweredError(name, rdtype, reasons or ["no DNS server"], servfail)

    def do_servers_answer(self) -> bool:
        """Whether the servers answer for any name. They are asked once, for half of the time that is left."""
        if not self.found:
            now = time.monotonic()
            by = now + max((self.until - now) / 2, self.try_seconds)
            self.found.append(self.is_answering is None or self.is_answering(by))
        return self.found[0]

    def resolve_target(self, name: Name, rdtype: RdataType) -> Answer:
        """The answer at the end of the name's CNAMEs. Raises as `resolve`."""
        last = name
        for _ in range(HOPS + 1):
            answer = self.resolve(last, rdtype)
            target = answer.canonical_name.canonicalize()
            if answer.rrset or target == last:
                return answer
            # A server without recursion may stop at a CNAME; then its target must be asked for separately.
            last = target
        raise UnansweredError(name, rdtype, [f"more than {HOPS} CNAMEs"])


class _LameError(Exception):
    """The server answers, but is of no use for this query; the message says how."""


def name_of(text: str) -> Name:
    """A name as it is queried and compared: in lower case also on the wire, as some servers compare byte by byte."""
    return from_text(text).canonicalize()


def text_of(name: Name) -> str:
    """A name for people: without the last dot, and with unprintable characters escaped."""
    return name.to_text(omit_final_dot=True)


def hop_of(response: Message, name: Name) -> Name | None:
    """The CNAME of a name, if the response has one."""
    records = response.get_rrset(ANSWER, name, IN, CNAME)
    return name_of(records[0].to_text()) if records else None


def _answer(name: Name, rdtype: RdataType, response: Message) -> Answer:
    """The clear answer in a response. Raises NoSuchNameError, _LameError, or DNSException if it contradicts itself."""
    assert isinstance(response, QueryMessage)
    match response.rcode():
        case rcode.NXDOMAIN:
            hop = hop_of(response, name)
            if hop is None or rdtype is not CNAME:
                response.resolve_chaining()
            raise NoSuchNameError(text_of(name), hop)
        case rcode.NOERROR if not _is_referral(response):
            return Answer(name, rdtype, IN, response)
        case rcode.NOERROR:
            raise _LameError("only a referral")
        case code:
            raise _LameError(rcode.to_text(code))


def _is_referral(response: Message) -> bool:
    """Whether it is a lame server's empty answer, which is not a "no data" (RFC 2308 §2.2)."""
    types = {rrset.rdtype for rrset in response.authority}
    return not response.answer and NS in types and SOA not in types
