"""What DNS says about a customer's name. Every question has three answers: yes, no, unknown.

`cname` checks whether the name points here; `ownership` checks whether it proves which account it belongs to; `caa`
finds the CAA records that apply to it, `caa_rules` reads what they allow; `queries` asks the servers, and separates a
clear answer, even an empty one, from no answer; `dnssec` finds out whether that is because DNSSEC of a zone is broken;
`advice` says what must be done. `target` is about our own targets.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from dns.exception import DNSException

from issuer.dns.advice import Reason, after_no, after_target_error, after_unknown
from issuer.dns.caa import permission
from issuer.dns.caa_rules import Applicant
from issuer.dns.cname import CnameLookup, TargetError, listed
from issuer.dns.ownership import proof
from issuer.dns.queries import UnansweredError, name_of
from issuer.dns.servers import Nameservers
from issuer.dns.target import addresses_of_target
from issuer.ports import DnsFinding, Finding, Verdict
from issuer.problem import Actor

PROOF_LABEL = "_issuer"
"""The TXT record that proves which account a name belongs to is below this label (RFC 8552)."""


class DnsResolver:
    """Asks DNS whether names point to `targets`, and whether a CA may issue for them.

    servers: as `parse_dns_server` reads them; none: the system's servers. seconds: about the limit for one whole call.
    Raises ValueError for a server that is not an address, and without targets.
    """

    def __init__(self, targets: Sequence[str], servers: Sequence[str] = (), *, seconds: float = 3.0) -> None:
        if not targets:
            raise ValueError("there is no target for CNAMEs")
        self._targets = tuple(name_of(target) for target in targets)
        self._nameservers = Nameservers(servers, seconds=seconds)

    def points_here(self, name: str, below: str = "") -> DnsFinding:
        """Whether a name points to a target: by its CNAMEs or, if it has none, by all of its addresses. below: a label;
        then CNAMEs alone count, and they must end at the name with this label below a target.

        The verdict is no only after clear answers, and unknown after an error; never raises.
        Chains: RFC 1034 §3.6.2; upper and lower case: RFC 4343.
        """
        targets = tuple(name_of(f"{below}.{target}") for target in self._targets) if below else self._targets
        record = f"{name.rstrip('.').lower()} CNAME {listed(targets)}"
        try:
            lookup = CnameLookup(self._nameservers.queries(), targets, chain=[name_of(name)], by_cname=bool(below))
            return _pointing(lookup, record)
        except (DNSException, OSError, ValueError) as error:
            return DnsFinding(Verdict.UNKNOWN, f"DNS could not be queried: {error}", required_record=record)

    def has_proof(self, name: str, token: str) -> DnsFinding:
        """Whether a TXT record of `_issuer.{name}` contains a token; the name may have several, for several accounts.

        The verdict is no only after clear answers, and unknown after an error; never raises.
        """
        owner = f"{PROOF_LABEL}.{name.rstrip('.').lower()}"
        record = f"{owner} TXT {token}"
        try:
            queries = self._nameservers.queries()
            return DnsFinding(*proof(queries, owner, token), record)
        except UnansweredError as error:
            return _unknown(after_unknown(queries, error, name_of(name), self._targets), record)
        except (DNSException, OSError, ValueError) as error:
            return DnsFinding(Verdict.UNKNOWN, f"DNS could not be queried: {error}", required_record=record)

    def has_address(self, target: str) -> Finding:
        """Whether one of our targets has an address, and which; never raises."""
        try:
            return addresses_of_target(self._nameservers.queries(), name_of(target))
        except (DNSException, OSError, ValueError) as error:
            return Finding(Verdict.UNKNOWN, f"DNS could not be queried: {error}", must_act=Actor.PLATFORM)

    def caa(self, name: str, issuers: Collection[str], account_url: str) -> Finding:
        """Whether CAA records let a CA issue for a name: those of the name itself, or of the closest name above it.

        The verdict is yes or no only after clear answers, and unknown after an error; never raises. RFC 8659, RFC 8657.
        """
        applicant = Applicant.of(issuers, account_url)
        if not applicant.issuers:
            return Finding(Verdict.YES, "the CA names no domain for CAA records, so they were not checked")
        try:
            queries = self._nameservers.queries()
            return permission(queries, name_of(name), applicant)
        except UnansweredError as error:
            reason = after_unknown(queries, error, name_of(name), self._targets)
            return Finding(Verdict.UNKNOWN, reason.summary, reason.advice, reason.is_bogus, reason.must_act)
        except (DNSException, OSError, ValueError) as error:
            return Finding(Verdict.UNKNOWN, f"DNS could not be queried: {error}")


def _pointing(lookup: CnameLookup, record: str) -> DnsFinding:
    try:
        verdict, summary = lookup.verdict()
        advice = after_no(lookup) if verdict is Verdict.NO else ""
        return DnsFinding(verdict, summary, record, advice, lookup.is_elsewhere)
    except TargetError as error:
        reason = after_target_error(lookup, error)
    except UnansweredError as error:
        reason = after_unknown(lookup.queries, error, lookup.chain[0], lookup.targets)
    return _unknown(replace(reason, summary=lookup.unknown(reason.summary)), record)


def _unknown(reason: Reason, record: str) -> DnsFinding:
    return DnsFinding(
        Verdict.UNKNOWN, reason.summary, record, reason.advice, is_bogus=reason.is_bogus, must_act=reason.must_act
    )
