"""Is a challenge response visible from outside? One fetch as a CA makes it (RFC 8555 §8.3), with three verdicts.

The rules are those of the Baseline Requirements (3.2.2.4.19) and of Let's Encrypt. If CAs differ, or if this machine
may be the obstacle (no hairpin NAT, split DNS), the verdict is unknown.
"""

import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, IncompleteRead
from ipaddress import ip_address
from urllib.parse import quote, urljoin, urlsplit

from dns.exception import DNSException

from issuer.challenges.addresses import Address, InconclusiveError, addresses_of, only
from issuer.challenges.exchange import PORTS, RejectedError, Url, exchange
from issuer.config.values import HOST_NAME
from issuer.dns.queries import Queries
from issuer.dns.servers import Nameservers
from issuer.ports import Finding, Verdict

REDIRECTS = frozenset({301, 302, 307, 308})
MAX_REDIRECTS = 10
TOO_MANY_BYTES = 128
"""A body of so many bytes is rejected, unless the expected one is that long."""
MAX_SHOWN = 120
"""How many characters of a URL a summary shows."""
PROXY_HEADERS = frozenset({"Via", "Cache-Status", "X-Cache", "X-CDN", "CF-RAY"})
"""Headers by which proxies make themselves known: RFC 9110 §7.6.3, RFC 9211, and what large CDNs send."""
URL_SAFE = "/?%:@!$&'()*+,;=~-._"


class HttpSelfCheck:
    """Fetches challenge responses from public addresses.

    servers: the DNS servers, as `parse_dns_server` reads them; none: the system's servers. seconds: the limit for one
    whole call. test_port: for tests and demos, used instead of every other port, and at loopback and private addresses
    too. Raises ValueError for a server that is not an address.
    """

    def __init__(self, servers: Sequence[str] = (), *, seconds: float = 3, test_port: int = 0) -> None:
        self._nameservers = Nameservers(servers, seconds=seconds)
        self._test_port = test_port
        # A host that waits for a certificate may well use an invalid one.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def fetch(
        self, name: str, token: str, key_authorization: str, *, within_name: bool = False, address: str = ""
    ) -> Finding:
        """Whether `name` answers a challenge, after ten redirects at most; never raises. within_name: redirects to
        other names are not followed. address: where `name` is asked, instead of at one of its addresses in DNS."""
        until = time.monotonic() + self._nameservers.seconds
        path = f"/.well-known/acme-challenge/{quote(token, safe='', errors='replace')}"
        hidden = re.compile(f"{re.escape(key_authorization)}|{re.escape(token)}", re.IGNORECASE)
        expected = key_authorization.encode(errors="replace")
        try:
            queries = self._nameservers.queries()
        except (DNSException, OSError, ValueError):
            return Finding(Verdict.UNKNOWN, "DNS could not be queried: this machine has no DNS server configured")
        fixed = ip_address(address) if address else None
        trail = [Url("http", name, PORTS["http"], path)]
        return _Fetch(queries, self._tls, until, self._test_port, trail, expected, hidden, within_name, fixed).finding()


@dataclass(frozen=True, slots=True)
class _Fetch:
    """until: the deadline (monotonic seconds). trail: the first URL, then its redirects. hidden: what no summary shows:
    token and key authorization. within_name: whether redirects must stay at the first URL's host. fixed: where
    that host is asked. proxies: the headers by which proxies before that host have made themselves known."""

    queries: Queries
    tls: ssl.SSLContext
    until: float
    test_port: int
    trail: list[Url]
    expected: bytes
    hidden: re.Pattern[str]
    within_name: bool
    fixed: Address | None = None
    proxies: set[str] = field(default_factory=set)

    def finding(self) -> Finding:
        verdict, predicate = self._verdict()
        return Finding(verdict, self._summary(predicate), is_by_proxy=bool(self.proxies))

    def _verdict(self) -> tuple[Verdict, str]:
        try:
            self._follow()
        except RejectedError as error:
            return Verdict.NO, str(error)
        except InconclusiveError as error:
            return Verdict.UNKNOWN, str(error)
        except TimeoutError:
            return Verdict.UNKNOWN, "does not answer in time"
        except (OSError, HTTPException, ValueError, OverflowError):
            return Verdict.UNKNOWN, "closes the connection early or sends an invalid answer"
        return Verdict.YES, "answers the challenge"

    def _follow(self) -> None:
        while (location := self._ask(self.trail[-1])) is not None:
            url = self._redirected(location)
            if url in self.trail:
                raise RejectedError("redirects in a loop")
            if len(self.trail) > MAX_REDIRECTS:
                raise RejectedError(f"redirects again after {MAX_REDIRECTS} redirects")
            self.trail.append(url)

    def _ask(self, url: Url) -> str | None:
        """Where a URL redirects to; None if it has the right answer."""
        is_test = self.test_port > 0
        if self.fixed and url.host == self.trail[0].host:
            addresses = only(self.fixed, with_local=is_test)
        else:
            addresses = addresses_of(url.host, self.queries, self._seconds_left, with_local=is_test)
        # As Let's Encrypt does: IPv4 is tried only if origin is no connection over IPv6, and only at the first URL.
        addresses = addresses if url is self.trail[0] else addresses[:1]
        with exchange(url, addresses, self.test_port or url.port, self.tls, self._seconds_left) as answer:
            if url.host == self.trail[0].host:
                self.proxies.update(header for header in PROXY_HEADERS if header in answer.headers)
            return self._judge(answer)

    def _judge(self, answer: HTTPResponse) -> str | None:
        if answer.status in REDIRECTS:
            if (location := answer.headers.get("Location")) is None:
                raise RejectedError(f"answers {answer.status} without a Location header")
            return location
        if answer.status in range(300, 400):
            raise RejectedError(f"answers {answer.status}, a redirect that CAs do not follow")
        if answer.status != 200:  # noqa: PLR2004
            raise RejectedError(f"answers {answer.status}")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise InconclusiveError("compresses its answer without being asked, and not every CA can read that")
        too_many = max(TOO_MANY_BYTES, len(self.expected) + len("\r\n") + 1)
        body = answer.read(too_many)
        if len(body) < too_many and answer.length:
            raise IncompleteRead(body, answer.length)
        if len(body) == too_many or body.rstrip() != self.expected:
            raise RejectedError("does not answer with the challenge response")
        return None

    def _redirected(self, location: str) -> Url:
        try:
            parts = urlsplit(urljoin(str(self.trail[-1]), location))
            given_port = parts.port
        except ValueError:
            raise RejectedError(f"redirects to {self._shown(location)}, which is not a URL") from None
        host = (parts.hostname or "").removesuffix(".")
        origin = self._shown(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
        if parts.scheme not in PORTS or not host:
            raise RejectedError(f"redirects to {origin}, but CAs follow redirects only to http and https URLs")
        if host.endswith(".well-known"):
            raise RejectedError(f"redirects to {origin}: a slash is missing after the host name")
        if self.within_name and host != self.trail[0].host:
            raise RejectedError(f"redirects to {origin}, which is another name")
        port = PORTS[parts.scheme] if given_port is None else given_port
        if port not in PORTS.values():
            raise RejectedError(f"redirects to {origin}, but CAs follow redirects only to ports 80 and 443")
        if parts.username is not None or not HOST_NAME.fullmatch(host) or _is_address(host):
            raise InconclusiveError(f"redirects to {origin}, a URL that not every CA follows")
        target = quote(f"{parts.path or '/'}?{parts.query}".removesuffix("?"), safe=URL_SAFE, encoding="latin-1")
        return Url(parts.scheme, host, port, target)

    def _seconds_left(self) -> float:
        """The seconds until the deadline. Raises TimeoutError after it."""
        seconds_left = self.until - time.monotonic()
        if seconds_left <= 0:
            raise TimeoutError
        return seconds_left

    def _summary(self, predicate: str) -> str:
        first, last = self.trail[0], self.trail[-1]
        if first is last:
            return f"{self._shown(first.origin)} {predicate}"
        path = "" if last.target == first.target else last.target.partition("?")[0].removesuffix("/")
        return f"{self._shown(first.origin)} redirects to {self._shown(last.origin + path)}, which {predicate}"

    def _shown(self, text: str) -> str:
        shown = self.hidden.sub("…", ascii(text)[1:-1])
        return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
