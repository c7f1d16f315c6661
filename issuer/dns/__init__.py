"""What DNS says about a customer's name. Every question has three answers: yes, no, unknown.

`cname` checks whether the name points here; `ownership` checks whether it proves which account it belongs to; `caa`
finds the CAA records that apply to it, `caa_rules` reads what they allow; `queries` asks the servers, and separates a
clear answer, even an empty one, from no answer; `dnssec` finds out whether that is because DNSSEC of a zone is broken;
`own` asks whether the fault is ours; `advice` says what must be done. `target` is about our own targets.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from dns.exception import DNSException
from dns.name import Name

from issuer.dns import own
from issuer.dns.advice import (
    Reason,
    after_no,
    after_silence,
    after_target_caa,
    after_target_error,
    after_unknown,
    former_records,
)
from issuer.dns.caa import permission
from issuer.dns.caa_rules import Applicant
from issuer.dns.cname import CnameLookup, TargetError, listed
from issuer.dns.ownership import proof
from issuer.dns.queries import Queries, UnansweredError, name_of, text_of
from issuer.dns.servers import Nameservers
from issuer.dns.target import addresses_of_target
from issuer.ports import DnsFinding, Finding, Verdict
from issuer.problem import Actor

PROOF_LABEL = "_issuer"
"""The TXT record that proves which account a name belongs to is below this label (RFC 8552)."""
NO_SERVER = "ISSUER_DNS_SERVERS is not set and this machine has no DNS server configured"


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
            queries = self._nameservers.queries(self._do_servers_answer)
        except (DNSException, OSError, ValueError):
            return _unknown(after_silence(NO_SERVER), record)
        try:
            lookup = CnameLookup(queries, targets, chain=[name_of(name)], by_cname=bool(below))
            return self._pointing(lookup, record)
        except (DNSException, OSError, ValueError) as error:
            return DnsFinding(Verdict.UNKNOWN, f"DNS could not be queried: {error}", required_record=record)

    def has_proof(self, name: str, token: str) -> DnsFinding:
        """Whether a TXT record of `_issuer.{name}` contains a token; the name may have several, for several accounts.

        The verdict is no only after clear answers, and unknown after an error; never raises.
        """
        owner = f"{PROOF_LABEL}.{name.rstrip('.').lower()}"
        record = f"{owner} TXT {token}"
        try:
            queries = self._nameservers.queries(self._do_servers_answer)
        except (DNSException, OSError, ValueError):
            return _unknown(after_silence(NO_SERVER), record)
        try:
            return DnsFinding(*proof(queries, owner, token), record, records=(record,))
        except UnansweredError as error:
            return _unknown(self._reason(queries, error, name_of(name)), record)
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
            queries = self._nameservers.queries(self._do_servers_answer)
        except (DNSException, OSError, ValueError):
            return _uncertain(after_silence(NO_SERVER))
        try:
            return permission(queries, name_of(name), applicant)
        except UnansweredError as error:
            reason = self._reason(queries, error, name_of(name), is_caa=True)
            # Other answers than these are those of a server that does not know the type.
            return _uncertain(reason, is_unanswered=error.is_silent or error.servfail is not None)
        except (DNSException, OSError, ValueError) as error:
            return Finding(Verdict.UNKNOWN, f"DNS could not be queried: {error}")

    def addresses(self, name: str) -> tuple[str, ...]:
        """See `ports.Resolver`."""
        try:
            return tuple(sorted(own.addresses(self._nameservers.queries(), name_of(name))))
        except (DNSException, OSError, ValueError):
            return ()

    def is_answering(self) -> bool:
        """See `ports.Resolver`."""
        return self._do_servers_answer(time.monotonic() + self._nameservers.seconds / 2)

    def _do_servers_answer(self, until: float) -> bool:
        return own.is_answering(self._nameservers, self._targets, until)

    def _pointing(self, lookup: CnameLookup, record: str) -> DnsFinding:
        try:
            verdict, summary = lookup.verdict()
            if verdict is Verdict.NO:
                return _no(lookup, summary)
            return DnsFinding(verdict, summary, record, is_elsewhere=lookup.is_elsewhere)
        except TargetError as error:
            if error.error and not lookup.chain[1:] and not lookup.queries.do_servers_answer():
                reason = after_silence(self._nameservers.as_silent, str(error))
            else:
                reason, record = after_target_error(lookup, error), ""
        except UnansweredError as error:
            reason = self._reason(lookup.queries, error, lookup.chain[0], is_known=bool(lookup.chain[1:]))
        return _unknown(replace(reason, summary=lookup.unknown(reason.summary)), record)

    def _reason(
        self, queries: Queries, error: UnansweredError, name: Name, *, is_known: bool = False, is_caa: bool = False
    ) -> Reason:
        """Why a query about a name has no clear answer. is_known: another one about it has. is_caa: a CNAME of the name
        may lead to the records of our own target."""
        reason = after_unknown(queries, error, name, self._targets)
        if reason.fault or reason.is_bogus:
            return reason
        if not is_known and not queries.do_servers_answer():
            return after_silence(self._nameservers.as_silent, str(error))
        target = own.target_without_caa(queries, error.name, self._targets) if is_caa else None
        return after_target_caa(error, target) if target else reason


def _no(lookup: CnameLookup, summary: str) -> DnsFinding:
    """After a clear no: what must be done, with those of our targets alone that have an address. Raises TargetError if
    none has one."""
    usable = lookup.usable_targets()
    missing = tuple(text_of(target) for target in lookup.targets if target not in usable)
    lookup = replace(lookup, targets=usable)
    record = f"{text_of(lookup.chain[0])} CNAME {listed(usable)}"
    advice, records = after_no(lookup)
    former = former_records(lookup)
    return DnsFinding(
        Verdict.NO,
        summary,
        record,
        advice,
        lookup.is_elsewhere,
        records=records,
        former=former,
        missing_targets=missing,
    )


def _unknown(reason: Reason, record: str) -> DnsFinding:
    return DnsFinding(
        Verdict.UNKNOWN,
        reason.summary,
        record,
        reason.advice,
        is_bogus=reason.is_bogus,
        must_act=reason.must_act,
        fault=reason.fault,
    )


def _uncertain(reason: Reason, *, is_unanswered: bool = True) -> Finding:
    return Finding(
        Verdict.UNKNOWN,
        reason.summary,
        reason.advice,
        reason.is_bogus,
        reason.must_act,
        fault=reason.fault,
        is_unanswered=is_unanswered,
    )
