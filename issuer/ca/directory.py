"""A CA's directory: the URLs of its resources, and its metadata (RFC 8555 §7.1.1)."""

from typing import Any

from issuer.ca import problems
from issuer.ca.meanings import Resource
from issuer.ca.transport import Refusal, Transport, unusable
from issuer.ports import Clock

CACHE_SECONDS = 86400
"""How long a fetched directory is used."""
REQUIRED = ("newNonce", "newAccount", "newOrder")


class Directory:
    """Fetched at the first use, and again every day. Every method raises Problem(ca-unavailable)."""

    def __init__(self, url: str, transport: Transport, clock: Clock) -> None:
        self._url = url
        self._transport = transport
        self._clock = clock
        self._members: dict[str, Any] = {}
        self._until = 0.0

    def resource(self, name: str) -> str:
        """The URL of a resource. Raises Problem(ca-unavailable) also if the CA does not have it."""
        url = self._current().get(name)
        if not isinstance(url, str):
            raise unusable(f"{self._url} has no {name}")
        return url

    def has(self, name: str) -> bool:
        """True if the CA has this resource."""
        return isinstance(self._current().get(name), str)

    def meta(self) -> dict[str, Any]:
        """The CA's metadata; empty if it gives none."""
        meta = self._current().get("meta")
        return meta if isinstance(meta, dict) else {}

    def refresh(self) -> None:
        """Fetch it now. If that fails, what was fetched before stays in use."""
        try:
            answer = self._transport.get(self._url)
        except Refusal as refusal:
            raise problems.from_refusal(refusal, self._clock(), Resource.DIRECTORY) from None
        members = {
            name: answer.absolute(value) if isinstance(value, str) else value for name, value in answer.json().items()
        }
        if not all(isinstance(members.get(name), str) for name in REQUIRED):
            raise unusable(f"{self._url} is not an ACME directory")
        self._members, self._until = members, self._clock() + CACHE_SECONDS

    def _current(self) -> dict[str, Any]:
        if not 0 < self._until - self._clock() <= CACHE_SECONDS:
            self.refresh()
        return self._members
