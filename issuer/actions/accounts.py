"""Customers' accounts. The operator creates them; an API key, shown once and stored as a hash, identifies them."""

import hashlib
import hmac
import re
import secrets
from contextlib import suppress

from issuer.domain import Account, Plan
from issuer.edge import ownership
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

NO_HASH = "0" * 64
NOTICED_SECONDS = 1.0


def create(services: Services, account_id: str, plan: Plan) -> str:
    """Create an account, also in place of a damaged one, and return its API key, which is not stored. Raises
    Problem(invalid-request, account-exists)."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", account_id, re.ASCII):
        raise Problem(
            ProblemType.INVALID_REQUEST,
            f"an account cannot be called {account_id[:60]!a}",
            hint="use up to 40 lower-case letters, digits and hyphens",
        )
    key = _new_key(account_id)
    account = Account(account_id, plan, _hash(key), created_at=services.clock(), token=ownership.new_token())
    services.store.create_account(account)
    return key


def rotate_key(services: Services, account_id: str) -> str:
    """Replace the API key of an account and return the new one. The old key stops working at once. Raises
    Problem(not-found)."""
    _require_existing(services, account_id)
    key = _new_key(account_id)
    services.store.change_account(account_id, key_hash=_hash(key))
    return key


def set_plan(services: Services, account_id: str, plan: Plan) -> None:
    """Change what an account may do. Raises Problem(not-found)."""
    _require_existing(services, account_id)
    services.store.change_account(account_id, plan=plan)


def list_all(services: Services) -> list[Account]:
    """Every account, ordered by id. Raises Problem(store-unavailable)."""
    return list(services.store.accounts())


def by_id(services: Services, account_id: str) -> Account:
    """An account, whose token is created if it has none yet. Raises Problem(not-found)."""
    _require_existing(services, account_id)
    ownership.token(services, account_id)
    account = services.store.account(account_id)
    assert account
    return account


def by_key(services: Services, key: str) -> Account | None:
    """The account of an API key, or None. The comparison takes the same time whether or not the account exists."""
    account_id, _, _ = key.partition(".")
    account = services.store.account(account_id) if re.fullmatch(r"[a-z0-9-]{1,40}", account_id, re.ASCII) else None
    if account is None:
        _notice_a_foreign_store(services)
    is_equal = hmac.compare_digest(_hash(key), account.key_hash if account else NO_HASH)
    return account if is_equal else None


def _notice_a_foreign_store(services: Services) -> None:
    """Let the log say why, if no account is known because the store is empty or another one."""
    with suppress(Problem):
        services.store.require_own(max_age_seconds=NOTICED_SECONDS)


def _require_existing(services: Services, account_id: str) -> None:
    if services.store.account(account_id) is None:
        raise Problem(
            ProblemType.NOT_FOUND,
            account_id,
            message="there is no such account",
            hint="issuer accounts list shows them",
        )


def _new_key(account_id: str) -> str:
    return f"{account_id}.{secrets.token_urlsafe(32)}"


def _hash(key: str) -> str:
    """SHA-256, in hexadecimal digits. A key has 256 random bits, so it needs neither a salt nor a slow hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
