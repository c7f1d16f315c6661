"""The second CA, for the modules that ask for it."""

from collections.abc import Iterator

import pytest

from issuer.sandbox import Sandbox
from tests.acme2certifier import SecondCa, second_ca, why_not


@pytest.fixture(scope="module")
def other_ca(module_sandbox: Sandbox) -> Iterator[SecondCa]:
    """acme2certifier, with a DNS and an address to validate of its own."""
    if reason := why_not():
        pytest.skip(reason)
    with second_ca(module_sandbox) as ca:
        yield ca
