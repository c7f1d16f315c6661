"""A whole fleet: the Procfile's processes over two Redis servers of their own; a DNS, port 80 and a CA are played."""

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import urllib3
from click.testing import CliRunner

from issuer.actions import accounts
from issuer.cli import main
from issuer.config import PREFIX, Settings, child_environment, load_settings
from issuer.domain import Plan
from issuer.ports import Services
from issuer.sandbox import LOOPBACK, Part, Sandbox, free_port
from issuer.sandbox.processes import _own_tls
from issuer.wiring import build_services
from tests.fakes import EDGE_TOKEN, TARGET
from tests.integration.dns_server import Answers, DnsServer, dns_server
from tests.planted.outside import Front, PlantedCa
from tests.real import ENCRYPTION_KEY, opened, run_to_end

PROCESSES = ("web", "worker", "renewals", "beat")
OURS, OTHER_OURS, CDN = "127.0.0.1", "127.0.0.2", "127.0.0.9"
"""The two addresses of our target, and that of a CDN."""


@dataclass
class Fleet:
    """settings: of the processes, but for what `change` sets. parts: the running processes by name. key, basic_key: of
    an account with HTTPS and of one without; keys: by name, where it is not the first. output: the exit code and the
    words of a process that did not start. last: the newest name; many: those of a fault that concerns many.
    is_alone: no other fleet runs, so commands may run in this process, which is faster."""

    sandbox: Sandbox
    brokers: Sandbox
    settings: Settings
    services: Services
    ca: PlantedCa
    bundle: Path
    dns: DnsServer
    fronts: dict[str, Front]
    web_port: int
    environment: dict[str, str]
    key: str = ""
    basic_key: str = ""
    parts: dict[str, Part] = field(default_factory=dict)
    offsets: dict[Path, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    output: tuple[int, str] = (0, "")
    last: str = ""
    many: list[str] = field(default_factory=list)
    changed: dict[str, str] = field(default_factory=dict)
    numbers: int = 0
    is_alone: bool = False

    # The processes

    def start(self, *names: str, **change: str) -> None:
        """Start processes of the Procfile. change: further settings, in upper case; if they are for all processes, the
        commands have them too."""
        changed = {f"{PREFIX}{name}": value for name, value in change.items()}
        self.changed = self.changed if names else changed
        environment = self.environment | changed
        for name in names or PROCESSES:
            self.parts[name] = self.sandbox.procfile(name, environment)
        if "web" in (names or PROCESSES):
            self.sandbox._ready(self.parts["web"], self._is_alive)

    def start_consumer(self, name: str, queues: str) -> None:
        """A worker of Celery as somebody may start it by hand."""
        line = ["celery", "-A", "issuer.worker", "worker", "--queues", queues, "--concurrency", "2"]
        line += ["--hostname", f"{name}@%h", "--without-mingle", "--without-gossip", "--without-heartbeat"]
        self.parts[name] = self.sandbox.start(name, [sys.executable, "-m", *line], self.environment, is_client=True)

    def stop(self, *names: str) -> None:
        for name in names or tuple(self.parts):
            self.parts.pop(name).stop()

    def restart(self, *names: str, **change: str) -> None:
        for name in names or tuple(self.parts):  # all at once, as a warm shutdown takes a moment
            self.parts[name].process.terminate()
        self.stop(*names)
        self.start(*names, **change)

    def refused(self, name: str, **change: str) -> tuple[int, str]:
        """The exit code and the output of a process that must not start."""
        environment = self.environment | {f"{PREFIX}{name}": value for name, value in change.items()}
        command = [sys.executable, "-m", "issuer.cli", "run", name]
        ended = self._run(command, environment, seconds=30)
        return ended.returncode, ended.stdout + ended.stderr

    def cli(self, *arguments: str) -> tuple[int, str]:
        """The exit code and the output of a command."""
        environment = self.environment | self.changed
        if self.is_alone:
            result = CliRunner().invoke(main, arguments, env=environment)
            return result.exit_code, result.stdout or result.stderr
        ended = self._run([sys.executable, "-m", "issuer.cli", *arguments], environment, seconds=60)
        return ended.returncode, ended.stdout or ended.stderr

    def require_cli(self, *arguments: str) -> None:
        code, text = self.cli(*arguments)
        assert code == 0, text

    def _run(
        self, command: list[str], environment: dict[str, str], *, seconds: float
    ) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
                cwd=self.sandbox.folder,
                env=child_environment(environment),
            )
        except subprocess.TimeoutExpired as error:
            return subprocess.CompletedProcess(command, -1, "", f"no end after {error.timeout} s")

    # What a platform calls

    def call(self, method: str, path: str, key: str = "") -> tuple[int, dict[str, Any], urllib3.HTTPHeaderDict]:
        headers = urllib3.make_headers(basic_auth=f"api:{key or self.key}")
        url = f"http://{LOOPBACK}:{self.web_port}{path}"
        answer = urllib3.request(method, url, headers=headers, retries=False, timeout=20)
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.status, json.loads(answer.data) if is_json else {"text": answer.data.decode()}, answer.headers

    def post(self, name: str) -> tuple[int, dict[str, Any]]:
        status, body, _ = self.call("POST", f"/v2/x509/{name}", self.keys.get(name, ""))
        return status, body

    def require_post(self, name: str) -> None:
        status, body = self.post(name)
        assert status == 202, (status, body)

    def requested(self, name: str | None = None) -> str:
        """A name for which a certificate has been asked."""
        name = name or self.name()
        self.require_post(name)
        return name

    def active(self) -> str:
        """A name that has got its certificate from the processes."""
        name = self.requested()
        self.await_status(name, "active")
        return name

    def await_status(self, name: str, word: str, *, with_code: str = "", seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while True:
            body = self.status(name)
            if body.get("status") == word and with_code in str(body.get("code")):
                return
            assert time.monotonic() < until, f"{name} is not {word} {with_code}: {body}"
            time.sleep(0.1)

    def await_problem(self, name: str) -> None:
        self._await(lambda: self.status(name).get("code"), f"a problem of {name}")

    def await_order(self, name: str) -> None:
        """Wait until the CA has the CSR, and is at work."""
        self._await(
            lambda: any(order.names == [name] and order.is_finalized for order in self.ca.orders.made.values()), name
        )

    def await_consumer(self, name: str) -> None:
        """Wait until a process takes messages: until then it may look at what is stored."""
        self._await(lambda: " ready." in self.parts[name].log.read_text(), f"{name} ready")

    def _await(self, is_there: Callable[[], object], what: str, seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while not is_there():
            assert time.monotonic() < until, f"{what}: not after {seconds} s"
            time.sleep(0.05)

    def status(self, name: str) -> dict[str, Any]:
        return self.call("GET", f"/v2/x509/{name}/status", self.keys.get(name, ""))[1]

    def _is_alive(self) -> bool:
        try:
            return self.call("GET", "/healthz")[0] == 200
        except urllib3.exceptions.HTTPError:
            return False

    # Names

    def name(self) -> str:
        """A customer's name, which points here."""
        self.numbers += 1
        self.last = f"track.customer{self.numbers}.example"
        self.publish(self.last, "CNAME", [TARGET])
        return self.last

    def publish(self, name: str, kind: str, records: Answers | None) -> None:
        """Records of a name, in place of those that it had; None: none."""
        if kind == "CNAME" and records:
            records = [f"{record}." for record in records]
        zone = {key: value for key, value in self.dns.zone.items() if key != (name, kind)}
        self.dns.zone = zone if records is None else {**zone, (name, kind): records}

    def issued(self) -> str:
        """A name that has a certificate, which this process has got, as a worker does."""
        return self._issued(self.name())

    def all_issued(self, count: int) -> list[str]:
        """Many such names."""
        names = [self.name() for _ in range(count)]
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(self._issued, names))

    def _issued(self, name: str) -> str:
        record = run_to_end(self.services, opened(self.services, name))
        assert record.domain.certificate, record.issuance.problem
        return name

    def bring_forward(self, name: str) -> None:
        """Let the time come at which an open issuance is to be tried again, without a message."""
        now = self.services.clock()
        self.services.store.update(
            name, lambda held: held and held.with_issuance(held.issuance.bring_forward(now)), now=now, requeue_at=now
        )

    def is_open(self, name: str) -> bool:
        record = self.services.store.load(name)
        return record is not None and record.issuance.is_open

    # Redis

    def redis_server(self) -> Part:
        return next(part for part in reversed(self.sandbox._parts) if part.name == "redis")

    def broker_server(self) -> Part:
        return next(part for part in reversed(self.brokers._parts) if part.name == "redis")

    @property
    def redis_url(self) -> str:
        return self.settings.redis_url.get_secret_value()

    def admin(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url)

    def port_of(self, url: str) -> int:
        return int(url.rpartition(":")[2].partition("/")[0])

    # Logs

    def mark_logs(self) -> None:
        """What is in the logs up to now is old."""
        self.offsets = {path: path.stat().st_size for path in self.sandbox.folder.glob("*.log")}

    def errors(self) -> list[str]:
        """The new lines of level ERROR, of all processes."""
        found = []
        for path in self.sandbox.folder.glob("*.log"):
            with path.open("rb") as file:
                file.seek(self.offsets.get(path, 0))
                lines = file.read().decode(errors="replace").splitlines()
            found += [line for line in lines if '"level": "error"' in line or '"level": "critical"' in line]
        return found


@contextmanager
def fleet(folder: Path, *, is_tls: bool = False, **change: object) -> Iterator[Fleet]:
    """Everything but the processes runs. is_tls: the CA has TLS, which nobody trusts. change: of settings."""
    web_port, front_port = free_port(), free_port()
    bundle, key_file = _own_tls(folder / "ca")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(bundle, key_file)
    with ExitStack() as stack:
        brokers = stack.enter_context(Sandbox(folder / "broker"))
        sandbox = stack.enter_context(Sandbox(folder / "fleet"))
        dns = stack.enter_context(dns_server({(TARGET, "A"): [OURS, OTHER_OURS]}, follow=True))
        fronts = {address: Front(address, front_port, web_port) for address in (OURS, OTHER_OURS, CDN)}
        fronts[CDN].is_proxy = True
        ca = PlantedCa((OURS, front_port), context if is_tls else None)
        stack.callback(ca.close)
        for front in fronts.values():
            stack.callback(front.shut)
        values: dict[str, object] = {
            "redis_url": f"{sandbox.redis()}/0",
            "broker_url": f"{brokers.redis()}/0",
            "encryption_keys": ENCRYPTION_KEY,
            "acme_directory": ca.directory_url,
            "acme_terms_agreed": True,
            "cname_targets": TARGET,
            "dns_servers": dns.address,
            "allow_reserved_names": True,
            "new_names_per_registered_domain": 0,
            "self_check_test_port": front_port,
            "edge_token": EDGE_TOKEN,
            "reconcile_seconds": 1,
            "acme_timeout_seconds": 5,
            "step_seconds": 20,
        }
        settings = load_settings(**values | change)
        environment = settings.as_environment() | {
            "WEB_CONCURRENCY": "1",
            "WORKER_CONCURRENCY": "2",
            "RENEWAL_CONCURRENCY": "2",
            "GUNICORN_CMD_ARGS": f"--bind {LOOPBACK}:{web_port}",
            f"{PREFIX}LOG_FORMAT": "json",
        }
        services = build_services(settings)
        made = Fleet(sandbox, brokers, settings, services, ca, bundle, dns, fronts, web_port, environment)
        made.key = accounts.create(services, "platform", Plan.HTTPS)
        made.basic_key = accounts.create(services, "small", Plan.BASIC)
        yield made
