"""What DNS says about a customer's name, with three answers: yes, no, unknown.

`pointing` follows the name to us; `caa` finds the CAA records that count for it, `policy` reads what they allow;
`questions` asks the servers and tells a clear answer, perhaps an empty one, from none.
"""

import time
from collections.abc import Collection, Sequence

from dns.exception import DNSException
from dns.nameserver import Do53Nameserver
from dns.resolver import Resolver

from issuer.config import parse_dns_server
from issuer.ports import Finding, Pointing, Verdict
from issuer.resolver.caa import permission
from issuer.resolver.pointing import Inquiry, either
from issuer.resolver.policy import Applicant
from issuer.resolver.questions import Questions, name_of

TRIES = 6
"""One try takes this fraction of the whole time: a silent server leaves enough of it to the next one."""


class DnsResolver:
    """Asks `servers` (as `parse_dns_server` reads them; none: the system's) whether names lead to `targets`, and
    whether a CA may issue for them.

    seconds: about the bound for one whole call. ValueError for a server that is no address, or no targets.
    """

    def __init__(self, targets: Sequence[str], servers: Sequence[str] = (), *, seconds: float = 3.0) -> None:
        if not targets:
            raise ValueError("there is no target for a CNAME to end at")
        self._targets = tuple(name_of(target) for target in targets)
        self._servers = tuple(parse_dns_server(server) for server in servers)
        self._seconds = seconds

    def pointing(self, name: str) -> Pointing:
        """Whether a name leads to a target: by its CNAMEs or, where none shows, by all of its addresses.

        No comes from clear answers only, an error is unknown; nothing is raised.
        Chains: RFC 1034 §3.6.2; upper and lower case: RFC 4343.
        """
        wanted = f"{name.rstrip('.').lower()} CNAME {either(self._targets)}"
        try:
            inquiry = Inquiry(self._questions(), self._targets, chain=[name_of(name)])
            return Pointing(*inquiry.verdict(), wanted)
        except (DNSException, OSError, ValueError) as error:
            return Pointing(Verdict.UNKNOWN, f"DNS could not be asked: {error}", wanted)

    def caa(self, name: str, issuers: Collection[str], account_url: str) -> Finding:
        """Whether CAA records let a CA issue for a name: those of the name itself or of the closest one above it.

        Yes and no come from clear answers only, an error is unknown; nothing is raised. RFC 8659, RFC 8657.
        """
        applicant = Applicant.of(issuers, account_url)
        if not applicant.issuers:
            return Finding(Verdict.YES, "the CA names no domain of its own for CAA records, so none were looked for")
        try:
            return permission(self._questions(), name_of(name), applicant)
        except (DNSException, OSError, ValueError) as error:
            return Finding(Verdict.UNKNOWN, f"DNS could not be asked: {error}")

    def _questions(self) -> Questions:
        # A new resolver for every call: threads share nothing, and a changed resolv.conf is noticed.
        until = time.monotonic() + self._seconds
        resolver = Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [Do53Nameserver(address, port) for address, port in self._servers]
        resolver.timeout = self._seconds / TRIES
        return Questions(resolver, until)
