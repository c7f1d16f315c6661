"""N domains under faults at any call to a CA cost N certificates, and no order that no fault explains.

By seeds, with the scans and the steps over a real Redis, on a clock that jumps.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from structlog.testing import capture_logs

from issuer.domain import Status
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.fakes import NOW, FakeCa, all_opened, below, fake_services
from tests.faults import limited
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet

DOMAINS = 4
SHARE = 0.3
"""The share of calls that fail before they reach the CA, and of those that reach it, the share whose answer is lost."""


@pytest.fixture
def store(real_store: RedisStore) -> RedisStore:
    """A real Redis alone: what differs at fakeredis, the other contracts find in a tenth of the time."""
    return real_store


class Killed(BaseException):
    """The worker dies here: nothing below may catch it."""


@dataclass
class Faults:
    """At random calls of the CAs, until they are over; counts those that explain an order."""

    seed: int
    cas: tuple[FakeCa, ...]
    are_over: bool = False
    lost_orders: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        for ca in self.cas:
            ca.looks_until_ready = self.random.randrange(3)
            ca.before, ca.after = self.before, self.after

    def before(self, method: str) -> None:
        away = Problem(ProblemType.CA_UNAVAILABLE, retry_at=self.random.choice([None, self.cas[0].clock() + 300]))
        limit = Problem(ProblemType.RATE_LIMITED, retry_at=self.cas[0].clock() + self.random.choice([60, HOUR]))
        odd = Problem(ProblemType.CA_MISUNDERSTOOD)
        self.maybe_raise("before", method, [away, away, away, limit, odd, SoftTimeLimitExceeded(), Killed()])

    def after(self, method: str) -> None:
        lost = Problem(ProblemType.CA_UNAVAILABLE, "reset by peer")
        self.maybe_raise("after", method, [lost, lost, SoftTimeLimitExceeded(), Killed()])

    def maybe_raise(self, when: str, method: str, faults: list[BaseException]) -> None:
        if self.are_over or self.random.random() > SHARE:
            return
        self.lost_orders += (when, method) == ("after", "new_order")
        self.kinds[f"{when} {method}"] += 1
        raise self.random.choice(faults)


def run(fleet: SimulatedFleet, seconds: float) -> None:
    """Let time go by; the workers that are killed are replaced, and their messages are lost. A scan that takes too long
    is interrupted, and the next begins anew."""
    end = fleet.clock() + seconds
    while fleet.clock() < end:
        try:
            fleet.run(end - fleet.clock(), every=10)
        except (Killed, SoftTimeLimitExceeded):
            continue


def run_to_the_end(fleet: SimulatedFleet, faults: Faults) -> int:
    """Faults for some hours and then none; how many orders were left for another CA."""
    with capture_logs() as logs:
        faults.are_over = False
        run(fleet, 3 * HOUR)
        faults.are_over = True
        run(fleet, 1.5 * DAY)
    return sum(one["event"] == "ca.refused" for one in logs)


@pytest.mark.parametrize("hosts", [("a.example",), ("a.example", "b.example")], ids=len)
@pytest.mark.parametrize("seed", range(3))
def test_n_domains_cost_n_certificates_and_their_renewals_n_more(
    store: RedisStore, seed: int, hosts: tuple[str, ...]
) -> None:
    services = fake_services(store, hosts=hosts)
    for ca in services.cas:
        limited(ca, new_orders=(300, 3 * HOUR), per_registered_domain=(50, 7 * DAY), per_name=(5, 7 * DAY))
    fleet, faults, left = SimulatedFleet(services), Faults(seed, services.cas), 0
    names = all_opened(services, *below("customer.example", DOMAINS))
    for certificates in (DOMAINS, 2 * DOMAINS):
        left += run_to_the_end(fleet, faults)
        assert fleet.words() == {Status.ACTIVE: DOMAINS}
        assert sum(len(ca.certificates) for ca in services.cas) == certificates
        orders = sum(len(ca.orders) for ca in services.cas)
        assert certificates <= orders <= certificates + faults.lost_orders + left
        if len(hosts) == 1:
            assert orders == certificates + faults.lost_orders
        services.clock.now = max(fleet.domain(name).renew_at for name in names)
    assert sum(faults.kinds.values()) >= DOMAINS
    assert services.clock() > NOW + 50 * DAY
