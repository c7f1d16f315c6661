"""The CAs as an operator sees them: our accounts there, the roll-over of their keys, and the way out if one is lost."""

from dataclasses import dataclass

from issuer.ports import CertificateAuthority, KnownAccount, Services
from issuer.problem import Problem, ProblemType


@dataclass(frozen=True, slots=True)
class AuthorityView:
    """A CA.

    account: our account there; None before it is first needed.
    cooldown_until: the end of its cooldown after failures, in epoch seconds; None if it has none.
    """

    directory_url: str
    account: KnownAccount | None
    cooldown_until: float | None


def list_all(services: Services) -> list[AuthorityView]:
    """The CAs in order of preference, without a request to any. Raises Problem(store-unavailable)."""
    return [_view(services, ca) for ca in services.cas]


def roll_over(services: Services, directory_url: str | None) -> AuthorityView:
    """Replace the key of our account at a CA (RFC 8555 §7.3.5). directory_url: may be None if there is only one CA.
    Raises Problem if there is no such CA, or if the CA refuses or does not answer."""
    ca = services.cas[0] if directory_url is None and len(services.cas) == 1 else services.ca_at(directory_url)
    if ca is None:
        raise _unknown(services, directory_url)
    ca.roll_over()
    return _view(services, ca)


def forget(services: Services, directory_url: str) -> None:
    """Give up our account at a CA, whose key is lost. If the CA is in use, a new account takes its place, with a key
    that the present encryption keys decrypt. Raises Problem if nothing is known of the CA."""
    ca = services.ca_at(directory_url)
    if ca:
        ca.new_account()
    elif not services.store.remove_ca_account(directory_url):
        raise _unknown(services, directory_url)


def _unknown(services: Services, directory_url: str | None) -> Problem:
    known = ", ".join(ca.directory_url for ca in services.cas)
    message = f"{directory_url} is not one of the CAs in use" if directory_url else "there is more than one CA"
    return Problem(ProblemType.INVALID_REQUEST, message=message, hint=f"name one of: {known}")


def _view(services: Services, ca: CertificateAuthority) -> AuthorityView:
    until = services.limits.cooldown_until(ca.directory_url, now=services.clock())
    return AuthorityView(ca.directory_url, ca.known_account(), until)
