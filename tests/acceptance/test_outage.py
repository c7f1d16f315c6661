"""A CA that is away and returns, with the Procfile's processes."""

import time

from issuer.ports import Services
from issuer.sandbox import Dns, Pebble
from tests.acceptance.conftest import Platform, Running
from tests.real import issued, published
from tests.wire import FOR_GOOD, Fault, Wire, cut

WAITING = 40
SOON = 30


def test_n37_all_that_wait_for_a_ca_go_on_soon_after_its_return(
    platform: Platform, running: Running, services: Services, dns: Dns, pebble: Pebble, wire: Wire
) -> None:
    running.start("renewals")
    wire.add(Fault("/", FOR_GOOD, before=cut))
    before = issued(pebble)
    names = [published(dns, f"{number}.away.example") for number in range(WAITING)]
    for name in names:
        assert platform.call("POST", f"/v2/x509/{name}")[0] == 202
    until = time.monotonic() + 60
    while {services.store.load(name).issuance.problem is None for name in names} != {False}:
        assert time.monotonic() < until, "some have not been tried"
        time.sleep(0.1)
    # The first two or three have failed; the cooldown that they started ends in half a minute at the earliest.
    assert services.limits.cooldown(wire.directory_url).until > time.time() + 5
    wire.faults.clear()
    began = time.monotonic()
    for name in names:
        platform.wait_until(name, "active", seconds=SOON)
    assert time.monotonic() - began < SOON
    assert issued(pebble) - before == WAITING
    assert max(services.store.load(name).issuance.tries for name in names) <= 1
