"""Port 80 as a CA sees it: if the CA gets no right answer, is it our own edge that fails, or a server of the owner?

A name that DNS leads to us has nothing else in between, so its owner can do nothing about a wrong answer. Each of its
addresses is asked on its own, side by side, as a CA may pick any of them.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from issuer.domain import Record
from issuer.ports import Finding, Services, Verdict
from issuer.problem import Problem, ProblemType

MAX_ADDRESSES = 8
"""So many of a name's addresses are asked."""
PATH = "/.well-known/acme-challenge/"
NOTHING_FOR_THE_OWNER = "the owner of the domain need do nothing"
EDGE_ADVICE = (
    f"the operator must let every edge pass http requests below {PATH} on port 80 on to `web`, for every host name and "
    f"without a log-in or a redirect elsewhere; {NOTHING_FOR_THE_OWNER}"
)
FIREWALL_ADVICE = (
    "the operator must make port 80 of every edge answer everybody: look for an edge that is down, and for a firewall, "
    "geo-blocking or bot protection that turns away the CA's servers, which ask from several countries; "
    f"{NOTHING_FOR_THE_OWNER}"
)
OF_OUR_EDGES = frozenset({ProblemType.EDGE_UNREACHABLE, ProblemType.CA_CANNOT_CONNECT})
LOOKS_IN_A_ROW = 6
"""After so many failed looks in a row the CA decides once, as our own look may be what is wrong."""


def looks(services: Services, name: str) -> list[tuple[str, Finding]]:
    """What each address of a name answers. Raises Problem(store-unavailable)."""
    addresses = services.resolver.addresses(name)[:MAX_ADDRESSES]
    if not addresses:
        return []
    with ThreadPoolExecutor(len(addresses)) as pool:
        return list(
            zip(addresses, pool.map(lambda each: services.probe.answers_at(name, each), addresses), strict=True)
        )


def leads_here(services: Services, name: str) -> bool:
    """Whether DNS leads a name to us, without a server of others in between."""
    return services.resolver.points_here(name).verdict is Verdict.YES


def fault(services: Services, name: str) -> Problem | None:
    """What our own look says is wrong with the edges that DNS leads a name to; None if it finds nothing, or cannot
    tell. Raises Problem(store-unavailable)."""
    return _fault(name, looks(services, name)) if leads_here(services, name) else None


def require_edges(services: Services, record: Record) -> None:
    """Raise Problem(edge-unreachable) before an order is placed, if the last one failed because of our edges and they
    still fail: so a fault of ours costs no further validation at the CA."""
    problem = record.issuance.problem
    if problem is None or problem.type not in OF_OUR_EDGES or is_ca_to_decide(record):
        return
    if found := fault(services, record.domain.name):
        raise found


def is_ca_to_decide(record: Record) -> bool:
    """Whether the CA is asked in spite of our own look."""
    return record.issuance.pauses % LOOKS_IN_A_ROW == LOOKS_IN_A_ROW - 1


def pauses_to_keep(record: Record) -> int:
    """The pauses of an issuance whose order is placed: they end with it, unless the CA is to decide now."""
    problem = record.issuance.problem
    return record.issuance.pauses if problem and problem.type in OF_OUR_EDGES and is_ca_to_decide(record) else 0


def explained(services: Services, name: str, problem: Problem) -> Problem:
    """The Problem of a failed validation, by what we find ourselves. Raises Problem(store-unavailable)."""
    pointing = services.resolver.points_here(name)
    if pointing.verdict is Verdict.YES:
        return _of_ours(name, looks(services, name), problem)
    if pointing.verdict is Verdict.NO and pointing.is_elsewhere:
        cause = f"{name} leads to other servers than ours, where the CA gets no right answer: {pointing.summary}"
        return _with(problem, problem.type, cause, proxy_advice(name))
    if pointing.verdict is Verdict.NO:
        return _with(problem, problem.type, pointing.summary, pointing.hint)
    return problem


def proxy_advice(name: str) -> str:
    """What the owner of a name that DNS does not lead to us must do."""
    return (
        f"let the proxy or server before {name} pass http requests below {PATH} on port 80 on to us, without a log-in "
        "or a redirect to another name, or switch it off for this name"
    )


def _of_ours(name: str, found: Sequence[tuple[str, Finding]], problem: Problem) -> Problem:
    ours = _fault(name, found)
    if ours:
        return _with(problem, ours.type, ours.cause, ours.hint)
    shown = ", ".join(address for address, _ in found) or "its address"
    is_seen = any(finding.verdict is Verdict.YES for _, finding in found)
    whom = "us, but not the CA" if is_seen else "neither us nor the CA"
    unclear = next((f": {finding.summary}" for _, finding in found if finding.verdict is Verdict.UNKNOWN), "")
    cause = f"{name} leads to us, and port 80 of {shown} answers {whom}{unclear}"
    return _with(problem, ProblemType.CA_CANNOT_CONNECT, cause, FIREWALL_ADVICE)


def _fault(name: str, found: Sequence[tuple[str, Finding]]) -> Problem | None:
    failed = [(address, finding.summary.removeprefix(f"http://{name} ")) for address, finding in failures(found)]
    if not failed:
        return None
    words = "; ".join(f"port 80 of our edge {address} {words}" for address, words in failed)
    detail = f"asked for http://{name}{PATH}"
    cause = f"{name} leads to us, but {words}"
    return Problem(ProblemType.EDGE_UNREACHABLE, detail, cause=cause, hint=EDGE_ADVICE)


def failures(found: Sequence[tuple[str, Finding]]) -> list[tuple[str, Finding]]:
    """The addresses that clearly fail, or that cannot be reached while others of the same family can. If none can be
    reached, this machine may be the obstacle."""
    right = {":" in address for address, finding in found if finding.verdict is Verdict.YES}
    return [
        (address, finding)
        for address, finding in found
        if finding.verdict is Verdict.NO or (finding.verdict is Verdict.UNKNOWN and (":" in address) in right)
    ]


def _with(problem: Problem, type_: ProblemType, cause: str, hint: str) -> Problem:
    """The same problem of the CA, with what we have found."""
    return Problem(
        type_,
        problem.detail,
        cause=cause,
        hint=hint,
        retry_at=problem.retry_at,
        is_of_http=problem.is_of_http,
    )
