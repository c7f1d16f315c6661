"""Our own DNS servers and targets, as this machine sees them: the addresses of these, port 80, and CAA."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from issuer.ports import Check, CheckResult, Finding, Services, Verdict
from issuer.problem import Problem

OK, FAILED, UNKNOWN = CheckResult
RESULTS = {Verdict.YES: OK, Verdict.NO: FAILED, Verdict.UNKNOWN: UNKNOWN}
ADDRESS = "correct ISSUER_CNAME_TARGETS, or give this name A and AAAA records that lead to your edges"
SERVERS = "correct ISSUER_DNS_SERVERS, or let this machine reach them: nothing can be issued until then"
DNS = "check ISSUER_DNS_SERVERS: this machine must be able to resolve its own names"
PORT_80 = (
    "pass http://…/.well-known/acme-challenge/ on from port 80 of every edge to `issuer run web`: no login, no "
    "redirect, no cache; 'What port 80 must reach' in docs/production.md has more"
)
FROM_INSIDE = "this machine may not reach its own public addresses; look from outside"


def addresses(services: Services, target: str) -> list[Check]:
    """Whether a target has an address."""
    finding = services.resolver.has_address(target)
    hint = {Verdict.YES: "", Verdict.NO: ADDRESS, Verdict.UNKNOWN: DNS}[finding.verdict]
    return [Check("target", RESULTS[finding.verdict], finding.summary, target, hint)]


def resolver(services: Services) -> list[Check]:
    """Whether our DNS servers answer at all."""
    if services.resolver.is_answering():
        return [Check("dns", OK, "our DNS servers answer")]
    return [Check("dns", FAILED, "our DNS servers answer for no name at all", hint=SERVERS)]


def port_80(services: Services, target: str) -> list[Check]:
    """Whether a request to port 80 of a target arrives here, as that of a CA must: at each of its addresses, if it has
    several. An address that does not answer, while another one does, is not only unreachable from this machine."""
    held = services.resolver.addresses(target)
    if len(held) <= 1:
        return [_port_80(services.probe.arrives_here(target, within_name=False), target)]
    with ThreadPoolExecutor(len(held)) as pool:
        findings = list(pool.map(lambda address: services.probe.answers_at(target, address), held))
    if any(finding.verdict is Verdict.YES for finding in findings):
        unknown, shut = Verdict.UNKNOWN, Verdict.NO
        findings = [replace(one, verdict=shut) if one.verdict is unknown else one for one in findings]
    subjects = [f"{target} {address}" for address in held]
    return [_port_80(finding, subject) for finding, subject in zip(findings, subjects, strict=True)]


def _port_80(finding: Finding, subject: str) -> Check:
    hint = {Verdict.YES: "", Verdict.NO: PORT_80, Verdict.UNKNOWN: FROM_INSIDE}[finding.verdict]
    address = subject.partition(" ")[2]
    cause = f"{finding.summary} (at {address})" if address and address not in finding.summary else finding.summary
    return Check("port-80", RESULTS[finding.verdict], cause, subject, hint)


def caa(services: Services, target: str) -> list[Check]:
    """Whether CAA records at a target, which count for all names that lead there, let each of our CAs issue."""
    return [
        _of_ca(target, url, _permission(services, target, url)) for url in (ca.directory_url for ca in services.cas)
    ]


def _permission(services: Services, target: str, directory_url: str) -> tuple[Finding, str]:
    """What CAA says, and the CA's first domain in CAA records."""
    ca = services.ca_at(directory_url)
    assert ca
    try:
        issuers = ca.caa_identities()
        known = ca.known_account()
    except Problem as problem:
        words = f"{directory_url} does not say its domain in CAA records: {problem.cause}"
        return Finding(Verdict.UNKNOWN, words, "see what is said of this CA"), ""
    return services.resolver.caa(target, issuers, known.url or "" if known else ""), issuers[0] if issuers else ""


def _of_ca(target: str, directory_url: str, found: tuple[Finding, str]) -> Check:
    finding, issuer = found
    subject, hint, records = f"{target} {directory_url}", "", tuple[str, ...]()
    if finding.verdict is Verdict.NO:
        records = (f'{finding.owner or target} CAA 0 issue "{issuer}"',)
        hint = f"add the record {records[0]}, or remove the CAA records there"
    if finding.verdict is Verdict.UNKNOWN:
        hint = finding.advice or DNS
    return Check("caa", RESULTS[finding.verdict], finding.summary, subject, hint, records=records)
