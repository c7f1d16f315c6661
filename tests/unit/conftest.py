"""The product over fakes; a module that wants it otherwise has fixtures of its own."""

import pytest

from issuer.ports import Services
from tests.fakes import fake_services
from tests.simulated_fleet import SimulatedFleet


@pytest.fixture
def services() -> Services:
    return fake_services()


@pytest.fixture
def fleet(services: Services) -> SimulatedFleet:
    return SimulatedFleet(services)
