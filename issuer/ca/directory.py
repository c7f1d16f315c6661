"""A CA's directory: the URLs of its resources, and its metadata (RFC 8555 §7.1.1)."""

from typing import Any

from issuer.ca import problems
from issuer.ca.faults import first_words
from issuer.ca.meanings import Resource
from issuer.ca.transport import MAX_SHOWN, SERVER_ERROR, TOO_MANY_REQUESTS, Answer, Transport, unusable
from issuer.ports import Clock
from issuer.problem import Problem

OK = 200
NOT_NOW = frozenset({408, 425, TOO_MANY_REQUESTS})
"""HTTP statuses that do not judge the URL."""
CACHE_SECONDS = 86400
"""How long a fetched directory is used."""
REQUIRED = ("newNonce", "newAccount", "newOrder")


class Directory:
    """Fetched at the first use, and again every day. Every method raises Problem(ca-unavailable, ca-settings)."""

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
        answer = self._transport.look(self._url)
        members = self._members_of(answer)
        if not all(isinstance(members.get(name), str) for name in REQUIRED):
            raise self._none(answer)
        self._members, self._until = members, self._clock() + CACHE_SECONDS

    def _members_of(self, answer: Answer) -> dict[str, Any]:
        if answer.status != OK:
            raise self._refused(answer)
        try:
            document = answer.json()
        except Problem:
            raise self._none(answer) from None
        return {name: answer.absolute(value) if isinstance(value, str) else value for name, value in document.items()}

    def _refused(self, answer: Answer) -> Problem:
        """The Problem of another status than 200: it passes by itself only if the server says so, or if it failed."""
        refusal = self._transport.refusal(answer)
        if answer.status >= SERVER_ERROR or answer.status in NOT_NOW or refusal.type == "rateLimited":
            return problems.from_refusal(refusal, self._clock(), Resource.DIRECTORY)
        if answer.is_redirect:
            url = problems.plain(answer.location)
            url = url if len(url) <= MAX_SHOWN else ""
            found = f"it redirects to {url}" if url else f"it answers with a redirect ({answer.status})"
            return self._transport.site.no_directory(found, self._raw(answer), instead=url)
        words = problems.words(refusal.problem) or first_words(answer.body)
        return self._transport.site.refused(answer.status, words)

    def _none(self, answer: Answer) -> Problem:
        """The Problem of an answer that is no directory."""
        site, words = self._transport.site, first_words(answer.body)
        try:
            missing = [name for name in REQUIRED if not isinstance(answer.json().get(name), str)]
        except Problem:
            missing = []
        if missing:
            return site.no_directory(f"it answers with JSON that has no {', no '.join(missing)}", self._raw(answer))
        if not words:
            return site.no_directory("it answers with nothing", self._raw(answer))
        is_page = "html" in answer.headers.get("Content-Type", "").lower() or b"<" in answer.body[:MAX_SHOWN]
        what = "a web page" if is_page else "something else than JSON"
        return site.no_directory(f"it answers with {what}: «{words}»", self._raw(answer))

    def _raw(self, answer: Answer) -> str:
        kind = problems.plain(answer.headers.get("Content-Type", ""))[:MAX_SHOWN]
        return f"GET {self._url}: status {answer.status}" + (kind and f", {kind}")

    def _current(self) -> dict[str, Any]:
        if not 0 < self._until - self._clock() <= CACHE_SECONDS:
            self.refresh()
        return self._members
