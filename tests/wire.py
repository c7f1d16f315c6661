"""ACME servers whose answers a test can cut, hold or replace: a proxy to a real CA, and the base of the scripted CA."""

import math
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import urllib3

from issuer.sandbox import LOOPBACK
from tests.parallel import conversation

OF_ONE_HOP = {"connection", "content-length", "date", "transfer-encoding"}
FOR_GOOD = math.inf
Answer = tuple[int, dict[str, str], bytes]


class Cut(Exception):  # noqa: N818
    """The connection ends here without an answer."""


@dataclass
class Fault:
    """A fault for requests whose path contains `path`: before they reach the CA, or in its answer.

    times: how many of these requests it affects; the others pass. before: may return an answer of its own. before and
    after: may raise Cut.
    """

    path: str
    times: float = 1
    before: Callable[[], Answer | None] = lambda: None
    after: Callable[[Answer], Answer] = lambda answer: answer
    hits: int = 0


@dataclass
class Hold:
    """Holds a request until the test sets `let_go`; then the connection is cut."""

    reached: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, *_: object) -> Answer:
        self.reached.set()
        self.let_go.wait(60)
        raise Cut


def cut(*_: object) -> Answer:
    raise Cut


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Listener(ABC):
    """An HTTP server in threads on a free port. The first matching fault applies to a request, then `answer`.

    context: for TLS. seen: the path of every request. bodies: the path and the body of every request.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.faults: list[Fault] = []
        self.seen: list[str] = []
        self.bodies: list[tuple[str, bytes]] = []
        self._faults_lock = threading.Lock()
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._server.daemon_threads = True
        if context:
            listening = self._server.socket
            self._server.socket = context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
        self.host = f"{LOOPBACK}:{self._server.server_port}"
        self.origin = f"{'https' if context else 'http'}://{self.host}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """The answer to a request without a fault."""

    def add(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self, path: str) -> int:
        return sum(path in seen for seen in self.seen)

    def _faulty(self, request: Request) -> Answer:
        fault = self._fault(request)
        if fault is None:
            return self.answer(request)
        return fault.before() or fault.after(self.answer(request))

    def _fault(self, request: Request) -> Fault | None:
        with self._faults_lock:
            self.seen.append(request.path)
            self.bodies.append((request.path, request.body))
            for fault in self.faults:
                if fault.path in request.path and fault.hits < fault.times:
                    fault.hits += 1
                    return fault
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    answer = listener._faulty(Request(self.command, self.path, dict(self.headers), body))
                except Cut:
                    self.close_connection = True
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_HEAD = _pass_on  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        return Handler


class Wire(Listener):
    """A proxy before a real CA, which names its URLs by the wire's address. bundle: the CA's own TLS certificate, with
    its key beside it, where it has one."""

    def __init__(self, directory_url: str, bundle: Path | None = None) -> None:
        self.bundle = bundle
        self._upstream, _, directory = directory_url.rpartition("/")
        trust = {"ca_certs": str(bundle)} if bundle else {}
        self._pool = urllib3.PoolManager(**trust, maxsize=16, retries=False)
        super().__init__(_own_tls(bundle) if bundle else None)
        self.directory_url = f"{self.origin}/{directory}"

    def answer(self, request: Request) -> Answer:
        kept = {name: request.headers[name] for name in ("Content-Type", "User-Agent") if request.headers.get(name)}
        kept |= {"Host": self.host}
        url = self._upstream + request.path
        with conversation():
            response = self._pool.request(request.method, url, headers=kept, body=request.body or None)
        passed = {name: value for name, value in dict(response.headers).items() if name.lower() not in OF_ONE_HOP}
        return response.status, passed, response.data

    def close(self) -> None:
        super().close()
        self._pool.clear()


def _own_tls(bundle: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(bundle, bundle.with_name("tls-key.pem"))
    return context
