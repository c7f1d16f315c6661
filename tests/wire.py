"""A wire between us and a real CA, which a test can cut, hold, or answer on in the CA's place."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3

from issuer.sandbox import LOOPBACK, Pebble

OF_ONE_HOP = {"connection", "content-length", "date", "transfer-encoding"}
Answer = tuple[int, dict[str, str], bytes]


class Cut(Exception):  # noqa: N818
    """The connection ends here without an answer."""


@dataclass
class Fault:
    """What happens to requests whose path contains `path`: act before they reach the CA, or on its answer.

    times: how many of them (the others pass); before may return an answer of its own; both may raise Cut.
    """

    path: str
    times: int = 1
    before: Callable[[], Answer | None] = lambda: None
    after: Callable[[Answer], Answer] = lambda answer: answer
    hits: int = 0


@dataclass
class Hold:
    """Stops a request until the test lets go; then the connection is cut."""

    reached: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, *_: object) -> Answer:
        self.reached.set()
        self.let_go.wait(60)
        raise Cut


def cut(*_: object) -> Answer:
    raise Cut


class Wire:
    """A proxy with the CA's own TLS certificate; the CA names its URLs by the wire's address."""

    def __init__(self, pebble: Pebble) -> None:
        self.faults: list[Fault] = []
        self.seen: list[str] = []
        self.bodies: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self._pool = urllib3.PoolManager(ca_certs=str(pebble.bundle), maxsize=16, retries=False)
        self._upstream = pebble.directory_url.removesuffix("/dir")
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._server.daemon_threads = True
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pebble.bundle, pebble.bundle.with_name("tls-key.pem"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.bundle = pebble.bundle
        self.host = f"{LOOPBACK}:{self._server.server_port}"
        self.directory_url = f"https://{self.host}/dir"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._pool.clear()

    def count(self, path: str) -> int:
        return sum(path in one for one in self.seen)

    def _fault(self, path: str) -> Fault | None:
        with self._lock:
            self.seen.append(path)
            for fault in self.faults:
                if fault.path in path and fault.hits < fault.times:
                    fault.hits += 1
                    return fault
        return None

    def _forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        kept = {name: headers[name] for name in ("Content-Type", "User-Agent") if headers.get(name)}
        kept |= {"Host": self.host}
        response = self._pool.request(method, self._upstream + path, headers=kept, body=body or None)
        passed = {name: value for name, value in dict(response.headers).items() if name.lower() not in OF_ONE_HOP}
        return response.status, passed, response.data

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                wire.bodies.append((self.path, body))
                fault = wire._fault(self.path)
                try:
                    answer = fault.before() if fault else None
                    if answer is None:
                        answer = wire._forward(self.command, self.path, dict(self.headers), body)
                        answer = fault.after(answer) if fault else answer
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
