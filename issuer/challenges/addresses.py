"""The addresses of a host that may be contacted: public ones, one of each family."""

import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from dns.exception import DNSException
from dns.rdatatype import AAAA, A, RdataType

from issuer.dns.queries import NoSuchNameError, Queries, UnansweredError, name_of

Address = IPv4Address | IPv6Address
SecondsLeft = Callable[[], float]
"""The seconds until the deadline. Raises TimeoutError after it."""

FAMILIES = (AAAA, A)
SHARE = 3
"""One query takes this fraction of the remaining time, so that a silent server leaves time for the other family."""
UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
# Networks that some versions of `ipaddress` treat as global: protocol assignments, Teredo, 6to4 and its relays,
# documentation.
NOT_GLOBAL = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")))
LOCAL = tuple(map(ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")))

NOT_PUBLIC = "has the address {}, which cannot be reached from the internet"


class InconclusiveError(Exception):
    """A CA may see something different; the message is a predicate of the URL."""


def is_public(address: Address) -> bool:
    """Whether it is a public address. With NAT64 (RFC 6052) the embedded IPv4 address counts; other addresses that
    embed one are not public."""
    if address in NAT64:
        return is_public(IPv4Address(int(address) % 2**32))
    if isinstance(address, IPv6Address) and address not in UNICAST:
        return False
    return address.is_global and not address.is_multicast and not _is_in(NOT_GLOBAL, address)


def addresses_of(host: str, queries: Queries, seconds_left: SecondsLeft, *, with_local: bool) -> list[Address]:
    """The addresses to contact, IPv6 first. with_local: accept loopback and private ones too. Raises InconclusiveError
    if there is none."""
    chosen: list[Address] = []
    refused: list[Address] = []
    reasons: list[str] = []
    for family in FAMILIES:
        try:
            addresses = _look_up(host, family, queries, seconds_left)
        except (NoSuchNameError, UnansweredError, DNSException, OSError, ValueError) as error:
            reasons.append(_reason(error))
            continue
        allowed = [address for address in addresses if _is_allowed(address, with_local=with_local)]
        chosen += allowed[:1]
        refused += addresses
    if chosen:
        return chosen
    if refused:
        raise InconclusiveError(NOT_PUBLIC.format(refused[0]))
    raise InconclusiveError(f"has no address in DNS as seen from here{f' ({reasons[0]})' if reasons else ''}")


def only(address: Address, *, with_local: bool) -> list[Address]:
    """The one address. with_local: as of `addresses_of`. Raises InconclusiveError if it may not be contacted."""
    if not _is_allowed(address, with_local=with_local):
        raise InconclusiveError(NOT_PUBLIC.format(address))
    return [address]


def _is_allowed(address: Address, *, with_local: bool) -> bool:
    return is_public(address) or (with_local and _is_in(LOCAL, address))


def _look_up(host: str, family: RdataType, queries: Queries, seconds_left: SecondsLeft) -> list[Address]:
    limited = replace(queries, until=time.monotonic() + seconds_left() / SHARE)
    return [ip_address(record.to_text()) for record in limited.resolve_target(name_of(host), family).rrset or ()]


def _is_in(networks: tuple[IPv4Network | IPv6Network, ...], address: Address) -> bool:
    return any(address in network for network in networks)


def _reason(error: Exception) -> str:
    if isinstance(error, NoSuchNameError):
        return "the name does not exist"
    is_silent = isinstance(error, TimeoutError) or (isinstance(error, UnansweredError) and error.is_silent)
    return "no answer in time" if is_silent else "no clear answer"
