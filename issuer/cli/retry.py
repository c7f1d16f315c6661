"""`issuer retry`: «repaired, go on now»."""

import sys

import click

from issuer import presenters
from issuer.actions import accounts
from issuer.actions.retry import Progress, retry, retry_all
from issuer.cli.output import as_json_option, progress_bar, say, show_json
from issuer.cli.queueing import load_services
from issuer.cli.values import Code
from issuer.ports import Services

SOME = 5


@click.command("retry")
@click.argument("domain", required=False)
@click.option("--code", type=Code(), help="All domains whose last problem has this code, such as caa.")
@click.option("--account", help="With --code: only the domains of this account.")
@click.option(
    "--pace", type=click.FloatRange(min=0, min_open=True), help="With --code: at most so many a second go on."
)
@click.option("--dry-run", is_flag=True, help="With --code: change nothing, and count.")
@as_json_option
def retry_command(
    domain: str | None, *, code: str | None, account: str | None, pace: float | None, dry_run: bool, as_json: bool
) -> None:
    """Let a domain go on now, or all that wait for one cause: it is repaired.

    They go on one after the other, at the pace of --pace or ISSUER_RENEWALS_PER_SECOND, and within the limits of the
    CAs. The command ends when each has its time. If it is interrupted, those that have one go on, and the same call
    goes on with the others. The exit code is 1 if some cannot go on.
    """
    if (domain is None) == (code is None):
        raise click.UsageError("give either a domain or --code")
    if domain is not None and (account is not None or pace is not None or dry_run):
        raise click.UsageError("--account, --pace and --dry-run go with --code")
    services = load_services()
    if code is not None:
        _retry_all(services, code, account or "", pace, is_dry_run=dry_run, as_json=as_json)
        return
    record = retry(services, domain or "")
    if as_json:
        show_json(presenters.domain_body(record, services.clock()))
    else:
        say(f"{record.domain.name} goes on now; 'issuer show {record.domain.name}' shows how")


def _retry_all(
    services: Services, code: str, account: str, pace: float | None, *, is_dry_run: bool, as_json: bool
) -> None:
    if account:
        accounts.by_id(services, account)
    progress = Progress(0)
    try:
        with progress_bar(f"retry {code}") as bar:
            for progress in retry_all(services, code, account=account, per_second=pace, is_dry_run=is_dry_run):
                bar.show(progress.seen, max(progress.total, progress.seen))
    except KeyboardInterrupt:
        said = f"interrupted; {len(progress.resumed):,} go on, and the same call goes on with the others"
        raise click.ClickException(said) from None
    if as_json:
        show_json(_body(progress, is_dry_run=is_dry_run))
    else:
        _report(code, progress, is_dry_run=is_dry_run)
    if progress.skipped:
        sys.exit(1)


def _body(progress: Progress, *, is_dry_run: bool) -> dict[str, object]:
    return {
        "is_dry_run": is_dry_run,
        "resumed": len(progress.resumed),
        "left": progress.left,
        "skipped": progress.skipped,
        "last_at": presenters.instant(progress.last_at) if progress.resumed else None,
    }


def _report(code: str, progress: Progress, *, is_dry_run: bool) -> None:
    count = len(progress.resumed)
    go_on = f"{count:,} domain{'' if count == 1 else 's'} with the code {code} {'would go' if is_dry_run else 'go'} on"
    say(f"{go_on}, the last at {presenters.instant(progress.last_at)}" if count else go_on)
    if progress.left:
        say(f"{progress.left:,} others go on within a minute anyway, or are being worked on")
    if progress.skipped:
        some = [f"{name} ({reason})" for name, reason in sorted(progress.skipped.items())[:SOME]]
        more = f" and {len(progress.skipped) - SOME:,} more" if len(progress.skipped) > SOME else ""
        say(f"{len(progress.skipped):,} cannot go on: {', '.join(some)}{more}")


COMMANDS = {"retry": retry_command}
