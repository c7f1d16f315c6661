"""What a test tells a fake CA: to fail, to allow little, to say when it wants certificates to be renewed."""

from collections.abc import Callable

from issuer.domain import RenewalWindow
from issuer.ports import CaLimits, CaPolicy, RenewalInfo
from tests.fakes import FakeCa


def fails(problem: Exception, *methods: str) -> Callable[[str], None]:
    """A `before` or `after` that raises at these methods, or at all."""

    def fail(called: str) -> None:
        if called in methods or not methods:
            raise problem

    return fail


def works(_: str) -> None:
    """A `before` or `after` that lets everything through."""


def called_from_now_on(ca: FakeCa) -> list[float]:
    """When the CA is asked for anything, from now on."""
    times, before = [], ca.before

    def call(method: str) -> None:
        times.append(ca.clock())
        before(method)

    ca.before = call
    return times


def limited(ca: FakeCa, **limits: object) -> FakeCa:
    """The same CA, used within these limits."""
    ca.policy = CaPolicy(limits=CaLimits(**limits))
    return ca


def window(start: float, end: float, again: float | None = None, why: str = "") -> Callable[[str], RenewalInfo]:
    """What a CA says about every certificate."""
    return lambda certificate_id: RenewalInfo(RenewalWindow(certificate_id, start, end, why), again)
