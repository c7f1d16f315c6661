"""Records with certificates in force, as after an issuance, but without ACME: signed here, saved by the real store."""

import datetime as dt
import time
from dataclasses import replace

from cryptography import x509

from issuer.config import Settings, load_settings
from issuer.domain import Domain, Hsts, Reason, Step, new_issuance
from issuer.keys import KeyType, as_certificate, new_csr, new_key
from issuer.ports import Services
from issuer.wiring import build_services
from tests.fakes import TARGET
from tests.real import ENCRYPTION_KEY
from tests.scripted.chains import Signing
from tests.writes import open_issuance, write


def edge_settings(redis_url: str, **more: object) -> Settings:
    """The settings of an edge host: the store and the keys. It sends no DNS queries and no ACME requests."""
    return load_settings(
        redis_url=redis_url,
        encryption_keys=ENCRYPTION_KEY,
        cname_targets=TARGET,
        dns_servers="127.0.0.1:1",
        allow_reserved_names=True,
        **more,
    )


class Records:
    """What workers and the API do to records. services: with the records' store."""

    def __init__(self, redis_url: str) -> None:
        self.services: Services = build_services(edge_settings(redis_url))
        self.signing = Signing()

    def install(self, name: str, **changes: object) -> str:
        """A new certificate in force; its serial. changes: of the certificate, in the record."""
        certificate = replace(self._certificate(name), **changes)
        now, store, known = time.time(), self.services.store, self.services.store.load(name)
        started_at = replace(new_issuance(name, Reason.FIRST, now), step=Step.INSTALL)
        domain = known.domain if known else Domain(name, "platform", now)
        opened = open_issuance(store, domain, started_at, version=known.version if known else 0, requeue_at=now)
        leased = store.lease(opened.issuance.id, now=now, until=now + 70)
        store.save_and_release(leased.install(certificate), requeue_at=None)
        return certificate.serial

    def _certificate(self, name: str):
        key = new_key(KeyType.EC_P256)
        csr = x509.load_pem_x509_csr(new_csr(key, name).encode())
        started_at = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(hours=1)
        leaf = self.signing.leaf(csr.public_key(), [name], started_at, dt.timedelta(days=90))
        chain = self.signing.chains(leaf)[0]
        vault = self.services.vault
        return as_certificate(chain, key=key, name=name, ca="https://ca.example/", vault=vault, now=time.time())

    def change(self, name: str, **changes: object) -> None:
        """Change values of a domain: its policy, or its certificate."""
        record = self.services.store.load(name)
        write(self.services.store, record.with_domain(**changes), now=time.time())

    def withdraw(self, name: str) -> None:
        self.change(name, certificate=None)

    def policy(self, name: str, policy: Hsts | None) -> None:
        self.change(name, hsts=policy)
