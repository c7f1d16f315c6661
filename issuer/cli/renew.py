"""`issuer renew`: new certificates in place of valid ones."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from issuer.actions import renew as action
from issuer.actions.issued_by import fingerprint
from issuer.actions.renew import Run, Selection, Tally
from issuer.cli.context import format_time, load_services
from issuer.cli.output import Bar, as_json_option, is_terminal, plain, progress_bar, say, show_json
from issuer.cli.problems import patiently
from issuer.ports import Services

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 600.0
PAUSES = 10
"""Between two looks, so many times as long as a look takes: it must not load the store."""
SAY_SECONDS = 5.0
IDLE_SECONDS = 120.0
SOME = 5
IDLE = "nothing has changed for a while: do `beat` and `renewals` run, and what do their logs say?"
MEANWHILE = "what is marked is kept, and this command goes on when the store answers again"


@click.command("renew")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--issued-by",
    metavar="ISSUER",
    help="All certificates of an issuer: the directory URL or host of a CA; or the common name, subject, serial "
    "number, fingerprint, key identifier or file of a certificate in the chain above them.",
)
@click.option("--all", "is_all", is_flag=True, help="All certificates.")
@click.option("--pace", type=click.FloatRange(min=0, min_open=True), help="Start at most so many a second.")
@click.option("--anew", is_flag=True, help="Begin again, instead of going on with the same call that was interrupted.")
@click.option("--no-wait", is_flag=True, help="End when all are marked, instead of when they are renewed.")
@as_json_option
def renew(
    *,
    names: tuple[str, ...],
    issued_by: str | None,
    is_all: bool,
    pace: float | None,
    anew: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Renew valid certificates now, each with a new key: those of some domains, of an issuer, or all.

    For a revoked intermediate or a leaked key. The renewals start at the pace of --pace and of
    ISSUER_RENEWALS_PER_SECOND, within the limits of the CAs; until then the certificates in force are served. If the
    command is interrupted, the renewals go on, and the same call goes on watching them: what is done is not done again.
    The exit code is 1 if some are not renewed. With --json, standard output has the result alone.
    """
    selection = _selection(names, issued_by, is_all=is_all)
    services = load_services()
    run = action.begin(services, selection, per_second=pace, anew=anew)
    if run.is_resumed:
        began = format_time(run.asked_at)
        line = f"going on with the same call of {began}, which was interrupted (--anew begins again)"
        say(line, is_error=as_json)
    try:
        with progress_bar("renew", is_silent=not is_terminal()) as bar:
            tally = patiently(lambda: _marked(services, run, bar, is_error=as_json), MEANWHILE)
            if tally.selected and not no_wait:
                tally = _followed(services, run, tally, bar, is_error=as_json)
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; what is marked is renewed all the same, so call this again") from None
    patiently(lambda: action.end(services, run), MEANWHILE)
    if as_json:
        show_json(_body(tally))
    else:
        _report(tally, is_over=not no_wait)
    if tally.delayed or tally.skipped:
        sys.exit(1)


def _selection(names: tuple[str, ...], issued_by: str | None, *, is_all: bool) -> Selection:
    """What the options name. Raises UsageError if that is nothing, or too much."""
    if sum((bool(names), issued_by is not None, is_all)) != 1:
        raise click.UsageError("give either names, or --issued-by, or --all")
    if issued_by is not None and not issued_by.strip():
        raise click.UsageError("--issued-by needs a value")
    if issued_by and Path(issued_by).is_file():
        try:
            issued_by = fingerprint(Path(issued_by).read_bytes())
        except OSError as error:
            raise click.ClickException(str(error)) from None
    return Selection(names, issued_by or "")


def _marked(services: Services, run: Run, bar: Bar, *, is_error: bool) -> Tally:
    """Mark all that is selected, and say how it goes."""
    tally, said_at = Tally(), time.monotonic()
    for tally in action.mark(services, run):
        bar.show(0, None, f"found so far: {_counted(tally.selected)}")
        if time.monotonic() - said_at >= SAY_SECONDS and not is_terminal():
            say(f"found so far: {_counted(tally.selected)}", is_error=is_error)
            said_at = time.monotonic()
    if not tally.selected and run.selection.issued_by:
        issuers = ", ".join(f"{name} ({count:,})" for name, count in tally.issuers.most_common(2 * SOME))
        action.end(services, run)
        hint = f"the issuers are: {issuers}" if issuers else "there are no certificates"
        raise click.ClickException(plain(f"no certificate is issued by {run.selection.issued_by} ({hint})"))
    started = f"at {run.per_second:g} a second" if run.per_second else "at the pace of ISSUER_RENEWALS_PER_SECOND"
    say(f"to renew: {_counted(tally.selected)}, {started}; {tally.marked:,} of them marked now", is_error=is_error)
    return tally


def _followed(services: Services, run: Run, tally: Tally, bar: Bar, *, is_error: bool) -> Tally:
    """Look at the selected certificates until nothing more happens to them soon, and say how it goes."""
    said, said_at, changed_at, pause = "", 0.0, time.monotonic(), SHORTEST_PAUSE_SECONDS
    while True:
        now, line = time.monotonic(), _line(tally)
        bar.show(len(tally.renewed), len(tally.selected), f"({len(tally.waiting):,} waiting for their turn)")
        if line != said and (now - said_at >= SAY_SECONDS or tally.is_over):
            if tally.is_over or not is_terminal():
                say(line, is_error=is_error)
            said, said_at, changed_at = line, now, now
        if tally.is_over:
            return tally
        is_due = not tally.waiting or tally.first_at <= time.time()
        if is_due and now - changed_at >= max(IDLE_SECONDS, 2 * pause):
            say(IDLE, is_error=is_error)
            changed_at = now
        time.sleep(pause)
        began, names = time.monotonic(), tally.selected
        tally = patiently(lambda names=names: action.look(services, run, names), MEANWHILE)  # type: ignore[misc]
        pause = min(max(PAUSES * (time.monotonic() - began), SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def _line(tally: Tally) -> str:
    delayed = sum(len(names) for names in tally.delayed.values())
    return (
        f"{len(tally.renewed):,} of {len(tally.selected):,} renewed, {len(tally.under_way):,} in progress, "
        f"{len(tally.waiting):,} waiting for their turn, {delayed:,} delayed"
    )


def _report(tally: Tally, *, is_over: bool) -> None:
    """The end: what is done, and what is not, and why."""
    if is_over:
        say(f"renewed: {_counted(tally.renewed)}")
    for code, names in sorted(tally.delayed.items()):
        say(f"not renewed yet ({code or 'no reason known'}), will be retried automatically: {_some(names)}")
    if tally.skipped:
        reasons = [f"{name} ({reason})" for name, reason in sorted(tally.skipped.items())]
        say(f"skipped, as their records cannot be read: {_some(reasons)}")


def _body(tally: Tally) -> dict[str, object]:
    return {
        "renewed": sorted(tally.renewed),
        "under_way": sorted(tally.under_way),
        "waiting": sorted(tally.waiting),
        "delayed": {code: sorted(names) for code, names in tally.delayed.items()},
        "skipped": tally.skipped,
    }


def _counted(names: Sequence[str]) -> str:
    return f"{len(names):,} certificate{'' if len(names) == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SOME:,} more" if len(names) > SOME else ""
    return f"{len(names):,}: {', '.join(sorted(names)[:SOME])}{more}"


COMMANDS = {"renew": renew}
