"""What TLS terminators stand in front of."""

import threading
from collections.abc import Callable, Iterator

import pytest
from werkzeug.serving import make_server

from issuer.sandbox import LOOPBACK


@pytest.fixture(scope="module")
def module_serve() -> Iterator[Callable[..., None]]:
    """Serve WSGI applications in threads for a whole module."""
    servers = []

    def start(app, port: int) -> None:
        servers.append(make_server(LOOPBACK, port, app, threaded=True))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
