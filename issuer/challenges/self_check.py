"""Does a challenge's answer show from outside? One fetch as a CA makes it (RFC 8555 §8.3), with three answers.

The rules are those of the Baseline Requirements (3.2.2.4.19) and of Let's Encrypt. Where CAs differ, and where this
machine may be what is in the way (no hairpin NAT, split DNS), the answer is unknown.
"""

import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from ipaddress import ip_address
from urllib.parse import quote, urljoin, urlsplit

from dns.exception import DNSException
from dns.resolver import Resolver

from issuer.challenges.addresses import UnseenError, addresses_of
from issuer.challenges.exchange import PORTS, Url, WrongError, exchange
from issuer.config.values import HOST_NAME
from issuer.dns.servers import Nameservers
from issuer.ports import Finding, Verdict

REDIRECTS = frozenset({301, 302, 307, 308})
MAX_REDIRECTS = 10
TOO_MANY_BYTES = 128
"""A body of so many bytes is refused, unless the right one is that long."""
SHOWN = 120
"""How many characters of a URL are spelled out."""
URL_SAFE = "/?%:@!$&'()*+,;=~-._"


class HttpSelfCheck:
    """Fetches challenges from public addresses, which it asks `servers` for (as `parse_dns_server` reads them; none:
    the system's).

    seconds: the bound for one whole call. test_port: for tests and demos, asked in place of every other port, at
    loopback and private addresses too. ValueError for a server that is no address.
    """

    def __init__(self, servers: Sequence[str] = (), *, seconds: float = 3, test_port: int = 0) -> None:
        self._nameservers = Nameservers(servers, seconds=seconds)
        self._test_port = test_port
        # Whoever waits for a certificate may well answer with another one.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def fetch(self, name: str, token: str, key_authorization: str) -> Finding:
        """Whether `name` answers a challenge, after ten redirects at most; nothing is raised."""
        until = time.monotonic() + self._nameservers.seconds
        path = f"/.well-known/acme-challenge/{quote(token, safe='', errors='replace')}"
        hidden = re.compile(f"{re.escape(key_authorization)}|{re.escape(token)}", re.IGNORECASE)
        expected = key_authorization.encode(errors="replace")
        try:
            resolver = self._nameservers.resolver()
        except (DNSException, OSError, ValueError):
            return Finding(Verdict.UNKNOWN, "DNS could not be asked: this machine names no server for it")
        trail = [Url("http", name, PORTS["http"], path)]
        return _Fetch(resolver, self._tls, until, self._test_port, trail, expected, hidden).finding()


@dataclass(frozen=True, slots=True)
class _Fetch:
    """until: its deadline (monotonic). trail: the first URL, then those it leads to. hidden: what no words tell."""

    resolver: Resolver
    tls: ssl.SSLContext
    until: float
    test_port: int
    trail: list[Url]
    expected: bytes
    hidden: re.Pattern[str]

    def finding(self) -> Finding:
        try:
            self._follow()
        except WrongError as error:
            return Finding(Verdict.NO, self._story(str(error)))
        except UnseenError as error:
            return Finding(Verdict.UNKNOWN, self._story(str(error)))
        except TimeoutError:
            return Finding(Verdict.UNKNOWN, self._story("does not answer in time"))
        except (OSError, HTTPException, ValueError, OverflowError):
            return Finding(Verdict.UNKNOWN, self._story("breaks off, or answers with what can not be read"))
        return Finding(Verdict.YES, self._story("answers the challenge"))

    def _follow(self) -> None:
        while (location := self._ask(self.trail[-1])) is not None:
            url = self._redirected(location)
            if url in self.trail:
                raise WrongError("redirects in a circle")
            if len(self.trail) > MAX_REDIRECTS:
                raise WrongError(f"redirects once more, after {MAX_REDIRECTS} redirects")
            self.trail.append(url)

    def _ask(self, url: Url) -> str | None:
        """Where a URL redirects to; None where it has the right answer."""
        is_test = self.test_port > 0
        addresses = addresses_of(url.host, self.resolver, self._left, with_local=is_test)
        # As at Let's Encrypt: IPv4 is what is left when there is no connection over IPv6, and at the first URL alone.
        addresses = addresses if url is self.trail[0] else addresses[:1]
        with exchange(url, addresses, self.test_port or url.port, self.tls, self._left) as answer:
            return self._judge(answer)

    def _judge(self, answer: HTTPResponse) -> str | None:
        if answer.status in REDIRECTS:
            if (location := answer.headers.get("Location")) is None:
                raise WrongError(f"answers {answer.status} and does not say where to")
            return location
        if answer.status in range(300, 400):
            raise WrongError(f"answers {answer.status}, which is no redirect that CAs follow")
        if answer.status != 200:  # noqa: PLR2004
            raise WrongError(f"answers {answer.status}")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnseenError("compresses its answer unasked, which not every CA reads")
        too_many = max(TOO_MANY_BYTES, len(self.expected) + len("\r\n") + 1)
        body = answer.read(too_many)
        if len(body) < too_many and answer.length:
            raise IncompleteRead(body, answer.length)
        if len(body) == too_many or body.rstrip() != self.expected:
            raise WrongError("answers with something else than the challenge")
        return None

    def _redirected(self, location: str) -> Url:
        try:
            parts = urlsplit(urljoin(str(self.trail[-1]), location))
            given_port = parts.port
        except ValueError:
            raise WrongError(f"redirects to {self._shown(location)}, which is no URL") from None
        host = (parts.hostname or "").removesuffix(".")
        there = self._shown(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
        if parts.scheme not in PORTS or not host:
            raise WrongError(f"redirects to {there}, and CAs follow to http and https hosts alone")
        if host.endswith(".well-known"):
            raise WrongError(f"redirects to {there}: a slash is missing after the host name")
        port = PORTS[parts.scheme] if given_port is None else given_port
        if port not in PORTS.values():
            raise WrongError(f"redirects to {there}, a port that no CA follows")
        if parts.username is not None or not HOST_NAME.fullmatch(host) or _is_address(host):
            raise UnseenError(f"redirects to {there}, in a way that not every CA follows")
        target = quote(f"{parts.path or '/'}?{parts.query}".removesuffix("?"), safe=URL_SAFE, encoding="latin-1")
        return Url(parts.scheme, host, port, target)

    def _left(self) -> float:
        """Seconds. Raises TimeoutError when there are none."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _story(self, ending: str) -> str:
        first, last = self.trail[0], self.trail[-1]
        if first is last:
            return f"{self._shown(first.origin)} {ending}"
        path = "" if last.target == first.target else last.target.partition("?")[0].removesuffix("/")
        return f"{self._shown(first.origin)} redirects to {self._shown(last.origin + path)}, which {ending}"

    def _shown(self, text: str) -> str:
        told = self.hidden.sub("…", ascii(text)[1:-1])
        return told if len(told) <= SHOWN else f"{told[:SHOWN]}…"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
