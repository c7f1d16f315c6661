"""What TLS terminators serve for a name: its chain and key, and the HSTS policy. It depends on the record alone."""

from dataclasses import dataclass, field

from issuer.domain import Domain, Hsts
from issuer.keys import as_pem
from issuer.ports import Services


@dataclass(frozen=True, slots=True)
class EdgeBundle:
    """What edges serve for a name. chain, key: PEM. policy: the HSTS policy in force. is_ended: the record says that
    the certificate has expired, whatever this machine's clock says. version: `Domain.edge_version`."""

    name: str
    chain: str
    key: str = field(repr=False)
    serial: str
    not_after: float
    is_ended: bool
    policy: Hsts
    version: str

    @property
    def bundle(self) -> str:
        """Chain and key in one PEM, as Caddy and HAProxy expect them."""
        return self.chain + self.key

    def is_valid(self, now: float) -> bool:
        """True up to and including the second of notAfter (RFC 5280 §4.1.2.5)."""
        return not self.is_ended and now < self.not_after + 1

    def header(self, now: float) -> str | None:
        """The value of Strict-Transport-Security (RFC 6797 §6.1); None if no header is due, or the certificate is not
        valid."""
        return self.policy.header(now) if self.is_valid(now) else None


def bundle_for(services: Services, name: str) -> EdgeBundle | None:
    """What edges serve for a canonical name, or None. Raises Problem."""
    record = services.store.load(name)
    certificate = record.domain.certificate if record else None
    if record is None or certificate is None:
        return None
    return EdgeBundle(
        name,
        certificate.chain,
        as_pem(services.vault.decrypt(certificate.key)),
        certificate.serial,
        certificate.not_after,
        record.domain.is_expiry_reported,
        policy(services, record.domain),
        record.domain.edge_version,
    )


def policy(services: Services, domain: Domain) -> Hsts:
    """The HSTS policy in force for a domain: its own, or the default one."""
    return domain.hsts or Hsts(services.settings.hsts_max_age_seconds)


def default_hsts_header(services: Services) -> str | None:
    """The header of all domains without a policy of their own."""
    return Hsts(services.settings.hsts_max_age_seconds).header(services.clock())
