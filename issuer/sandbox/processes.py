"""Real processes on loopback, for the demo and the tests: Redis, Pebble (a test CA) with its DNS server, and our own.

Every process gets a free port, is waited for until it is ready, logs to a file of its own, and is stopped by its pid.
"""

import datetime as dt
import ipaddress
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3
from cryptography import x509

from issuer.config import child_environment, parse_dns_server
from issuer.keys import self_signed

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_000)
READY_SECONDS = 20
STOP_SECONDS = 10
WHERE = {
    "pebble": "; on Debian: apt-get install pebble",
    "pebble-challtestsrv": "; on Debian: apt-get install pebble",
    "redis-server": "; on Debian: apt-get install redis-server",
}
REDIS_CONF = Path(__file__).with_name("redis.conf")


class SandboxError(Exception):
    """A part could not be started. The text says which part, and where its output is."""


@dataclass(frozen=True, slots=True)
class Part:
    """A running process and its log file. is_client: it uses other parts, so it ends before them."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    is_client: bool = False

    def stop(self, first: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal to end, and wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(first)
            self.await_end()

    def await_end(self) -> None:
        """Wait for the end of a process that has been asked to end. If it does not end in time, kill it with its
        children."""
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL to it and all its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Dns:
    """pebble-challtestsrv: a DNS server whose answers are set over HTTP."""

    def __init__(self, server: str, management_port: int) -> None:
        self.server = server
        self._management = f"http://{LOOPBACK}:{management_port}"

    def cname(self, host: str, target: str) -> None:
        """Publish a CNAME record."""
        self._set("set-cname", host=f"{host}.", target=f"{target}.")

    def addresses(self, host: str, *addresses: str) -> None:
        """Publish A records."""
        self._set("add-a", host=f"{host}.", addresses=addresses)

    def caa(self, host: str, *records: tuple[str, str]) -> None:
        """Publish CAA records, each a tag and a value."""
        self._set("add-caa", host=f"{host}.", policies=[{"tag": tag, "value": value} for tag, value in records])

    def servfail(self, host: str) -> None:
        """Answer every query for a name with SERVFAIL."""
        self._set("set-servfail", host=f"{host}.")

    def clear_servfail(self, host: str) -> None:
        """Answer queries for a name normally again."""
        self._set("clear-servfail", host=f"{host}.")

    def clear_cname(self, host: str) -> None:
        """Remove a CNAME record."""
        self._set("clear-cname", host=f"{host}.")

    def _set(self, command: str, **values: Any) -> None:
        answer = urllib3.request("POST", f"{self._management}/{command}", json=values, retries=False)
        if answer.status != 200:  # noqa: PLR2004
            raise SandboxError(f"the test DNS answered {answer.status} to {command}")


@dataclass(frozen=True, slots=True)
class Pebble:
    """A test CA. bundle: the file of roots to trust for its TLS. management: the URL that serves its issuing roots."""

    directory_url: str
    bundle: Path
    management: str
    part: Part

    def root(self) -> str:
        """The root that its certificates lead to, in PEM."""
        with urllib3.PoolManager(ca_certs=str(self.bundle)) as pool:
            return pool.request("GET", f"{self.management}/roots/0", retries=False).data.decode()


class Sandbox:
    """Starts parts, with their files below a folder. On exit it stops them: clients all at once, as Celery takes
    seconds for it, then the others, the last one first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts: list[Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        clients = [part for part in self._parts if part.is_client and part.process.poll() is None]
        for part in clients:
            part.process.terminate()
        for part in clients:
            part.await_end()
        for part in reversed(self._parts):
            part.stop()

    def redis(self, *options: str, port: int | None = None) -> str:
        """Start redis-server, configured like deploy/redis.conf, with its data in the folder. options: for its command
        line. Returns its URL."""
        program = self._program("redis-server")
        port = port or free_port()
        data = self.folder / "redis"
        data.mkdir(parents=True, exist_ok=True)
        part = self.start("redis", [program, str(REDIS_CONF), "--port", str(port), "--dir", str(data), *options])
        self._ready(part, lambda: _redis_answers(port))
        return f"redis://{LOOPBACK}:{port}"

    def fake_redis(self) -> str:
        """Start the TCP server of fakeredis, for machines without redis-server. Its data is lost when it ends. Returns
        its URL."""
        if find_spec("fakeredis") is None:
            raise SandboxError(
                "neither redis-server nor the Python package fakeredis is installed; install one of them: "
                "apt-get install redis-server, or pip install 'issuer[demo]'"
            )
        port = free_port()
        code = (
            f"from fakeredis import TcpFakeServer as S; S(({LOOPBACK!r}, {port}), server_type='redis').serve_forever()"
        )
        part = self.start("fakeredis", [sys.executable, "-c", code])
        self._ready(part, lambda: _redis_answers(port))
        return f"redis://{LOOPBACK}:{port}"

    def dns(self, server: str | None = None, default: str = LOOPBACK) -> Dns:
        """Start pebble-challtestsrv, listening at `server`. Every unknown name has the address `default`."""
        server, management_port = server or f"{LOOPBACK}:{free_port()}", free_port()
        off = [f"-{option}=" for option in ("defaultIPv6", "http01", "https01", "tlsalpn01")]
        where = [f"-defaultIPv4={default}", f"-dns01={server}", f"-management={LOOPBACK}:{management_port}"]
        part = self.start("dns", [self._program("pebble-challtestsrv"), *off, *where])
        self._ready(part, lambda: _accepts(management_port))
        return Dns(server, management_port)

    def pebble(
        self, dns_server: str, http_port: int, environment: Mapping[str, str] | None = None, **config: Any
    ) -> Pebble:
        """Start Pebble, which validates over HTTP on `http_port`. config: more entries of its configuration file."""
        port, management_port = free_port(), free_port()
        folder = self.folder / f"pebble-{port}"
        certificate, key = _own_tls(folder)
        settings = {
            "listenAddress": f"{LOOPBACK}:{port}",
            "managementListenAddress": f"{LOOPBACK}:{management_port}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        file = folder / "config.json"
        file.write_text(json.dumps({"pebble": settings | config}))
        address, dns_port = parse_dns_server(dns_server)
        dns = f"[{address}]:{dns_port}" if ":" in address else f"{address}:{dns_port}"
        command = [self._program("pebble"), "-config", str(file), "-dnsserver", dns]
        part = self.start("pebble", command, {"PEBBLE_VA_NOSLEEP": "1", **(environment or {})})
        self._ready(part, lambda: _accepts(port) and _accepts(management_port))
        return Pebble(f"https://{LOOPBACK}:{port}/dir", certificate, f"https://{LOOPBACK}:{management_port}", part)

    def procfile(self, name: str, environment: Mapping[str, str]) -> Part:
        """Start one process of the Procfile with `issuer run`."""
        return self.start(name, [sys.executable, "-m", "issuer.cli", "run", name], environment, is_client=True)

    def start(
        self, name: str, command: list[str], environment: Mapping[str, str] | None = None, *, is_client: bool = False
    ) -> Part:
        """Start any process. Its output goes to a file in the folder; Ctrl-C in the terminal does not reach it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=child_environment(environment or {}),
                start_new_session=True,
            )
        part = Part(name, process, log, is_client=is_client)
        self._parts.append(part)
        return part

    def wait_for_web(self, part: Part, port: int) -> None:
        """Wait until the web process is ready for requests."""
        url = f"http://{LOOPBACK}:{port}/readyz"
        self._ready(part, lambda: _accepts(port) and urllib3.request("GET", url, retries=False).status == 200)  # noqa: PLR2004

    def _program(self, name: str) -> str:
        program = shutil.which(name)
        if not program:
            raise SandboxError(f"{name} is not installed{WHERE.get(name, '')}")
        return program

    def _ready(self, part: Part, is_ready: Callable[[], bool]) -> None:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            if part.process.poll() is not None:
                raise SandboxError(f"{part.name} ended at once: see {part.log}\n{part.log.read_text()[-800:]}")
            if is_ready():
                return
            time.sleep(0.02)
        raise SandboxError(f"{part.name} is not ready after {READY_SECONDS} s: see {part.log}")


def free_port() -> int:
    """A port of the loopback address that is free for TCP and UDP. It is below the range of outgoing connections, so
    that no other program takes it by chance before it is used."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, suppress(OSError):
            tcp.bind((LOOPBACK, port))
            udp.bind((LOOPBACK, port))
            return port


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _redis_answers(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as probe:
            probe.sendall(b"*1\r\n$4\r\nPING\r\n")  # fakeredis does not know the inline form
            return probe.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _own_tls(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for the loopback address and its key, for the TLS of a test CA."""
    folder.mkdir(parents=True, exist_ok=True)
    now = dt.datetime.now(dt.UTC)
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    begins, ends = now - dt.timedelta(hours=1), now + dt.timedelta(days=30)
    certificate, key = self_signed("sandbox", alternatives, begins, ends, is_ca=True)
    certificate_file, key_file = folder / "tls.pem", folder / "tls-key.pem"
    certificate_file.write_text(certificate)
    key_file.touch(mode=0o600)
    key_file.write_text(key)
    return certificate_file, key_file
