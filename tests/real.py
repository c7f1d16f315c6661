"""Settings and services over the real parts."""

import time

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from issuer import tasks
from issuer.config import Settings, load_settings
from issuer.domain import CHAIN, Domain, Reason, Record, Step, new_issuance
from issuer.keys import new_encryption_key
from issuer.ports import Services
from issuer.sandbox import Dns, Pebble
from tests.fakes import TARGET
from tests.writes import open_issuance

A_WHILE_SECONDS = 5
ENCRYPTION_KEY = new_encryption_key()


def settings_for(redis_url: str, directory_url: str, dns: Dns, **more: object) -> Settings:
    """Settings for real servers on the loopback address."""
    values = {
        "redis_url": redis_url,
        "encryption_keys": ENCRYPTION_KEY,
        "acme_directory": directory_url,
        "acme_terms_agreed": True,
        "cname_targets": TARGET,
        "dns_servers": dns.server,
        "allow_reserved_names": True,
        "new_names_per_registered_domain": 0,
    }
    return load_settings(**values | more)


def published(dns: Dns, name: str) -> str:
    """Publish a CNAME that points here for a name. Returns the name."""
    dns.cname(name, TARGET)
    return name


def issued(pebble: Pebble) -> int:
    """How many certificates Pebble has issued, according to its log."""
    return pebble.part.log.read_text(errors="replace").count("Issued certificate serial")


def opened(services: Services, name: str, account: str = "platform") -> Record:
    """A record as a POST leaves it."""
    now = services.clock()
    issuance = new_issuance(name, Reason.FIRST, now)
    return open_issuance(services.store, Domain(name, account, now), issuance, version=0, requeue_at=now + 60)


def run_to_end(services: Services, record: Record, *, at_most: int = 200) -> Record:
    """What the queue does, in one thread: attempt the record's step and wait for the countdown, until the issuance is
    closed or its next try is far off."""
    for _ in range(at_most):
        record = services.store.load(record.domain.name)
        if record.issuance.step not in CHAIN:
            return record
        outcome, seconds = tasks.attempt(services, record.issuance.step, record.issuance.id)
        if outcome is tasks.Outcome.STOP or seconds > A_WHILE_SECONDS:
            return services.store.load(record.domain.name)
        time.sleep(seconds)
    raise AssertionError(f"still {record.issuance.step} after {at_most} attempts")


def run_to_step(services: Services, name: str, step: Step) -> Record:
    """Run the steps of a name until it is at a step."""
    while (record := services.store.load(name)).issuance.step is not step:
        _, seconds = tasks.attempt(services, record.issuance.step, record.issuance.id)
        time.sleep(seconds)
    return record


def verified(chain: str, root: str, name: str) -> list[x509.Certificate]:
    """The certificates from a name's leaf to a root, as a client would find them; both are PEM."""
    leaf, *others = x509.load_pem_x509_certificates(chain.encode())
    roots = Store(x509.load_pem_x509_certificates(root.encode()))
    return PolicyBuilder().store(roots).build_server_verifier(x509.DNSName(name)).verify(leaf, others)
