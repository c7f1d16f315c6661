"""One request and its answer, at an address that was judged before, within what time is left."""

import io
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, HTTPResponse, IncompleteRead
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, cast

from issuer.challenges.addresses import Address, Left, UnseenError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PORTS = {"http": 80, "https": 443}
MAX_ANSWER_BYTES = 65_536
"""Headers and body together."""


class WrongError(Exception):
    """What a CA would not accept; the message is a predicate of the URL."""


@dataclass(frozen=True, slots=True)
class Url:
    """target: path and query as they are sent, in ASCII."""

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"

    @property
    def origin(self) -> str:
        """Without the path."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """The host, with a port that is not the scheme's own."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"


@contextmanager
def exchange(
    url: Url, addresses: Sequence[Address], port: int, tls: ssl.SSLContext, left: Left
) -> Iterator[HTTPResponse]:
    """The answer at the first of the addresses that takes a connection; its body is not read yet.

    The name is not looked up again, so no second answer of DNS leads elsewhere. Raises WrongError, UnseenError, OSError
    (TimeoutError with it) and HTTPException.
    """
    with closing(_connect(addresses, port, left)) as plain, closing(_secured(plain, url, tls, left)) as sock:
        sock.settimeout(left())
        sock.sendall(_request(url))
        wire = _Wire(sock, left)
        # All that it asks a socket for is makefile.
        with closing(HTTPResponse(cast("socket.socket", wire), method="GET")) as answer:
            _begin(answer, wire)
            yield answer


def _connect(addresses: Sequence[Address], port: int, left: Left) -> socket.socket:
    failures = []
    for number, address in enumerate(addresses):
        try:
            return _dial(address, port, left() / (len(addresses) - number))
        except OSError as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror
            failures.append(f"{address}: {reason}")
    raise UnseenError(f"can not be reached from here ({', '.join(failures)})")


def _dial(address: Address, port: int, seconds: float) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET)
    try:
        sock.settimeout(seconds)
        sock.connect((str(address), port))
    except OSError:
        sock.close()
        raise
    return sock


def _secured(sock: socket.socket, url: Url, tls: ssl.SSLContext, left: Left) -> socket.socket:
    if url.scheme == "http":
        return sock
    sock.settimeout(left())
    try:
        return tls.wrap_socket(sock, server_hostname=url.host)
    except (OSError, ValueError):
        raise UnseenError("can not be asked over TLS from here") from None


def _request(url: Url) -> bytes:
    # Some firewalls take a request without Accept for a robot's. A compressed answer is not asked for.
    headers = f"Host: {url.authority}\r\nUser-Agent: issuer\r\nAccept: */*\r\nConnection: close"
    return f"GET {url.target} HTTP/1.1\r\n{headers}\r\n\r\n".encode()


def _begin(answer: HTTPResponse, wire: "_Wire") -> None:
    try:
        answer.begin()
    except BadStatusLine:
        if wire.has_ended:
            raise
        raise WrongError("does not answer in HTTP") from None
    if wire.has_ended:
        raise IncompleteRead(b"")


class _Wire(io.RawIOBase):
    """What a socket receives: each read ends by the one deadline, so that a server that drips can not put it off."""

    def __init__(self, sock: socket.socket, left: Left) -> None:
        self._sock = sock
        self._left = left
        self._received = 0
        self.has_ended = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._sock.settimeout(self._left())
        count = self._sock.recv_into(buffer)
        self._received += count
        self.has_ended = count == 0
        if self._received > MAX_ANSWER_BYTES:
            raise HTTPException("too long an answer")
        return count
