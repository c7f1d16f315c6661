"""Alarms that are on their way to the operator's command and webhook."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from issuer.problem import Actor


@dataclass(frozen=True, slots=True)
class PendingAlarm:
    """An alarm that has not arrived everywhere. body: its JSON object. left: the channels that have not taken it yet.
    tries: how often that was tried. next_try_at: epoch seconds."""

    id: str
    body: Mapping[str, Any]
    left: tuple[str, ...]
    tries: int
    next_try_at: float


@dataclass(frozen=True, slots=True)
class EndingGroup:
    """Certificates that end without a working renewal, for one reason, of which an alarm was told.

    code: the reason (`Record.ending_code`). since: when the first of them was noticed. told_at: when the last alarm was
    told, and days: how near the end its nearest certificate was. untold: how many have been noticed since. first_at:
    the notAfter of the nearest one, and names: it and a few others. cause, hint, must_act: of its problem.
    """

    code: str
    since: float
    told_at: float
    days: int
    untold: int
    first_at: float
    names: tuple[str, ...]
    cause: str
    hint: str
    must_act: Actor


class AlarmChannel(Protocol):
    """Where alarms go beside the log. name: a stable word. setting: the one that it was made from."""

    name: str
    setting: str

    def defect(self) -> str:
        """Why it cannot work, as far as that is known without an alarm; empty if nothing is known."""

    def deliver(self, body: Mapping[str, Any]) -> str:
        """Deliver an alarm's JSON object; limited in time. Returns why that failed, without secrets; empty if it has
        not. Never raises."""


class Alarms(Protocol):
    """Every method raises Problem(store-unavailable) if the store is unavailable."""

    def keep(self, alarm: PendingAlarm) -> None:
        """Save an alarm, or how far it has come."""

    def drop(self, alarm: PendingAlarm) -> None:
        """Forget an alarm: it has arrived, or was tried often enough."""

    def pending(self) -> list[PendingAlarm]:
        """The alarms on their way, the oldest first."""

    def endings(self) -> list[EndingGroup]:
        """What was told of certificates that end, ordered by code."""

    def keep_ending(self, group: EndingGroup) -> None:
        """Save what was told of a group."""

    def drop_ending(self, code: str) -> None:
        """Forget a group, as there is none any more."""
