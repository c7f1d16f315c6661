"""What is around a fleet, with switches: port 80 before `web`, and a CA that can be down."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3

from tests.scripted import ScriptedCa
from tests.wire import FOR_GOOD, Answer, Fault, Request, cut

LOGIN = "http://login.platform.example/"
PROXY_HEADERS = {"Server": "cloudflare", "CF-RAY": "8f0a-FRA", "Via": "1.1 cdn.example"}
PAGE = b"<!doctype html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"


class Front:
    """Port 80 at an address: it passes requests on to `web`.

    is_missing: it answers 404 instead. is_login: it redirects to a login page. is_proxy: it shows that it is a CDN.
    """

    def __init__(self, address: str, port: int, web_port: int) -> None:
        self.is_missing = self.is_login = self.is_proxy = False
        self._address, self._port, self._web_port = address, port, web_port
        self._server: ThreadingHTTPServer | None = None
        self.open()

    def open(self) -> None:
        if self._server is None:
            self._server = _serving(self._address, self._port, self._handler())

    def shut(self) -> None:
        """Connections are refused from now on."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, path: str, host: str) -> Answer:
        if self.is_login:
            return (200, {}, PAGE) if host.startswith("login.") else (302, {"Location": LOGIN}, b"")
        if self.is_missing:
            return 404, {"Content-Type": "text/html"}, PAGE
        url = f"http://127.0.0.1:{self._web_port}{path}"
        try:
            answer = urllib3.request("GET", url, headers={"Host": host}, retries=False, redirect=False, timeout=10)
        except urllib3.exceptions.HTTPError:
            return 502, {}, b""
        return answer.status, PROXY_HEADERS if self.is_proxy else {}, answer.data

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = front._answer(self.path, self.headers.get("Host", ""))
                self.send_response_only(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that ends a connection, as it does not trust us, is no news."""


class PlantedCa(ScriptedCa):
    """The scripted CA, which can be down, and has a page beside its directory."""

    def __init__(self, web: tuple[str, int], context: ssl.SSLContext | None = None) -> None:
        super().__init__(web, context)
        self.caa_identities = ("scripted.example",)
        self._server.handle_error = lambda *_: None  # as of _Quiet

    def answer(self, request: Request) -> Answer:
        if request.path == "/welcome":
            return 200, {"Content-Type": "text/html"}, PAGE
        return super().answer(request)

    def keep_processing(self) -> None:
        """Every order is in process from now on."""
        self.looks_until_valid = 10**9

    def finish(self) -> None:
        """The orders that are in process become valid."""
        self.looks_until_valid = 0
        for order in self.orders.made.values():
            order.until_valid = 0

    def go_down(self) -> None:
        """Connections are refused from now on, and those that are open are cut."""
        self.add(Fault("/", FOR_GOOD, before=cut))
        self._server.shutdown()
        self._server.server_close()

    def come_back(self) -> None:
        self.faults.clear()
        self._server = _serving(*self._server.server_address[:2], self._server.RequestHandlerClass)


def _serving(address: str, port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    server = _Quiet((address, port), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
