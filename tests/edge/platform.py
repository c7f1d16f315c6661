"""What is behind Caddy: `web` with issued records, and the platform's application."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.serialization import Encoding
from werkzeug.wrappers import Request, Response

from issuer import tasks
from issuer.domain import CHAIN, Domain, Reason, Record, new_issuance
from issuer.keys import Vault
from issuer.ports import Services
from issuer.sandbox import LOOPBACK, Part, Sandbox, free_port
from issuer.store import RedisStore, connect
from tests.edge.caddy import Caddy, started
from tests.fakes import EDGE_TOKEN, TARGET, fake_services
from tests.real import ENCRYPTION_KEY
from tests.writes import open_issuance


@dataclass
class Backend:
    """Answers with what it received, and records it."""

    seen: list[tuple[str, str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ, start_response):
        request = Request(environ)
        with self.lock:
            self.seen.append((request.headers["X-Forwarded-Proto"], request.host, request.full_path.rstrip("?")))
        body = f"{request.method} {request.host} {len(request.get_data())}"
        # A backend's HSTS header is not the domain owner's choice.
        return Response(body, headers={"Strict-Transport-Security": "max-age=1"})(environ, start_response)

    def came(self, scheme: str, host: str) -> list[str]:
        """The paths that were requested at a host, over a scheme."""
        with self.lock:
            return [path for how, where, path in self.seen if (how, where) == (scheme, host)]


@dataclass(frozen=True)
class Edge:
    """The running parts: Caddy in front of `web` and of a platform."""

    caddy: Caddy
    services: Services
    backend: Backend
    redis: Part
    web: Part
    web_port: int
    backend_port: int


def running(sandbox: Sandbox, serve: Callable[..., None], *, processes: int = 2, **environment: str) -> Edge:
    """Start everything, with a separate Redis. processes: of `web`; environment: of Caddy."""
    redis_url, web_port, backend_port = f"{sandbox.redis()}/0", free_port(), free_port()
    services, backend = _services(RedisStore(connect(redis_url))), Backend()
    serve(backend, backend_port)
    web = sandbox.procfile(
        "web",
        {
            "ISSUER_REDIS_URL": redis_url,
            "ISSUER_ENCRYPTION_KEYS": ENCRYPTION_KEY,
            "ISSUER_CNAME_TARGETS": TARGET,
            "ISSUER_EDGE_TOKEN": EDGE_TOKEN,
            "ISSUER_LOG_FORMAT": "json",
            "GUNICORN_CMD_ARGS": f"--bind {LOOPBACK}:{web_port}",
            "WEB_CONCURRENCY": str(processes),
        },
    )
    sandbox.wait_for_web(web, web_port)
    caddy = started(sandbox, web=web_port, platform=backend_port, roots=_root(services), **environment)
    redis = next(part for part in sandbox._parts if part.name == "redis")
    return Edge(caddy, services, backend, redis, web, web_port, backend_port)


def issue(services: Services, name: str, *, ago: float = 0, change: Callable[[Domain], Domain] | None = None) -> Record:
    """A first certificate, or the next one. ago: seconds since; change: of the domain."""
    services.clock.now = time.time() - ago
    known, now = services.store.load(name), services.clock()
    domain = known.domain if known else Domain(name, "platform", now)
    reason = Reason.RENEWAL if known else Reason.FIRST
    version = known.version if known else 0
    domain = change(domain) if change else domain
    open_issuance(services.store, domain, new_issuance(name, reason, now), version=version, requeue_at=now + 60)
    while (record := services.store.load(name)).issuance.step in CHAIN:
        services.clock.now = max(services.clock.now, record.issuance.next_try_at or 0)
        tasks.attempt(services, record.issuance.step, record.issuance.id)
    assert record.domain.certificate
    return record


def _services(store: RedisStore) -> Services:
    """Services as workers have them, with a CA in memory, at the current time."""
    services = replace(fake_services(store), vault=Vault([ENCRYPTION_KEY]))
    services.clock.now = time.time()
    return services


def _root(services: Services) -> str:
    """The root of the CA in memory, PEM."""
    return services.cas[0].root.public_bytes(Encoding.PEM).decode()
