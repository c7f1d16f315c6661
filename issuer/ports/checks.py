"""The result of a check, as `issuer doctor`, `issuer check`, /readyz, alarms and the page show it."""

from dataclasses import dataclass
from enum import StrEnum

from issuer.problem import Actor


class CheckResult(StrEnum):
    """Whether what was checked is as it should be; unknown if this process cannot tell."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked. code: the stable machine word of what is checked, such as `beat` or `port-80`; of a
    problem, its code. subject: which one, such as a queue, a target or a CA; empty if there is only one. cause: one
    sentence: what was found. hint: what the one who must act can do. since: since when it has not been as it should be
    (epoch seconds), if that is known. records: the DNS records to set, each `name TYPE value`.
    """

    code: str
    result: CheckResult
    cause: str
    subject: str = ""
    hint: str = ""
    must_act: Actor = Actor.PLATFORM
    since: float | None = None
    records: tuple[str, ...] = ()
