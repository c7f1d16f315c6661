"""Is DNSSEC of a zone broken? A validating server answers SERVFAIL then, as it does when the servers of a zone are mute
or refuse; a stub resolver tells the two apart by asking the same without the check (CD, RFC 4035 §3.2.2)."""

import time
from dataclasses import dataclass

from dns.exception import DNSException
from dns.message import Message
from dns.name import Name, root
from dns.nameserver import Nameserver
from dns.rcode import NOERROR, NXDOMAIN
from dns.rdatatype import CNAME, SOA, RdataType

from issuer.dns.exchange import ask
from issuer.dns.queries import HOPS, Queries, UnansweredError

BOGUS = range(6, 13)
"""Extended errors that say so (RFC 8914 §4.7 to 4.13). Most servers send none, so their absence means nothing."""


def broken_zone(queries: Queries, error: UnansweredError) -> Name | None:
    """The zone whose broken DNSSEC is the reason for an unanswered query; None if it has another reason, or if no time
    is left to find it."""
    if error.servfail is None:
        return None
    server, response = error.servfail
    probe = _Probe(server, queries.until, queries.try_seconds)
    end = error.name if error.rdtype is CNAME else probe.end_of(error.name)
    checked = response if end == error.name else probe.ask(end, error.rdtype)
    if checked is None or _is_clear(checked):
        return None
    unchecked = probe.ask(end, error.rdtype, unchecked=True)
    is_bogus = _is_clear(unchecked) or any(each.code in BOGUS for each in checked.extended_errors())
    return probe.broken_zone_above(end, is_bogus=is_bogus)


@dataclass(frozen=True, slots=True)
class _Probe:
    """Queries to the one server that said SERVFAIL. until, try_seconds: as in `Queries`."""

    server: Nameserver
    until: float
    try_seconds: float

    def ask(self, name: Name, rdtype: RdataType, *, unchecked: bool = False) -> Message | None:
        """The response; None without a usable one."""
        seconds = min(self.until - time.monotonic(), self.try_seconds)
        if seconds <= 0:
            return None
        try:
            return ask(self.server, name, rdtype, seconds=seconds, unchecked=unchecked)
        except (DNSException, OSError, EOFError, ValueError):
            return None

    def end_of(self, name: Name) -> Name:
        """The end of the CNAMEs of a name: its own zone may be sound, and the one of its target broken."""
        for _ in range(HOPS):
            response = self.ask(name, CNAME)
            hops = [rrset for rrset in response.answer if rrset.rdtype is CNAME] if response else []
            if not hops:
                break
            name = hops[-1][0].target.canonicalize()
        return name

    def broken_zone_above(self, name: Name, *, is_bogus: bool) -> Name | None:
        """The uppermost broken zone on the way up from a name: one whose SOA record is an error with the check and none
        without it. is_bogus: some data is known to be wrong; if no SOA record is, it is the name's own zone."""
        level, own, broken = name, name, None
        while True:
            unchecked = self.ask(level, SOA, unchecked=True)
            apex = _apex(unchecked, level)
            own = apex if level == name else own
            checked = self.ask(apex, SOA)
            if checked is None or _is_clear(checked):
                break
            broken = apex if _is_clear(unchecked) else broken
            if apex == root:
                break
            level = apex.parent()
        return broken or (own if is_bogus else None)


def _apex(response: Message | None, name: Name) -> Name:
    """The apex of the zone that a name is in, by the response to a query for its SOA record; the name itself, if the
    response does not say."""
    records = [*response.answer, *response.authority] if response else []
    owners = [rrset.name.canonicalize() for rrset in records if rrset.rdtype is SOA]
    return next((owner for owner in owners if name.is_subdomain(owner)), name)


def _is_clear(response: Message | None) -> bool:
    return response is not None and response.rcode() in {NOERROR, NXDOMAIN}
