"""What must be done about a name that does not point here, or of which DNS says nothing clear."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dns.name import Name, root
from dns.rdatatype import NS, SOA

from issuer import names
from issuer.dns.cname import CnameLookup, TargetError, listed
from issuer.dns.dnssec import broken_zone
from issuer.dns.queries import NoSuchNameError, Queries, UnansweredError, text_of
from issuer.problem import Actor

NOTHING_FOR_THE_OWNER = "the owner of the domain need do nothing"
TARGET_ADVICE = f"the operator must check the DNS of the platform's own target; {NOTHING_FOR_THE_OWNER}"
MAX_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is unknown. summary: in words. advice, is_bogus, must_act: as in `ports.Finding`."""

    summary: str
    advice: str = ""
    is_bogus: bool = False
    must_act: Actor = Actor.OWNER


def after_no(lookup: CnameLookup) -> str:
    """For the owner of a name that does not point here; empty: the required record must be created."""
    name, end = lookup.chain[0], lookup.chain[-1]
    if lookup.strays and lookup.theirs & lookup.ours and not lookup.by_cname:
        return f"remove the record {_records(end, lookup.strays)}"
    return _for_apex(lookup) if is_apex(lookup.queries, name) else ""


def _for_apex(lookup: CnameLookup) -> str:
    owner, *hops = lookup.chain
    name = text_of(owner)
    cannot = f"{name} is the apex of its zone and cannot have a CNAME"
    if lookup.by_cname:
        return f"{cannot}, so it cannot prove whose it is: use a name below it, such as www.{name}"
    ours = lookup.target_addresses()
    records = f", or {_records(owner, ours)}" if ours else ""
    former = f"{name} CNAME {text_of(hops[0])}" if hops else _records(owner, lookup.strays)
    instead = f", in place of {former}" if former else ""
    return f"{cannot}: create an ALIAS or ANAME record to {listed(lookup.targets)}{records}{instead}"


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
    if zone is None:
        return Reason(str(error))
    if zone == root:
        summary = f"{error}, as our own DNS server finds DNSSEC broken from the root zone on"
        check = "the operator must check the servers in ISSUER_DNS_SERVERS, their clock and their trust anchor"
        return Reason(summary, f"{check}; {NOTHING_FOR_THE_OWNER}", must_act=Actor.PLATFORM)
    shown = text_of(zone)
    summary = f"{error}, as DNSSEC of the zone {shown} is broken"
    repair = f"sign the zone {shown} anew, or remove its DS record at the registrar"
    refused = "since 2026-03-15 every CA must refuse it"
    if any(target.is_subdomain(zone) for target in targets) and not name.is_subdomain(zone):
        advice = f"the platform must {repair}: {refused}; {NOTHING_FOR_THE_OWNER}"
        return Reason(summary, advice, is_bogus=True, must_act=Actor.PLATFORM)
    lasting = "after the repair, DNS servers may show the former state for some minutes"
    return Reason(summary, f"whoever runs its DNS must {repair}: {refused}; {lasting}", is_bogus=True)


def after_target_error(lookup: CnameLookup, error: TargetError) -> Reason:
    """Why our own targets have no address to compare with."""
    reason = Reason(str(error), TARGET_ADVICE)
    if error.error:
        found = after_unknown(lookup.queries, error.error, lookup.chain[0], lookup.targets)
        reason = replace(found, advice=found.advice or TARGET_ADVICE)
    return replace(reason, must_act=Actor.PLATFORM)


def _records(owner: Name, addresses: Iterable[str]) -> str:
    """Address records in words, the first few."""
    shown = sorted(f"{text_of(owner)} {'AAAA' if ':' in address else 'A'} {address}" for address in addresses)
    return " and ".join(shown[:MAX_SHOWN] + ["…"] * (len(shown) > MAX_SHOWN))
