"""What all workers know together about each CA."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from issuer.ports.store import Quota


@dataclass(frozen=True, slots=True)
class Pause:
    """A CA is not to be asked before `until`: it rests, or our requests are too many for the moment."""

    until: float
    is_cooldown: bool


@dataclass(frozen=True, slots=True)
class Cooldown:
    """The cooldown of a CA until `until`; then one caller may try the CA. since: when the first of its cooldowns in a
    row started. failed_at: the failure that started this one. is_fixed: the CA has asked for it, or its operator must
    act, so that it must not end before its time. is_trial: a caller is trying the CA until then. Times are epoch
    seconds."""

    until: float
    since: float
    failed_at: float
    is_fixed: bool
    is_trial: bool


@dataclass(frozen=True, slots=True)
class CaReturn:
    """The end of a CA's last cooldown by a success, in epoch seconds, while names that waited for it may still have to
    be woken. place: how far that has come, as kept by `Limits.keep_place`."""

    at: float
    place: str


class Limits(Protocol):
    """What all workers know together of each CA: whether it rests, and how much of what it allows is used. CAs go by
    their directory URLs; Problem(store-unavailable) as in `Store`."""

    def admit(self, ca: str, *, now: float, requests_per_second: float) -> Pause | None:
        """None where the CA may be asked now, for one step; else until when not. After a rest one caller is let through
        to try it, the others wait for how that goes."""

    def record_failure(
        self,
        ca: str,
        *,
        now: float,
        until: float | None = None,
        is_repeated: bool = False,
        is_certain: bool = False,
    ) -> float | None:
        """The CA did not answer; until when it rests now, if it does. until: what it has asked for, as epoch seconds.
        is_repeated: whoever asked it has failed before, and two failures in a row are enough. is_certain: one is
        enough, and it rests for longer."""

    def cooldown_until(self, ca: str, *, now: float) -> float | None:
        """Until when it rests; None where it does not."""

    def cooldown(self, ca: str) -> Cooldown | None:
        """Its cooldown, which may be over without anybody having tried it since; None where it has none."""

    def end_cooldown(self, ca: str, cooldown: Cooldown, *, now: float) -> bool:
        """End this cooldown now, so that one caller may try the CA; False where it has another one by now."""

    def record_success(self, ca: str, *, now: float | None = None) -> bool:
        """The CA works: what it failed before is forgotten. True if that ends a cooldown: then names that wait for it
        are to be woken. now: None for a resource that no issuance waits for."""

    def return_of(self, ca: str) -> CaReturn | None:
        """The end of its last cooldown, until all that waited are woken, or it fails again."""

    def keep_place(self, ca: str, back: CaReturn, place: str) -> None:
        """Note how far the waking after this return has come; '' if it is done."""

    def spend(self, ca: str, name: str, quotas: Sequence[Quota], *, now: float) -> float | None:
        """Use up what all the quotas cost, or nothing of any and say when there is room again; also where the CA has
        refused `name`, or so many others that it is likely to be next."""

    def use(self, quota: Quota, *, now: float) -> bool:
        """Use up what a quota that is no CA's costs; False where it is not there."""

    def refund(self, ca: str, quotas: Sequence[Quota], *, now: float) -> None:
        """Take back what was used up of the quotas, as it was not used in the end."""

    def record_refusal(self, ca: str, name: str, *, now: float, until: float) -> None:
        """The CA has refused an order for a name because of a limit that holds until then."""
