"""The four steps of an issuance: order, challenge, finalize, install.

A step gets the record of a lease and returns how to go on: advance to the next step, wait for the CA, or save and call
the step again. Or it raises a Problem. A step may run twice, or be interrupted anywhere: so a run that is not the first
asks the CA what already exists before it does anything. `outcomes` decides what a result means for the record.
"""

from dataclasses import dataclass, replace

from issuer import keys
from issuer.authorities import issued, limits, permission
from issuer.backoff import ANSWER_AGAIN, SELF_CHECK_AGAIN, is_answer_due, is_given_up
from issuer.domain import Record, Step
from issuer.edge import port80
from issuer.edge.ownership.required import require_caa, require_points_here
from issuer.events import EventType
from issuer.ports import CertificateAuthority, Challenge, Order, Services, Verdict
from issuer.problem import Problem, ProblemType

CONFIRM_SECONDS = 2.0
"""How long edges have to load a new certificate before they are asked whether they serve it."""
DNSSEC_AGAIN = 2.0
"""When a zone whose DNSSEC seems broken is asked again: a DNS server may keep an error for a second after its end."""
SELF_CHECKS = 3


@dataclass(frozen=True, slots=True)
class Advance:
    """The step is done, and the record stands at the next one."""

    record: Record


@dataclass(frozen=True, slots=True)
class Wait:
    """The step must be called again later: not before `not_before` (epoch seconds), if that is given. problem: what has
    failed so far, to be shown meanwhile. has_asked_ca: the CA has answered in this run."""

    record: Record
    not_before: float | None = None
    problem: Problem | None = None
    has_asked_ca: bool = True


@dataclass(frozen=True, slots=True)
class SaveAndContinue:
    """The record must be saved before the step goes on; then the step is called again, at once."""

    record: Record


StepResult = Advance | Wait | SaveAndContinue


def order(services: Services, record: Record) -> StepResult:
    """Check that the name points here, and create key and CSR. Then, for the selected CA, check CAA and rate limits,
    and place an order (RFC 8555 §7.4)."""
    name, issuance = record.domain.name, record.issuance
    if not issued.has_key(services, issuance):
        port80.require_edges(services, record)
        checked = require_points_here(services, record)
        if checked is None:
            return Wait(record, services.clock() + DNSSEC_AGAIN, has_asked_ca=False)
        key = keys.new_key(services.settings.key_type)
        with_key = replace(issuance, key=services.vault.encrypt(key), csr=keys.new_csr(key, name))
        return SaveAndContinue(checked.with_issuance(with_key))
    ca = _ca(services, record)
    replaces = _replaced(ca, record)
    if not issuance.is_charged:
        checked = require_caa(services, record, ca)
        if checked is None:
            return Wait(record, services.clock() + DNSSEC_AGAIN, has_asked_ca=False)
        record = checked
        if limits.spend(services, record, ca, is_renewal=replaces is not None):
            return SaveAndContinue(record.with_issuance(replace(issuance, is_charged=True)))
    placed = ca.new_order(name, replaces, record.domain.profile or "", record.domain.required_profile or "")
    if placed.problem:
        raise placed.problem
    return Advance(
        record.with_issuance(
            issuance.advance(
                Step.CHALLENGE,
                order_url=placed.url,
                finalize_url=placed.finalize_url,
                authorization_urls=placed.authorization_urls,
                ordered_at=services.clock(),
                pauses=port80.pauses_to_keep(record),
            )
        )
    )


def challenge(services: Services, record: Record) -> StepResult:
    """Get every authorization validated: publish the key authorizations, check them ourselves, then tell the CA to
    validate the challenges (RFC 8555 §7.5.1). If that fails, find out whose server or record is wrong."""
    try:
        result = _validated(services, record)
    except Problem as problem:
        raise _explained(services, record, problem) from None
    if isinstance(result, Wait) and result.problem:
        return replace(result, problem=_explained(services, record, result.problem))
    return result


def _explained(services: Services, record: Record, problem: Problem) -> Problem:
    """A problem with whose server or record is wrong. What is known already is not looked at again."""
    name, known = record.domain.name, record.issuance.problem
    if not problem.is_of_http and problem.type is not ProblemType.CAA:
        return problem
    if known and known.detail == problem.detail and record.issuance.waits:
        return known
    if problem.is_of_http:
        return port80.explained(services, name, problem)
    return permission.explained(services, name, _ca(services, record), problem)


def _validated(services: Services, record: Record) -> StepResult:
    ca, issuance, name = _ca(services, record), record.issuance, record.domain.name
    issued.require_key(services, record, ca)
    authorizations = [ca.authorization(url, name) for url in issuance.authorization_urls]
    for authorization in authorizations:
        if authorization.problem:
            raise authorization.problem
    pending = [authorization for authorization in authorizations if not authorization.is_valid]
    if not pending:
        services.solver.clean_up(name)
        return Advance(record.with_issuance(issuance.advance(Step.FINALIZE)))
    challenges = [authorization.challenge for authorization in pending if authorization.challenge]
    for each in challenges:
        services.solver.present(name, each)
    if not issuance.is_answered:
        record, is_visible = _checked(services, record, challenges)
        if not is_visible:
            return Wait(record, services.clock() + SELF_CHECK_AGAIN)
        return _answered(services, record, ca, challenges)
    error = next((authorization.error for authorization in pending if authorization.error), None)
    if is_answer_due(issuance.answered_at, services.clock()):
        error = _require_hope(services, record, ca.order(issuance.order_url or ""), challenges, error)
        return _answered(services, record, ca, challenges, error)
    return Wait(record, max(authorization.ask_again_at or 0 for authorization in pending), error)


def finalize(services: Services, record: Record) -> StepResult:
    """Send the CSR, once: a run that is not the first asks for the state of the order first (RFC 8555 §7.4)."""
    ca, issuance = _ca(services, record), record.issuance
    assert issuance.order_url
    assert issuance.finalize_url
    assert issuance.csr
    placed = None if record.is_first_run else ca.order(issuance.order_url)
    if placed is None or placed.needs_csr:
        issued.require_key(services, record, ca)
        placed = ca.finalize(issuance.order_url, issuance.finalize_url, issuance.csr)
        issuance = replace(issuance, was_finalized=placed.was_finalized and record.is_first_run)
    if placed.problem:
        raise placed.problem
    if placed.certificate_url:
        return Advance(record.with_issuance(issuance.advance(Step.INSTALL, certificate_url=placed.certificate_url)))
    now = services.clock()
    waiting = replace(issuance, waiting_since=issuance.waiting_since or now)
    if placed.error and is_given_up(waiting.waiting_since, now):
        raise placed.error
    # The CSR is sent again if the CA still waits for it, but not at once if it has just failed with it.
    not_before = now + ANSWER_AGAIN if placed.error else placed.ask_again_at
    return Wait(record.with_issuance(waiting), not_before, placed.error)


def install(services: Services, record: Record) -> StepResult:
    """Download the chain, build it from the leaf for our key and name up, and put it in force with its key in one
    write."""
    certificate, now = issued.certificate(services, record, _ca(services, record)), services.clock()
    certificate = replace(certificate, requested_at=record.issuance.created_at)
    installed = record.install(certificate, confirm_at=now + CONFIRM_SECONDS if services.edges else None)
    if found := keys.deviations(certificate.chain, record.domain.name):
        deviations = {"serial": certificate.serial, "deviations": "; ".join(found)}
        installed = installed.with_event(now, EventType.CERTIFICATE_DEVIATES, deviations)
    facts = {"serial": certificate.serial, "ca": certificate.ca, "not_after": certificate.not_after}
    return Advance(installed.with_event(now, EventType.ISSUANCE_SUCCEEDED, facts))


def _ca(services: Services, record: Record) -> CertificateAuthority:
    """The CA of the order. Raises Problem(order-lost) if it is no longer configured."""
    ca = services.ca_at(record.issuance.ca)
    if ca is None:
        raise Problem(ProblemType.ORDER_LOST, "it was placed at a CA that is no longer in use")
    return ca


def _checked(services: Services, record: Record, challenges: list[Challenge]) -> tuple[Record, bool]:
    """Check the challenges from outside. Returns the record with the results in its timeline, and whether to go on to
    the CA. After a clear no, the check is repeated a few times, as a failed validation costs more than a short wait.
    The check is only advice: then the CA decides. But if DNS leads the name to edges of ours that clearly fail, it
    would decide against us: Problem(edge-unreachable)."""
    is_visible, name = True, record.domain.name
    for each in challenges:
        finding = services.solver.check(name, each)
        is_visible &= finding.verdict is not Verdict.NO
        facts = {"verdict": finding.verdict.value, "summary": finding.summary}
        record = record.with_event(services.clock(), EventType.CHALLENGE_CHECKED, facts)
    if is_visible or port80.is_ca_to_decide(record):
        return record, True
    if record.issuance.waits < SELF_CHECKS - 1:
        return record, False
    if fault := port80.fault(services, name):
        raise fault
    return record, True


def _answered(
    services: Services,
    record: Record,
    ca: CertificateAuthority,
    challenges: list[Challenge],
    error: Problem | None = None,
) -> Wait:
    """Tell the CA that the responses are ready, and wait for it. error: why it is told again, if it is. When to look
    next, as the CA said it before, no longer counts."""
    now, issuance = services.clock(), record.issuance
    undelivered = [problem for problem in map(ca.answer, challenges) if problem]
    # A CA may refuse an answer because an interrupted run has given it; that is no problem before it lasts.
    is_again = issuance.is_answered
    to_report = [problem for problem in undelivered if is_again or problem.type is ProblemType.CA_UNAVAILABLE]
    if error and error.type is not ProblemType.CA_SLOW:  # what the CA shows says more than that it refuses to be told
        to_report = [error]
    answered = replace(issuance, is_answered=True, answered_at=now, waiting_since=issuance.waiting_since or now)
    return Wait(record.with_issuance(answered), problem=next(iter(to_report), error))


def _require_hope(
    services: Services, record: Record, placed: Order, challenges: list[Challenge], error: Problem | None
) -> Problem | None:
    """What has failed so far, as the CA shows it in an authorization (error) or in the order; None while the CA is
    validating. Raises Problem if the order is lost, or if nothing has come of it for too long."""
    if placed.problem:
        raise placed.problem
    error = error or placed.error
    if is_given_up(record.issuance.waiting_since, services.clock()) and (error or challenges):
        raise error or Problem(
            ProblemType.ORDER_LOST,
            "it was told several times that the response is ready",
            message="the CA has not begun to validate the domain",
            hint="no action is needed: a new order is placed automatically",
            leaves_ca=True,
        )
    if error or not challenges:
        return error
    return Problem(ProblemType.CA_SLOW, "it has not begun to validate the domain, so it is told again")


def _replaced(ca: CertificateAuthority, record: Record) -> str | None:
    """The identifier of the certificate in force, if this CA has issued it and supports `replaces` (RFC 9773 §5)."""
    certificate = record.domain.certificate
    if certificate is None or certificate.ca != ca.directory_url or not ca.has_renewal_info():
        return None
    return keys.certificate_id(certificate.chain)
