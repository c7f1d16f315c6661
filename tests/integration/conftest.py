"""The adapter over the wire, and the other CAs, for the modules that ask for them."""

import time
from collections.abc import Callable, Iterator

import pytest

from issuer.ca import AcmeAuthority
from issuer.ca.transport import Transport
from issuer.keys import Vault
from issuer.ports import CaPolicy
from issuer.sandbox import Dns, Sandbox
from issuer.store import RedisStore
from tests.acme2certifier import SecondCa, second_ca, why_not
from tests.any_ca import LOSABLE, AnyCa, at_acme2certifier, at_pebble, at_scripted
from tests.fakes import FakeClock
from tests.real import ENCRYPTION_KEY
from tests.wire import Wire

NO_POLICY = CaPolicy()


@pytest.fixture(scope="module")
def other_ca(module_sandbox: Sandbox) -> Iterator[SecondCa]:
    """acme2certifier, with a DNS and an address to validate of its own."""
    if reason := why_not():
        pytest.skip(reason)
    with second_ca(module_sandbox) as ca:
        yield ca


@pytest.fixture(params=LOSABLE)
def any_ca(request: pytest.FixtureRequest, dns: Dns, http_port: int) -> Iterator[AnyCa]:
    """Each of the CAs in turn."""
    match request.param:
        case "pebble":
            ca = at_pebble(request.getfixturevalue("pebble"), dns, http_port)
        case "acme2certifier":
            ca = at_acme2certifier(request.getfixturevalue("other_ca"))
        case _:
            ca = at_scripted(dns, http_port)
    yield ca
    ca.wire.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(time.time())


@pytest.fixture
def new_ca(real_store: RedisStore, wire: Wire, clock: FakeClock) -> Callable[[], AcmeAuthority]:
    """Each call is another worker process, as far as the CA and the store can tell."""
    vault = Vault([ENCRYPTION_KEY])

    def make(policy: CaPolicy = NO_POLICY, *, terms_agreed: bool = True) -> AcmeAuthority:
        url = wire.directory_url
        transport = Transport(url, ca_bundle=str(wire.bundle), timeout_seconds=2)
        return AcmeAuthority(
            url,
            real_store,
            policy=policy,
            vault=vault,
            clock=clock,
            transport=transport,
            terms_agreed=terms_agreed,
        )

    return make
