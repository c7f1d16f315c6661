"""The scripted CA, and the product at it."""

from collections.abc import Iterator

import pytest

from issuer.ports import Services
from issuer.sandbox import LOOPBACK, Dns
from issuer.wiring import build_services
from tests.fakes import NAME, FakeClock
from tests.real import published, settings_for
from tests.scripted import ScriptedCa
from web.app import create_app


@pytest.fixture
def ca(http_port: int) -> Iterator[ScriptedCa]:
    ca = ScriptedCa((LOOPBACK, http_port))
    yield ca
    ca.close()


@pytest.fixture
def services(redis_url: str, ca: ScriptedCa, dns: Dns, clock: FakeClock, http_port: int, serve) -> Services:
    services = build_services(settings_for(redis_url, ca.directory_url, dns), clock)
    serve(create_app(services), http_port)
    published(dns, NAME)
    return services
