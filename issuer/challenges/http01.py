"""HTTP-01 (RFC 8555 §8.3): the key authorization at a path of the name, over plain HTTP."""

from issuer.ports import Challenge, Finding, SelfCheck, Store

TOKEN_SECONDS = 3600
"""A response stays available well past the CA's last fetch, and every check presents it again."""


class Http01:
    """The `Solver` port for HTTP-01: what is presented here is kept in the store, from which `web` answers."""

    def __init__(self, store: Store, self_check: SelfCheck) -> None:
        self._store, self.self_check = store, self_check

    def present(self, name: str, challenge: Challenge) -> None:  # noqa: ARG002 - the response is the same for any Host
        """See `ports.Solver`."""
        self._store.put_token(challenge.token, challenge.key_authorization, seconds=TOKEN_SECONDS)

    def check(self, name: str, challenge: Challenge) -> Finding:
        """See `ports.Solver`."""
        return self.self_check.fetch(name, challenge.token, challenge.key_authorization)

    def clean_up(self, name: str) -> None:
        """Do nothing: a response expires by itself. It must outlive the first success, as a CA fetches it from several
        vantage points."""
