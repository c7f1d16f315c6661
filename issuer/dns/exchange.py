"""One query to one DNS server, as a stub resolver must ask where DNSSEC may be broken."""

from dns import flags
from dns.message import Message, Truncated, make_query
from dns.name import Name
from dns.nameserver import Nameserver
from dns.rcode import BADVERS, FORMERR, NOTIMP, SERVFAIL
from dns.rdatatype import RdataType

PAYLOAD = 1232
"""The largest answer over UDP that no network splits."""
WITHOUT_EDNS = frozenset({BADVERS, FORMERR, NOTIMP})
"""What servers answer that do not know EDNS (RFC 6891 §7). Some say SERVFAIL, without EDNS; some nothing at all."""


def ask(
    server: Nameserver, name: Name, rdtype: RdataType, *, seconds: float, edns: bool = True, unchecked: bool = False
) -> Message:
    """A server's response, over TCP if it does not fit into UDP. seconds: the limit for each of the two. edns: with
    EDNS, unless the server does not know it. unchecked: even if DNSSEC says that it is wrong (CD, RFC 4035 §3.2.2).

    The AD bit says that we understand DNSSEC (RFC 6840 §5.7): without it, and without EDNS, some validating servers
    give a wrong answer instead of SERVFAIL. Raises Timeout, DNSException, OSError, EOFError or ValueError.
    """
    request = make_query(name, rdtype)
    request.flags = flags.RD | flags.AD | (flags.CD if unchecked else 0)
    if edns:
        request.use_edns(0, 0, PAYLOAD)
    try:
        response = server.query(request, seconds, None, 0, max_size=False)
    except Truncated:
        response = server.query(request, seconds, None, 0, max_size=True)
    if edns and (response.rcode() in WITHOUT_EDNS or (response.rcode() == SERVFAIL and response.edns < 0)):
        return ask(server, name, rdtype, seconds=seconds, edns=False, unchecked=unchecked)
    return response
