"""`issuer doctor`: everything around the product that can be wrong, looked at once.

A new check is a function here or in a module beside this one, and its line in `PARTS`: `servers` is about Redis,
`stored` about what is in it, `authorities` about the CAs, `targets` about our own names, `edges` about the terminators,
`fleet.checks` about our processes.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from issuer.actions.doctor import authorities, edges, servers, stored, targets
from issuer.actions.doctor.side_by_side import Look, results
from issuer.fleet import checks as fleet
from issuer.ports import Check, CheckResult, Diagnosis, Services
from issuer.problem import Problem

SECONDS = 12.0
"""Within this time all is said, and what is not known by then is unknown."""


def _once(_: Services) -> Sequence[str]:
    """The subjects of a part without any."""
    return ("",)


@dataclass(frozen=True, slots=True)
class Part:
    """What is looked at. code: of its first check. subjects: what is looked at, each at the same time as all else."""

    code: str
    look: Callable[[Services, str], list[Check]]
    subjects: Callable[[Services], Sequence[str]] = _once


def _targets(services: Services) -> Sequence[str]:
    return services.settings.cname_targets


PARTS = (
    Part("redis", servers.look, lambda services: tuple(services.servers.addresses())),
    Part("store", lambda services, _: stored.identity(services)),
    Part("encryption-keys", lambda services, _: stored.keys(services)),
    Part("records", lambda services, _: stored.damaged(services)),
    Part("ca", authorities.look, lambda services: [ca.directory_url for ca in services.cas]),
    Part("target", targets.addresses, _targets),
    Part("port-80", targets.port_80, _targets),
    Part("caa", targets.caa, _targets),
    Part("edge", edges.look, lambda services: services.edges),
    Part("fleet", lambda services, _: fleet.checks(services)),
)


def diagnose(services: Services) -> list[Check]:
    """Look at everything, side by side, within a few seconds. A failed check has its `since`, if the fault is known.
    Never raises."""
    looks = [
        Look(part.code, subject, lambda part=part, subject=subject: part.look(services, subject))  # type: ignore[misc]
        for part in PARTS
        for subject in part.subjects(services)
    ]
    found, known = results(looks, seconds=SECONDS), dict[tuple[str, str], float | None]()
    with suppress(Problem):
        known = {(fault.code, fault.subject): fault.since for fault in services.faults.open()}
    failed = CheckResult.FAILED
    return [
        replace(check, since=check.since or known.get((check.code, check.subject))) if check.result is failed else check
        for check in found
    ]


def last_diagnosis(services: Services) -> Diagnosis | None:
    """What the fleet itself has found last; None if it has not looked yet. Raises Problem(store-unavailable)."""
    return services.faults.diagnosis()
