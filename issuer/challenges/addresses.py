"""The addresses of a host that may be asked: those that hosts on the internet have, one of each family."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from dns.exception import DNSException, Timeout
from dns.name import from_text
from dns.rdatatype import AAAA, A, RdataType
from dns.resolver import NXDOMAIN, Resolver

Address = IPv4Address | IPv6Address
Left = Callable[[], float]
"""The seconds that are left. Raises TimeoutError when there are none."""

FAMILIES = (AAAA, A)
CNAMES = 16
SHARE = 3
"""One question takes this fraction of what is left: a silent server leaves time for the other family."""
UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
# What some versions of `ipaddress` take for global: protocol assignments, Teredo, 6to4 and its relays, documentation.
NOT_GLOBAL = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")))
LOCAL = tuple(map(ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")))


class UnseenError(Exception):
    """What can not be seen from here; the message is a predicate of the URL."""


def is_public(address: Address) -> bool:
    """Whether it is an address of the internet. With NAT64 (RFC 6052) the embedded one counts; other addresses with an
    IPv4 address in them are none."""
    if address in NAT64:
        return is_public(IPv4Address(int(address) % 2**32))
    if isinstance(address, IPv6Address) and address not in UNICAST:
        return False
    return address.is_global and not address.is_multicast and not _is_in(NOT_GLOBAL, address)


def addresses_of(host: str, resolver: Resolver, left: Left, *, with_local: bool) -> list[Address]:
    """IPv6 first. with_local: loopback and private ones will do too. Raises UnseenError when there is none."""
    chosen: list[Address] = []
    refused: list[Address] = []
    doubts: list[str] = []
    for family in FAMILIES:
        try:
            addresses = _look_up(host, family, resolver, left)
        except (DNSException, OSError, ValueError) as error:
            doubts.append(_doubt(error))
            continue
        allowed = [one for one in addresses if is_public(one) or (with_local and _is_in(LOCAL, one))]
        chosen += allowed[:1]
        refused += addresses
    if chosen:
        return chosen
    if refused:
        raise UnseenError(f"has the address {refused[0]}, which can not be reached from the internet")
    raise UnseenError(f"has no address that DNS here knows{f' ({doubts[0]})' if doubts else ''}")


def _look_up(host: str, family: RdataType, resolver: Resolver, left: Left) -> list[Address]:
    name = from_text(host)
    for _ in range(CNAMES):
        seconds = left() / SHARE
        answer = resolver.resolve(name, family, raise_on_no_answer=False, search=False, lifetime=seconds)
        if answer.rrset or answer.canonical_name == name:
            return [ip_address(record.to_text()) for record in answer.rrset or ()]
        # A server that is no recursor may stop at a CNAME.
        name = answer.canonical_name
    return []


def _is_in(networks: tuple[IPv4Network | IPv6Network, ...], address: Address) -> bool:
    return any(address in network for network in networks)


def _doubt(error: Exception) -> str:
    if isinstance(error, NXDOMAIN):
        return "there is no such name"
    return "no answer in time" if isinstance(error, Timeout | TimeoutError) else "no clear answer"
