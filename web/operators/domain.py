"""`/operators/domains/NAME`: one domain with its timeline, to try it again, and to delete it."""

from flask import Response, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from issuer import presenters
from issuer.actions import lookup, refusals
from issuer.actions import overview as actions
from issuer.actions import retry as retrying
from issuer.actions import withdraw as withdrawal
from issuer.domain import Record, Status, status
from issuer.problem import Problem, ProblemType
from web.operators.blueprint import operators, render, see, services

PATH = "/operators/domains/<anything:name>"
DONE = {
    "retry": "The domain goes on now; the timeline shows how.",
    "delete": "The domain is deleted: edges no longer serve it, and nothing renews it.",
}
REASONS = (("", "No"), *((reason, f"Yes: {text}") for reason, text in (
    ("unspecified", "no reason given"),
    ("keyCompromise", "its key is compromised"),
    ("superseded", "it has been replaced"),
    ("cessationOfOperation", "the name is no longer in use"),
)))  # fmt: skip
Fact = tuple[str, str, float | None]
"""A title, a text, and a time that follows it."""


@operators.get(PATH, provide_automatic_options=False)
def show_domain(name: str) -> Response:
    """All about a domain: its state, who must act, its certificate, its timeline."""
    record, damage = actions.look_up(services(), name)
    domain, now = record.domain, services().clock()
    word = presenters.WITHDRAWN if domain.is_withdrawn else status(record, now).value
    is_over = word == Status.ACTIVE.value or domain.is_withdrawn
    return render(
        "domain.html",
        name=domain.name,
        word=word,
        is_withdrawn=domain.is_withdrawn,
        problem=damage or (None if is_over else presenters.problem_of(record, now)),
        facts=_facts(record),
        timeline=presenters.timeline(record)[::-1],
        refusals=refusals.of_name(services(), domain.name),
        done=DONE.get(request.args.get("done", ""), ""),
    )


@operators.post(f"{PATH}/retry", provide_automatic_options=False)
def retry_domain(name: str) -> AnyResponse:
    """Let the domain go on now."""
    record = retrying.retry(services(), name)
    return see(url_for("operators.show_domain", name=record.domain.name, done="retry"))


@operators.get(f"{PATH}/delete", provide_automatic_options=False)
def confirm_deletion(name: str) -> Response:
    """Ask whether the domain is to be deleted."""
    record, _ = actions.look_up(services(), name)
    domain = lookup.require_held(record, name).domain
    certificate = domain.certificate
    is_valid = certificate is not None and certificate.is_valid(services().clock())
    return render(
        "delete.html",
        name=domain.name,
        account=domain.account or "unknown",
        is_valid=is_valid,
        reasons=REASONS,
        hold_days=services().settings.hold_days,
    )


@operators.post(f"{PATH}/delete", provide_automatic_options=False)
def delete_domain(name: str) -> AnyResponse:
    """Withdraw the domain, as an account does with DELETE."""
    if request.form.get("sure") != "yes":
        message = "the deletion was not confirmed"
        raise Problem(ProblemType.INVALID_REQUEST, message=message, hint="nothing was changed; tick the box to delete")
    reason = request.form.get("reason", "")
    number = withdrawal.reason_of(reason) if reason else None
    _, withdrawn = withdrawal.withdraw(services(), None, name, reason=number)
    return see(url_for("operators.show_domain", name=withdrawn.name, done="delete"))


def _facts(record: Record) -> list[Fact]:
    """What there is to know beside state and timeline, for people."""
    domain, issuance = record.domain, record.issuance
    facts: list[Fact] = [("Account", domain.account or "unknown", None)]
    if not domain.is_withdrawn:
        facts.append(_next_attempt(record))
    if certificate := domain.certificate:
        facts += [
            ("Certificate ends", "", certificate.not_after),
            ("Issued by", certificate.ca, None),
            ("Serial number", certificate.serial, None),
            ("In force since", "", certificate.installed_at),
        ]
    if (renewal_at := record.renewal_start_at) and not domain.is_withdrawn:
        facts.append(("Renewal starts", "", renewal_at))
    if issuance.is_open:
        tries = f"at the step {issuance.step}, after {issuance.tries} failed attempts"
        facts.append(("Issuance", f"{issuance.reason}, {tries}", None))
    if domain.moved_away_since:
        facts.append(("Points elsewhere since", "", domain.moved_away_since))
    if domain.withdrawn_until:
        facts.append(("Reserved for its account until", "", domain.withdrawn_until))
    facts += [("To be revoked", f"{one.serial} at {one.ca}", None) for one in domain.revocations]
    facts += [(f"Nothing is ordered at {one.ca}", f"{one.reason}, since ", one.at) for one in domain.rejections]
    chosen = {"CA": domain.ca, "profile": domain.profile or domain.required_profile, "chain": domain.preferred_chain}
    facts += [(f"Chosen {what}", value, None) for what, value in chosen.items() if value]
    return facts


def _next_attempt(record: Record) -> Fact:
    at = actions.next_attempt_at(record)
    if at is None:
        return ("Next attempt", "not by itself", None)
    return ("Next attempt", "", at) if at > services().clock() else ("Next attempt", "now", None)
