"""Signed requests to an ACME server (RFC 8555 §6), over one pool of persistent connections.

This replaces the `acme` library's network class, which drops headers (and so Retry-After), reads every 409 as a
conflict, and retries badNonce only once. The library's messages are used.
"""

import json
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import urllib3
from urllib3 import PoolManager
from urllib3.util import Timeout, create_urllib3_context

from issuer.ca import connections, meanings
from issuer.ca.faults import Site
from issuer.ca.signing import Signer, jws
from issuer.metrics import CA_PROBLEMS, CA_REQUESTS, TALLY
from issuer.problem import Problem, ProblemType

BAD_NONCE_TRIES = 30
"""RFC 8555 §6.5: try again with a new nonce. If a CA refuses every second one, 30 refusals in a row come once in 10^9
requests."""
REUSED_NONCES = 3
"""After so many refusals in a row, the nonces that come with answers are no longer used for a request."""
MAX_ANSWER_BYTES = 1_000_000
MAX_SHOWN = 100
"""How many characters of a URL a problem repeats."""
USER_AGENT = "issuer/0.1"
JOSE = "application/jose+json"
DEFAULT_PORTS = {"https": 443, "http": 80}
NONCE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
"""RFC 8555 §6.5.1. A nonce is opaque: it is never decoded."""
URL = re.compile(r"[!-\[\]-~]+", re.ASCII)
"""The characters of a URL (RFC 3986 §2), without the backslash, which some read as a slash."""
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500
NO_TYPE = "about:blank"
"""The type of a problem document that says no more than its HTTP status (RFC 9457 §4.2.1); ACME servers send others."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A CA's complete answer. url: of the request."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes
    url: str = ""

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises Problem(ca-unavailable) if it is not one."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise unusable(f"the CA's answer ({self.status}) is not a JSON object")
        return value

    def require_no_page(self) -> None:
        """Raise Problem(ca-unavailable) if it says something and is not JSON, where no more than its status is needed:
        then a proxy has answered, and the CA may not have seen the request."""
        try:
            json.loads(self.body.strip() or b"{}")
        except (ValueError, RecursionError):
            raise unusable(f"the answer ({self.status}) is none of a CA, but perhaps a proxy's") from None

    def absolute(self, reference: str) -> str:
        """A URL in this answer, which may be relative to the request's (RFC 3986 §5, RFC 9110 §10.2.2), without its
        fragment, as no request has one. What is not a URL stays as it is: `Transport.require_own` refuses it."""
        try:
            return urldefrag(urljoin(self.url, reference)).url if URL.fullmatch(reference) else reference
        except ValueError:
            return reference

    @property
    def is_redirect(self) -> bool:
        """Whether it leads to another URL, which no ACME server needs."""
        return 300 <= self.status < 400  # noqa: PLR2004 - the class of these statuses

    @property
    def location(self) -> str:
        """The absolute URL of its Location header, or an empty string."""
        return self.absolute(self.headers.get("Location", ""))

    def links(self, relation: str) -> Iterator[str]:
        """The absolute targets of its Link headers with a relation (RFC 8288)."""
        for header in self.headers.getlist("Link"):
            for target, parameters in re.findall(r"<([^<>]*)>([^,<]*)", header):
                if re.search(rf";\s*rel=\"?{relation}\"?\s*(;|$)", parameters):
                    yield self.absolute(target)


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """A CA's answer with a status of 400 or above; `issuer.ca.problems` reads it. ca: its directory URL. account_url:
    of the account that signed the request, once that is known."""

    def __init__(self, answer: Answer, ca: str = "") -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.ca = ca
        self.account_url: str | None = None
        try:
            problem = json.loads(answer.body)
        except (ValueError, RecursionError):
            problem = None
        self.problem: dict[str, Any] = problem if isinstance(problem, dict) else {}

    @property
    def type(self) -> str:
        """The last part of the problem's URN, or an empty string."""
        urn = self.problem.get("type")
        return error_type(urn) if isinstance(urn, str) else ""

    @property
    def is_unexplained(self) -> bool:
        """Whether a server, or a proxy in front of it, failed without a problem document and without a time to wait."""
        is_server_error = self.answer.status >= SERVER_ERROR
        return is_server_error and not self.type and "Retry-After" not in self.answer.headers


class Transport:
    """A connection to one ACME server; safe to share between threads.

    It sends requests only to the directory's host and to `hosts`: a URL in a CA's answer may name any host. The trusted
    roots are read again once a certificate was not trusted, as the operator may have corrected their file.

    directory_setting: the setting that has the directory URL, for problems.
    """

    def __init__(
        self,
        directory_url: str,
        *,
        hosts: Sequence[str] = (),
        ca_bundle: str = "",
        timeout_seconds: float = 10,
        directory_setting: str = "ISSUER_ACME_DIRECTORY",
    ) -> None:
        scheme, own, port = _origin(directory_url)
        self._origins = {(scheme, own, port), *((scheme, host, DEFAULT_PORTS[scheme]) for host in hosts)}
        self.site = Site(directory_url, directory_setting)
        self._ca_bundle = ca_bundle
        self._timeout_seconds = timeout_seconds
        self._longest_seconds = 3 * timeout_seconds
        self._pool = self._new_pool()
        self._reads_roots_again = False
        self._nonces: deque[str] = deque(maxlen=32)

    def _new_pool(self) -> PoolManager:
        """Raises OSError if the file of trusted roots cannot be read."""
        context = create_urllib3_context()
        if self._ca_bundle:
            context.load_verify_locations(self._ca_bundle)
        else:
            context.load_default_certs()
        return connections.pool(
            ssl_context=context,
            timeout=Timeout(connect=self._timeout_seconds, read=self._timeout_seconds),
            retries=False,
            maxsize=8,
            headers={"User-Agent": USER_AGENT},
        )

    def look(self, url: str) -> Answer:
        """An unsigned GET; its answer, whatever it is. Raises Problem."""
        return self._request("GET", url)

    def get(self, url: str) -> Answer:
        """An unsigned GET, for renewal info. Raises Refusal, Problem(ca-unavailable)."""
        return self._accepted(self.look(url))

    def post(self, url: str, payload: bytes, signer: Signer, *, new_nonce_url: str) -> Answer:
        """A signed POST, or POST-as-GET with an empty payload (§6.3). Raises Refusal, Problem(ca-unavailable).

        An unexplained failure may be due to an old nonce (Dogtag), or pass at once: the request is sent once more, with
        a fresh nonce. That is safe, as an interrupted run repeats each of our requests too.

        A refused nonce comes with the next one (§6.5). After some of these, fresh ones are fetched: what comes with
        answers is of no use if a proxy has stored them, or if the CA's servers do not share their nonces.
        """
        until = time.monotonic() + self._longest_seconds
        is_repeated = False
        for refused in range(BAD_NONCE_TRIES):
            try:
                nonce = self._nonce(new_nonce_url)
                return self._accepted(self._request("POST", url, body=jws(payload, signer, url=url, nonce=nonce)))
            except Refusal as refusal:
                if refusal.is_unexplained and not is_repeated:
                    is_repeated = True
                    self._nonces.clear()
                elif refusal.type != "badNonce":
                    raise
                elif refused >= REUSED_NONCES:
                    self._nonces.clear()
            if time.monotonic() > until:
                break
        raise unusable("the CA refused every nonce")

    def fetch_nonce(self, new_nonce_url: str) -> None:
        """Fetch a fresh nonce for the next POST (§7.2). Raises Refusal if the CA fails or limits requests, and else
        Problem(ca-unavailable): what it answers here, such as 404, says nothing about what the POST is for."""
        try:
            self._accepted(self._request("HEAD", new_nonce_url))
        except Refusal as refusal:
            status = refusal.answer.status
            if status >= SERVER_ERROR or status == TOO_MANY_REQUESTS:
                raise
            raise unusable(f"the CA gave no nonce, but status {status}") from None

    def _nonce(self, new_nonce_url: str) -> str:
        try:
            return self._nonces.popleft()
        except IndexError:
            self.fetch_nonce(new_nonce_url)
        try:
            return self._nonces.popleft()
        except IndexError:
            raise unusable("the CA gave no nonce") from None

    def _request(self, method: str, url: str, body: bytes | None = None) -> Answer:
        self.require_own(url)
        if self._reads_roots_again:
            with suppress(OSError):
                self._pool, self._reads_roots_again = self._new_pool(), False
        headers = {"User-Agent": USER_AGENT} | ({"Content-Type": JOSE} if body is not None else {})
        try:
            response = self._pool.request(
                method, url, body=body, headers=headers, preload_content=False, redirect=False, decode_content=False
            )
            try:
                content = response.read(MAX_ANSWER_BYTES + 1)
                if len(content) > MAX_ANSWER_BYTES:
                    response.close()
            finally:
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            TALLY.add(CA_REQUESTS.once(self.site.directory_url, "none"))
            problem = self.site.unreachable(error, f"{method} {url[:MAX_SHOWN]!a}")
            self._reads_roots_again = problem.type is ProblemType.CA_SETTINGS
            raise problem from None
        if len(content) > MAX_ANSWER_BYTES:
            raise unusable(f"the CA's answer has more than {MAX_ANSWER_BYTES:,} bytes")
        TALLY.add(CA_REQUESTS.once(self.site.directory_url, str(response.status)))
        nonce = response.headers.get("Replay-Nonce", "").strip()
        if NONCE.fullmatch(nonce):  # else it is ignored, and a fresh one is fetched (RFC 8555 §6.5.1)
            self._nonces.append(nonce)
        return Answer(response.status, response.headers, content, url)

    def _accepted(self, answer: Answer) -> Answer:
        """The answer. Raises Refusal, Problem(ca-unavailable) for one that is none of an ACME server."""
        if answer.is_redirect:
            raise unusable(f"the CA answers with a redirect ({answer.status})")
        if answer.status >= 400:  # noqa: PLR2004 - the first HTTP error status
            raise self.refusal(answer)
        return answer

    def refusal(self, answer: Answer) -> Refusal:
        """An answer with an error status, counted."""
        refusal = Refusal(answer, self.site.directory_url)
        kind = refusal.type if refusal.type in meanings.TYPES else "other" if refusal.type else "none"
        TALLY.add(CA_PROBLEMS.once(self.site.directory_url, kind))
        return refusal

    def require_own(self, url: str) -> None:
        """Raise Problem(ca-unavailable) for a URL that points to a host other than the CA's, or is not a URL."""
        try:
            is_own = _origin(url) in self._origins
        except ValueError:
            is_own = False
        if not is_own:
            raise unusable(f"the CA's URL {url[:MAX_SHOWN]!a} points to another host")


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. ValueError if one is missing, or if the URL can be read in two ways (RFC 3986 §2)."""
    if not URL.fullmatch(url):
        raise ValueError("not a web URL")
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    if not parts.hostname or not port or parts.username is not None:
        raise ValueError("not a web URL")
    return parts.scheme, parts.hostname, port


def error_type(urn: str) -> str:
    """The last part of a problem's URN (RFC 8555 §6.7), or an empty string."""
    return "" if urn == NO_TYPE else urn.rpartition(":")[2]


def unusable(detail: str) -> Problem:
    """The Problem of a CA that is unavailable, or that does not follow ACME."""
    return Problem(ProblemType.CA_UNAVAILABLE, detail, hint="it will be retried automatically")
