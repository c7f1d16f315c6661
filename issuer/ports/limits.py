"""What all workers share about each CA: its health, and how much of its limits is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from issuer.ports.store import Quota
from issuer.problem import Problem

PORT_80 = "port 80 of our edges, as CAs see it"
"""Whether CAs reach it is kept as if it were one of them."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A CA must not be asked before `until`: it has a cooldown, or requests to it are too frequent now. problem: what
    the cooldown was started by, if that is known."""

    until: float
    is_cooldown: bool
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Cooldown:
    """The cooldown of a CA until `until`; then one caller may try the CA. since: when the first of its cooldowns in a
    row started. failed_at: the failure that started this one. is_fixed: the CA has asked for it, so that it must not
    end before its time. is_trial: a caller is trying the CA until then. problem: of that failure, if it is known. Times
    are epoch seconds."""

    until: float
    since: float
    failed_at: float
    is_fixed: bool
    is_trial: bool
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class CaReturn:
    """The end of a CA's last cooldown by a success, in epoch seconds, while names that waited for it may still have to
    be woken. place: how far that has come, as kept by `Limits.keep_place`."""

    at: float
    place: str


class Limits(Protocol):
    """What all workers share about each CA: whether it has a cooldown, and how much of its limits is used. `ca` is its
    directory URL. Every method raises Problem(store-unavailable) if the store is unavailable."""

    def admit(self, ca: str, *, now: float, requests_per_second: float) -> Pause | None:
        """None if the CA may be asked now, for one step; otherwise until when it must not. After a cooldown one caller
        may try it, and the others wait for the result."""

    def record_failure(
        self,
        ca: str,
        *,
        now: float,
        until: float | None = None,
        is_repeated: bool = False,
        is_certain: bool = False,
        problem: Problem | None = None,
    ) -> float | None:
        """Record that the CA has failed. Returns the end of its cooldown, if it has one now. until: the time that the
        CA has asked for, in epoch seconds. is_repeated: the issuance has failed before, so two failures in a row lead
        to a cooldown. is_certain: one is enough, and the cooldown is longer. problem: why, for all who are put off."""

    def cooldown_until(self, ca: str, *, now: float) -> float | None:
        """The end of its cooldown, in epoch seconds; None if it has none."""

    def cooldown(self, ca: str) -> Cooldown | None:
        """Its cooldown, also one that is over if nobody has tried the CA since; None if it has none."""

    def end_cooldown(self, ca: str, cooldown: Cooldown, *, now: float) -> bool:
        """End this cooldown now, so that one caller may try the CA. False if the CA has another cooldown by now."""

    def record_success(self, ca: str, *, now: float | None = None) -> bool:
        """Record that the CA has answered: its former failures no longer count. True if that ends a cooldown: then the
        names that wait for the CA must be woken. now: None for a resource that no issuance waits for."""

    def begin_return(self, ca: str, *, now: float) -> None:
        """Let the names that wait for a CA without a cooldown be woken, as after a success."""

    def return_of(self, ca: str) -> CaReturn | None:
        """The end of its last cooldown; None once all names that waited are woken, or if it has failed again."""

    def keep_place(self, ca: str, back: CaReturn, place: str) -> None:
        """Save how far the waking after this return has come; place '': all are woken."""

    def spend(self, ca: str, name: str, quotas: Sequence[Quota], *, now: float) -> float | None:
        """Use all of the quotas, or none of them: then the time at which there is room again. The same if the CA has
        refused `name` because of a limit, or so many others that it is likely to refuse this one."""

    def left(self, ca: str, quota: Quota, *, now: float) -> float:
        """How much of a quota of a CA has room now, of its burst."""

    def use(self, quota: Quota, *, now: float) -> bool:
        """Use a quota that is not a CA's. False if it has no room."""

    def refund(self, ca: str, quotas: Sequence[Quota], *, now: float) -> None:
        """Give the quotas back, as nothing was ordered."""

    def record_refusal(self, ca: str, name: str, *, now: float, until: float) -> None:
        """Record that the CA has refused an order for a name because of a limit that lasts until then."""
