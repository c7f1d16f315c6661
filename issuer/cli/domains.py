"""`issuer status` and `issuer prefer`: commands for one domain."""

import click

from issuer import names, presenters
from issuer.actions import lookup, refusals
from issuer.actions.prefer import prefer as set_preferences
from issuer.cli.context import format_time, load_services
from issuer.cli.output import as_json_option, say, show_json
from issuer.domain import Domain, Record, status


@click.command("status")
@click.argument("domain")
@as_json_option
def show_status(domain: str, *, as_json: bool) -> None:
    """Show the state of a domain, who must act, and its latest events, in a few lines. 'issuer show' has more."""
    services = load_services()
    record = lookup.record_of(services, domain)
    if as_json:
        show_json(presenters.domain_body(record, services.clock()) | {"timeline": presenters.timeline(record)})
        return
    state = "withdrawn" if record.domain.is_withdrawn else status(record, services.clock())
    lines = [f"{record.domain.name}: {state}, held by {record.domain.account}"]
    lines += [*_domain_lines(record.domain), *_issuance_lines(record, services.clock())]
    lines += [
        f"refused: a request of {each.account} at {format_time(each.at)}: {each.code}: {each.cause}"
        for each in refusals.of_name(services, domain)
    ]
    for line in lines:
        say(line.lstrip(), indent=len(line) - len(line.lstrip()))


@click.command("prefer")
@click.argument("domain")
@click.option("--ca", help="Directory URL of the only CA that its certificates may come from; '' for any CA.")
@click.option("--profile", help="Profile of its certificates where the CA offers it; '' for the usual one.")
@click.option(
    "--required-profile", help="Profile without which nothing is ordered: another CA is asked instead; '' for none."
)
@click.option("--chain", help="Common name of the issuer that its chain should lead to; '' for the CA's usual chain.")
def prefer(domain: str, **preferences: str | None) -> None:
    """Choose a CA, a profile or a chain for one domain, from its next order on."""
    name = names.known(domain)
    chosen = set_preferences(load_services(), name, **preferences).domain
    usual = "the usual one"
    profile = f"{chosen.required_profile} (required)" if chosen.required_profile else chosen.profile or usual
    say(f"{name}: CA {chosen.ca or 'by preference'}, profile {profile}, chain to {chosen.preferred_chain or usual}")


def _domain_lines(domain: Domain) -> list[str]:
    lines = []
    if domain.withdrawn_until is not None:
        lines.append(f"reserved for this account until {format_time(domain.withdrawn_until)}")
    lines += [
        f"to be revoked: certificate {revocation.serial} of {revocation.ca}, {revocation.tries} failed attempts so far"
        for revocation in domain.revocations
    ]
    lines += [
        f"nothing is ordered at {rejection.ca}, as it has issued a certificate that cannot be used: {rejection.reason} "
        f"('issuer ca allow {rejection.ca} {domain.name}' allows it again)"
        for rejection in domain.rejections
    ]
    if certificate := domain.certificate:
        end = format_time(certificate.not_after)
        lines.append(f"certificate {certificate.serial} of {certificate.ca}, valid until {end}")
    if domain.is_forced and domain.forced_since:
        lines.append(f"the operator has asked for a new certificate at {format_time(domain.forced_since)}")
    return lines


def _issuance_lines(record: Record, now: float) -> list[str]:
    issuance, at = record.issuance, presenters.next_attempt_at(record)
    problem = presenters.problem_of(record, now)
    lines = [f"{problem} [must act: {problem.actor}]"] if problem else []
    lines.append(f"next attempt: {format_time(at) if at else 'now' if issuance.is_open else 'none planned'}")
    return lines + [f"  {_to_the_second(event['at'])}  {event['text']}" for event in presenters.timeline(record)]


def _to_the_second(instant: str) -> str:
    return f"{instant[:19].replace('T', ' ')} UTC"


COMMANDS = {"prefer": prefer, "status": show_status}
