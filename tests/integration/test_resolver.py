"""The resolver itself: its settings, its threads."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from issuer.dns import DnsResolver
from issuer.ports import Resolver
from tests.integration.dns_server import dns_server
from tests.integration.pointing import EDGE, NAME, NO, OURS, UNKNOWN, YES, chain


def test_a_server_is_an_address() -> None:
    for server in ("dns.example", "192.0.2.1:dns", "192.0.2.1:0", "192.0.2.1:65536", "::1]:53", ""):
        with pytest.raises(ValueError, match="IP address"):
            DnsResolver([EDGE], [server])
    DnsResolver([EDGE], ["192.0.2.1", "192.0.2.1:5353", "[2001:db8::53]", "[2001:db8::53]:5353"])


def test_a_target_is_needed() -> None:
    with pytest.raises(ValueError, match="no target"):
        DnsResolver([])


def test_threads_share_one_resolver() -> None:
    zone = OURS | chain(2) | {("other.test", "CNAME"): ["else.test."], ("broken.test", "*"): "SERVFAIL"}
    verdicts = {NAME: YES, "other.test": NO, "broken.test": UNKNOWN}
    with dns_server(zone) as server, ThreadPoolExecutor(8) as pool:
        resolver: Resolver = DnsResolver([EDGE], [server.address])
        names = list(verdicts) * 20
        assert [answer.verdict for answer in pool.map(resolver.points_here, names)] == [
            verdicts[name] for name in names
        ]
