"""DNS queries: an answer is clear, even if it is empty, or there is none."""

import time
from dataclasses import dataclass

from dns.exception import DNSException, Timeout
from dns.message import Message
from dns.name import Name, from_text
from dns.rdatatype import NS, SOA, RdataType
from dns.resolver import NXDOMAIN, Answer, Resolver

HOPS = 16
"""How many CNAMEs are followed."""


class UnansweredError(Exception):
    """A query without a clear answer; the message names the query and the reason."""


@dataclass(frozen=True, slots=True)
class Queries:
    """All queries of one call. until: their common deadline (monotonic seconds)."""

    resolver: Resolver
    until: float

    def resolve(self, name: Name, rdtype: RdataType) -> Answer:
        """The answer, which may be empty. Raises NXDOMAIN, or UnansweredError if there is no clear answer."""
        seconds_left = self.until - time.monotonic()
        try:
            answer = self.resolver.resolve(name, rdtype, raise_on_no_answer=False, search=False, lifetime=seconds_left)
        except NXDOMAIN:
            raise
        except (DNSException, OSError, ValueError) as error:
            raise _unanswered(name, rdtype, _reason(error)) from error
        if _is_referral(answer.response):
            raise _unanswered(name, rdtype, "only a referral")
        return answer

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
        raise _unanswered(name, rdtype, f"more than {HOPS} CNAMEs")


def name_of(text: str) -> Name:
    """A name as it is queried and compared: in lower case also on the wire, as some servers compare byte by byte."""
    return from_text(text).canonicalize()


def text_of(name: Name) -> str:
    """A name for people: without the last dot, and with unprintable characters escaped."""
    return name.to_text(omit_final_dot=True)


def _unanswered(name: Name, rdtype: RdataType, reason: str) -> UnansweredError:
    return UnansweredError(f"DNS has no clear answer for {text_of(name)} {rdtype.name} ({reason})")


def _is_referral(response: Message) -> bool:
    """Whether it is a lame server's empty answer, which is not a "no data" (RFC 2308 §2.2)."""
    types = {rrset.rdtype for rrset in response.authority}
    return not response.answer and NS in types and SOA not in types


def _reason(error: Exception) -> str:
    if isinstance(error, Timeout):
        return "no answer in time"
    failures = getattr(error, "kwargs", {}).get("errors", ())
    codes = [failure[3] for failure in failures if isinstance(failure[3], str)]
    return codes[-1] if codes else "no usable answer"
