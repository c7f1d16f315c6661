"""Which DNS servers are queried, and how long each may take."""

import time
from collections.abc import Callable, Sequence

from dns.nameserver import Do53Nameserver, Nameserver
from dns.resolver import Resolver

from issuer.config import parse_dns_server
from issuer.dns.queries import Queries

TRIES = 6
"""One try takes this fraction of the whole time, so that a silent server leaves enough of it for the next one."""

MAX_SHOWN = 3


class Nameservers:
    """addresses: of the servers, as `parse_dns_server` reads them; none: the system's servers. seconds: the limit for
    all queries of one call. as_silent: that they do not answer, in words. Raises ValueError for a server that is not an
    address."""

    def __init__(self, addresses: Sequence[str], *, seconds: float) -> None:
        self._servers = tuple(parse_dns_server(address) for address in addresses)
        self.seconds = seconds
        shown = f"{', '.join(addresses[:MAX_SHOWN])} of ISSUER_DNS_SERVERS" if addresses else "of this machine"
        self.as_silent = (
            f"the DNS server{'s' * (len(addresses) != 1)} {shown} do{'es' * (len(addresses) == 1)} not answer"
        )

    def queries(self, is_answering: Callable[[float], bool] | None = None) -> Queries:
        """The queries of a call that begins now. is_answering: as of `Queries`. Raises DNSException, OSError or
        ValueError if the system has no server configured."""
        return Queries(self._list(), time.monotonic() + self.seconds, self.seconds / TRIES, is_answering)

    def _list(self) -> list[Nameserver]:
        if self._servers:
            return [Do53Nameserver(address, port) for address, port in self._servers]
        # Read anew for every call, so a changed resolv.conf takes effect.
        system = Resolver()
        return [
            server if isinstance(server, Nameserver) else Do53Nameserver(server, system.port)
            for server in system.nameservers
        ]
