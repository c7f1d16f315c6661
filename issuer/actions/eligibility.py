"""Whether an account may start an issuance for a name now. Checked in the order of the API: name, plan, holder, state,
limits, CNAME."""

from issuer import names
from issuer.authorities.limits import room_at
from issuer.domain import Account, Plan, Record, Status, is_in_progress, status
from issuer.edge import ownership
from issuer.fleet import attention
from issuer.ports import Quota, Services, Verdict
from issuer.problem import Problem, ProblemType

TRIES_IN_AN_HOUR = 3
"""How many requests may start an issuance for one name in an hour. Let's Encrypt refuses a name after five failed
validations in an hour."""
QUICK_AT_ONCE = 20
HOUR_SECONDS = 3600
WEEK_SECONDS = 7 * 86400


def canonical_name(services: Services, text: str, *, is_held: bool) -> str:
    """The canonical form of a name; is_held: as of `names.canonical`. Raises Problem(invalid-name)."""
    allow_reserved = services.settings.allow_reserved_names
    return names.canonical(text, own_names=services.own_names, allow_reserved=allow_reserved, is_held=is_held)


def require_free(services: Services, account: Account, record: Record | None) -> None:
    """Raise Problem(not-found) for a name that another account holds. An account may request any other name: one of its
    own, one that it has withdrawn, or one whose hold for a former account is over."""
    if record and record.domain.account != account.id and not record.domain.is_free(services.clock()):
        raise Problem(
            ProblemType.NOT_FOUND,
            hint="this name cannot be used with your account; ask your provider if it is yours",
        )


def record_of(services: Services, account: Account, text: str) -> Record:
    """The record of a name that the account holds, as it is told. Raises Problem(not-initiated) for any other name,
    whether or not its record is damaged."""
    name = names.known(text)
    try:
        record = services.store.load(name)
    except Problem as problem:
        if problem.type is ProblemType.DAMAGED_RECORD:
            require_held(services.store.salvage(name, now=services.clock()), account, name)
        raise
    return attention.told(services, require_held(record, account, name))


def require_held(record: Record | None, account: Account, name: str) -> Record:
    """The record. Raises Problem(not-initiated) unless the account holds the name."""
    if record is None or record.domain.account != account.id or record.domain.is_withdrawn:
        raise not_initiated(name)
    return record


def not_initiated(name: str) -> Problem:
    """The API's answer for a name that the account has not requested."""
    return Problem(
        ProblemType.NOT_INITIATED, message=f"Please initiate x509 key pair generation at POST /v2/x509/{name}"
    )


def require_eligible(
    services: Services, account: Account, name: str, record: Record | None, *, must_exist: bool
) -> None:
    """Raise the Problem that forbids an issuance for `name` now. record: the name's record, if there is one.
    must_exist: the account must hold the name already (PUT)."""
    if account.plan is not Plan.HTTPS:
        cause = f"the plan {account.plan.value} of the account {account.id} does not include certificates"
        hint = f"upgrade to a plan with HTTPS; the operator does it by 'issuer accounts set-plan {account.id} https'"
        raise Problem(ProblemType.PLAN, cause=cause, hint=hint)
    require_free(services, account, record)
    is_known = record is not None and not record.domain.is_withdrawn
    if must_exist and not is_known:
        raise not_initiated(name)
    if record and is_known:
        _require_idle(services, record, is_renewal_asked_for=must_exist)
    if record and must_exist and (retry_at := room_at(services, record.domain)):
        raise Problem(ProblemType.OVER_BUDGET, retry_at=retry_at)
    had_certificate = bool(record and is_known and record.domain.certificate)
    finding = ownership.points_here(services, name, account, had_certificate=had_certificate, is_caller_waiting=True)
    if finding.verdict is Verdict.NO:
        # If the answer is unknown, the first step asks again.
        raise Problem(ProblemType.INVALID_CNAME, finding.summary, cause=finding.summary, hint=finding.hint)


def quota(services: Services, account: Account, name: str, held: Record | None) -> Quota:
    """The quota that a request counts against: the tries of a name in an hour, or the new names of an account below one
    registered domain in a week, so that a wildcard record in DNS does not lead to endless certificates."""
    if not _is_new(services, held):
        return Quota(f"tries:{name}", seconds=HOUR_SECONDS / TRIES_IN_AN_HOUR, burst=TRIES_IN_AN_HOUR)
    burst = services.settings.new_names_per_registered_domain
    return Quota(f"names:{account.id}:{names.registered_domain(name)}", WEEK_SECONDS / max(burst, 1), burst)


def quick_share(account: Account) -> Quota:
    """The quota of an account's requests that use the queue for single requests instead of the one for bulk requests:
    the first few, then one a second."""
    return Quota(f"quick:{account.id}", seconds=1, burst=QUICK_AT_ONCE)


def over_quota(services: Services, name: str, held: Record | None, retry_at: float) -> Problem:
    """The Problem for a request when `quota` is spent. retry_at: when the quota has room again."""
    if not _is_new(services, held):
        detail, hint = f"{name} has been tried {TRIES_IN_AN_HOUR} times within the hour", "fix what the status reports"
    else:
        detail = f"too many new names below {names.registered_domain(name)} within a week"
        hint = "ask your provider for more"
    return Problem(ProblemType.RATE_LIMITED, detail, message="too many requests", hint=hint, retry_at=retry_at)


def _is_new(services: Services, held: Record | None) -> bool:
    """Whether the name counts as new. A name that the account itself has withdrawn does not: otherwise, withdrawing and
    requesting it again would reset the limit of its tries."""
    return held is None or held.domain.is_free(services.clock())


def _require_idle(services: Services, record: Record, *, is_renewal_asked_for: bool) -> None:
    """Raise Problem(already-initiated) if an issuance makes progress, or if there is a valid certificate (unless a PUT
    retries its failed renewal, or the record was damaged). Raise Problem(rate-limited) if a rate limit of the CA still
    holds."""
    certificate, name, now = record.domain.certificate, record.domain.name, services.clock()
    told = attention.told(services, record)
    current = status(told, now)
    is_kept = certificate and certificate.is_valid(now) and not (is_renewal_asked_for and current is Status.ERROR)
    is_kept = is_kept and not record.is_salvaged
    if is_in_progress(told, now) or is_kept:
        raise Problem(
            ProblemType.ALREADY_INITIATED,
            message=f"x509 key pair generation has already been initiated for {name}",
            hint=f"GET /v2/x509/{name}/status shows its state",
        )
    last = record.issuance.problem
    if last and last.retry_at and last.retry_at > now:
        message = last.message
        raise Problem(ProblemType.RATE_LIMITED, last.detail, message=message, hint=last.hint, retry_at=last.retry_at)
