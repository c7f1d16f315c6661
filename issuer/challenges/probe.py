"""Do requests to a name arrive here, whatever its addresses are? One fetch through the name, of an answer that this
platform alone knows."""

import secrets
from threading import BoundedSemaphore

from issuer.ports import Finding, SelfCheck, Store

PROBE_SECONDS = 3.0
"""How long a probe may take, whatever a self-check may."""
NONCE_SECONDS = 10
"""How long the answer is available: longer than a probe takes."""
AT_ONCE_FOR_CALLERS = 2
"""So many of a process's threads may wait for probes on behalf of callers. The others answer, not least the probes."""


class HttpProbe:
    """The `Probe` port: it publishes a nonce where HTTP-01 answers are, and fetches it as a CA would."""

    def __init__(self, store: Store, self_check: SelfCheck) -> None:
        self._store, self.self_check = store, self_check
        self._free_for_callers = BoundedSemaphore(AT_ONCE_FOR_CALLERS)

    def arrives_here(self, name: str, *, within_name: bool) -> Finding:
        """See `ports.Probe`."""
        nonce, answer = self._published()
        return self.self_check.fetch(name, nonce, answer, within_name=within_name)

    def answers_at(self, name: str, address: str) -> Finding:
        """See `ports.Probe`."""
        nonce, answer = self._published()
        return self.self_check.fetch(name, nonce, answer, address=address)

    def arrives_here_for_caller(self, name: str, *, within_name: bool) -> Finding | None:
        """See `ports.Probe`."""
        if not self._free_for_callers.acquire(blocking=False):
            return None
        try:
            return self.arrives_here(name, within_name=within_name)
        finally:
            self._free_for_callers.release()

    def _published(self) -> tuple[str, str]:
        """A nonce and its answer, which is no part of it, so a server that echoes what it is asked does not pass for
        ours."""
        nonce, answer = secrets.token_urlsafe(24), secrets.token_urlsafe(32)
        self._store.put_token(nonce, answer, seconds=NONCE_SECONDS)
        return nonce, answer
