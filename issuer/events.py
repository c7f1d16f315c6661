"""The events of a domain: the one list of their types, and the one function that logs them.

`Record.with_event` adds an event to a record. One script writes and counts it with the record. Then the store calls
`emit`, which logs it. The sentence that people read is made from type and data when it is shown.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import structlog

MAX_EVENTS = 50
LATEST = 10
"""So many of the newest events are never dropped for older ones."""
MAX_TEXT = 300
"""The greatest length of a text in an event's data, in characters."""


class EventType(StrEnum):
    """`subject.verb`: the stable machine-readable name of an event, also its log message and a label of its counter."""

    ISSUANCE_STARTED = "issuance.started"
    ISSUANCE_STEP_DONE = "issuance.step_done"
    ISSUANCE_WAITING = "issuance.waiting"
    ISSUANCE_SUCCEEDED = "issuance.succeeded"
    ISSUANCE_RETRY_PLANNED = "issuance.retry_planned"
    ISSUANCE_RESUMED = "issuance.resumed"
    ISSUANCE_FAILED = "issuance.failed"
    CA_SELECTED = "ca.selected"
    CA_REFUSED = "ca.refused"
    CAA_CHECKED = "caa.checked"
    CHALLENGE_CHECKED = "challenge.checked"
    RENEWAL_PLANNED = "renewal.planned"
    RENEWAL_STARTED = "renewal.started"
    RENEWAL_FORCED = "renewal.forced"
    CERTIFICATE_DEVIATES = "certificate.deviates"
    CERTIFICATE_REJECTED = "certificate.rejected"
    CERTIFICATE_ALLOWED = "certificate.allowed"
    CERTIFICATE_ENDING = "certificate.ending"
    CERTIFICATE_EXPIRED = "certificate.expired"
    CERTIFICATE_REVOKED = "certificate.revoked"
    DOMAIN_MOVED_AWAY = "domain.moved_away"
    DOMAIN_PROXIED = "domain.proxied"
    DOMAIN_RETURNED = "domain.returned"
    DOMAIN_WITHDRAWN = "domain.withdrawn"
    DOMAIN_PREFERENCES_CHANGED = "domain.preferences_changed"
    HSTS_CHANGED = "hsts.changed"
    EDGE_CONFIRMED = "edge.confirmed"
    EDGE_UNCONFIRMED = "edge.unconfirmed"
    EDGE_GIVEN_UP = "edge.given_up"
    NOTE = "note"  # a line that a release before 0.2 wrote


class By(StrEnum):
    """Who caused an event."""

    ISSUER = "issuer"
    ACCOUNT = "account"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Kind:
    """What follows from a type of event.

    sentence: the text for people, with members of data, and `by`, in braces.
    level: of its log line.
    is_kept: it is dropped last if a timeline is too long.
    """

    sentence: str
    level: int = logging.INFO
    is_kept: bool = False


WARNING, ERROR = logging.WARNING, logging.ERROR
TABLE: dict[EventType, Kind] = {
    EventType.ISSUANCE_STARTED: Kind("the {by} asked for a certificate"),
    EventType.ISSUANCE_STEP_DONE: Kind("{step} done in {seconds} s"),
    EventType.ISSUANCE_WAITING: Kind("{step} waits for the CA: {reason}; it is asked again at {at}", WARNING),
    EventType.ISSUANCE_SUCCEEDED: Kind("certificate {serial} is in force"),
    EventType.ISSUANCE_RETRY_PLANNED: Kind("{step} failed: {reason}; will be retried at {at}", WARNING, is_kept=True),
    EventType.ISSUANCE_RESUMED: Kind("the {by} asked to go on; the next attempt is planned for {at}"),
    EventType.ISSUANCE_FAILED: Kind("{step} failed for good: {reason}", WARNING, is_kept=True),
    EventType.CA_SELECTED: Kind("the CA is {ca}"),
    EventType.CA_REFUSED: Kind("{ca} failed, so the next CA is asked: {reason}", WARNING, is_kept=True),
    EventType.CAA_CHECKED: Kind("CAA records, {verdict}: {summary}"),
    EventType.CHALLENGE_CHECKED: Kind("self-check, {verdict}: {summary}"),
    EventType.RENEWAL_PLANNED: Kind("the next renewal is planned for {at}"),
    EventType.RENEWAL_STARTED: Kind("the renewal has started"),
    EventType.RENEWAL_FORCED: Kind("the operator has asked for a new certificate ({why}); it is planned for {at}"),
    EventType.CERTIFICATE_DEVIATES: Kind(
        "certificate {serial} is used as it is, but {deviations}", WARNING, is_kept=True
    ),
    EventType.CERTIFICATE_REJECTED: Kind(
        "{ca} has issued a certificate that cannot be used: {reason}; no other is ordered there until the operator "
        "allows it",
        ERROR,
        is_kept=True,
    ),
    EventType.CERTIFICATE_ALLOWED: Kind("the operator allows another order at {ca}", is_kept=True),
    EventType.CERTIFICATE_ENDING: Kind(
        "certificate {serial} ends at {at}, and its renewal does not work: {reason}", is_kept=True
    ),
    EventType.CERTIFICATE_EXPIRED: Kind("certificate {serial} has expired", ERROR, is_kept=True),
    EventType.CERTIFICATE_REVOKED: Kind("{ca} has revoked certificate {serial}", is_kept=True),
    EventType.DOMAIN_MOVED_AWAY: Kind("the domain points to other servers", WARNING, is_kept=True),
    EventType.DOMAIN_PROXIED: Kind("behind a proxy: {summary}"),
    EventType.DOMAIN_RETURNED: Kind("the domain points here again"),
    EventType.DOMAIN_WITHDRAWN: Kind("the {by} has withdrawn the domain", is_kept=True),
    EventType.DOMAIN_PREFERENCES_CHANGED: Kind("the operator has chosen CA, profile or chain"),
    EventType.HSTS_CHANGED: Kind("the HSTS policy has changed: {policy}"),
    EventType.EDGE_CONFIRMED: Kind("served everywhere: serial number {serial}"),
    EventType.EDGE_UNCONFIRMED: Kind("not served everywhere yet: {lacking}", is_kept=True),
    EventType.EDGE_GIVEN_UP: Kind("not served everywhere after a day: {lacking}", ERROR, is_kept=True),
    EventType.NOTE: Kind("{text}"),
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """An event in a domain's timeline.

    id: ascending within a domain.
    at: epoch seconds.
    type: a value of EventType, or a type of a newer release.
    code: the code of the problem, if there is one.
    by: who caused it.
    data: plain JSON values, for the sentence and for programs.
    extra: members that a newer release has written.
    """

    id: int
    at: float
    type: str
    code: str = ""
    by: str = By.ISSUER
    data: Mapping[str, Any] = field(default_factory=dict)
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def text(self) -> str:
        """The sentence that people read."""
        kind = TABLE.get(self.type)  # type: ignore[call-overload]  # types of a newer release are missing
        try:
            values = {"by": self.by} | {name: _readable(name, value) for name, value in self.data.items()}
            return kind.sentence.format_map(values) if kind else self.type
        except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, OSError):
            return self.type

    @property
    def is_kept(self) -> bool:
        """Whether it is dropped last if a timeline is too long: failures, refusals and withdrawals are."""
        kind = TABLE.get(self.type)  # type: ignore[call-overload]
        return kind is not None and kind.is_kept


def shortened(value: Any) -> Any:
    """A value of an event's data; a text of over MAX_TEXT characters is cut, and ends in «…»."""
    return f"{value[: MAX_TEXT - 1]}…" if isinstance(value, str) and len(value) > MAX_TEXT else value


def newest(timeline: tuple[Event, ...]) -> tuple[Event, ...]:
    """The newest events, at most MAX_EVENTS; the less important ones are dropped first."""
    excess = len(timeline) - MAX_EVENTS
    if excess <= 0:
        return timeline
    by_importance = sorted(timeline[:-LATEST], key=lambda event: event.is_kept)
    dropped = {event.id for event in by_importance[:excess]}
    return tuple(event for event in timeline if event.id not in dropped)[-MAX_EVENTS:]


def emit(name: str, issuance_id: str, events: Iterable[Event]) -> None:
    """Log events of a domain that have just been written. Only the store calls this."""
    for event in events:
        kind = TABLE[EventType(event.type)]
        more = {"code": event.code} if event.code else {}
        data = {name: value for name, value in event.data.items() if value is not None}
        log.log(kind.level, event.type, **{"domain": name, "issuance": issuance_id, "by": event.by} | more | data)


def _readable(name: str, value: Any) -> Any:
    """A value for a sentence: a member named `at` is a time."""
    if name == "at" and isinstance(value, int | float):
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M} UTC"
    return value
