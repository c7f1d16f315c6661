"""The fleet's part of `issuer doctor`, /readyz, alarms and the page: what does not run, and what to do about it."""

from issuer.fleet import heartbeats
from issuer.fleet.heartbeats import RECONCILE, Fleet, instant, seen
from issuer.fleet.queues import HOUSEKEEPING, QUEUES, process_of
from issuer.ports import Check, CheckResult, Consumer, Services

BEAT, SCANS, QUEUE, CONSUMER = "beat", "scans", "queue", "consumer"
BROKER = heartbeats.BROKER
CODES = frozenset({BEAT, SCANS, QUEUE, BROKER, CONSUMER})
"""The codes of these checks."""
LATE_SECONDS = 900
"""A scan that waits for its turn may be late, but not by so much."""
FORGOTTEN_SECONDS = 7 * 86400
"""After this time, a scan is one of a former release."""
SAME_SETTINGS = "compare its ISSUER_BROKER_URL and ISSUER_REDIS_URL with those of the other processes"


def checks(services: Services) -> list[Check]:
    """All checks of the fleet, now. Raises Problem(store-unavailable) if the store of the records is unavailable."""
    return of(seen(services))


def of(fleet: Fleet) -> list[Check]:
    """All checks of a fleet."""
    return [broker(fleet), beat(fleet), scans(fleet), *(queue(fleet, name) for name in QUEUES), *_misled(fleet)]


def queue(fleet: Fleet, name: str) -> Check:
    """Whether somebody takes messages from a queue."""
    process, since = process_of(name), fleet.unread_since(name)
    waiting = _waiting(fleet.broker.waiting.get(name, 0)) if fleet.broker else "the broker is unavailable"
    if since is None:
        return Check(QUEUE, CheckResult.OK, f"the queue {name} is read; {waiting}", name)
    if fleet.broker is None:
        cause = f"nobody has worked on the queue {name} since {instant(since)}, as the broker is unavailable"
        return Check(QUEUE, CheckResult.UNKNOWN, cause, name, hint=broker(fleet).hint, since=since)
    cause = f"nobody has worked on the queue {name} since {instant(since)}; {waiting}"
    hint = f"start `issuer run {process}`; if it is running, {SAME_SETTINGS}"
    return Check(QUEUE, CheckResult.FAILED, cause, name, hint=hint, since=since)


def _waiting(messages: int) -> str:
    return "1 message waits" if messages == 1 else f"{messages} messages wait"


def broker(fleet: Fleet) -> Check:
    """Whether the broker answers."""
    since = fleet.broker_away_since
    if since is None:
        return Check(BROKER, CheckResult.OK, "the broker answers")
    cause = f"the broker has been unavailable since {instant(since)}: {fleet.broker_reason}"
    hint = "start the Redis server of ISSUER_BROKER_URL, or correct that setting; nothing is lost"
    return Check(BROKER, CheckResult.FAILED, cause, hint=hint, since=since)


def beat(fleet: Fleet) -> Check:
    """Whether beat runs."""
    since = fleet.beat_missing_since
    if since is None:
        return Check(BEAT, CheckResult.OK, "beat runs")
    hint = "start `issuer run beat`; if it is running, compare its ISSUER_REDIS_URL with that of the other processes"
    return Check(BEAT, CheckResult.FAILED, f"beat has not been running since {instant(since)}", hint=hint, since=since)


def scans(fleet: Fleet) -> Check:
    """Whether scans run, if beat does and somebody takes its messages."""
    since, is_read = fleet.scans_missing_since, fleet.unread_since(HOUSEKEEPING) is None
    if since is not None:
        cause = f"no scan has run since {instant(since)}, so nothing that waits goes on"
        is_explained = fleet.beat_missing_since is not None or not is_read or fleet.broker is None
        result = CheckResult.UNKNOWN if is_explained else CheckResult.FAILED
        hint = "see the log of `issuer run worker`" if is_read else f"start `issuer run {process_of(HOUSEKEEPING)}`"
        hint = "start `issuer run beat`" if fleet.beat_missing_since is not None else hint
        return Check(SCANS, result, cause, hint=hint, since=since)
    ages = {name: fleet.now - at for name, at in fleet.heartbeats.scans.items()}
    late = {name: age for name, age in ages.items() if LATE_SECONDS < age < FORGOTTEN_SECONDS}
    if late and fleet.beat_missing_since is None:
        since = fleet.now - max(late.values())
        cause = f"{', '.join(sorted(late))}: not run since {instant(since)}"
        return Check(SCANS, CheckResult.FAILED, cause, hint="see the log of `issuer run renewals`", since=since)
    return Check(SCANS, CheckResult.OK, f"{RECONCILE} runs")


def _misled(fleet: Fleet) -> list[Check]:
    """The living consumers that were given another broker, or another store."""
    elsewhere = [one for one in fleet.heartbeats.consumers if fleet.is_alive(one) and fleet.is_elsewhere(one)]
    return [
        *(_misled_by(one, "takes its messages from another broker", "ISSUER_BROKER_URL") for one in elsewhere),
        *(_misled_by(one, "keeps its records in another store", "ISSUER_REDIS_URL") for one in fleet.strangers()),
    ]


def _misled_by(consumer: Consumer, what: str, setting: str) -> Check:
    hint = f"compare its {setting} with that of the other processes"
    return Check(CONSUMER, CheckResult.FAILED, f"{consumer.name} {what}", consumer.name, hint=hint)
