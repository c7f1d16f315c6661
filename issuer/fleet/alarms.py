"""Who is told that something is wrong: the log, and the operator's command and webhook (`ports.AlarmChannel`).

An alarm is a failed `Check` that begins or ends. It is kept in the store until it has arrived, and is delivered by a
thread of the process that tells it, as the fault may be that all others stand still; what a process leaves undone,
another one takes over. Nothing waits for a delivery.
"""

import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from issuer.fleet.heartbeats import instant
from issuer.ports import AlarmChannel, Check, CheckResult, PendingAlarm, Services
from issuer.problem import Actor, Problem

LOCK = "alarms"
LOCK_SECONDS = 60
"""Longer than one alarm takes at all channels."""
LOCK_TRIES = 5
TRIES = 5
FIRST_PAUSE_SECONDS, PAUSE_FACTOR = 10.0, 4.0
"""An alarm that a channel does not take is sent again after 10, 40, 160 and 640 seconds; then it is given up."""
LONGEST_SLEEP_SECONDS = 60
UNDELIVERED = "alarms"
"""The code of the check that a channel works; its subject is the channel."""

log = structlog.get_logger(__name__)


def tell_begin(services: Services, check: Check, event: str = "degraded") -> None:
    """Tell that a check has begun to fail: an ERROR line and an alarm. event: of the line. Never raises."""
    log.error(event, **_facts(check))
    _send(services, body(check, "begun", services.clock()))


def tell_end(services: Services, fault: Check, event: str = "no longer degraded") -> None:
    """Tell that a fault has ended: an INFO line and an alarm. Never raises."""
    now = services.clock()
    seconds = round(max(now - fault.since, 0)) if fault.since is not None else None
    log.info(event, code=fault.code, subject=fault.subject, seconds=seconds)
    _send(services, body(fault, "ended", now))


def body(check: Check, event: str, now: float) -> dict[str, Any]:
    """The JSON object of an alarm. event: `begun`, `ended` or `test`. `key` is the same from its begin to its end."""
    words = f"{check.cause} ({check.hint})" if check.hint and event != "ended" else check.cause
    return {
        "event": event,
        "key": f"{check.code} {check.subject}".rstrip(),
        "at": instant(now),
        "since": instant(check.since) if check.since is not None else None,
        "code": check.code,
        "subject": check.subject,
        "cause": check.cause,
        "hint": check.hint,
        "must_act": check.must_act.value,
        "text": f"issuer: over: {words}" if event == "ended" else f"issuer: {words}",
    }


def test(services: Services, channel: AlarmChannel) -> str:
    """Send a test alarm to a channel, and wait for it. Returns why it has failed; empty if it has not: then it works
    again, whatever has failed before."""
    check = Check("test", CheckResult.OK, "this is a test alarm of the issuer", must_act=Actor.NOBODY)
    reason = channel.deliver(body(check, "test", services.clock()))
    if not reason:
        with suppress(Problem):
            services.faults.end(Check(UNDELIVERED, CheckResult.OK, "", channel.name))
    return reason


def hint(channel: AlarmChannel) -> str:
    """What to do about a channel that does not work."""
    return f"correct {channel.setting}, and try it: issuer doctor --test-alarm"


def start_delivery(services: Services) -> None:
    """Deliver in a thread what is due and other processes have left undone, and forget the faults of channels that are
    not set any more. Raises Problem(store-unavailable)."""
    if _due(services):
        threading.Thread(target=_work, args=(services,), daemon=True).start()
    names = {channel.name for channel in services.alarm_channels}
    for fault in services.faults.open():
        if fault.code == UNDELIVERED and fault.subject not in names:
            services.faults.end(fault)


def deliver_pending(services: Services) -> float | None:
    """Deliver the alarms that are due, unless another process does. Returns in how many seconds the next one is due;
    None if none is left. Raises Problem(store-unavailable)."""
    holder = services.locks.take(LOCK, seconds=LOCK_SECONDS)
    if holder is None:
        return None
    try:
        while due := _due(services):
            for alarm in due:
                services.locks.extend(LOCK, holder, seconds=LOCK_SECONDS)
                _deliver(services, alarm)
        times = [alarm.next_try_at for alarm in services.alarms.pending()]
    finally:
        services.locks.give_back(LOCK, holder)
    return max(min(times) - services.clock(), 0) if times else None


def _due(services: Services) -> list[PendingAlarm]:
    return [alarm for alarm in services.alarms.pending() if alarm.next_try_at <= services.clock()]


def _deliver(services: Services, alarm: PendingAlarm) -> None:
    """One try at each channel that has not taken the alarm yet."""
    left = [channel for channel in services.alarm_channels if channel.name in alarm.left]
    failed = tuple(channel.name for channel in left if not _arrives(services, channel, channel.deliver(alarm.body)))
    if not failed or alarm.tries + 1 >= TRIES:
        services.alarms.drop(alarm)
        return
    pause = FIRST_PAUSE_SECONDS * PAUSE_FACTOR**alarm.tries
    next_try_at = services.clock() + pause
    services.alarms.keep(replace(alarm, left=failed, tries=alarm.tries + 1, next_try_at=next_try_at))


def _arrives(services: Services, channel: AlarmChannel, reason: str) -> bool:
    """Whether a channel has taken an alarm. That one does not work is told once: in the log, and by `issuer doctor`."""
    fault = Check(UNDELIVERED, CheckResult.OK, "", channel.name)
    if not reason:
        if services.faults.end(fault):
            log.info("alarms are delivered again", channel=channel.name)
        return True
    cause = f"an alarm could not be delivered by {channel.setting}: {reason}"
    failed = replace(fault, result=CheckResult.FAILED, cause=cause, hint=hint(channel), since=services.clock())
    if services.faults.begin(failed):
        log.error("an alarm could not be delivered", **_facts(failed))
    return False


def _send(services: Services, content: Mapping[str, Any]) -> None:
    """Give an alarm to the channels, in a thread. If the store is unavailable, that is tried once."""
    left = tuple(channel.name for channel in services.alarm_channels)
    if not left:
        return
    now = services.clock()
    alarm = PendingAlarm(f"{now:017.6f}-{secrets.token_hex(4)}", content, left, tries=0, next_try_at=now)
    try:
        services.alarms.keep(alarm)
    except Problem:
        threading.Thread(target=_deliver_at_once, args=(services, content), daemon=True).start()
    else:
        threading.Thread(target=_work, args=(services,), daemon=True).start()


def _deliver_at_once(services: Services, content: Mapping[str, Any]) -> None:
    for channel in services.alarm_channels:
        if reason := channel.deliver(content):
            log.error("an alarm could not be delivered", channel=channel.name, reason=reason)


def _work(services: Services) -> None:
    """Deliver what is pending, until nothing is left for the next minute, or another process has taken that over: what
    is left, the doctor's scan delivers."""
    with suppress(Problem):
        for _ in range(LOCK_TRIES):
            while (seconds := deliver_pending(services)) is not None and seconds <= LONGEST_SLEEP_SECONDS:
                time.sleep(seconds)
            if not _due(services):
                return
            time.sleep(1)


def _facts(check: Check) -> dict[str, str]:
    facts = {"code": check.code, "subject": check.subject, "cause": check.cause, "hint": check.hint}
    return facts | {"must_act": check.must_act.value}
