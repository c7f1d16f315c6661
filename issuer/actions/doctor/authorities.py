"""Each CA: its directory, our account there, and what the workers have found. Nothing is created or changed at a CA."""

from issuer.ports import CertificateAuthority, Check, CheckResult, Services
from issuer.problem import Actor, Problem, ProblemType

OK, FAILED, UNKNOWN = CheckResult
TEMPORARY = frozenset({ProblemType.STORE_UNAVAILABLE, ProblemType.FOREIGN_STORE, ProblemType.BUSY})
"""Problems that say nothing of the CA."""


def look(services: Services, directory_url: str) -> list[Check]:
    """The directory of a CA, and if that is there, our account."""
    ca = services.ca_at(directory_url)
    assert ca
    try:
        ca.require_reachable()
    except Problem as problem:
        skipped = Check("ca-account", UNKNOWN, f"{directory_url} cannot be asked about our account", directory_url)
        return [_failed("ca", problem, directory_url), skipped]
    found = [Check("ca", OK, f"{directory_url} answers", directory_url), _account(ca)]
    return [_as_left_alone(services, check) for check in found]


def _as_left_alone(services: Services, check: Check) -> Check:
    """The check; if the CA seems to be as it should be, and the workers leave it alone: why they do."""
    cooldown = services.limits.cooldown(check.subject)
    problem = cooldown.problem if cooldown else None
    if check.result is not OK or problem is None:
        return check
    is_of_account = problem.type in {ProblemType.CA_ACCOUNT, ProblemType.CA_SETTINGS}
    return _failed(check.code, problem, check.subject) if is_of_account is (check.code == "ca-account") else check


def _account(ca: CertificateAuthority) -> Check:
    url = ca.directory_url
    try:
        ca.require_account()
    except Problem as problem:
        return _failed("ca-account", problem, url)
    known = ca.known_account()
    words = f"our account at {url} can be used" if known and known.url else f"there is no account at {url} yet"
    return Check("ca-account", OK, words, url)


def _failed(code: str, problem: Problem, url: str) -> Check:
    result = UNKNOWN if problem.type in TEMPORARY else FAILED
    cause = (
        problem.cause
        if problem.cause != problem.message or not problem.detail
        else f"{problem.cause}: {problem.detail}"
    )
    code = problem.type.value if problem.type is ProblemType.CA_SETTINGS else code
    return Check(code, result, cause if url in cause else f"{url}: {cause}", url, problem.hint, _actor(problem))


def _actor(problem: Problem) -> Actor:
    """Nobody but the platform can see to its CA: an owner is never asked to."""
    return Actor.NOBODY if problem.actor is Actor.NOBODY else Actor.PLATFORM
