"""One HTTP request and its answer, at an address that has been checked before, within the remaining time."""

import io
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, HTTPResponse, IncompleteRead
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, cast

from issuer.challenges.addresses import Address, InconclusiveError, SecondsLeft

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PORTS = {"http": 80, "https": 443}
MAX_ANSWER_BYTES = 65_536
"""Headers and body together."""


class RejectedError(Exception):
    """A CA would not accept this answer; the message is a predicate of the URL."""


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in parts. target: path and query as they are sent, in ASCII."""

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"

    @property
    def origin(self) -> str:
        """The URL without its path."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """The host, and the port unless it is the scheme's default."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"


@contextmanager
def exchange(
    url: Url, addresses: Sequence[Address], port: int, tls: ssl.SSLContext, seconds_left: SecondsLeft
) -> Iterator[HTTPResponse]:
    """The answer from the first address that accepts a connection; its body is not read yet.

    The name is not looked up again, so a second DNS answer cannot redirect the request. Raises RejectedError,
    InconclusiveError, OSError (including TimeoutError) and HTTPException.
    """
    with (
        closing(_connect(addresses, port, seconds_left)) as plain,
        closing(_secured(plain, url, tls, seconds_left)) as sock,
    ):
        sock.settimeout(seconds_left())
        sock.sendall(_request(url))
        wire = _Wire(sock, seconds_left)
        # HTTPResponse uses only the socket's makefile.
        with closing(HTTPResponse(cast("socket.socket", wire), method="GET")) as answer:
            _begin(answer, wire)
            yield answer


def _connect(addresses: Sequence[Address], port: int, seconds_left: SecondsLeft) -> socket.socket:
    failures = []
    for number, address in enumerate(addresses):
        try:
            return _dial(address, port, seconds_left() / (len(addresses) - number))
        except OSError as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror
            failures.append(f"{address}: {reason}")
    raise InconclusiveError(f"cannot be reached from here ({', '.join(failures)})")


def _dial(address: Address, port: int, seconds: float) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET)
    try:
        sock.settimeout(seconds)
        sock.connect((str(address), port))
    except OSError:
        sock.close()
        raise
    return sock


def _secured(sock: socket.socket, url: Url, tls: ssl.SSLContext, seconds_left: SecondsLeft) -> socket.socket:
    if url.scheme == "http":
        return sock
    sock.settimeout(seconds_left())
    try:
        return tls.wrap_socket(sock, server_hostname=url.host)
    except (OSError, ValueError):
        raise InconclusiveError("cannot be reached over TLS from here") from None


def _request(url: Url) -> bytes:
    # Some firewalls treat a request without Accept as a robot's. No compressed answer is requested.
    headers = f"Host: {url.authority}\r\nUser-Agent: issuer\r\nAccept: */*\r\nConnection: close"
    return f"GET {url.target} HTTP/1.1\r\n{headers}\r\n\r\n".encode()


def _begin(answer: HTTPResponse, wire: "_Wire") -> None:
    try:
        answer.begin()
    except BadStatusLine:
        if wire.has_ended:
            raise
        raise RejectedError("does not answer with HTTP") from None
    if wire.has_ended:
        raise IncompleteRead(b"")


class _Wire(io.RawIOBase):
    """The bytes that a socket receives: every read ends by the same deadline, so a slow server cannot extend it."""

    def __init__(self, sock: socket.socket, seconds_left: SecondsLeft) -> None:
        self._sock = sock
        self._seconds_left = seconds_left
        self._received = 0
        self.has_ended = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._sock.settimeout(self._seconds_left())
        count = self._sock.recv_into(buffer)
        self._received += count
        self.has_ended = count == 0
        if self._received > MAX_ANSWER_BYTES:
            raise HTTPException("the answer is too long")
        return count
