"""The operators of this service: the keys with which they log in to the page, and the sessions that these begin.

A key is shown once and stored as a hash; so is the token of a session. A key that is revoked ends its sessions at once.
"""

import hashlib
import hmac
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from issuer.ports import OperatorKey, OperatorSession, Quota, Services
from issuer.problem import Problem, ProblemType

SESSION_SECONDS = 12 * 3600
USED_AGAIN_SECONDS = 60
"""The last use of a key is recorded once in this time."""
LOG_INS_AT_ONCE, LOG_IN_SECONDS = 10, 6
"""So many log-ins from one address at once, then one in so many seconds."""
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
NO_HASH = "0" * 64
LIST_HINT = "issuer operator-key list shows them"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LogIn:
    """A session that has just begun. token: what its cookie has; it is stored nowhere."""

    token: str = field(repr=False)
    session: OperatorSession


def create_key(services: Services, name: str) -> str:
    """Make a key for the operator with a name, and return it; it is not stored. Raises Problem(invalid-request)."""
    if not NAME.fullmatch(name):
        raise Problem(
            ProblemType.INVALID_REQUEST,
            f"an operator cannot be called {name[:60]!a}",
            hint="use up to 40 lower-case letters, digits and hyphens",
        )
    key = f"{name}.{secrets.token_urlsafe(32)}"
    if not services.operators.create_key(OperatorKey(name, _hash(key), services.clock())):
        raise Problem(
            ProblemType.INVALID_REQUEST,
            name,
            message="an operator key of this name already exists",
            hint=f"choose another name, or revoke that key first: issuer operator-key revoke {name}",
        )
    return key


def list_keys(services: Services) -> list[OperatorKey]:
    """Every key, ordered by name."""
    return services.operators.keys()


def revoke_key(services: Services, name: str) -> None:
    """Remove a key. Its sessions end at once. Raises Problem(not-found)."""
    if not services.operators.revoke_key(name):
        message = "there is no such operator key"
        raise Problem(ProblemType.NOT_FOUND, name[:60], message=message, hint=LIST_HINT)


def is_set_up(services: Services) -> bool:
    """Whether there is a key, so that somebody can log in. Raises Problem(foreign-store) if there is none because the
    store is empty or another one."""
    if services.operators.has_keys():
        return True
    services.store.require_own(max_age_seconds=1)
    return False


def log_in(services: Services, key: str, address: str) -> LogIn:
    """Begin a session with a key. address: where the request comes from. Raises Problem(unauthorized, rate-limited)."""
    now = services.clock()
    if not services.limits.use(Quota(f"log-in:{address}", LOG_IN_SECONDS, LOG_INS_AT_ONCE), now=now):
        message = "too many attempts to log in"
        raise Problem(ProblemType.RATE_LIMITED, message=message, hint="wait a moment", retry_at=now + LOG_IN_SECONDS)
    name = key.partition(".")[0]
    known = services.operators.key(name) if NAME.fullmatch(name) else None
    if not hmac.compare_digest(_hash(key), known.key_hash if known else NO_HASH) or known is None:
        log.warning("an operator could not log in", address=address)
        raise Problem(ProblemType.UNAUTHORIZED, message="this is not a valid operator key", hint=LIST_HINT)
    token = secrets.token_urlsafe(32)
    session = OperatorSession(known.name, known.key_hash, form_token=secrets.token_urlsafe(32))
    services.operators.begin_session(_hash(token), session, seconds=SESSION_SECONDS)
    services.operators.record_use(known.name, now)
    log.info("an operator has logged in", operator=known.name, address=address)
    return LogIn(token, session)


def session_of(services: Services, token: str) -> OperatorSession | None:
    """The session of a token; None if it is unknown, has expired or ended, or if its key has been revoked."""
    session = services.operators.session(_hash(token))
    key = services.operators.key(session.name) if session else None
    if session is None or key is None or not hmac.compare_digest(key.key_hash, session.key_hash):
        return None
    now = services.clock()
    if key.last_used_at is None or not 0 <= now - key.last_used_at < USED_AGAIN_SECONDS:
        with suppress(Problem):  # a store that takes no writes is what an operator wants to look at
            services.operators.record_use(key.name, now)
    return session


def log_out(services: Services, token: str) -> None:
    """End the session of a token."""
    services.operators.end_session(_hash(token))


def is_same(given: str, expected: str) -> bool:
    """Whether two tokens are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(_hash(given), _hash(expected))


def _hash(text: str) -> str:
    """SHA-256, in hexadecimal digits. What is hashed has 256 random bits, so it needs neither a salt nor a slow
    hash."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
