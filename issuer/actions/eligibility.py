"""May we issue for this name, for this account, now? The contract's order: name, plan, holder, state, limit, CNAME."""

from issuer import names, ownership
from issuer.authorities.limits import room_at
from issuer.domain import Account, Plan, Record, Status, status
from issuer.ports import Quota, Services, Verdict
from issuer.problem import Problem, ProblemType

TRIES_IN_AN_HOUR = 3
"""That a request begins, of one name: Let's Encrypt refuses a name for which five validations failed in an hour."""
QUICK_AT_ONCE = 20
HOUR_SECONDS = 3600
WEEK_SECONDS = 7 * 86400


def canonical_name(services: Services, text: str) -> str:
    """The one form of a name. Raises Problem(invalid-name)."""
    return names.canonical(text, own_names=services.own_names, allow_reserved=services.allow_reserved_names)


def require_free(services: Services, account: Account, record: Record | None) -> None:
    """Raise Problem(not-found) for a name that another account holds. An account may ask for any other: its own, one
    that it has withdrawn, or what is left of somebody's whose hold is over."""
    if record and record.domain.account != account.id and not record.domain.is_free(services.clock()):
        raise Problem(
            ProblemType.NOT_FOUND,
            hint="this name cannot be used with your account; ask your provider if it is yours",
        )


def known_name(text: str) -> str:
    """The one form of a name that may be held, also where no other account could ask for it any more."""
    return names.canonical(text, allow_reserved=True)


def record_of(services: Services, account: Account, text: str) -> Record:
    """The record of a name that the account holds. Raises Problem(not-initiated) for any other, whoever holds it."""
    name = known_name(text)
    return require_held(services.store.load(name), account, name)


def require_held(record: Record | None, account: Account, name: str) -> Record:
    """The record. Raises Problem(not-initiated) unless the account holds the name."""
    if record is None or record.domain.account != account.id or record.domain.is_withdrawn:
        raise not_initiated(name)
    return record


def not_initiated(name: str) -> Problem:
    """The contract's answer for a name that the account has not asked for."""
    return Problem(
        ProblemType.NOT_INITIATED, message=f"Please initiate x509 key pair generation at POST /v2/x509/{name}"
    )


def require_eligible(
    services: Services, account: Account, name: str, record: Record | None, *, must_exist: bool
) -> None:
    """Raise the Problem that forbids an issuance for `name` now; record: its record, if it has one."""
    if account.plan is not Plan.HTTPS:
        raise Problem(ProblemType.PLAN)
    require_free(services, account, record)
    is_known = record is not None and not record.domain.is_withdrawn
    if must_exist and not is_known:
        raise not_initiated(name)
    if record and is_known:
        _require_idle(record, services.clock(), is_renewal_asked_for=must_exist)
    if record and must_exist and (retry_at := room_at(services, record.domain)):
        raise Problem(ProblemType.OVER_BUDGET, retry_at=retry_at)
    finding = ownership.points_here(services, name, account)
    if finding.verdict is Verdict.NO:
        # An unknown answer is looked at again by the first step.
        raise Problem(ProblemType.INVALID_CNAME, finding.summary, hint=f"create the record {finding.required_record}")


def quota(services: Services, account: Account, name: str, held: Record | None) -> Quota:
    """What a request counts against: a name's tries in an hour, or an account's new names below one registered domain
    in a week, so that a wildcard in somebody's DNS does not become endless certificates."""
    if not _is_new(services, held):
        return Quota(f"tries:{name}", seconds=HOUR_SECONDS / TRIES_IN_AN_HOUR, burst=TRIES_IN_AN_HOUR)
    burst = services.new_names_per_registered_domain
    return Quota(f"names:{account.id}:{names.registered_domain(name)}", WEEK_SECONDS / max(burst, 1), burst)


def quick_share(account: Account) -> Quota:
    """How many of an account's requests go before the many of others: the first few, and one a second."""
    return Quota(f"quick:{account.id}", seconds=1, burst=QUICK_AT_ONCE)


def over_quota(services: Services, name: str, held: Record | None, retry_at: float) -> Problem:
    """The answer when `quota` is spent."""
    if not _is_new(services, held):
        detail, hint = f"{name} has been tried {TRIES_IN_AN_HOUR} times within the hour", "mend what the status tells"
    else:
        detail = f"too many new names below {names.registered_domain(name)} within a week"
        hint = "ask your provider for more"
    return Problem(ProblemType.RATE_LIMITED, detail, message="too many requests", hint=hint, retry_at=retry_at)


def _is_new(services: Services, held: Record | None) -> bool:
    """Whether an account asks for a name that it does not hold. One that it has withdrawn is none: else what a name may
    be tried could be had again and again."""
    return held is None or held.domain.is_free(services.clock())


def _require_idle(record: Record, now: float, *, is_renewal_asked_for: bool) -> None:
    """Nothing under way; a valid certificate only where its renewal has failed and is asked for again (PUT); and no
    limit of the CA that still holds."""
    certificate, name = record.domain.certificate, record.domain.name
    word = status(record, now)
    is_kept = certificate and certificate.is_valid(now) and not (is_renewal_asked_for and word is Status.ERROR)
    if word is Status.PROCESSING or is_kept:
        raise Problem(
            ProblemType.ALREADY_INITIATED,
            message=f"x509 key pair generation has already been initiated for {name}",
            hint=f"GET /v2/x509/{name}/status tells how it is",
        )
    last = record.issuance.problem
    if last and last.retry_at and last.retry_at > now:
        raise Problem(ProblemType.RATE_LIMITED, last.detail, message=last.message, retry_at=last.retry_at)
