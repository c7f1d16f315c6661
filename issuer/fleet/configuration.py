"""Do all processes of the fleet run with the same settings? Each shows a digest of its own, setting by setting."""

from collections import defaultdict

from issuer.ports import Check, CheckResult, Services

CODE = "settings"
"""The code of the check; its subject is a setting."""
ALIVE_SECONDS = 180
"""A process that has not shown its settings for so long has ended."""
NEW_SECONDS = 300
"""How long a restart of all processes with new settings may take before anybody is told."""
SHOWN = 4
HINT = "give all processes the same settings, and restart those that were started before the last change"


def show(services: Services, process: str) -> None:
    """Show the settings of this process, whose name has no process id: so its successor takes its place. Call it every
    minute. Raises Problem(store-unavailable)."""
    services.board.configured(process, services.settings.digests(), services.clock())


def checks(services: Services) -> list[Check]:
    """A failed check for each setting that is another one elsewhere than here, with the time of the youngest of these
    processes as `since`. Raises Problem(store-unavailable)."""
    own, now = services.settings.digests(), services.clock()
    others: dict[str, list[str]] = defaultdict(list)
    since: dict[str, float] = {}
    for process in services.board.configurations():
        if now - process.seen_at <= ALIVE_SECONDS:
            for name in own.keys() | process.digests.keys():
                if own.get(name) != process.digests.get(name):
                    others[name].append(process.name)
                    since[name] = max(since.get(name, 0), process.since)
    if not others:
        return [Check(CODE, CheckResult.OK, "all processes that are seen run with the same settings as this one")]
    return [_different(name, processes, since[name]) for name, processes in sorted(others.items())]


def _different(setting: str, processes: list[str], since: float) -> Check:
    shown = ", ".join([*sorted(processes)[:SHOWN], *(["…"] if len(processes) > SHOWN else [])])
    verb = "run" if len(processes) > 1 else "runs"
    cause = f"{shown} {verb} with another {setting} than this process"
    return Check(CODE, CheckResult.FAILED, cause, setting, HINT, since=since)
