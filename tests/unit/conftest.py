"""The product over fakes; a module that wants it otherwise has fixtures of its own."""

import pytest

from issuer.ports import Services
from tests.fakes import fake_services
from tests.world import World


@pytest.fixture
def services() -> Services:
    return fake_services()


@pytest.fixture
def world(services: Services) -> World:
    return World(services)
