"""An issuance: one attempt to get a certificate, its steps and its legal moves."""

import secrets
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from issuer.domain.indexes import Due
from issuer.problem import Problem, ProblemType


class Step(StrEnum):
    """Where an issuance stands. The first four are task name, function name and log field too."""

    ORDER = "order"
    CHALLENGE = "challenge"
    FINALIZE = "finalize"
    INSTALL = "install"
    DONE = "done"
    FAILED = "failed"


class Reason(StrEnum):
    """Why an issuance was started."""

    FIRST = "first"
    MANUAL = "manual"
    RENEWAL = "renewal"


CHAIN = (Step.ORDER, Step.CHALLENGE, Step.FINALIZE, Step.INSTALL)
"""The steps with work to do, in order."""

MOVES: dict[Step, frozenset[Step]] = {
    Step.ORDER: frozenset({Step.CHALLENGE, Step.FAILED}),
    Step.CHALLENGE: frozenset({Step.FINALIZE, Step.ORDER, Step.FAILED}),
    Step.FINALIZE: frozenset({Step.INSTALL, Step.ORDER, Step.FAILED}),
    Step.INSTALL: frozenset({Step.DONE, Step.ORDER, Step.FAILED}),
    Step.DONE: frozenset(),
    Step.FAILED: frozenset(),
}
"""From each step to the ones it may be followed by; back to `order` when the CA's order is lost."""

WITHOUT_ORDER: dict[str, Any] = {
    "step": Step.ORDER,
    "ca": None,
    "order_url": None,
    "finalize_url": None,
    "authorization_urls": (),
    "is_charged": False,
    "is_answered": False,
    "certificate_url": None,
    "waits": 0,
}
"""What an issuance has of its order, as it is before there is one."""


@dataclass(frozen=True, slots=True)
class Issuance:
    """One attempt to get a certificate.

    is_bulk: its account has started many of late. ca: the directory URL of the CA that is asked; passed_over: those
    that have failed since its last try. key: encrypted; csr: PEM; both are saved before the CA is asked for anything.
    is_charged: its order has been counted against the CA's limits. tries: failures of this attempt; waits: how often
    in a row the CA was asked and was not ready; pauses: how often it was put off without a try. next_try_at: not to be
    looked at before, or None when it is due now. problem: the last one. extra: members that a newer release wrote.
    """

    id: str
    reason: Reason
    created_at: float
    step: Step = Step.ORDER
    is_bulk: bool = False
    ca: str | None = None
    passed_over: tuple[str, ...] = ()
    key: str | None = field(default=None, repr=False)
    csr: str | None = None
    is_charged: bool = False
    order_url: str | None = None
    finalize_url: str | None = None
    authorization_urls: tuple[str, ...] = ()
    is_answered: bool = False
    certificate_url: str | None = None
    tries: int = 0
    waits: int = 0
    pauses: int = 0
    next_try_at: float | None = None
    problem: Problem | None = None
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def is_open(self) -> bool:
        """True while there is work to do."""
        return self.step in CHAIN

    @property
    def queue(self) -> Due:
        """Whether somebody waits for it: its queue, and the list it is in while it is open."""
        if self.reason is Reason.RENEWAL:
            return Due.OPEN_RENEWAL
        return Due.OPEN_BULK if self.is_bulk else Due.OPEN_INTERACTIVE

    def advance(self, step: Step, **found: Any) -> Self:
        """On to the next step, due now. ValueError for an illegal move."""
        if step not in MOVES[self.step]:
            raise ValueError(f"no move from {self.step} to {step}")
        return replace(self, step=step, waits=0, pauses=0, next_try_at=None, problem=None, **found)

    def wait(self, until: float, **found: Any) -> Self:
        """The CA is not ready: the same step again at `until`."""
        return replace(self, waits=self.waits + 1, pauses=0, next_try_at=until, **found)

    def retry(self, problem: Problem, at: float) -> Self:
        """A temporary problem: the same step again at `at`, or a new order where the problem cost this one. One that
        does not count leaves the tries as they are."""
        if not self.is_open:
            raise ValueError(f"no move from {self.step} to a new try")
        again = replace(
            self,
            tries=self.tries + problem.is_counted,
            waits=0 if problem.is_counted else self.waits,
            pauses=0 if problem.is_counted else self.pauses + 1,
            next_try_at=at,
            problem=problem,
            is_answered=False,
            passed_over=(),
        )
        if problem.drops_order:
            return replace(again, **WITHOUT_ORDER, key=None, csr=None)
        return replace(again, ca=None, is_charged=False) if self.order_url is None else again

    def failover(self, problem: Problem, now: float) -> Self:
        """Its CA has failed: on to another one, with an order there, at once."""
        if not self.is_open or self.ca is None:
            raise ValueError(f"no move from {self.step} to another CA")
        passed_over = (*self.passed_over, self.ca)
        return replace(
            self,
            **WITHOUT_ORDER,
            pauses=0,
            next_try_at=now,
            problem=problem,
            passed_over=passed_over,
        )

    def fail(self, problem: Problem) -> Self:
        """Given up for good; its key is of no more use and is forgotten."""
        if not self.is_open:
            raise ValueError(f"no move from {self.step} to {Step.FAILED}")
        return replace(
            self,
            step=Step.FAILED,
            tries=self.tries + 1,
            next_try_at=None,
            problem=problem,
            key=None,
            csr=None,
            is_charged=False,
        )

    def wake(self, now: float, reason: Reason) -> Self:
        """To be tried now instead of at next_try_at, for this reason from now on."""
        return replace(self, tries=0, waits=0, pauses=0, next_try_at=now, reason=reason, passed_over=())


def new_issuance(name: str, reason: Reason, now: float) -> Issuance:
    """A fresh attempt for a domain. Its id, `{name}/{random}`, leads from a message to the record."""
    return Issuance(id=f"{name}/{secrets.token_hex(8)}", reason=reason, created_at=now)


def withdrawn_issuance(name: str, former: Issuance, now: float) -> Issuance:
    """In the place of a domain's last attempt when the domain is given up: an end, under an id of its own, so that no
    message and no lease for the former one counts any more."""
    return replace(new_issuance(name, former.reason, now), step=Step.FAILED, problem=Problem(ProblemType.WITHDRAWN))


def domain_of(issuance_id: str) -> str:
    """The name that an issuance is for."""
    return issuance_id.rpartition("/")[0]
