"""Whether CAA records let a CA issue, and the record that would."""

from issuer import names
from issuer.ports import CertificateAuthority, Finding, Services, Verdict, creation
from issuer.problem import Actor, Problem, ProblemType

NOTHING_FOR_THE_OWNER = "the owner of the domain need do nothing"


def look(services: Services, name: str, ca: CertificateAuthority) -> Finding:
    """What the CAA records that apply to a name say about a CA. Raises Problem if the CA cannot be asked for its names
    there."""
    return services.resolver.caa(name, ca.caa_identities(), ca.account_url())


def look_without_request(services: Services, name: str, ca: CertificateAuthority) -> Finding | None:
    """The same by what is known of our account there; None if the CA does not say its names in CAA records now."""
    try:
        known = ca.known_account()
        return services.resolver.caa(name, ca.caa_identities(), (known.url if known else None) or "")
    except Problem as problem:
        if problem.type is ProblemType.STORE_UNAVAILABLE:
            raise
        return None


def record_for(owner: str, ca: CertificateAuthority) -> str:
    """The CAA record that allows a CA, beside those that `owner` has."""
    (identity, *_) = ca.caa_identities()
    return f'{owner} CAA 0 issue "{identity}"'


def forbidden(services: Services, name: str, ca: CertificateAuthority, finding: Finding) -> Problem:
    """The Problem with CAA records that forbid a CA. A CA follows a CNAME, so they may be those of our own target."""
    owner = finding.owner or name
    record = record_for(owner, ca)
    if names.is_ours(owner, services.own_names):
        act = f"the operator must add the record {record}, or remove the CAA records of {owner}"
        hint = f"{act}; {NOTHING_FOR_THE_OWNER}"
        return Problem(ProblemType.CAA, finding.summary, cause=finding.summary, hint=hint, actor=Actor.PLATFORM)
    return Problem(ProblemType.CAA, finding.summary, cause=finding.summary, hint=_hint(owner, record))


def explained(services: Services, name: str, ca: CertificateAuthority, problem: Problem) -> Problem:
    """The Problem of a CA that says that CAA records forbid it, with the record that is missing, by our own look."""
    finding = look(services, name, ca)
    if finding.verdict is Verdict.NO:
        found = forbidden(services, name, ca, finding)
        return Problem(ProblemType.CAA, problem.detail, cause=found.cause, hint=found.hint, actor=found.actor)
    if finding.is_unanswered and finding.advice:
        cause = f"the CAA records of {name} cannot be read: {finding.summary}"
        return Problem(ProblemType.CAA, problem.detail, cause=cause, hint=finding.advice, actor=finding.must_act)
    cause = f"the CA says that a CAA record of {name}, or of a name above it, forbids it to issue"
    hint = _hint(finding.owner or name, record_for(finding.owner or name, ca)) if ca.caa_identities() else problem.hint
    return Problem(ProblemType.CAA, problem.detail, cause=cause, hint=hint)


def _hint(owner: str, record: str) -> str:
    return f"{creation(record, (record,))}; or remove the CAA records of {owner}"
