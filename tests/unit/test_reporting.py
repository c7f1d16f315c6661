"""Sentry and OpenTelemetry, by their real packages: off by default, and without secrets when they are on."""

import gzip
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import sentry_sdk
import structlog
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from issuer.logs import TRACING, configure_logs, start_reporting
from issuer.logs.tracing import Tracing
from issuer.ports import Services
from issuer.sandbox import LOOPBACK
from issuer.tasks import _body
from tests.api_client import ApiClient
from tests.fakes import EDGE_TOKEN, NAME

SECRET = "hunter2-the-secret"


class Receiver(ThreadingHTTPServer):
    """Keeps what is sent to it: path and body."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.came = threading.Event()
        super().__init__((LOOPBACK, 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_packed = self.headers.get("Content-Encoding") == "gzip"
        self.server.got.append((self.path, gzip.decompress(body) if is_packed else body))
        self.server.came.set()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def sentry(receiver: Receiver) -> Iterator[Receiver]:
    start_reporting(sentry_dsn=f"http://{'a' * 32}@{LOOPBACK}:{receiver.server_port}/7", otlp_url="")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logs("json", "INFO")
    yield receiver
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    TRACING.use(SimpleSpanProcessor(exporter), "0")
    yield exporter
    TRACING._tracer = None


def events(receiver: Receiver) -> list[dict]:
    sentry_sdk.flush(timeout=5)
    lines = [line for _, body in receiver.got for line in body.splitlines()]
    return [event for event in map(json.loads, lines) if "exception" in event]


def fail(*_: object, **__: object) -> None:
    private_key = f"{SECRET[:7]}{SECRET[7:]}"
    raise RuntimeError(len(private_key))


def test_an_unexpected_error_of_a_request_is_reported_without_anything_that_may_be_secret(
    services: Services, sentry: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = ApiClient(services).with_accounts()
    monkeypatch.setattr("issuer.actions.eligibility.require_eligible", fail)
    more = {"data": json.dumps({"x": SECRET}), "content_type": "application/json", "headers": {"X-Secret": SECRET}}
    assert client.call("POST", f"/v2/x509/{NAME}?token={EDGE_TOKEN}", **more).status_code == 500
    found = events(sentry)
    assert [one["exception"]["values"][-1]["type"] for one in found] == ["RuntimeError"]
    assert found[0]["request"] == {"method": "POST"}
    assert found[0]["logentry"]["message"] == "request failed"
    assert found[0]["extra"]["path"] == f"/v2/x509/{NAME}"
    assert found[0]["release"].startswith("issuer@")
    assert not any("vars" in frame for one in found[0]["exception"]["values"] for frame in one["stacktrace"]["frames"])
    sent = b"".join(body for _, body in sentry.got)
    for secret in (SECRET, EDGE_TOKEN, *client.keys.values(), "PRIVATE KEY", "gAAAA"):
        assert secret.encode() not in sent
    assert sentry.got[0][0] == "/api/7/envelope/"


def test_each_request_and_each_step_is_a_span(services: Services, spans: InMemorySpanExporter) -> None:
    client = ApiClient(services).with_accounts()
    client.call("POST", f"/v2/x509/{NAME}?token={EDGE_TOKEN}", headers={"X-Request-Id": "one"})
    record = client.load()
    _body(record.issuance.step, lambda: services)(None, record.issuance.id)
    request, step = spans.get_finished_spans()
    assert request.name == "request"
    assert dict(request.attributes) == {
        "method": "POST",
        "path": f"/v2/x509/{NAME}",
        "request_id": "one",
        "status": 202,
        "account": "platform",
    }
    assert (step.name, step.attributes["outcome"]) == ("order", "advanced")
    assert step.attributes["issuance"] == record.issuance.id
    assert step.resource.attributes["service.name"] == "issuer"


def test_spans_reach_the_receiver_of_the_setting(receiver: Receiver) -> None:
    tracing = Tracing()
    tracing.start(f"http://{LOOPBACK}:{receiver.server_port}/", "0")
    with tracing.span("order", domain=NAME):
        pass
    tracing._provider.shutdown()
    assert [path for path, _ in receiver.got] == ["/v1/traces"]
    assert NAME.encode() in receiver.got[0][1]


def test_without_the_settings_nothing_is_loaded() -> None:
    code = "import sys, issuer.worker; print({'sentry_sdk', 'opentelemetry.exporter'} & set(sys.modules))"
    environment = {"ISSUER_ENCRYPTION_KEYS": "2kq5xLZ9z0P8m3s5b8v1y4t7w0q3e6r9u2i5o8a1d4g=", "PATH": "/usr/bin"}
    environment |= {"ISSUER_CNAME_TARGETS": "edge.example", "ISSUER_REDIS_URL": f"redis://{LOOPBACK}:1/0"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


@pytest.mark.parametrize(
    ("settings", "missing", "extra"),
    [
        ({"sentry_dsn": "https://a@b.example/1", "otlp_url": ""}, "sentry_sdk", "sentry"),
        ({"sentry_dsn": "", "otlp_url": "http://127.0.0.1:1"}, "opentelemetry", "opentelemetry"),
    ],
)
def test_a_missing_package_is_one_line_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], missing: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("issuer.logs.optional.find_spec", lambda _: None)
    with pytest.raises(SystemExit) as found:
        start_reporting(**settings)
    (line,) = str(found.value).splitlines()
    assert line.startswith(("ISSUER_SENTRY_DSN: ", "ISSUER_OTLP_URL: "))
    assert f"pip install 'issuer[{extra}]'" in line


def test_what_is_no_dsn_is_one_line() -> None:
    with pytest.raises(SystemExit, match="ISSUER_SENTRY_DSN: it is not a DSN"):
        start_reporting(sentry_dsn="https://sentry.example.com/", otlp_url="")
