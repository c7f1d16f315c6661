"""Whether a process can work, and the upkeep of the records."""

from issuer.actions import startup
from issuer.actions.stored_keys import require_decryptable
from issuer.fleet import checks, endings
from issuer.fleet.watch import Watch
from issuer.ports import STORE_ID, Check, CheckResult, Reindexed, Services
from issuer.problem import Problem, ProblemType

BATCH = 1000


class Readiness:
    """Whether this process can work. The checks of the start are repeated until they have passed once, as Redis may
    have been unavailable at the start."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._watch = Watch(services)
        self._is_startable = False

    def require(self) -> None:
        """Return if the Redis of the records can be written and is the store that was used before, stored keys can be
        decrypted, and the start was right. Raises Problem(store-unavailable, foreign-store, undecryptable,
        unsafe-store)."""
        self._services.servers.require_writable("records")
        self._services.store.require_own()
        require_decryptable(self._services)
        if not self._is_startable:
            self._is_startable = self._has_right_start()

    def _has_right_start(self) -> bool:
        """Whether the start was right; False if the broker, which no request needs, does not answer."""
        try:
            startup.require_startable(self._services)
        except Problem as problem:
            if problem.type is not ProblemType.STORE_UNAVAILABLE:
                raise
            self._services.servers.require_writable("records")
            return False
        return True

    def degraded(self) -> list[Check]:
        """What is not as it should be: the processes of the fleet, as seen now, and what the doctor has found last.
        Raises Problem(store-unavailable)."""
        found = [fault for fault in self._services.faults.open() if fault.code not in checks.CODES]
        found += [check for check in endings.checks(self._services) if check.result is CheckResult.FAILED]
        return [*self._watch.degraded(), *found]

    def look(self) -> None:
        """Tell what does not run in the fleet, unless another process has looked just now. Raises nothing."""
        self._watch.look()


def reindex(services: Services, *, restart: bool = False) -> Reindexed:
    """Give some of the records that an earlier release wrote their indexes; how far that has come. restart: begin with
    the first record again."""
    return services.store.reindex(now=services.clock(), limit=BATCH, restart=restart)


def adopt(services: Services, instead_of: str) -> str:
    """Accept the store as it is, in place of the one with this identity, of the one in the file of
    ISSUER_IDENTITY_FILE, and of the one that it is known to have lost. Returns its identity. Raises
    Problem(invalid-request) for what is no identity."""
    if instead_of and not STORE_ID.fullmatch(instead_of):
        hint = "the log line «foreign store» has the whole command"
        raise Problem(ProblemType.INVALID_REQUEST, f"{instead_of[:60]!a} is not the identity of a store", hint=hint)
    return services.store.adopt(instead_of)
