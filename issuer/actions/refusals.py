"""What a request was refused for: nothing else would be left of it, as it makes no record."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from issuer import names
from issuer.domain import Account
from issuer.ports import Refusal, Services
from issuer.problem import Problem, ProblemType

MAX_SHOWN = 100
MAX_TEXT = 1000
UNWRITABLE = frozenset({ProblemType.STORE_UNAVAILABLE, ProblemType.FOREIGN_STORE})
"""After these the store is not tried a second time."""

log = structlog.get_logger(__name__)


@contextmanager
def kept(services: Services, account: Account, text: str) -> Iterator[None]:
    """Keep, count and log the Problem for which a request of an account is refused. text: the name as it was sent."""
    try:
        yield
    except Problem as problem:
        name, code = _shown(text), problem.type.value
        log.info("request refused", account=account.id, domain=name, code=code, cause=problem.cause)
        if problem.type not in UNWRITABLE:
            cause, hint = problem.cause[:MAX_TEXT], problem.hint[:MAX_TEXT]
            refusal = Refusal(account.id, name, services.clock(), code, cause, hint, problem.actor.value)
            with suppress(Problem):
                services.store.keep_refusal(refusal)
        raise


def last(services: Services, account: Account, text: str) -> Refusal | None:
    """The last refused request of an account for a name, within a day. Raises Problem(store-unavailable)."""
    return services.store.refusal(account.id, _shown(text), now=services.clock())


def of_name(services: Services, text: str) -> list[Refusal]:
    """The last refused requests of all accounts for a name, the newest first: for the operator alone. Raises
    Problem(store-unavailable)."""
    return services.store.refusals_of(_shown(text), now=services.clock())


def _shown(text: str) -> str:
    """The canonical name; of what is no name, the beginning, in ASCII and without control characters."""
    with suppress(Problem):
        return names.known(text)
    return ascii(text[:MAX_SHOWN])[1:-1]
