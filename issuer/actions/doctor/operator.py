"""What the operator has set in the environment of this process: names that are no settings, and where alarms go."""

from issuer.fleet import alarms as delivery
from issuer.ports import AlarmChannel, Check, CheckResult, Services

OK, FAILED, UNKNOWN = CheckResult
UNKNOWN_SETTING = "unknown-setting"


def settings(services: Services) -> list[Check]:
    """Whether each variable with our prefix is a setting: one that is not has no effect."""
    found = services.settings.unknown_variables()
    if not found:
        return [Check(UNKNOWN_SETTING, OK, "each variable ISSUER_… of this process is a setting")]
    return [Check(UNKNOWN_SETTING, FAILED, f"{name} is not a setting", name, hint) for name, hint in found]


def alarms(services: Services) -> list[Check]:
    """Whether each channel for alarms works, as far as is known without an alarm."""
    if not services.alarm_channels:
        cause = "alarms go to the log alone: neither ISSUER_ALARM_COMMAND nor ISSUER_ALARM_URL is set"
        return [Check(delivery.UNDELIVERED, OK, cause)]
    failed = {fault.subject: fault for fault in services.faults.open() if fault.code == delivery.UNDELIVERED}
    return [failed.get(channel.name) or _channel(channel) for channel in services.alarm_channels]


def test(services: Services) -> list[Check]:
    """Whether each channel takes a test alarm."""
    if not services.alarm_channels:
        hint = "set ISSUER_ALARM_COMMAND or ISSUER_ALARM_URL"
        return [Check(delivery.UNDELIVERED, FAILED, "a test alarm can be sent nowhere: neither is set", hint=hint)]
    return [_sent(channel, delivery.test(services, channel)) for channel in services.alarm_channels]


def _sent(channel: AlarmChannel, reason: str) -> Check:
    name, setting = channel.name, channel.setting
    if reason:
        cause = f"{setting} has not taken the test alarm: {reason}"
        return Check(delivery.UNDELIVERED, FAILED, cause, name, f"correct {setting}")
    return Check(delivery.UNDELIVERED, OK, f"{setting} has taken a test alarm", name)


def _channel(channel: AlarmChannel) -> Check:
    if reason := channel.defect():
        return Check(delivery.UNDELIVERED, FAILED, f"{channel.setting}: {reason}", channel.name, delivery.hint(channel))
    return Check(delivery.UNDELIVERED, OK, f"{channel.setting} is set, and has not failed", channel.name)
