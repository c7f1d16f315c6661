"""A server on loopback that sends exactly the bytes of a test, in plain text or, if the client starts it, in TLS."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from issuer.sandbox import LOOPBACK

TLS_HANDSHAKE = b"\x16"
LONGEST_WAIT = 5
Reply = Callable[[str], bytes | Iterable[bytes]]
"""From a request's head to the answer, whole or in pieces; then the connection is closed."""


@dataclass
class RawServer:
    """heads: of the requests that came. drip: pieces of bytes, one every 50 ms until the test is over."""

    reply: Reply
    port: int
    tls: ssl.SSLContext | None
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def drip(self, *start: bytes, piece: bytes) -> Iterator[bytes]:
        yield from start
        while not self.over.wait(0.05):
            yield piece

    def answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(LONGEST_WAIT)
            if self.tls and connection.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
                connection = self.tls.wrap_socket(connection, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head and head[:1] != TLS_HANDSHAKE and (more := connection.recv(4096)):
                head += more
            if head:
                self.heads.append(head.decode("latin-1"))
                answer = self.reply(head.decode("latin-1"))
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    connection.sendall(piece)
            connection.close()


@contextmanager
def raw_server(
    reply: Reply | bytes, *, host: str = LOOPBACK, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[RawServer]:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen()
    listener.settimeout(0.02)
    scripted = (lambda _: reply) if isinstance(reply, bytes) else reply
    server = RawServer(scripted, listener.getsockname()[1], tls)
    threads: list[threading.Thread] = []

    def serve() -> None:
        while not server.over.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                server.connections += 1
                threads.append(threading.Thread(target=server.answer, args=(connection,)))
                threads[-1].start()

    accepting = threading.Thread(target=serve)
    with listener:
        accepting.start()
        try:
            yield server
        finally:
            server.over.set()
            accepting.join()
            for thread in threads:
                thread.join()
