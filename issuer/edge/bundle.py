"""What TLS terminators serve for a name: its chain and key, and the HSTS policy. It depends on the record alone."""

import re
from dataclasses import dataclass, field

from issuer.domain import Certificate, Domain, Hsts
from issuer.keys import INVALID_INPUT_ERRORS, as_pem, is_token, require_whole
from issuer.ports import Services
from issuer.problem import Problem, ProblemType

SERIAL = re.compile(r"[0-9a-f]+", re.ASCII)


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


@dataclass(frozen=True, slots=True)
class Look:
    """What the store says of a name. bundle: what edges serve for it, if anything. is_withdrawn: it says that nothing
    is served any more; False if it merely does not have the name, or has lost its certificate."""

    bundle: EdgeBundle | None
    is_withdrawn: bool = False


def bundle_for(services: Services, name: str) -> EdgeBundle | None:
    """What edges serve for a canonical name, or None. Raises Problem as `look`."""
    return look(services, name).bundle


def look(services: Services, name: str) -> Look:
    """What the store says of a canonical name. Of a damaged record, the certificate is served if it is whole. Raises
    Problem, Problem(damaged-record) if it is not."""
    domain = _domain(services, name)
    if domain is None or domain.certificate is None:
        return Look(None, is_withdrawn=domain is not None and domain.lost_at is None)
    try:
        return Look(_bundle(services, domain, domain.certificate))
    except Problem as problem:
        if problem.type is not ProblemType.DAMAGED_RECORD:
            raise
        services.store.report_damage(name, problem.detail)
        raise


def _domain(services: Services, name: str) -> Domain | None:
    try:
        record = services.store.load(name)
    except Problem as problem:
        if problem.type is not ProblemType.DAMAGED_RECORD:
            raise
        record = services.store.salvage(name, now=services.clock())
        if record is None or not (record.domain.certificate or record.domain.is_withdrawn):
            raise
    return record.domain if record else None


def _bundle(services: Services, domain: Domain, certificate: Certificate) -> EdgeBundle:
    """Raises Problem(damaged-record) unless chain and key are whole and belong together."""
    if not is_token(certificate.key):
        raise _damaged(domain.name, "its key is cut off")
    if not SERIAL.fullmatch(certificate.serial):
        raise _damaged(domain.name, "its serial number is none")
    key = services.vault.decrypt(certificate.key, f"the key of the certificate for {domain.name}")
    try:
        bundle = EdgeBundle(
            domain.name,
            certificate.chain,
            as_pem(key),
            certificate.serial,
            certificate.not_after,
            domain.is_expiry_reported,
            policy(services, domain),
            domain.edge_version,
        )
        require_whole(bundle.bundle)
    except INVALID_INPUT_ERRORS as error:
        raise _damaged(domain.name, f"its key cannot be read ({type(error).__name__})") from None
    except Problem as problem:
        raise _damaged(domain.name, problem.detail) from None
    return bundle


def _damaged(name: str, detail: str) -> Problem:
    return Problem(ProblemType.DAMAGED_RECORD, f"{name}: {detail}")


def policy(services: Services, domain: Domain) -> Hsts:
    """The HSTS policy in force for a domain: its own, or the default one."""
    return domain.hsts or Hsts(services.settings.hsts_max_age_seconds)


def default_hsts_header(services: Services) -> str | None:
    """The header of all domains without a policy of their own."""
    return Hsts(services.settings.hsts_max_age_seconds).header(services.clock())
