"""Real parts for the tests: started once on free loopback ports, waited for, stopped by pid."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis as redis_client
from werkzeug.serving import make_server

from issuer import sandbox as sandboxes
from issuer.sandbox import LOOPBACK, Dns, Pebble, Sandbox, free_port
from issuer.store import RedisStore, connect
from tests.acme2certifier import NEEDS_ROOT
from tests.clocks import with_dates
from tests.databases import one_server
from tests.parallel import PORTS, WORKERS, Once, own, spread
from tests.wire import Wire


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="fail when a test is skipped that this user could run")


def pytest_configure() -> None:
    sandboxes.PORTS = Once(own(PORTS))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "clock" in config.option.markexpr:  # to find them takes seconds
        for item in items:
            if getattr(item, "originalname", "") in with_dates(item.path):
                item.add_marker("clock")
    if WORKERS > 1:
        items[:] = spread(items)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if not session.config.getoption("--no-skips") or exitstatus != pytest.ExitCode.OK:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return  # in a process of a parallel run: the one that started it counts for all
    # What only root can run is no fault of a machine where the tests run as somebody else.
    if any(NEEDS_ROOT not in str(report.longrepr) for report in reporter.stats.get("skipped", ())):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """What runs for the whole session."""
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def module_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """What runs for one module: a fresh CA each."""
    with Sandbox(tmp_path_factory.mktemp("module")) as sandbox:
        yield sandbox


@pytest.fixture(scope="session", autouse=True)
def _databases(sandbox: Sandbox) -> Iterator[None]:
    with one_server(sandbox):
        yield


@pytest.fixture(scope="session")
def redis_server(sandbox: Sandbox) -> str:
    """A real Redis; its URL without a database."""
    return sandbox.redis()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """A real Redis, emptied; the URL of database 0."""
    with redis_client.Redis.from_url(f"{redis_server}/0") as client:
        client.flushall()
    return f"{redis_server}/0"


@pytest.fixture
def real_store(redis_url: str) -> Iterator[RedisStore]:
    client = connect(redis_url)
    yield RedisStore(client)
    client.close()


@pytest.fixture(scope="session")
def dns(sandbox: Sandbox) -> Dns:
    return sandbox.dns()


@pytest.fixture(scope="module")
def http_port() -> int:
    """Where the CA of this module validates."""
    return free_port()


@pytest.fixture(scope="module")
def pebble(module_sandbox: Sandbox, dns: Dns, http_port: int) -> Pebble:
    # No bad nonces: requests are counted in these tests. The test of bad nonces starts a CA of its own.
    return module_sandbox.pebble(
        dns.server, http_port, {"PEBBLE_WFE_NONCEREJECT": "0"}, certificateValidityPeriod=90 * 86400
    )


@pytest.fixture
def wire(pebble: Pebble) -> Iterator[Wire]:
    """A wire to the CA, for faults on the way."""
    wire = Wire(pebble.directory_url, pebble.bundle)
    yield wire
    wire.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., None]]:
    """Serve WSGI applications on ports of a loopback address, in threads, until the test ends."""
    servers = []

    def start(app, port: int, host: str = LOOPBACK) -> None:
        server = make_server(host, port, app, threaded=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Tokyo"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time zone of this machine."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
