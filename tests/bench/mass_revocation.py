"""Every certificate is to be replaced: the CA's renewal windows jump into the past for all domains at once.

The scans, the store and Redis are the real ones; the clock, the CA and the workers are imagined: an hour passes in
seconds, and a renewal that was queued is done by the next scan. Of a million domains at the default pace it takes a
part, and the same part of the pace, so that the hours are those of the million. Run by `make bench`.
"""

import argparse
import heapq
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from issuer import keys, renewal
from issuer.domain import Certificate, Domain, Reason, Record, RenewalWindow, Step, domain_of, new_issuance
from issuer.ports import CaPolicy, RenewalInfo
from issuer.sandbox import Sandbox
from issuer.store import RedisStore, connect
from tests.fakes import NOW, FakeCa, FakeClock, fake_services, with_settings
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet
from tests.writes import open_issuance

MILLION = 1_000_000
SCAN_SECONDS = 10
LIFETIME = 90 * DAY
RETRY_AFTER = 6 * HOUR
SHORT_OF_TIME = 100
"""One of so many certificates ends within the day anyway, and must be replaced before it does."""


@dataclass
class Ca:
    """An imagined CA: it says when to renew, and signs nothing. From `revoked_at` on all that is older must go."""

    clock: FakeClock
    template: FakeCa
    directory_url: str = "https://ca.example/directory"
    policy: CaPolicy = field(default_factory=CaPolicy)
    revoked_at: float = NOW
    old: set[str] = field(default_factory=set)
    made: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        key = self.template._key
        self._leaf = self.template._sign(key.public_key(), ["track.customer.example"])
        self._der = self._leaf.public_bytes(Encoding.DER)
        # As DER has it: a number at random may be shorter than 20 bytes.
        self._serial = self._leaf.serial_number.to_bytes(self._leaf.serial_number.bit_length() // 8 + 1)

    def has_renewal_info(self) -> bool:
        return True

    def certificate(self, issued_at: float, ends_at: float) -> Certificate:
        """One with a serial number of its own. Its signature is wrong, and nobody looks."""
        self.made += 1
        serial = b"\x01" + self.made.to_bytes(len(self._serial) - 1)
        der = self._der.replace(self._serial, serial, 1)
        leaf = x509.load_der_x509_certificate(der)
        assert leaf.serial_number == int.from_bytes(serial)
        pem = leaf.public_bytes(Encoding.PEM).decode()
        return Certificate(pem, "key", f"{leaf.serial_number:x}", issued_at, ends_at, self.directory_url, issued_at)

    def renewal_info(self, certificate_id: str) -> RenewalInfo:
        self.asked += 1
        is_old = certificate_id in self.old
        start = self.revoked_at - HOUR if is_old else self.revoked_at + 59 * DAY
        window = RenewalWindow(certificate_id, start, start + HOUR / 2, "https://ca.example/incident" if is_old else "")
        return RenewalInfo(window, ask_again_at=self.clock() + RETRY_AFTER)


@dataclass
class Outcome:
    """When each domain was renewed; how many more than once, and how many too late."""

    renewed_at: dict[str, float] = field(default_factory=dict)
    twice: int = 0
    lapsed: int = 0
    per_scan: Counter[float] = field(default_factory=Counter)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", type=int, default=100_000)
    parser.add_argument("--pace", type=float, help="renewals a second, were it a million domains")
    options = parser.parse_args(arguments)
    count = options.domains
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
        store = RedisStore(connect(f"{sandbox.redis()}/0"))
        services = fake_services(store)
        ca = Ca(services.clock, services.cas[0])
        pace = (options.pace or services.settings.renewals_per_second) * count / MILLION
        fleet = SimulatedFleet(with_settings(replace(services, cas=(ca,)), renewals_per_second=pace))
        print(f"filling a real Redis with {count:,} domains", flush=True)
        for number in range(count):
            _fill(store, ca, number, count)
        print("the CA moves every renewal window into the past", flush=True)
        began = time.perf_counter()
        outcome = _run(fleet, ca, count)
        _report(outcome, ca, count, pace, time.perf_counter() - began)


def _fill(store: RedisStore, ca: Ca, number: int, count: int) -> None:
    """A domain with a certificate somewhere in its life, whose CA is asked again within the Retry-After."""
    name = f"{number}.customer.example"
    age = 55 * DAY * number / count
    ends_at = NOW + (2 * HOUR + 22 * HOUR * number / count if number % SHORT_OF_TIME == 0 else LIFETIME - age)
    certificate = ca.certificate(NOW - age, ends_at)
    ca.old.add(keys.certificate_id(certificate.chain) or "")
    ask_at = NOW + RETRY_AFTER * ((number * 7919) % count) / count
    domain = Domain(name, "platform", NOW, certificate, renew_at=ends_at - LIFETIME / 3, ask_at=ask_at)
    done = replace(new_issuance(name, Reason.FIRST, NOW), step=Step.DONE)
    open_issuance(store, domain, done, version=0, requeue_at=NOW)


def _run(fleet: SimulatedFleet, ca: Ca, count: int) -> Outcome:
    outcome, reported_at = Outcome(), NOW
    while len(outcome.renewed_at) < count:
        fleet.scan()
        for _, issuance_id in fleet.queued():
            _renew(fleet, ca, issuance_id, outcome)
        fleet.clock.forward(SCAN_SECONDS)
        if fleet.clock() - reported_at >= HOUR:
            reported_at = fleet.clock()
            print(f"  {(reported_at - NOW) / HOUR:4.0f} h: {len(outcome.renewed_at):,} renewed", flush=True)
    return outcome


def _renew(fleet: SimulatedFleet, ca: Ca, issuance_id: str, outcome: Outcome) -> None:
    """What a worker does, without a CA to talk to: under a lease, with the plan for the next renewal."""
    store, now = fleet.services.store, fleet.clock()
    record = store.lease(issuance_id, now=now, until=now + 70)
    if record is None:
        return
    assert domain_of(issuance_id) == record.domain.name
    assert record.domain.certificate
    outcome.lapsed += not record.domain.certificate.is_valid(now)
    outcome.twice += record.domain.name in outcome.renewed_at
    outcome.renewed_at[record.domain.name] = now
    outcome.per_scan[now] += 1
    store.save_and_release(_installed(record, ca.certificate(now, now + LIFETIME), now), requeue_at=None)


def _installed(record: Record, certificate: Certificate, now: float) -> Record:
    at_install = replace(record.issuance, step=Step.INSTALL)
    return renewal.with_next_renewal(record.with_issuance(at_install).install(certificate), now)


def _report(outcome: Outcome, ca: Ca, count: int, pace: float, wall_seconds: float) -> None:
    hours = (max(outcome.renewed_at.values()) - NOW) / HOUR
    busiest = sum(heapq.nlargest(int(HOUR / SCAN_SECONDS), outcome.per_scan.values())) / HOUR
    each = 1000 * wall_seconds / count
    print(f"{count:,} domains renewed in {hours:.1f} h of simulated time: {outcome.twice} of them twice, and")
    print(f"{outcome.lapsed} after their certificate's end; {ca.asked:,} questions to the CA;")
    print(f"in the busiest hour {busiest:.2f} a second, where the pace is {pace:g}")
    print(f"{wall_seconds:.0f} s of real time, {each:.1f} ms a domain for scans, store and queue")
    print(f"so 1,000,000 domains at {pace * MILLION / count:g} a second: {hours:.1f} h")


if __name__ == "__main__":
    main()
