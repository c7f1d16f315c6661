"""An issuance: one attempt to get a certificate, its steps and its legal moves."""

import secrets
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from issuer.domain.indexes import Due
from issuer.problem import Problem, ProblemType


class Step(StrEnum):
    """Where an issuance stands. The first four are also the names of tasks, functions and log fields."""

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
"""The steps that may follow each step. It goes back to `order` if the order is lost, or if another CA is used."""

WITHOUT_ORDER: dict[str, Any] = {
    "step": Step.ORDER,
    "ca": None,
    "order_url": None,
    "finalize_url": None,
    "authorization_urls": (),
    "is_charged": False,
    "is_answered": False,
    "ordered_at": None,
    "was_finalized": False,
    "answered_at": None,
    "waiting_since": None,
    "certificate_url": None,
    "waits": 0,
}
"""The fields that belong to an order, with their values before there is an order."""


@dataclass(frozen=True, slots=True)
class Issuance:
    """One attempt to get a certificate.

    is_bulk: its account has recently started many issuances.
    request_id: of the HTTP request that has started it, for the lines of its steps in the log.
    ca: the directory URL of the selected CA.
    passed_over: the CAs that have failed since the last try.
    failover_problem: of the problems at these CAs the one that may pass soonest.
    refused_by: the CAs that have refused the domain; they are not asked again.
    key: the private key, encrypted; saved before the CA gets any request.
    csr: PEM; saved before the CA gets any request.
    is_charged: its order has been counted against the CA's rate limits.
    order_url, finalize_url, authorization_urls, certificate_url: of the order (RFC 8555 §7.1.3).
    ordered_at: when the order was placed.
    was_finalized: the CA has not taken the CSR, so the order may be one that another issuance has finalized.
    is_answered: the CA has been told to validate the challenges (RFC 8555 §7.5.1).
    answered_at: when it was told last, or needed no telling.
    waiting_since: since when the step waits for the CA.
    tries: failed tries of this issuance.
    waits: how often in a row the CA was polled and was not ready.
    pauses: how often in a row it was put off by a problem that does not count as a try.
    next_try_at: when it may be tried next; None if it is due now.
    problem: the last problem.
    extra: members that a newer release has written.
    """

    id: str
    reason: Reason
    created_at: float
    step: Step = Step.ORDER
    is_bulk: bool = False
    request_id: str = ""
    ca: str | None = None
    passed_over: tuple[str, ...] = ()
    failover_problem: Problem | None = None
    refused_by: tuple[str, ...] = ()
    key: str | None = field(default=None, repr=False)
    csr: str | None = None
    is_charged: bool = False
    order_url: str | None = None
    finalize_url: str | None = None
    authorization_urls: tuple[str, ...] = ()
    ordered_at: float | None = None
    was_finalized: bool = False
    is_answered: bool = False
    answered_at: float | None = None
    waiting_since: float | None = None
    certificate_url: str | None = None
    tries: int = 0
    waits: int = 0
    pauses: int = 0
    next_try_at: float | None = None
    problem: Problem | None = None
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether there is a step to run."""
        return self.step in CHAIN

    @property
    def due_at(self) -> float:
        """When it may be tried next, or about since when it may be."""
        return self.created_at if self.next_try_at is None else self.next_try_at

    @property
    def queue(self) -> Due:
        """Its queue, which is also its due index while it is open: it depends on whether somebody is waiting."""
        if self.reason is Reason.RENEWAL:
            return Due.OPEN_RENEWAL
        return Due.OPEN_BULK if self.is_bulk else Due.OPEN_INTERACTIVE

    def advance(self, step: Step, **results: Any) -> Self:
        """The issuance at the next step, due now. results: the fields that the last step has set. Raises ValueError
        for an illegal move."""
        if step not in MOVES[self.step]:
            raise ValueError(f"no move from {self.step} to {step}")
        former: dict[str, Any] = {"waits": 0, "pauses": 0, "next_try_at": None, "problem": None, "waiting_since": None}
        return replace(self, **former | {"step": step} | results)

    def wait(self, until: float, **results: Any) -> Self:
        """The issuance at the same step, due at `until`, as the CA is not ready. results: what the step has found."""
        return replace(self, waits=self.waits + 1, pauses=0, next_try_at=until, **results)

    def retry(self, problem: Problem, at: float) -> Self:
        """The issuance after a temporary problem, due at `at`: at the same step, or with a new order if the problem
        drops the order. Raises ValueError if the issuance is closed."""
        if not self.is_open:
            raise ValueError(f"no move from {self.step} to a new try")
        retried = replace(
            self,
            tries=self.tries + problem.is_counted,
            waits=0 if problem.is_counted else self.waits,
            pauses=0 if problem.is_counted else self.pauses + 1,
            next_try_at=at,
            problem=problem,
            is_answered=False,
            waiting_since=None,
            passed_over=(),
            failover_problem=None,
        )
        if problem.drops_order:
            return replace(retried, **WITHOUT_ORDER, key=None, csr=None)
        return replace(retried, ca=None, is_charged=False) if self.order_url is None else retried

    def bring_forward(self, now: float) -> Self:
        """The issuance due now, as what it waits for has come. Its last try failed for want of that, and is taken
        back."""
        is_counted = self.problem is not None and self.problem.is_counted
        return replace(self, tries=max(self.tries - is_counted, 0), pauses=0, next_try_at=now)

    def failover(self, problem: Problem, now: float) -> Self:
        """The issuance after its CA has failed: due now, with a new order at another CA. Raises ValueError if it is
        closed or has no CA."""
        if not self.is_open or self.ca is None:
            raise ValueError(f"no move from {self.step} to another CA")
        passed_over = (*self.passed_over, self.ca)
        return replace(
            self,
            **WITHOUT_ORDER,
            pauses=0,
            next_try_at=now,
            problem=problem,
            failover_problem=problem,
            passed_over=passed_over,
        )

    def refused(self, ca: str) -> Self:
        """The issuance after a CA has refused the domain: it does not ask this CA again."""
        return self if ca in self.refused_by else replace(self, refused_by=(*self.refused_by, ca))

    def fail(self, problem: Problem) -> Self:
        """The issuance after a permanent problem: closed and without its key. Raises ValueError if it was closed
        before."""
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
        """The issuance due now instead of at next_try_at, with another reason, and with its counters reset."""
        former: dict[str, Any] = {"passed_over": (), "failover_problem": None, "refused_by": ()}
        return replace(self, tries=0, waits=0, pauses=0, next_try_at=now, reason=reason, **former)


def new_issuance(name: str, reason: Reason, now: float) -> Issuance:
    """A new issuance for a domain. Its id, `{name}/{random}`, leads from a message to the record."""
    return Issuance(id=f"{name}/{secrets.token_hex(8)}", reason=reason, created_at=now)


def withdrawn_issuance(name: str, former: Issuance, now: float) -> Issuance:
    """A closed issuance that replaces a domain's last issuance when the domain is withdrawn. It has an id of its own,
    so that messages and leases for the former issuance no longer count."""
    return replace(new_issuance(name, former.reason, now), step=Step.FAILED, problem=Problem(ProblemType.WITHDRAWN))


def lost_issuance(name: str, now: float) -> Issuance:
    """A closed issuance in place of one that cannot be read, with an id of its own for the same reason."""
    problem = Problem(ProblemType.DAMAGED_RECORD, hint="request a new certificate")
    return replace(new_issuance(name, Reason.MANUAL, now), step=Step.FAILED, problem=problem)


def domain_of(issuance_id: str) -> str:
    """The domain's name, from the id of an issuance."""
    return issuance_id.rpartition("/")[0]
