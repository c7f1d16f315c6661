"""What TLS terminators stand in front of; and nginx and HAProxy with all that they need: a Redis of their own, two web
processes, a platform, the sync."""

import threading
from collections.abc import Callable, Iterator

import pytest
from werkzeug.serving import make_server

from issuer.config import Settings
from issuer.ports import Services
from issuer.sandbox import LOOPBACK, Sandbox, free_port
from tests.edge.records import Records, edge_settings
from tests.edge.terminators import Terminator, short_folder


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


def platform(environ, start_response):
    """What the customers' names lead to. It sets a header of its own, as a careless one would."""
    seen = {name: environ.get(name, "") for name in ("HTTP_HOST", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_FOR")}
    start_response("200 OK", [("Strict-Transport-Security", "max-age=1"), ("Content-Type", "text/plain")])
    return [f"{seen['HTTP_X_FORWARDED_PROTO']} {seen['HTTP_HOST']} {seen['HTTP_X_FORWARDED_FOR']}".encode()]


@pytest.fixture(scope="module")
def platform_port() -> Iterator[int]:
    server = make_server(LOOPBACK, free_port(), platform, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def edge_sandbox() -> Iterator[Sandbox]:
    with short_folder() as folder, Sandbox(folder) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def edge_redis(edge_sandbox: Sandbox) -> str:
    return f"{edge_sandbox.redis()}/0"


@pytest.fixture(scope="module")
def records(edge_redis: str) -> Records:
    return Records(edge_redis)


@pytest.fixture(scope="module")
def services(records: Records) -> Services:
    return records.services


@pytest.fixture(scope="module")
def edge_values(edge_redis: str) -> Settings:
    return edge_settings(edge_redis)


@pytest.fixture(scope="module")
def web_ports(edge_sandbox: Sandbox, edge_values: Settings) -> list[int]:
    """Two web processes, as on two hosts."""
    ports = [free_port(), free_port()]
    for port in ports:
        own = {"WEB_CONCURRENCY": "1", "GUNICORN_CMD_ARGS": f"--bind {LOOPBACK}:{port}"}
        edge_sandbox.wait_for_web(edge_sandbox.procfile("web", edge_values.as_environment() | own), port)
    return ports


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def terminator(
    request: pytest.FixtureRequest,
    edge_sandbox: Sandbox,
    edge_values: Settings,
    web_ports: list[int],
    platform_port: int,
    records: Records,
) -> Iterator[Terminator]:
    """Each of the two in turn. The sync runs first, as they read its files when they start."""
    with short_folder() as folder, Sandbox(folder) as sandbox:
        found = Terminator(request.param, sandbox, edge_values, web_ports, platform_port, root=records.signing.root)
        found.start_sync()
        found.start()
        yield found
