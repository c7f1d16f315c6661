"""What must be done about a name that does not point here, or of which DNS says nothing clear."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dns.name import Name, root
from dns.rdatatype import NS, SOA

from issuer import names
from issuer.dns.cname import CnameLookup, TargetError, listed
from issuer.dns.dnssec import broken_zone
from issuer.dns.queries import NoSuchNameError, Queries, UnansweredError, text_of
from issuer.problem import Actor, ProblemType

NOTHING_FOR_THE_OWNER = "the owner of the domain need do nothing"
TARGET_ADVICE = (
    "the operator must correct ISSUER_CNAME_TARGETS, or give each host name in it an A or AAAA record in DNS; "
    f"{NOTHING_FOR_THE_OWNER}"
)
TARGET_SERVERS_ADVICE = (
    f"the operator must make the name servers of the host names in ISSUER_CNAME_TARGETS answer; {NOTHING_FOR_THE_OWNER}"
)
RESOLVER_ADVICE = (
    f"the operator must correct ISSUER_DNS_SERVERS, or make these servers answer this machine; {NOTHING_FOR_THE_OWNER}"
)
SERVERS_ADVICE = "ask whoever runs the DNS of {zone}: its name servers must answer; no record needs to be changed"
MAX_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is unknown. summary: in words. advice, is_bogus, must_act, fault: as in `ports.Finding`."""

    summary: str
    advice: str = ""
    is_bogus: bool = False
    must_act: Actor = Actor.OWNER
    fault: ProblemType | None = None


def after_silence(servers: str, reason: str = "") -> Reason:
    """Why nothing is known of any name. servers: ours, in words. reason: how a query has failed."""
    summary = f"{servers}, and so nothing is known of any name{f': {reason}' if reason else ''}"
    return Reason(summary, RESOLVER_ADVICE, must_act=Actor.PLATFORM, fault=ProblemType.RESOLVER_UNAVAILABLE)


def after_no(lookup: CnameLookup) -> tuple[str, tuple[str, ...]]:
    """For the owner of a name that does not point here: what to do, if not create the required record, and the records
    to create (`name TYPE value`)."""
    name, end = lookup.chain[0], lookup.chain[-1]
    if lookup.strays and lookup.theirs & lookup.ours and not lookup.by_cname:
        return f"remove the record {_listed(_records(end, lookup.strays))}", ()
    if is_apex(lookup.queries, name):
        return _for_apex(lookup)
    required = tuple(f"{text_of(name)} CNAME {text_of(target)}" for target in lookup.targets)
    return "", required


def _for_apex(lookup: CnameLookup) -> tuple[str, tuple[str, ...]]:
    owner = lookup.chain[0]
    name = text_of(owner)
    cannot = f"{name} is the apex of its zone and cannot have a CNAME"
    if lookup.by_cname:
        return f"{cannot}, so it cannot prove whose it is: use a name below it, such as www.{name}", ()
    ours = _records(owner, lookup.target_addresses())
    records = f", or {_listed(ours)}" if ours else ""
    former = former_records(lookup)
    instead = f", in place of {former}" if former else ""
    words = f"{cannot}: create an ALIAS or ANAME record to {listed(lookup.targets)}{records}{instead}"
    return words, (*(f"{name} ALIAS {text_of(target)}" for target in lookup.targets), *ours)


def former_records(lookup: CnameLookup) -> str:
    """The records of a name that lead elsewhere, in words; empty: none."""
    owner, *hops = lookup.chain
    return f"{text_of(owner)} CNAME {text_of(hops[0])}" if hops else _listed(_records(owner, lookup.strays))


def is_apex(queries: Queries, name: Name) -> bool:
    """Whether a name is the apex of a zone, and so cannot have a CNAME (RFC 1912 §2.4): it has an SOA or NS record. If
    DNS does not say, by the public suffix list."""
    is_answered = False
    for rdtype in (SOA, NS):
        try:
            answer = queries.resolve(name, rdtype)
        except (NoSuchNameError, UnansweredError):
            continue
        is_answered = True
        if answer.rrset and answer.rrset.name.canonicalize() == name:
            return True
    return not is_answered and names.registered_domain(text_of(name)) == text_of(name)


def after_unknown(queries: Queries, error: UnansweredError, name: Name, targets: Sequence[Name]) -> Reason:
    """Why a query about a name has no clear answer."""
    zone = broken_zone(queries, error)
    if zone is None and error.name in targets:
        return _target_unanswered(str(error))
    if zone is None:
        return Reason(str(error), SERVERS_ADVICE.format(zone=names.registered_domain(text_of(error.name))))
    if zone == root:
        summary = f"{error}, as our own DNS server finds DNSSEC broken from the root zone on"
        check = "the operator must check the servers in ISSUER_DNS_SERVERS, their clock and their trust anchor"
        advice, fault = f"{check}; {NOTHING_FOR_THE_OWNER}", ProblemType.RESOLVER_UNAVAILABLE
        return Reason(summary, advice, must_act=Actor.PLATFORM, fault=fault)
    shown = text_of(zone)
    summary = f"{error}, as DNSSEC of the zone {shown} is broken"
    repair = f"sign the zone {shown} anew, or remove its DS record at the registrar"
    refused = "since 2026-03-15 every CA must refuse it"
    if any(target.is_subdomain(zone) for target in targets) and not name.is_subdomain(zone):
        advice = f"the platform must {repair}: {refused}; {NOTHING_FOR_THE_OWNER}"
        return Reason(summary, advice, is_bogus=True, must_act=Actor.PLATFORM, fault=ProblemType.TARGET_DNS)
    lasting = "after the repair, DNS servers may show the former state for some minutes"
    return Reason(summary, f"whoever runs its DNS must {repair}: {refused}; {lasting}", is_bogus=True)


def after_target_error(lookup: CnameLookup, error: TargetError) -> Reason:
    """Why our own targets have no address to compare with."""
    if error.error is None:
        return Reason(str(error), TARGET_ADVICE, must_act=Actor.PLATFORM, fault=ProblemType.TARGET_DNS)
    found = after_unknown(lookup.queries, error.error, lookup.chain[0], lookup.targets)
    return found if found.must_act is Actor.PLATFORM else _target_unanswered(str(error), found.advice)


def after_target_caa(error: UnansweredError, target: Name) -> Reason:
    """Why the CAA records of a name have no clear answer if those of our target have none."""
    return _target_unanswered(f"{error}, as there is none for our own target {text_of(target)}")


def _target_unanswered(words: str, advice: str = "") -> Reason:
    advice = advice if NOTHING_FOR_THE_OWNER in advice else TARGET_SERVERS_ADVICE
    return Reason(words, advice, must_act=Actor.PLATFORM, fault=ProblemType.TARGET_DNS)


def _records(owner: Name, addresses: Iterable[str]) -> tuple[str, ...]:
    """Address records."""
    return tuple(sorted(f"{text_of(owner)} {'AAAA' if ':' in address else 'A'} {address}" for address in addresses))


def _listed(records: Sequence[str]) -> str:
    """The first few in words."""
    return " and ".join([*records[:MAX_SHOWN]] + ["…"] * (len(records) > MAX_SHOWN))
