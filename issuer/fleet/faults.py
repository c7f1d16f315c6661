"""The faults of the fleet: failed checks that last. Each is told once, when it begins, and once when it ends."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from issuer.fleet import alarms
from issuer.ports import Check, CheckResult, Services
from issuer.problem import Problem


def observe(services: Services, found: Sequence[Check], codes: Collection[str]) -> list[Check]:
    """Tell which faults have begun and which have ended. codes: those of the checks that were made, all of whose
    subjects are among those found. What is unknown now stays as it was. Returns what was found, each fault with its
    `since`. Raises Problem(store-unavailable)."""
    now, opened = services.clock(), {_key(fault): fault for fault in services.faults.open()}
    checks: list[Check] = []
    for check in found:
        known = opened.get(_key(check))
        if check.result is not CheckResult.FAILED:
            checks.append(check)
            continue
        since = known.since if known and known.since is not None else check.since
        failed = replace(check, since=now if since is None else since)
        checks.append(failed)
        if known != failed and services.faults.begin(failed):
            alarms.tell_begin(services, failed)
    still = {_key(check) for check in found if check.result is not CheckResult.OK}
    for key, fault in opened.items():
        if fault.code in codes and key not in still and (ended := services.faults.end(fault)):
            alarms.tell_end(services, ended)
    return checks


def with_since(services: Services, found: Sequence[Check]) -> list[Check]:
    """What was found, with the `since` of the faults that are known. Tells nobody."""
    known: dict[tuple[str, str], float | None] = {}
    with suppress(Problem):
        known = {_key(fault): fault.since for fault in services.faults.open()}
    return [
        replace(check, since=known.get(_key(check)))
        if check.result is CheckResult.FAILED and check.since is None
        else check
        for check in found
    ]


def _key(check: Check) -> tuple[str, str]:
    return check.code, check.subject
