"""`issuer doctor`: everything around the product that can be wrong, looked at once.

A new check is a function here or in a module beside this one, and its line in `PARTS`: `servers` is about Redis,
`stored` about what is in it, `authorities` about the CAs, `targets` about our own names, `edges` about the terminators,
`waiting` about domains that wait for the platform, `fleet.checks` about our processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from issuer.actions.doctor import authorities, edges, operator, servers, stored, targets, waiting
from issuer.actions.doctor.side_by_side import Look, results
from issuer.fleet import alarms, configuration, endings, faults
from issuer.fleet import checks as fleet
from issuer.ports import Check, CheckResult, Diagnosis, Services

SECONDS = 12.0
"""Within this time all is said, and what is not known by then is unknown."""
EVERY_SECONDS, CAS_EVERY_SECONDS = 40, 3600
"""How often the fleet looks by itself: so that all is told within a minute; but at the CAs, unless one has failed."""
LOCK = "doctor"


def _once(_: Services) -> Sequence[str]:
    """The subjects of a part without any."""
    return ("",)


@dataclass(frozen=True, slots=True)
class Part:
    """What is looked at. codes: of its checks; one that could not be made has the first of them. subjects: what is
    looked at, each at the same time as all else. is_of_ca: a CA is asked."""

    codes: tuple[str, ...]
    look: Callable[[Services, str], list[Check]]
    subjects: Callable[[Services], Sequence[str]] = _once
    is_of_ca: bool = False


def _targets(services: Services) -> Sequence[str]:
    return services.settings.cname_targets


def _cas(services: Services) -> Sequence[str]:
    return [ca.directory_url for ca in services.cas]


FLEET = (fleet.BEAT, fleet.SCANS, fleet.QUEUE, fleet.BROKER, fleet.CONSUMER)
PARTS = (
    Part((operator.UNKNOWN_SETTING,), lambda services, _: operator.settings(services)),
    Part((configuration.CODE,), lambda services, _: configuration.checks(services)),
    Part(servers.CODES, servers.look, lambda services: tuple(services.servers.addresses())),
    Part(("store",), lambda services, _: stored.identity(services)),
    Part(("encryption-keys",), lambda services, _: stored.keys(services)),
    Part(("records",), lambda services, _: stored.damaged(services)),
    Part((waiting.CODE,), lambda services, _: waiting.look(services)),
    Part(("ca", "ca-account", "ca-settings"), authorities.look, _cas, is_of_ca=True),
    Part(("dns",), lambda services, _: targets.resolver(services)),
    Part(("target",), targets.addresses, _targets),
    Part(("port-80",), targets.port_80, _targets),
    Part(("caa",), targets.caa, _targets),
    Part(("edge",), edges.look, lambda services: services.edges),
    Part(FLEET, lambda services, _: fleet.checks(services)),
    Part((endings.CODE,), lambda services, _: endings.checks(services)),
    Part((alarms.UNDELIVERED,), lambda services, _: operator.alarms(services)),
)
ELSEWHERE = frozenset(
    {fleet.BEAT, fleet.SCANS, fleet.QUEUE, fleet.BROKER, fleet.CONSUMER, endings.CODE, alarms.UNDELIVERED}
)
"""The codes of faults that others tell when they begin and end."""
ORDER = {code: number for number, code in enumerate(code for part in PARTS for code in part.codes)}


def diagnose(services: Services) -> list[Check]:
    """Look at everything, side by side, within a few seconds. A failed check has its `since`, if the fault is known.
    Never raises."""
    return faults.with_since(services, _found(services, PARTS))


def test_alarm(services: Services) -> list[Check]:
    """Send a test alarm to each channel that is set, and wait for it. Never raises."""
    return operator.test(services)


def last_diagnosis(services: Services) -> Diagnosis | None:
    """What the fleet itself has found last; None if it has not looked yet. Raises Problem(store-unavailable)."""
    return services.faults.diagnosis()


def watch(services: Services) -> int:
    """Look, if it is time again, and tell which faults have begun and which have ended. Returns 0, as it handles no
    names. Raises Problem(store-unavailable)."""
    if not services.locks.take(LOCK, seconds=EVERY_SECONDS - 5):
        return 0
    now, last = services.clock(), services.faults.diagnosis() or Diagnosis(0, ())
    asks_cas = _asks_cas(services, last, now)
    parts = [part for part in PARTS if asks_cas or not part.is_of_ca]
    codes = {code for part in parts for code in part.codes}
    found = [_patient(check, now) for check in _found(services, parts)]
    kept = [check for check in last.checks if check.code not in codes]
    told = faults.observe(services, [check for check in found if check.code in codes - ELSEWHERE], codes - ELSEWHERE)
    told += [check for check in found if check.code in ELSEWHERE]
    checks = sorted([*told, *kept], key=lambda check: ORDER.get(check.code, len(ORDER)))
    services.faults.keep_diagnosis(Diagnosis(now, tuple(checks), now if asks_cas else last.cas_at))
    endings.tell(services)
    alarms.start_delivery(services)
    return 0


def _patient(check: Check, now: float) -> Check:
    """A check as the fleet tells it by itself: settings that have just been changed are not everywhere at once."""
    is_new = (
        check.code == configuration.CODE and check.since is not None and now - check.since < configuration.NEW_SECONDS
    )
    return replace(check, result=CheckResult.UNKNOWN) if is_new else check


def _asks_cas(services: Services, last: Diagnosis, now: float) -> bool:
    """Whether the CAs are looked at again: an hour later, or now if one is not as it should be, or if the workers leave
    one alone."""
    codes = {code for part in PARTS if part.is_of_ca for code in part.codes}
    is_well = all(check.result is CheckResult.OK for check in last.checks if check.code in codes)
    is_late = not 0 <= now - last.cas_at < CAS_EVERY_SECONDS
    return not is_well or is_late or any(services.limits.cooldown(ca.directory_url) for ca in services.cas)


def _found(services: Services, parts: Sequence[Part]) -> list[Check]:
    looks = [
        Look(part.codes[0], subject, lambda part=part, subject=subject: part.look(services, subject))  # type: ignore[misc]
        for part in parts
        for subject in part.subjects(services)
    ]
    return results(looks, seconds=SECONDS)
