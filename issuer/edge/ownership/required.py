"""What DNS must say before a certificate is ordered: that the name points here, and that CAA records let the CA issue.

Without a clear answer, it depends on whose DNS is silent. A fault of our own costs neither a try nor a request to a CA.
"""

from datetime import UTC, datetime

from issuer.authorities import permission
from issuer.domain import Record
from issuer.edge import ownership
from issuer.events import EventType
from issuer.ports import CertificateAuthority, DnsFinding, Finding, HolderProof, Services, Verdict
from issuer.problem import Problem, ProblemType

DNSSEC_BROKEN = "DNSSEC of the zone is broken"
PAUSES_IN_A_ROW = 6
"""After so many pauses for want of our own targets, a CA decides once about a name that has a certificate."""
OR_WITHDRAW = "; or, if the domain has left for good, delete it here (DELETE)"


def require_points_here(services: Services, record: Record) -> Record | None:
    """The record, with an event if a proxy is before the name; None if DNS must be asked again first. Raises Problem
    unless the name points here and, if that is required, proves its holder.

    After an unknown answer, DNS is asked once more; then the CA's own look-up decides. But only a yes goes on to the CA
    if the last clear answer was no, or if a required proof, which the CA does not check, has never been seen. A CA
    refuses a zone whose DNSSEC is broken, so there it decides only if a certificate in force may depend on it: our own
    DNS servers may be the ones that are wrong. The same if they are silent about every name.
    """
    domain, issuance = record.domain, record.issuance
    had_certificate = domain.certificate is not None
    finding = ownership.points_here(services, domain.name, domain.account, had_certificate=had_certificate)
    if finding.verdict is Verdict.NO:
        raise _elsewhere(record, finding, services.clock())
    if finding.verdict is Verdict.YES and finding.is_elsewhere:
        return record.with_event(services.clock(), EventType.DOMAIN_PROXIED, {"summary": finding.summary})
    if finding.verdict is Verdict.YES:
        return record
    if finding.is_bogus and issuance.waits == 0:
        return None
    is_unproved = services.settings.holder_proof is not HolderProof.NONE and not had_certificate
    is_refused = (finding.is_bogus or finding.fault) and not had_certificate
    is_first = issuance.tries == 0 and not (finding.fault and issuance.pauses)
    # A target without an address would cost a failed validation; but it may be our own view that is wrong.
    is_early = issuance.pauses % PAUSES_IN_A_ROW != PAUSES_IN_A_ROW - 1
    is_without_target = finding.fault is ProblemType.TARGET_DNS and not finding.is_bogus and is_early
    if is_first or domain.moved_away_since or is_unproved or is_refused or is_without_target:
        raise _unknown(finding, finding.hint)
    return record


def require_caa(services: Services, record: Record, ca: CertificateAuthority) -> Record | None:
    """Check the domain's CAA records. Returns the record with the result in its timeline; None if DNS must be asked
    again first. Raises Problem(caa) if they clearly forbid the CA to issue, and Problem(dns-unknown) if they cannot be
    read, or are in a zone whose DNSSEC is broken, as `require_points_here` does."""
    domain, issuance = record.domain, record.issuance
    finding = permission.look(services, domain.name, ca)
    if finding.verdict is Verdict.NO:
        raise permission.forbidden(services, domain.name, ca, finding)
    if finding.is_bogus and issuance.waits == 0:
        return None
    is_refused = finding.is_bogus or finding.is_unanswered or finding.fault
    is_first = issuance.tries == 0 and not (finding.fault and issuance.pauses)
    if is_refused and (domain.certificate is None or is_first):
        raise _unknown(finding, finding.advice, of=f"the CAA records of {domain.name} cannot be read: ")
    facts = {"verdict": finding.verdict.value, "summary": finding.summary}
    return record.with_event(services.clock(), EventType.CAA_CHECKED, facts)


def _elsewhere(record: Record, finding: DnsFinding, now: float) -> Problem:
    """The Problem with a name that does not point here: never yet, or no longer."""
    domain = record.domain
    if domain.certificate is None:
        return Problem(ProblemType.INVALID_CNAME, finding.summary, cause=finding.summary, hint=finding.hint)
    since = datetime.fromtimestamp(domain.moved_away_since or now, UTC)
    cause = f"{domain.name} has not led here since {since:%Y-%m-%d %H:%M} UTC: {finding.summary}"
    return Problem(ProblemType.INVALID_CNAME, finding.summary, cause=cause, hint=f"{finding.hint}{OR_WITHDRAW}")


def _unknown(finding: Finding | DnsFinding, hint: str, *, of: str = "") -> Problem:
    message = DNSSEC_BROKEN if finding.is_bogus else ""
    type_, cause = finding.fault or ProblemType.DNS_UNKNOWN, f"{of}{finding.summary}"
    return Problem(type_, finding.summary, message=message, cause=cause, hint=hint, actor=finding.must_act)
