"""`issuer delete`: withdraw a domain."""

import click

from issuer import names, presenters
from issuer.actions.withdraw import REASONS, reason_of, withdraw
from issuer.cli.context import load_services
from issuer.cli.output import as_json_option, plain, say, show_json


@click.command("delete")
@click.argument("domain")
@click.option("--revoke", is_flag=True, help="Have the CA revoke its certificate, too.")
@click.option("--reason", type=click.Choice(list(REASONS)), help="With --revoke: why.  [default: unspecified]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
def delete(domain: str, *, revoke: bool, reason: str | None, yes: bool, as_json: bool) -> None:
    """Withdraw a domain, whoever holds it: it is no longer served or renewed, and stays reserved for its account for
    ISSUER_HOLD_DAYS."""
    if reason and not revoke:
        raise click.UsageError("--reason goes with --revoke")
    services, name = load_services(), names.known(domain)
    if not yes:
        what = "no longer served, and its certificate revoked for good" if revoke else "no longer served"
        click.confirm(plain(f"{name} will be {what}. Go on?"), abort=True, err=as_json)
    former, after = withdraw(services, None, name, reason=reason_of(reason or "unspecified") if revoke else None)
    until = None if after.is_free(services.clock()) else presenters.instant(after.withdrawn_until or 0)
    if as_json:
        shown = {"domain": name, "account": former.account, "held_until": until}
        show_json(shown | {"revocation": "pending" if after.revocations else None})
        return
    say(f"{name} is no longer served or renewed")
    if after.revocations:
        say("the CA is asked to revoke its certificate")
    elif revoke:
        say("it has no valid certificate to revoke")
    if until:
        say(f"it is reserved for the account {former.account} until {until}")


COMMANDS = {"delete": delete}
