"""May we issue for this name, for this account, now? The contract's order: name, plan, holder, state, limit, CNAME."""

from issuer import names
from issuer.domain import Record, Status, status
from issuer.ports import Account, Plan, Services, Verdict
from issuer.problem import Problem, ProblemType


def canonical_name(services: Services, text: str) -> str:
    """The one form of a name. Raises Problem(invalid-name)."""
    return names.canonical(text, own_names=services.own_names, allow_reserved=services.allow_reserved_names)


def held_record(services: Services, account: Account, name: str) -> Record | None:
    """The record of a name that the account holds, None when nobody does. Raises Problem(not-found) for another's."""
    record = services.store.load(name)
    if record and record.domain.account != account.id:
        raise Problem(
            ProblemType.NOT_FOUND,
            hint="this name can not be used with your account; ask your provider if it is yours",
        )
    return record


def not_initiated(name: str) -> Problem:
    """The contract's answer for a name that the account has not asked for."""
    return Problem(
        ProblemType.NOT_INITIATED, message=f"Please initiate x509 key pair generation at POST /v2/x509/{name}"
    )


def may_issue(services: Services, account: Account, name: str, *, must_exist: bool) -> Record | None:
    """Raise the Problem that forbids an issuance for `name` now, else return its record, if it has one."""
    if account.plan is not Plan.HTTPS:
        raise Problem(ProblemType.PLAN)
    record = held_record(services, account, name)
    if record is None and must_exist:
        raise not_initiated(name)
    if record:
        _require_idle(record, services.clock())
    return record


def require_cname(services: Services, name: str) -> None:
    """Raise Problem(invalid-cname) for a clear no; an unknown answer is looked at again by the first step."""
    pointing = services.resolver.pointing(name)
    if pointing.verdict is Verdict.NO:
        raise Problem(ProblemType.INVALID_CNAME, pointing.found, hint=f"create the record {pointing.wanted}")


def _require_idle(record: Record, now: float) -> None:
    """No valid certificate, nothing under way, and no limit of the CA that still holds."""
    certificate, name = record.domain.certificate, record.domain.name
    if status(record, now) is Status.PROCESSING or (certificate and certificate.is_valid(now)):
        raise Problem(
            ProblemType.ALREADY_INITIATED,
            message=f"x509 key pair generation has already been initiated for {name}",
            hint=f"GET /v2/x509/{name}/status tells how it is",
        )
    last = record.issuance.problem
    if last and last.retry_at and last.retry_at > now:
        raise Problem(ProblemType.RATE_LIMITED, last.detail, message=last.message, retry_at=last.retry_at)
