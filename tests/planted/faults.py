"""One row of the table: a fault, and what must be said of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from issuer.problem import Actor
from tests.planted.fleet import PROCESSES, Fleet


class Kind(StrEnum):
    """Where it is told first."""

    STATUS = "in the status of a name"
    REFUSAL = "in the answer to the POST, and later in its trace"
    UNAVAILABLE = "in a 503 to every call"
    FLEET = "by the doctor, as no name suffers"
    START = "by a process that does not start"


class Next(StrEnum):
    """What is said of the next attempt."""

    PLANNED = "a time in the future"
    NOT_PAST = "no time in the past"
    NONE = "no time"


class GoesOn(StrEnum):
    """Whether the name goes on within a minute of the fault's end."""

    BY_ITSELF = "by itself"
    ON_REQUEST = "on request"
    NO = "no"


def nothing(_: Fleet) -> None:
    """There is nothing to lift."""


def post_again(fleet: Fleet, name: str) -> None:
    """The request of a platform whose customer has mended something."""
    fleet.require_post(name)


@dataclass(frozen=True)
class Fault:
    """A fault, and what must be said of it within a minute.

    id: in one word or two. what: in words. plant: causes it, and returns the name that suffers; empty: none does. lift:
    ends it.
    kind: where it is told. http: the status of that answer. words: the status words that are right. code: a regular
    expression for the whole code. actors: who may be said to have to act. says, never: what must, and must not, stand
    in cause, detail and hint. next: of the next attempt; not_before: seconds before which it must not be.
    also: what else is wrong with what is told, in words; empty: nothing.
    event: what stands in the timeline, if not the first of `says`. is_shown: whether `issuer show` can tell it.
    doctor: a failed check, degraded: an entry of /readyz («503»: it is not ready), metric: a line of /metrics whose
    value is not 0, if not those of the code and the actor, error_line: a line of level ERROR; empty: none is asked for.
    All are regular expressions.
    goes_on: after the end; request: the request for it. patience: how many seconds it may take until all is told,
    end_patience: how many more than a minute until the name goes on.
    settings: of the fleet; processes: those that run before; is_tls: of the CA. is_calm: no process has to start or end
    for it, so it may be planted on a fleet that has seen other faults.
    """

    id: str
    what: str
    plant: Callable[[Fleet], str]
    lift: Callable[[Fleet], None] = nothing
    kind: Kind = Kind.STATUS
    http: int = 200
    words: tuple[str, ...] = ("error", "processing")
    code: str = ".*"
    actors: tuple[Actor, ...] = (Actor.PLATFORM,)
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    next: Next = Next.PLANNED
    not_before: float | None = None
    also: Callable[[Fleet], str] = lambda _: ""
    event: str = ""
    is_shown: bool = True
    doctor: str = ""
    degraded: str = ""
    metric: str = ""
    error_line: str = ""
    goes_on: GoesOn = GoesOn.BY_ITSELF
    request: Callable[[Fleet, str], None] = post_again
    patience: float = 60
    end_patience: float = 0
    settings: dict[str, object] = field(default_factory=dict)
    processes: tuple[str, ...] = PROCESSES
    is_tls: bool = False
    is_calm: bool = False
