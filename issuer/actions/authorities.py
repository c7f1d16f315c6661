"""The CAs as an operator sees them: our accounts there, the roll-over of their keys, the way out if one is lost, and
the names for which they have issued certificates that cannot be used."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from issuer.authorities import recovery
from issuer.domain import Listing, Reason, Record, Rejection, Step, new_issuance
from issuer.events import By, EventType
from issuer.names import known
from issuer.ports import CertificateAuthority, KnownAccount, Services
from issuer.problem import Problem, ProblemType

PAGE = 1000


@dataclass(frozen=True, slots=True)
class AuthorityView:
    """A CA.

    account: our account there; None before it is first needed.
    cooldown_until: the end of its cooldown after failures, in epoch seconds; None if it has none.
    problem: what the cooldown was started by, if that is known.
    """

    directory_url: str
    account: KnownAccount | None
    cooldown_until: float | None
    problem: Problem | None = None


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
    recovery.try_soon(services, ca)
    return _view(services, ca)


def forget(services: Services, directory_url: str) -> None:
    """Give up our account at a CA, whose key is lost, or which the CA has deactivated. If the CA is in use, a new
    account takes its place, with a key that the present encryption keys decrypt, and all that wait for it go on. Raises
    Problem if nothing is known of the CA."""
    ca = services.ca_at(directory_url)
    if ca:
        ca.new_account()
        recovery.try_soon(services, ca)
    elif not services.store.remove_ca_account(directory_url):
        raise _unknown(services, directory_url)


def rejected(services: Services) -> Iterator[tuple[str, Rejection]]:
    """The names for which CAs have issued certificates that cannot be used, and why; by name."""
    after = ""
    while names := services.store.names_of(Listing.REJECTED, "", after=after, limit=PAGE):
        after = names[-1]
        for record in services.store.records(names):
            if isinstance(record, Record):
                yield from ((record.domain.name, rejection) for rejection in record.domain.rejections)


def allow(services: Services, directory_url: str, text: str) -> Record:
    """Allow another order for a name at a CA that has issued a certificate which cannot be used. An issuance that waits
    for this, or that has failed for this reason, is tried at once. Raises Problem if there is no such rejection."""
    name, now = known(text), services.clock()

    def change(record: Record | None) -> Record:
        if record is None or record.domain.rejected_at(directory_url) is None:
            detail = f"{directory_url} has issued no certificate for {name} that was rejected"
            raise Problem(ProblemType.INVALID_REQUEST, detail, hint="'issuer ca rejected' lists those that were")
        others = tuple(rejection for rejection in record.domain.rejections if rejection.ca != directory_url)
        changed = record.with_domain(rejections=others)
        changed = changed.with_event(now, EventType.CERTIFICATE_ALLOWED, {"ca": directory_url}, by=By.OPERATOR)
        return changed if record.domain.is_withdrawn else _tried_again(changed, now)

    record = services.store.update(name, change, now=now)
    assert record
    if record.issuance.is_open:
        services.queue.enqueue(record)
    return record


def _tried_again(record: Record, now: float) -> Record:
    """The record with its issuance due now, if it could not go on for want of a CA."""
    issuance = record.issuance
    if issuance.problem is None or issuance.problem.type is not ProblemType.BAD_CERTIFICATE:
        return record
    if issuance.is_open:
        return record.with_issuance(replace(issuance.wake(now, issuance.reason), problem=None))
    if issuance.step is Step.FAILED:
        return record.with_issuance(new_issuance(record.domain.name, Reason.MANUAL, now))
    return record


def _unknown(services: Services, directory_url: str | None) -> Problem:
    known = ", ".join(ca.directory_url for ca in services.cas)
    message = f"{directory_url} is not one of the CAs in use" if directory_url else "there is more than one CA"
    return Problem(ProblemType.INVALID_REQUEST, message=message, hint=f"name one of: {known}")


def _view(services: Services, ca: CertificateAuthority) -> AuthorityView:
    cooldown, now = services.limits.cooldown(ca.directory_url), services.clock()
    until = cooldown.until if cooldown and cooldown.until > now else None
    return AuthorityView(ca.directory_url, ca.known_account(), until, cooldown.problem if cooldown else None)
