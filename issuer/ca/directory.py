"""A CA's directory: where its resources are, and what it says of itself (RFC 8555 §7.1.1)."""

from typing import Any

from issuer.ca import problems
from issuer.ca.transport import Refusal, Transport, unusable
from issuer.ports import Clock

UNCHANGED_SECONDS = 86400
"""How long a directory is taken for unchanged."""
NEEDED = ("newNonce", "newAccount", "newOrder")


class Directory:
    """Fetched when it is first asked for, and anew each day. Every method raises Problem(ca-unavailable)."""

    def __init__(self, url: str, transport: Transport, clock: Clock) -> None:
        self._url = url
        self._transport = transport
        self._clock = clock
        self._members: dict[str, Any] = {}
        self._until = 0.0

    def resource(self, name: str) -> str:
        """The URL of a resource. Raises Problem too where there is none of this name."""
        url = self._current().get(name)
        if not isinstance(url, str):
            raise unusable(f"{self._url} has no {name}")
        return url

    def has(self, name: str) -> bool:
        """True where there is a resource of this name."""
        return isinstance(self._current().get(name), str)

    def meta(self) -> dict[str, Any]:
        """What the CA says of itself."""
        found = self._current().get("meta")
        return found if isinstance(found, dict) else {}

    def _current(self) -> dict[str, Any]:
        if not 0 < self._until - self._clock() <= UNCHANGED_SECONDS:
            try:
                members = self._transport.get(self._url).json()
            except Refusal as refusal:
                raise problems.from_refusal(refusal, self._clock()) from None
            if not all(isinstance(members.get(one), str) for one in NEEDED):
                raise unusable(f"{self._url} is not an ACME directory")
            self._members, self._until = members, self._clock() + UNCHANGED_SECONDS
        return self._members
