"""The four steps of an issuance: order, challenge, finalize, install.

Each takes the record under a lease and gives it back changed: moved on, or waiting for the CA, or with something that
must be saved before the step goes on (then it is called again). Or it raises a Problem. Each may run twice, or be cut
off anywhere: a run that is not the first asks what there is already before it does anything.
"""

from dataclasses import replace

from issuer import choice, holder, keys
from issuer.domain import Issuance, Record, Step
from issuer.ports import CertificateAuthority, Challenge, HolderProof, Services, Verdict
from issuer.problem import Problem, ProblemType

TOKEN_SECONDS = 3600
"""An HTTP-01 answer stays up well past the CA's last fetch, and is put up anew at each look (RFC 8555 §8.3)."""
CONFIRM_SECONDS = 2.0
"""What edges have to take over a new certificate before they are asked whether they serve it."""
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 60.0
SELF_CHECKS = 3
SELF_CHECK_AGAIN_SECONDS = 5.0
PATIENT_WAITS = 40
LONG_WAIT_SECONDS = 600.0
MAX_WAITS = 184
"""Waits in a row before a slow CA counts as a problem: about a day of them. After half an hour they are rarer."""


def order(services: Services, record: Record) -> Record:
    """A CNAME that leads here, then key and CSR, then the choice of a CA, then an order there (RFC 8555 §7.4)."""
    name, issuance = record.domain.name, record.issuance
    if issuance.key is None:
        _require_pointing(services, record)
        key = keys.new_key(services.key_type)
        made = replace(issuance, key=services.vault.encrypt(key), csr=keys.new_csr(key, name))
        return record.with_issuance(made)
    ca = services.ca_at(issuance.ca)
    if ca is None:
        chosen = choice.choose(services, record)
        issuance = replace(issuance, ca=chosen, is_charged=False)
        return record.with_issuance(issuance.note(services.clock(), f"to be asked: {chosen}"))
    replaces = _replaced(ca, record)
    if not issuance.is_charged:
        issuance = _allowed(services, record, ca)
        if choice.spend(services, record, ca, is_renewal=replaces is not None):
            return record.with_issuance(replace(issuance, is_charged=True))
    placed = ca.new_order(name, replaces, record.domain.profile or "")
    return record.with_issuance(
        issuance.advance(
            Step.CHALLENGE,
            order_url=placed.url,
            finalize_url=placed.finalize_url,
            authorization_urls=placed.authorization_urls,
        )
    )


def challenge(services: Services, record: Record) -> Record:
    """Every authorization proved: its answer published first, then the CA told to look (§7.5.1)."""
    ca, issuance = _ca(services, record), record.issuance
    looks = [ca.authorization(url, record.domain.name) for url in issuance.authorization_urls]
    for look in looks:
        if look.problem:
            raise look.problem
    unproved = [look for look in looks if not look.is_valid]
    if not unproved:
        return record.with_issuance(issuance.advance(Step.FINALIZE))
    waiting = [look.challenge for look in unproved if look.challenge]
    for one in waiting:
        services.store.put_token(one.token, one.key_authorization, seconds=TOKEN_SECONDS)
    if not issuance.is_answered:
        issuance, is_advised = _self_checked(services, record, waiting)
        if not is_advised:
            return record.with_issuance(issuance.wait(services.clock() + SELF_CHECK_AGAIN_SECONDS))
        for one in waiting:
            ca.answer(one)
    ask_again_at = max(look.ask_again_at or 0 for look in unproved)
    return record.with_issuance(_waiting(services, replace(issuance, is_answered=True), ask_again_at))


def finalize(services: Services, record: Record) -> Record:
    """The CSR sent, once: a run that is not the first looks at the order before it sends anything (§7.4)."""
    ca, issuance = _ca(services, record), record.issuance
    assert issuance.order_url
    assert issuance.finalize_url
    assert issuance.csr
    found = None if record.is_first_run else ca.order(issuance.order_url)
    if found is None or found.needs_csr:
        found = ca.finalize(issuance.order_url, issuance.finalize_url, issuance.csr)
    if found.problem:
        raise found.problem
    if found.certificate_url:
        return record.with_issuance(issuance.advance(Step.INSTALL, certificate_url=found.certificate_url))
    return record.with_issuance(_waiting(services, issuance, found.ask_again_at))


def install(services: Services, record: Record) -> Record:
    """The chain fetched, verified against our key and name, and put in force with its key in one write."""
    ca, issuance = _ca(services, record), record.issuance
    assert issuance.certificate_url
    assert issuance.key
    certificate = keys.as_certificate(
        ca.chain(issuance.certificate_url, record.domain.preferred_chain or ""),
        key=services.vault.decrypt(issuance.key),
        name=record.domain.name,
        ca=ca.directory_url,
        vault=services.vault,
        now=services.clock(),
    )
    told = issuance.note(services.clock(), f"in force: serial number {certificate.serial}")
    confirm_at = services.clock() + CONFIRM_SECONDS if services.edges else None
    return record.with_issuance(told).install(certificate, confirm_at=confirm_at)


def _require_pointing(services: Services, record: Record) -> None:
    """Raise unless the name leads here, and shows whose it is where it must. An unknown answer is waited for once, then
    left to the CA's own look-up; but where the last clear answer was no, or where the CA's look-up would not find what
    has never been shown yet, only a yes goes on to the CA."""
    domain = record.domain
    pointing = holder.pointing(services, domain.name, domain.account)
    is_unproved = services.holder_proof is not HolderProof.NONE and domain.certificate is None
    hint = f"create the record {pointing.wanted}"
    if pointing.verdict is Verdict.NO:
        raise Problem(ProblemType.INVALID_CNAME, pointing.found, hint=hint)
    if pointing.verdict is Verdict.UNKNOWN and (record.issuance.tries == 0 or domain.away_since or is_unproved):
        raise Problem(ProblemType.DNS_UNKNOWN, pointing.found, hint=hint)


def _allowed(services: Services, record: Record, ca: CertificateAuthority) -> Issuance:
    """A look at the domain's CAA records, noted. Raises Problem where they clearly forbid the CA to issue."""
    finding = services.resolver.caa(record.domain.name, ca.caa_identities(), ca.account_url())
    if finding.verdict is Verdict.NO:
        raise Problem(ProblemType.CAA, finding.found, hint="allow the CA in the domain's CAA records, or remove them")
    return record.issuance.note(services.clock(), f"CAA, {finding.verdict}: {finding.found}")


def _ca(services: Services, record: Record) -> CertificateAuthority:
    """The CA of the order."""
    ca = services.ca_at(record.issuance.ca)
    if ca is None:
        raise Problem(ProblemType.ORDER_LOST, "it was placed at a CA that is not used any more")
    return ca


def _self_checked(services: Services, record: Record, waiting: list[Challenge]) -> tuple[Issuance, bool]:
    """The challenges as they show from outside, noted; and whether to go on to the CA. A clear no is looked at again a
    few times, as a failed validation costs more than a little patience; it is advice, so then the CA has a look."""
    issuance, is_advised = record.issuance, True
    for one in waiting:
        finding = services.self_check.fetch(record.domain.name, one.token, one.key_authorization)
        is_advised &= finding.verdict is not Verdict.NO
        issuance = issuance.note(services.clock(), f"self-check, {finding.verdict}: {finding.found}")
    return issuance, is_advised or issuance.waits >= SELF_CHECKS - 1


def _replaced(ca: CertificateAuthority, record: Record) -> str | None:
    """The id of the certificate in force, where this CA has issued it and renews by such ids (RFC 9773 §5)."""
    certificate = record.domain.certificate
    if certificate is None or certificate.ca != ca.directory_url or not ca.has_renewal_info():
        return None
    return keys.certificate_id(certificate.chain)


def _waiting(services: Services, issuance: Issuance, ask_again_at: float | None) -> Issuance:
    """Ask the CA again later: longer each time, and never before it said."""
    if issuance.waits >= MAX_WAITS:
        raise Problem(ProblemType.CA_SLOW, f"asked {issuance.waits} times for its {issuance.step}")
    longest = LONGEST_WAIT_SECONDS if issuance.waits < PATIENT_WAITS else LONG_WAIT_SECONDS
    pause = min(FIRST_WAIT_SECONDS * 2.0**issuance.waits, longest)
    return issuance.wait(max(services.clock() + pause, ask_again_at or 0))
