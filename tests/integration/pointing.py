"""Zones around one customer's name, and what the resolver says about it."""

from itertools import pairwise

from issuer.dns import DnsResolver
from issuer.ports import DnsFinding, Verdict
from tests.integration.dns_server import Zone, dns_server

EDGE = "edge.ours.test"
NAME = "shop.test"
OUR_A, OUR_AAAA = "192.0.2.1", "2001:db8::1"
FOREIGN_A, FOREIGN_AAAA = "203.0.113.9", "2001:db8:bad::9"
OURS: Zone = {(EDGE, "A"): [OUR_A], (EDGE, "AAAA"): [OUR_AAAA]}
YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN
AND, CLOSED = "which is a CNAME to", "which closes a loop"
FAILURES = ("SERVFAIL", "REFUSED", "LAME", "TRUNCATED", "SILENT")
SECONDS = 0.3


def points_here(
    zone: Zone,
    name: str = NAME,
    targets: tuple[str, ...] = (EDGE,),
    *,
    follow: bool = False,
    seconds: float = 3,
) -> DnsFinding:
    with dns_server(zone, follow=follow) as server:
        return DnsResolver(targets, [server.address], seconds=seconds).points_here(name)


def chain(length: int, end: str = f"{EDGE}.") -> Zone:
    """shop.test, then h1.test, h2.test … by `length` CNAMEs to the end."""
    names = [f"{NAME}.", *(f"h{n}.test." for n in range(1, length)), end]
    return {(name, "CNAME"): [target] for name, target in pairwise(names)}
