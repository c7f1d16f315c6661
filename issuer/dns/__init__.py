"""What DNS says about a customer's name, with three answers: yes, no, unknown.

`pointing` follows the name to us; `proof` looks whether it shows whose it is; `caa` finds the CAA records that count
for it, `policy` reads what they allow; `questions` asks the servers and tells a clear answer, even an empty one, from
no answer.
"""

import time
from collections.abc import Collection, Sequence

from dns.exception import DNSException

from issuer.dns.caa import permission
from issuer.dns.caa_rules import Applicant
from issuer.dns.cname import Inquiry, either
from issuer.dns.ownership import proof
from issuer.dns.queries import Questions, name_of
from issuer.dns.servers import Nameservers
from issuer.ports import DnsFinding, Finding, Verdict

PROOF_LABEL = "_issuer"
"""Below this label a name shows whose it is (RFC 8552)."""


class DnsResolver:
    """Asks `servers` (as `parse_dns_server` reads them; none: the system's) whether names lead to `targets`, and
    whether a CA may issue for them.

    seconds: about the bound for one whole call. ValueError for a server that is no address, or no targets.
    """

    def __init__(self, targets: Sequence[str], servers: Sequence[str] = (), *, seconds: float = 3.0) -> None:
        if not targets:
            raise ValueError("there is no target for a CNAME to end at")
        self._targets = tuple(name_of(target) for target in targets)
        self._nameservers = Nameservers(servers, seconds=seconds)

    def points_here(self, name: str, below: str = "") -> DnsFinding:
        """Whether a name leads to a target: by its CNAMEs or, where none shows, by all of its addresses. below: by its
        CNAMEs alone, to the name that has this label below a target.

        No comes from clear answers only, an error is unknown; nothing is raised.
        Chains: RFC 1034 §3.6.2; upper and lower case: RFC 4343.
        """
        targets = tuple(name_of(f"{below}.{target}") for target in self._targets) if below else self._targets
        wanted = f"{name.rstrip('.').lower()} CNAME {either(targets)}"
        try:
            inquiry = Inquiry(self._questions(), targets, chain=[name_of(name)], by_cname=bool(below))
            return DnsFinding(*inquiry.verdict(), wanted)
        except (DNSException, OSError, ValueError) as error:
            return DnsFinding(Verdict.UNKNOWN, f"DNS could not be asked: {error}", wanted)

    def shows(self, name: str, token: str) -> DnsFinding:
        """Whether a TXT record of `_issuer.{name}` contains a token; several may be there, for several accounts.

        No comes from clear answers only, an error is unknown; nothing is raised.
        """
        at = f"{PROOF_LABEL}.{name.rstrip('.').lower()}"
        try:
            return DnsFinding(*proof(self._questions(), at, token), required_record=f"{at} TXT {token}")
        except (DNSException, OSError, ValueError) as error:
            return DnsFinding(Verdict.UNKNOWN, f"DNS could not be asked: {error}", required_record=f"{at} TXT {token}")

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
        return Questions(self._nameservers.resolver(), time.monotonic() + self._nameservers.seconds)
