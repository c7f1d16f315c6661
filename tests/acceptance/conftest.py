"""The Procfile's processes over real parts."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3

from issuer.actions import accounts
from issuer.config import PREFIX, Settings
from issuer.domain import Plan
from issuer.ports import Services
from issuer.sandbox import LOOPBACK, Dns, Part, Pebble, Sandbox
from issuer.wiring import build_services
from tests.real import settings_for
from tests.wire import Wire


@dataclass
class Platform:
    """A platform's backend: it has a key and speaks HTTP."""

    url: str
    key: str

    def call(self, method: str, path: str) -> tuple[int, dict[str, Any], urllib3.HTTPHeaderDict]:
        headers = urllib3.make_headers(basic_auth=f"api:{self.key}")
        answer = urllib3.request(method, self.url + path, headers=headers, retries=False, timeout=15)
        return answer.status, json.loads(answer.data), answer.headers

    def wait_until(self, name: str, word: str, *, seconds: float = 60) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _, body, _ = self.call("GET", f"/v2/x509/{name}/status")
            if body["status"] == word:
                return body
            time.sleep(0.05)
        raise AssertionError(f"{name} is not {word} after {seconds} s: {body}")


@dataclass
class Running:
    """What runs: stop it, start it again."""

    sandbox: Sandbox
    environment: dict[str, str]

    parts: dict[str, Part] = field(default_factory=dict)

    def start(self, name: str) -> Part:
        self.parts[name] = self.sandbox.procfile(name, self.environment)
        return self.parts[name]

    def kill(self, name: str) -> None:
        """SIGKILL, the children too: what a power cut does."""
        self.parts[name].kill()

    def kill_children(self, name: str) -> None:
        """SIGKILL for the pool alone: what the kernel does when memory runs out."""
        pid = self.parts[name].process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)

    def log(self, name: str) -> list[dict[str, Any]]:
        lines = self.parts[name].log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def _own_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Everything that is stopped at the same time after the tests that use it."""
    with Sandbox(tmp_path_factory.mktemp("own")) as sandbox:
        yield sandbox
        for part in sandbox._parts:
            part.process.terminate()


def _settings(redis_url: str, wire: Wire, dns: Dns) -> Settings:
    """Short limits, so that a killed worker's lease runs out while we look on."""
    return settings_for(
        redis_url,
        wire.directory_url,
        dns,
        acme_ca_bundle=str(wire.bundle),
        step_seconds=2,
        acme_timeout_seconds=60,
        reconcile_seconds=0.5,
    )


def _services(settings: Settings) -> Services:
    return build_services(settings)


def _running(own_sandbox: Sandbox, settings: Settings, http_port: int) -> Running:
    environment = settings.as_environment() | {
        "WEB_CONCURRENCY": "2",
        "WORKER_CONCURRENCY": "2",
        "GUNICORN_CMD_ARGS": f"--bind {LOOPBACK}:{http_port}",
        f"{PREFIX}LOG_FORMAT": "json",
        f"{PREFIX}LOG_LEVEL": "DEBUG",
    }
    return Running(own_sandbox, environment)


def _platform_key(services: Services) -> str:
    return accounts.create(services, "platform", Plan.HTTPS)


@pytest.fixture
def platform(running: Running, platform_key: str, wire: Wire, http_port: int) -> Platform:
    """Web, worker and beat run, those that a test before this one has ended started again, and the platform has an
    account. Nothing is in the way to the CA."""
    wire.faults.clear()
    for name in ("worker", "beat", "web"):
        if name not in running.parts or running.parts[name].process.poll() is not None:
            running.start(name)
    running.sandbox.wait_for_web(running.parts["web"], http_port)
    return Platform(f"http://{LOOPBACK}:{http_port}", platform_key)


def _fixtures(scope: str, *functions: Callable[..., Any]) -> list[Any]:
    return [pytest.fixture(one, scope=scope, name=one.__name__.removeprefix("_")) for one in functions]


PARTS = (_own_sandbox, _settings, _services, _running, _platform_key)
own_sandbox, settings, services, running, platform_key = _fixtures("function", *PARTS)


def _redis_url(module_sandbox: Sandbox) -> str:
    return f"{module_sandbox.redis()}/0"


def _wire(pebble: Pebble) -> Iterator[Wire]:
    with closing(Wire(pebble.directory_url, pebble.bundle)) as wire:
        yield wire


def for_a_whole_file() -> list[Any]:
    """The same, a Redis and a wire, for a file whose tests each look at names of their own: they share all."""
    return _fixtures("module", *PARTS, _redis_url, _wire)
