"""The demo: it runs every part on the loopback address, requests a certificate, and shows each event as it happens."""

import json
import shutil
import signal
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape

from issuer.actions import accounts
from issuer.config import PREFIX, Settings, load_settings
from issuer.domain import CHAIN, Plan
from issuer.events import EventType
from issuer.keys import issuer_name, new_encryption_key
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.sandbox.processes import LOOPBACK, Sandbox, SandboxError, free_port
from issuer.wiring import build_services

TARGET = "edge.platform.example"
ACCOUNT = "demo"
PATIENCE_SECONDS = 180
LOGGED_WITHIN_SECONDS = 2
NINETY_DAYS = 90 * 86400
FAILURES = {EventType.ISSUANCE_RETRY_PLANNED, EventType.CA_REFUSED, EventType.ISSUANCE_FAILED}


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of the command line. folder: the directory for the demo's data."""

    folder: Path
    once: bool = False
    domain: str | None = None
    root: Path | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts: the URL of web, the API key, the domain, the CA's root (PEM or empty), the worker's log."""

    url: str
    key: str
    domain: str
    root: str
    worker_log: Path


class Teller:
    """Prints what happens, each line with the seconds since the last mark."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._mark = time.monotonic()

    def mark(self) -> None:
        """Set the mark that seconds are counted from."""
        self._mark = time.monotonic()

    def say(self, text: str, style: str = "") -> None:
        """Print a line with its seconds."""
        since = time.monotonic() - self._mark
        self._console.print(f"[dim]{since:6.2f} s[/dim]  {escape(text)}", style=style, soft_wrap=True)

    def plain(self, text: str = "") -> None:
        """Print a line without its seconds, to copy from."""
        self._console.print(escape(text), soft_wrap=True)

    def seconds(self) -> float:
        """The seconds since the last mark."""
        return time.monotonic() - self._mark


def run(wishes: Wishes) -> None:
    """Run the demo. Raises SandboxError or Problem if anything fails, after stopping everything that was started."""
    tell = Teller()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    with Sandbox(wishes.folder) as sandbox:
        stage = _set_up(sandbox, wishes, tell)
        _get_certificate(stage, tell, stop)
        if not wishes.once and not stop.is_set():
            _play(stage, tell)
            stop.wait()
        tell.plain("stopping everything that was started")


def _set_up(sandbox: Sandbox, wishes: Wishes, tell: Teller) -> Stage:
    port = wishes.port or free_port()
    domain = wishes.domain or f"track-{datetime.now(UTC):%Y%m%d-%H%M%S}.customer.example"
    settings = load_settings(
        encryption_keys=_kept_encryption_key(wishes.folder),
        cname_targets=TARGET,
        allow_reserved_names=True,
        reconcile_seconds=2,
        self_check_test_port=port,
    )
    if "redis_url" not in settings.model_fields_set:
        settings = settings.model_copy(update={"redis_url": SecretStr(f"{_redis(sandbox, tell)}/0")})
    key = _account_key(build_services(settings))  # fails at once if Redis does not answer
    if "dns_servers" not in settings.model_fields_set:
        dns = sandbox.dns()
        tell.say(f"DNS answers at {dns.server}")
        settings = settings.model_copy(update={"dns_servers": (dns.server,)})
        dns.cname(domain, settings.cname_targets[0])
        tell.say(f"published there: {domain} CNAME {settings.cname_targets[0]}")
    root = wishes.root.read_text() if wishes.root else ""
    if "acme_directory" not in settings.model_fields_set:
        pebble = sandbox.pebble(settings.dns_servers[0], port, certificateValidityPeriod=NINETY_DAYS)
        update = {
            "acme_directory": pebble.directory_url,
            "acme_ca_bundle": str(pebble.bundle),
            "acme_terms_agreed": True,  # of a test CA on this machine
        }
        settings = settings.model_copy(update=update)
        root = pebble.root()
        tell.say(f"Pebble, a test CA, answers at {pebble.directory_url}")
    worker_log = _start_processes(sandbox, settings, port, tell)
    return Stage(f"http://{LOOPBACK}:{port}", key, domain, root, worker_log)


def _start_processes(sandbox: Sandbox, settings: Settings, port: int, tell: Teller) -> Path:
    """Start our own processes. Returns the worker's log file."""
    environment = settings.as_environment() | {
        "WEB_CONCURRENCY": "1",
        "WORKER_CONCURRENCY": "2",
        "GUNICORN_CMD_ARGS": f"--bind {LOOPBACK}:{port}",
        f"{PREFIX}LOG_FORMAT": "json",
    }
    parts = {name: sandbox.procfile(name, environment) for name in ("worker", "renewals", "beat", "web")}
    sandbox.wait_for_web(parts["web"], port)
    tell.say(f"web, worker, renewals and beat are running; web answers at http://{LOOPBACK}:{port}")
    return parts["worker"].log


def _redis(sandbox: Sandbox, tell: Teller) -> str:
    """Start Redis, or fakeredis if Redis is not installed. Returns its URL."""
    if shutil.which("redis-server"):
        url = sandbox.redis()
        tell.say(f"Redis answers at {url}; its data stays in {sandbox.folder / 'redis'}")
    else:
        url = sandbox.fake_redis()
        tell.say(
            "WARNING: redis-server is not installed, so fakeredis takes its place; its data is lost at the end",
            "yellow",
        )
    return url


def _kept_encryption_key(folder: Path) -> str:
    """The demo's encryption key. It is stored beside the demo's data so that the next demo can read them."""
    file = folder / "encryption-key"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(new_encryption_key())
    return file.read_text()


def _account_key(services: Services) -> str:
    try:
        return accounts.create(services, ACCOUNT, Plan.HTTPS)
    except Problem as problem:
        if problem.type is not ProblemType.ACCOUNT_EXISTS:
            raise
        return accounts.rotate_key(services, ACCOUNT)


def _get_certificate(stage: Stage, tell: Teller, stop: threading.Event) -> None:
    """Send a POST, show the steps as the worker logs them, then show and check the certificate."""
    path = f"/v2/x509/{stage.domain}"
    log_position = stage.worker_log.stat().st_size
    tell.mark()
    answer = _call(stage, "POST", path)
    tell.say(f"POST {path} -> {answer.status} {answer.data.decode().strip()}")
    if answer.status != HTTPStatus.ACCEPTED:
        raise SandboxError("the POST was not accepted")
    lines = _follow(stage.worker_log, log_position)
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and not stop.is_set():
        has_ended = _tell_steps(next(lines), stage.domain, tell)
        body = json.loads(_call(stage, "GET", f"{path}/status").data)
        if body["status"] != "processing":
            # The worker logs a step after it has saved it.
            logged_by = time.monotonic() + LOGGED_WITHIN_SECONDS
            while not has_ended and time.monotonic() < logged_by:
                time.sleep(0.02)
                has_ended = _tell_steps(next(lines), stage.domain, tell)
            return _tell_result(stage, body, tell)
        time.sleep(0.02)
    raise SandboxError(f"no certificate after {PATIENCE_SECONDS} s: see {stage.worker_log}")


def _tell_steps(lines: list[dict[str, Any]], domain: str, tell: Teller) -> bool:
    """Show what was logged. Returns whether the last step is among it."""
    has_ended = False
    for line in lines:
        if line.get("domain") == domain and line.get("event") == EventType.ISSUANCE_STEP_DONE:
            tell.say(f"{line['step']:<9} done in {line['seconds'] * 1000:5.0f} ms")
            has_ended = has_ended or line["step"] == CHAIN[-1]
        elif line.get("domain") == domain and line.get("event") in FAILURES:
            tell.say(f"{line['step']:<9} failed: {line['reason']}", "yellow")
    return has_ended


def _tell_result(stage: Stage, body: dict[str, Any], tell: Teller) -> None:
    seconds = tell.seconds()
    tell.say(f"GET /v2/x509/{stage.domain}/status -> {body['status']}")
    if body["status"] != "active":
        raise SandboxError(f"{body['status']}: {body['error']}")
    leaf, *others = x509.load_pem_x509_certificates(body["certificate"].encode())
    _verify(stage, leaf, others)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    tell.plain()
    tell.plain(f"  names    {', '.join(str(name.value) for name in names)}")
    tell.plain(f"  issuer   {issuer_name(body['certificate'])}")
    tell.plain(f"  expires  {leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC")
    tell.plain("  checked  the chain leads to the CA's root, for this name and today")
    tell.plain(f"  {seconds:.2f} seconds from POST to active")
    tell.plain()


def _verify(stage: Stage, leaf: x509.Certificate, others: list[x509.Certificate]) -> None:
    """Raise SandboxError unless the chain leads to the CA's root."""
    if stage.root:
        roots = x509.load_pem_x509_certificates(stage.root.encode())
    else:
        trusted = ssl.create_default_context().get_ca_certs(binary_form=True)
        roots = [x509.load_der_x509_certificate(der) for der in trusted]
    verifier = PolicyBuilder().store(Store(roots)).build_server_verifier(x509.DNSName(stage.domain))
    try:
        verifier.verify(leaf, others)
    except VerificationError as error:
        raise SandboxError(
            f"the chain does not lead to a root that this machine trusts ({error}); name the CA's root with --root FILE"
        ) from None


def _follow(log: Path, position: int) -> Iterator[list[dict[str, Any]]]:
    """Yield, endlessly, the lines that were logged since the last time. An incomplete line is left for later."""
    with log.open("rb") as file:
        while True:
            file.seek(position)
            complete, _, _ = file.read().rpartition(b"\n")
            position += len(complete) + (1 if complete else 0)
            yield [json.loads(line) for line in complete.splitlines() if line.startswith(b"{")]


def _call(stage: Stage, method: str, path: str) -> urllib3.BaseHTTPResponse:
    headers = urllib3.make_headers(basic_auth=f"api:{stage.key}")
    return urllib3.request(method, stage.url + path, headers=headers, retries=False)


def _play(stage: Stage, tell: Teller) -> None:
    """Print commands to try."""
    auth = f"-u 'api:{stage.key}'"
    other = f"shop.{stage.domain}"
    for line in (
        "Everything is running. Try these commands; Ctrl-C ends the demo:",
        "",
        f"  curl {auth} {stage.url}/v2/x509/{stage.domain}/status",
        f"  curl {auth} -X POST {stage.url}/v2/x509/{stage.domain}      # 409: it exists already",
        f"  curl {auth} -X POST {stage.url}/v2/x509/{other}",
        f"  curl {auth} {stage.url}/v2/x509/{other}/status",
        f"  curl {auth} -X POST {stage.url}/v2/x509/not_a_name.example",
        "",
    ):
        tell.plain(line)
