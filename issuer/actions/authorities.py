"""The CAs as an operator sees them: our accounts there, and new keys for these."""

from dataclasses import dataclass

from issuer.ports import CertificateAuthority, KnownAccount, Services
from issuer.problem import Problem, ProblemType


@dataclass(frozen=True, slots=True)
class AuthorityView:
    """A CA. account: ours there; None before it is first needed. cooldown_until: it is not asked before, as it has
    failed of late (epoch seconds)."""

    directory_url: str
    account: KnownAccount | None
    cooldown_until: float | None


def list_all(services: Services) -> list[AuthorityView]:
    """The CAs in order of preference; none of them is asked. Raises Problem(store-unavailable)."""
    return [_view(services, ca) for ca in services.cas]


def roll_over(services: Services, directory_url: str | None) -> AuthorityView:
    """Give our account at a CA a new key (RFC 8555 §7.3.5). directory_url: may be None where there is one CA. Raises
    Problem where there is no such CA, and where the CA refuses or does not answer."""
    ca = services.cas[0] if directory_url is None and len(services.cas) == 1 else services.ca_at(directory_url)
    if ca is None:
        known = ", ".join(ca.directory_url for ca in services.cas)
        message = f"{directory_url} is not one of the CAs in use" if directory_url else "there is more than one CA"
        raise Problem(ProblemType.INVALID_REQUEST, message=message, hint=f"name one of: {known}")
    ca.roll_over()
    return _view(services, ca)


def _view(services: Services, ca: CertificateAuthority) -> AuthorityView:
    until = services.limits.cooldown_until(ca.directory_url, now=services.clock())
    return AuthorityView(ca.directory_url, ca.known_account(), until)
