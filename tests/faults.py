"""Faults and limits of a fake CA: failures, few requests, a suggested renewal window."""

from collections.abc import Callable

from issuer.domain import RenewalWindow
from issuer.ports import CaLimits, CaPolicy, RenewalInfo
from tests.fakes import FakeCa


def fails(problem: Exception, *methods: str) -> Callable[[str], None]:
    """A `before` or `after` that raises at these methods; without any, at all of them."""

    def fail(called: str) -> None:
        if called in methods or not methods:
            raise problem

    return fail


def succeeds(_: str) -> None:
    """A `before` or `after` that lets every call succeed."""


def called_from_now_on(ca: FakeCa) -> list[float]:
    """The times of all further calls of the CA; looks whether it can be reached do not count."""
    times, before = [], ca.before

    def call(method: str) -> None:
        if method != "is_reachable":
            times.append(ca.clock())
        before(method)

    ca.before = call
    return times


def limited(ca: FakeCa, **limits: object) -> FakeCa:
    """The same CA with these limits."""
    ca.policy = CaPolicy(limits=CaLimits(**limits))
    return ca


def window(start: float, end: float, again: float | None = None, why: str = "") -> Callable[[str], RenewalInfo]:
    """A CA's renewal info for every certificate."""
    return lambda certificate_id: RenewalInfo(RenewalWindow(certificate_id, start, end, why), again)
