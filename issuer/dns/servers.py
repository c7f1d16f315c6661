"""Which servers DNS is asked at, and how long each is waited for."""

from collections.abc import Sequence

from dns.nameserver import Do53Nameserver
from dns.resolver import Resolver

from issuer.config import parse_dns_server

TRIES = 6
"""One try takes this fraction of the whole time: a silent server leaves enough of it to the next one."""


class Nameservers:
    """addresses: of the servers (as `parse_dns_server` reads them; none: the system's). seconds: the bound for all that
    is asked at once. ValueError for a server that is no address."""

    def __init__(self, addresses: Sequence[str], *, seconds: float) -> None:
        self._servers = tuple(parse_dns_server(address) for address in addresses)
        self.seconds = seconds

    def resolver(self) -> Resolver:
        """A new one for every call: threads share nothing, and a changed resolv.conf is noticed. Raises DNSException,
        OSError or ValueError where the system names no server."""
        resolver = Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [Do53Nameserver(address, port) for address, port in self._servers]
        resolver.timeout = self.seconds / TRIES
        return resolver
