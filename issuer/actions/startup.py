"""What must be true before a process starts. A new check is a function here and its line in `CHECKS`."""

import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from issuer.actions.stored_keys import require_decryptable
from issuer.ports import Durability, Services
from issuer.problem import Problem, ProblemType

AGAIN_SECONDS = 1
VOLATILE_ALLOWED = "ISSUER_ALLOW_VOLATILE_REDIS=true"

log = structlog.get_logger(__name__)
_warned: set[str] = set()


def require_startable(services: Services) -> list[str]:
    """Run all checks. Returns warnings, one a line. Raises the Problem of the first check that fails."""
    return [warning for check in CHECKS for warning in check(services)]


def await_startable(services: Services, *, is_patient: bool, wait: Callable[[float], None] = time.sleep) -> None:
    """Run all checks, and log their warnings. If the store is unavailable, wait for it; or, where the process is not
    patient, leave the checks to `/readyz`. Raises the Problem of a check that fails otherwise."""
    since = None
    while True:
        try:
            warnings = require_startable(services)
        except Problem as problem:
            if problem.type is not ProblemType.STORE_UNAVAILABLE:
                raise
            if since is None:
                since = time.monotonic()
                log.warning(
                    "Redis is unavailable; waiting for it" if is_patient else "Redis is unavailable",
                    reason=problem.detail,
                )
            if not is_patient:
                return
            wait(AGAIN_SECONDS)
        else:
            break
    if since is not None:
        log.info("Redis is available", seconds=round(time.monotonic() - since, 1))
    for warning in warnings:
        log.warning(warning)


def require_lasting_data(services: Services) -> list[str]:
    """Redis must not evict keys, and must keep the records on disk. The messages of the queues need not be kept, as
    `reconcile` sends them again. Raises Problem(unsafe-store)."""
    servers = services.servers.durability()
    faults = [fault for server in servers for fault in _faults(server)]
    if faults and not services.settings.allow_volatile_redis:
        hint = f"correct the configuration of Redis; {VOLATILE_ALLOWED} if these data may be lost"
        raise Problem(ProblemType.UNSAFE_STORE, "; ".join(faults), hint=hint)
    return [*faults, *(warning for server in servers for warning in _warnings(server))]


def _faults(server: Durability) -> list[str]:
    faults = []
    if server.eviction_policy not in {None, "noeviction"}:
        faults.append(
            f"the Redis of the {server.role} may evict keys: its maxmemory-policy is {server.eviction_policy}, "
            "and must be noeviction"
        )
    if server.role == "records" and server.has_log is False and server.has_snapshots is False:
        faults.append(f"the Redis of the {server.role} keeps nothing on disk: set appendonly yes")
    return faults


def _warnings(server: Durability) -> list[str]:
    if None in {server.eviction_policy, server.has_log, server.has_snapshots}:
        return [f"the Redis of the {server.role} does not say whether it evicts keys or keeps them on disk"]
    if server.role == "records" and not server.has_log and server.has_snapshots:
        return [f"the Redis of the {server.role} has snapshots only, so a crash loses minutes: set appendonly yes"]
    return []


def warn_of_unknown_settings(services: Services) -> list[str]:
    """Log each variable that looks like a setting and is none, once in this process: most likely it is mistyped, and it
    has no effect. Returns no warnings."""
    for name, hint in services.settings.unknown_variables():
        if name not in _warned:
            _warned.add(name)
            log.warning("unknown setting", name=name, hint=hint)
    return []


def know_store(services: Services) -> list[str]:
    """Know the identity of the store before this process forks, and before data can be lost. A foreign store is
    reported, and does not stop the start: all processes go on by themselves once the data are restored or the store is
    accepted."""
    with suppress(Problem):  # an unavailable store is noticed by the first who needs it
        services.store.require_own()
        services.board.heartbeats(services.clock())  # from now on, who shows nothing has a time to be missed since
    return []


CHECKS: tuple[Callable[[Services], list[str]], ...] = (
    warn_of_unknown_settings,
    require_lasting_data,
    know_store,
    require_decryptable,
)
