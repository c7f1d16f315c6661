"""Which DNS servers are queried, and how long each may take."""

from collections.abc import Sequence

from dns.nameserver import Do53Nameserver
from dns.resolver import Resolver

from issuer.config import parse_dns_server

TRIES = 6
"""One try takes this fraction of the whole time, so that a silent server leaves enough of it for the next one."""


class Nameservers:
    """addresses: of the servers, as `parse_dns_server` reads them; none: the system's servers. seconds: the limit for
    all queries of one call. Raises ValueError for a server that is not an address."""

    def __init__(self, addresses: Sequence[str], *, seconds: float) -> None:
        self._servers = tuple(parse_dns_server(address) for address in addresses)
        self.seconds = seconds

    def resolver(self) -> Resolver:
        """A new resolver for every call: threads share nothing, and a changed resolv.conf takes effect. Raises
        DNSException, OSError or ValueError if the system has no server configured."""
        resolver = Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [Do53Nameserver(address, port) for address, port in self._servers]
        resolver.timeout = self.seconds / TRIES
        return resolver
