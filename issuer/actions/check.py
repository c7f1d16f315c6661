"""A dry run for one name: would it get a certificate now, and if not, who must do what? It costs the CA nothing.

All that the steps would look at is looked at side by side, so that one call names every fault at once. A look that
cannot tell, or that fails itself, is unknown; it never hides the others.
"""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from issuer.actions import eligibility
from issuer.actions.doctor import side_by_side
from issuer.actions.doctor.side_by_side import Look
from issuer.authorities import limits, permission
from issuer.domain import Account, Domain, Plan, Record
from issuer.edge import ownership, port80
from issuer.ports import CertificateAuthority, Check, CheckResult, Finding, Services, Verdict
from issuer.problem import Actor, Problem, ProblemType

RESULTS = {Verdict.YES: CheckResult.OK, Verdict.NO: CheckResult.FAILED, Verdict.UNKNOWN: CheckResult.UNKNOWN}
SECONDS = 12.0
"""How long all looks may take together."""


def check(services: Services, account: Account | None, text: str) -> list[Check]:
    """Check a name for an account, or for the operator (None): the name itself, its holder, and then DNS, port 80, CAA
    and limits for each CA, and the edges. Raises
    Problem(store-unavailable) if it cannot even begin."""
    try:
        name = eligibility.canonical_name(services, text, is_held=True)
    except Problem as problem:
        return [_failed("name", text, problem)]
    checks = [Check("name", CheckResult.OK, f"{name} is a name that CAs issue for", name)]
    if account:
        holder, domain = _holder(services, account, name)
        checks += [_plan(account), holder]
        if holder.result is CheckResult.FAILED:
            return checks
    else:
        record = _stored(services, name)
        domain = record.domain if record and not record.domain.is_withdrawn else None
    looks = _looks(services, name, domain, account.id if account else domain.account if domain else "")
    return [*checks, *side_by_side.results(looks, seconds=SECONDS)]


def _looks(services: Services, name: str, domain: Domain | None, account: str) -> list[Look]:
    """All that waits for others. account: empty if it is not known."""
    imagined = domain or Domain(name, account, services.clock())
    had_certificate = domain is not None and domain.certificate is not None
    looks = [
        Look("cname", name, lambda: _dns(services, name, account, had_certificate=had_certificate)),
        Look("port-80", name, lambda: _port80(services, name)),
    ]
    for ca in services.cas:
        looks += [
            Look("caa", ca.directory_url, partial(_caa, services, name, ca)),
            Look("ca-limits", ca.directory_url, partial(_limits, services, imagined, ca)),
        ]
    certificate = domain.certificate if domain else None
    if certificate:
        looks += [
            Look("edge", each, partial(_edge, services, name, certificate.serial, each)) for each in services.edges
        ]
    return looks


def _plan(account: Account) -> Check:
    if account.plan is Plan.HTTPS:
        return Check("plan", CheckResult.OK, f"the plan of {account.id} has HTTPS", account.id)
    hint = f"the operator can change the plan: issuer accounts set-plan {account.id} https"
    return Check("plan", CheckResult.FAILED, f"the plan of {account.id} has no HTTPS", account.id, hint)


def _holder(services: Services, account: Account, name: str) -> tuple[Check, Domain | None]:
    """Whether the account may have the name, and the domain, if it holds it."""
    record = _stored(services, name)
    try:
        eligibility.require_free(services, account, record)
    except Problem as problem:
        return _failed("holder", name, problem), None
    is_held = record is not None and record.domain.account == account.id and not record.domain.is_withdrawn
    words = f"{account.id} holds {name}" if is_held else f"{name} is free"
    return Check("holder", CheckResult.OK, words, name), record.domain if record and is_held else None


def _stored(services: Services, name: str) -> Record | None:
    """The record of a name; what can be read of a damaged one."""
    try:
        return services.store.load(name)
    except Problem as problem:
        if problem.type is not ProblemType.DAMAGED_RECORD:
            raise
        return services.store.salvage(name, now=services.clock())


def _dns(services: Services, name: str, account: str, *, had_certificate: bool) -> list[Check]:
    """Whether the name leads here, and whether DNSSEC is in order."""
    if account:
        finding = ownership.points_here(services, name, account, had_certificate=had_certificate)
    else:
        finding = services.resolver.points_here(name)
    hint = "" if finding.verdict is Verdict.YES else finding.hint
    records = finding.records if finding.verdict is Verdict.NO else ()
    pointing = Check("cname", RESULTS[finding.verdict], finding.summary, name, hint, finding.must_act, records=records)
    if finding.verdict is Verdict.UNKNOWN and finding.fault:
        pointing = replace(pointing, result=CheckResult.FAILED)
    if finding.is_bogus:
        failed = Check("dnssec", CheckResult.FAILED, finding.summary, name, finding.hint, finding.must_act)
        return [pointing, failed]
    if finding.verdict is Verdict.UNKNOWN:
        return [pointing, Check("dnssec", CheckResult.UNKNOWN, f"DNS gives no clear answer for {name}", name)]
    return [pointing, Check("dnssec", CheckResult.OK, "our DNS servers find no fault", name)]


def _port80(services: Services, name: str) -> list[Check]:
    """Whether each address of the name passes a CA's request on to us."""
    found = port80.looks(services, name)
    if not found:
        return [Check("port-80", CheckResult.UNKNOWN, f"{name} has no address that could be asked", name)]
    is_ours = port80.leads_here(services, name)
    failed = {address for address, _ in port80.failures(found)}
    return [_at(name, address, finding, is_ours=is_ours, is_failed=address in failed) for address, finding in found]


def _at(name: str, address: str, finding: Finding, *, is_ours: bool, is_failed: bool) -> Check:
    """One address, of IPv6 under a code of its own: CAs prefer it, and an old AAAA record is soon forgotten."""
    code, result = "aaaa" if ":" in address else "port-80", RESULTS[finding.verdict]
    if finding.verdict is Verdict.YES:
        return Check(code, result, f"requests to {name} at {address} arrive here", address)
    result = CheckResult.FAILED if is_failed else result
    hint = port80.EDGE_ADVICE if is_ours else port80.proxy_advice(name)
    actor = Actor.PLATFORM if is_ours else Actor.OWNER
    return Check(code, result, f"at {address}: {finding.summary}", address, hint, actor)


def _caa(services: Services, name: str, ca: CertificateAuthority) -> list[Check]:
    finding, subject = permission.look_without_request(services, name, ca), ca.directory_url
    if finding is None:
        return [Check("caa", CheckResult.UNKNOWN, f"{subject} does not say its name in CAA records now", subject)]
    if finding.verdict is Verdict.NO:
        problem = permission.forbidden(services, name, ca, finding)
        record = permission.record_for(finding.owner or name, ca)
        return [replace(_failed("caa", subject, problem), records=(record,))]
    result = CheckResult.FAILED if finding.fault else RESULTS[finding.verdict]
    return [Check("caa", result, finding.summary, subject, finding.advice, finding.must_act)]


def _limits(services: Services, domain: Domain, ca: CertificateAuthority) -> list[Check]:
    """Whether the CA may be asked now, as far as that is counted here."""
    now, subject = services.clock(), ca.directory_url
    if until := services.limits.cooldown_until(subject, now=now):
        return [_later(subject, "the CA has failed several times and is not asked before", until)]
    if until := limits.room_at_ca(services, domain, ca):
        return [_later(subject, "the CA's limits have no room before", until)]
    return [Check("ca-limits", CheckResult.OK, "the CA's limits, as counted here, have room", subject)]


def _later(subject: str, words: str, until: float) -> Check:
    cause = f"{words} {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC"
    hint = "no action is needed: it goes on then by itself"
    return Check("ca-limits", CheckResult.FAILED, cause, subject, hint, Actor.NOBODY)


def _edge(services: Services, name: str, serial: str, edge: str) -> list[Check]:
    finding = services.handshake.serves(edge, name, serial)
    hint = "" if finding.verdict is Verdict.YES else f"the operator must see why {edge} of ISSUER_EDGE_ADDRESSES lags"
    return [Check("edge", RESULTS[finding.verdict], finding.summary, edge, hint)]


def _failed(code: str, subject: str, problem: Problem) -> Check:
    cause = problem.cause if problem.cause != problem.message else problem.detail or problem.cause
    return Check(code, CheckResult.FAILED, cause, subject, problem.hint, problem.actor)
