"""A proxy before a Redis, which tells a test what a client is about to write."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from issuer.sandbox import LOOPBACK


@contextmanager
def redis_proxy(port: int, before: Callable[[bytes], None]) -> Iterator[int]:
    """The port of the proxy. before: called with all that a client sends, before Redis gets it."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        threading.Thread(target=_accept, args=(listener, port, before), daemon=True).start()
        yield listener.getsockname()[1]


def _accept(listener: socket.socket, port: int, before: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection((LOOPBACK, port))
            threading.Thread(target=_forward, args=(client, server, before), daemon=True).start()
            threading.Thread(target=_forward, args=(server, client, lambda _: None), daemon=True).start()


def _forward(source: socket.socket, target: socket.socket, before: Callable[[bytes], None]) -> None:
    with suppress(OSError), source, target:
        while data := source.recv(65536):
            before(data)
            target.sendall(data)
