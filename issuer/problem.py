"""What can go wrong, in one type and one table.

Exceptions of libraries become a `Problem` inside `ca`, `store`, `dns`, `challenges` and `edge`; HTTP status codes exist
only in `web.errors`. A Problem carries plain strings and numbers, so it survives a message, a log line and a record.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self, TypedDict, Unpack


class ProblemType(StrEnum):
    """The stable machine word of a problem: `code` in an answer, `problem` in a log line."""

    INVALID_NAME = "invalid-name"
    INVALID_CNAME = "invalid-cname"
    PLAN = "plan"
    NOT_FOUND = "not-found"
    NOT_INITIATED = "not-initiated"
    ALREADY_INITIATED = "already-initiated"
    INVALID_REQUEST = "invalid-request"
    UNAUTHORIZED = "unauthorized"
    ACCOUNT_EXISTS = "account-exists"
    DNS_UNKNOWN = "dns-unknown"
    RESOLVER_UNAVAILABLE = "resolver-unavailable"
    TARGET_DNS = "target-dns"
    VALIDATION_FAILED = "validation-failed"
    EDGE_UNREACHABLE = "edge-unreachable"
    CA_CANNOT_CONNECT = "ca-cannot-connect"
    CAA = "caa"
    RATE_LIMITED = "rate-limited"
    CA_UNAVAILABLE = "ca-unavailable"
    CA_SLOW = "ca-slow"
    CA_RESTS = "ca-rests"
    CA_MISUNDERSTOOD = "ca-misunderstood"
    PACED = "paced"
    OVER_BUDGET = "over-budget"
    CA_REFUSED = "ca-refused"
    CA_ACCOUNT = "ca-account"
    CA_SETTINGS = "ca-settings"
    ORDER_LOST = "order-lost"
    NO_RENEWAL_INFO = "no-renewal-info"
    BAD_CERTIFICATE = "bad-certificate"
    STORE_UNAVAILABLE = "store-unavailable"
    UNSAFE_STORE = "unsafe-store"
    DAMAGED_RECORD = "damaged-record"
    FOREIGN_STORE = "foreign-store"
    UNDECRYPTABLE = "undecryptable"
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"
    NOT_WORKED_ON = "not-worked-on"
    QUEUED = "queued"
    BUSY = "busy"
    WITHDRAWN = "withdrawn"


class Actor(StrEnum):
    """Who must act before a problem ends: `must_act` in an answer."""

    OWNER = "owner"  # of the domain
    PLATFORM = "platform"  # whose customer that is, or its operators
    NOBODY = "nobody"  # it passes by itself


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows from a problem's type.

    message: the short sentence that its reader sees first. actor: who must act. is_permanent: ends the issuance at
    once. drops_order: the CA's order is of no more use, the next try starts over with a new order and a new key.
    is_counted: counts as a failed try of the issuance. first_retry_seconds: how long to wait before the first retry.
    stored_as: for a type that release 0.1 does not know, the one that it reads instead, as it may run beside this one.
    """

    message: str
    actor: Actor
    is_permanent: bool = False
    drops_order: bool = False
    is_counted: bool = True
    first_retry_seconds: float = 60
    stored_as: ProblemType | None = None


OWNER, PLATFORM, NOBODY = Actor
ACTORS = tuple(Actor)
TYPES = tuple(ProblemType)
TABLE: dict[ProblemType, Rule] = {
    ProblemType.INVALID_NAME: Rule("no certificate can be had for this name", OWNER, is_permanent=True),
    ProblemType.INVALID_CNAME: Rule("invalid CNAME record", OWNER),
    ProblemType.PLAN: Rule("upgrade your account to enable this feature", PLATFORM, is_permanent=True),
    ProblemType.NOT_FOUND: Rule("domain not found", PLATFORM, is_permanent=True),
    ProblemType.NOT_INITIATED: Rule("x509 key pair generation has not been initiated", PLATFORM, is_permanent=True),
    ProblemType.ALREADY_INITIATED: Rule(
        "x509 key pair generation has already been initiated", NOBODY, is_permanent=True
    ),
    ProblemType.INVALID_REQUEST: Rule("the request cannot be understood", PLATFORM, is_permanent=True),
    ProblemType.UNAUTHORIZED: Rule("this call needs a valid API key", PLATFORM, is_permanent=True),
    ProblemType.ACCOUNT_EXISTS: Rule("an account of this name already exists", PLATFORM, is_permanent=True),
    ProblemType.DNS_UNKNOWN: Rule("the DNS of the domain did not answer clearly", OWNER),
    ProblemType.RESOLVER_UNAVAILABLE: Rule(
        "the platform's DNS servers do not answer", PLATFORM, is_counted=False, stored_as=ProblemType.DNS_UNKNOWN
    ),
    ProblemType.TARGET_DNS: Rule(
        "the platform's own host name does not work in DNS",
        PLATFORM,
        is_counted=False,
        stored_as=ProblemType.DNS_UNKNOWN,
    ),
    ProblemType.VALIDATION_FAILED: Rule("the CA could not validate the domain", OWNER, drops_order=True),
    ProblemType.EDGE_UNREACHABLE: Rule(
        "the platform does not answer the CA's requests on port 80",
        PLATFORM,
        drops_order=True,
        is_counted=False,
        stored_as=ProblemType.VALIDATION_FAILED,
    ),
    ProblemType.CA_CANNOT_CONNECT: Rule(
        "the CA cannot reach port 80 of the platform",
        PLATFORM,
        drops_order=True,
        is_counted=False,
        first_retry_seconds=1200,
        stored_as=ProblemType.VALIDATION_FAILED,
    ),
    ProblemType.CAA: Rule(
        "a CAA record forbids the CA to issue for the domain", OWNER, drops_order=True, first_retry_seconds=600
    ),
    ProblemType.RATE_LIMITED: Rule("a rate limit of the CA has been reached", NOBODY),
    ProblemType.CA_UNAVAILABLE: Rule("the CA is unavailable or does not answer as it should", NOBODY),
    ProblemType.CA_SLOW: Rule("the CA has not finished its work yet", NOBODY),
    ProblemType.CA_RESTS: Rule(
        "the CA has failed several times and is not asked for a while", NOBODY, is_counted=False, first_retry_seconds=10
    ),
    ProblemType.CA_MISUNDERSTOOD: Rule("the CA does not accept the request", PLATFORM),
    ProblemType.PACED: Rule(
        "requests to the CA are paced, as it allows only so many", NOBODY, is_counted=False, first_retry_seconds=1
    ),
    ProblemType.OVER_BUDGET: Rule("the rate limits of the CA leave no room yet", NOBODY, is_counted=False),
    ProblemType.CA_REFUSED: Rule("the CA refuses to issue for the domain", PLATFORM, is_permanent=True),
    ProblemType.CA_ACCOUNT: Rule("the platform's account at the CA needs attention", PLATFORM, is_counted=False),
    ProblemType.CA_SETTINGS: Rule(
        "the platform's settings for the CA are wrong", PLATFORM, is_counted=False, stored_as=ProblemType.CA_ACCOUNT
    ),
    ProblemType.ORDER_LOST: Rule("the CA no longer has the order", NOBODY, drops_order=True),
    ProblemType.NO_RENEWAL_INFO: Rule("the CA does not say when to renew the certificate", NOBODY),
    ProblemType.BAD_CERTIFICATE: Rule(
        "the CA sent another certificate than was requested",
        PLATFORM,
        drops_order=True,
        is_counted=False,
        first_retry_seconds=600,
    ),
    ProblemType.STORE_UNAVAILABLE: Rule("the service is temporarily unavailable", PLATFORM),
    ProblemType.UNSAFE_STORE: Rule("the configuration of Redis would lose data", PLATFORM),
    ProblemType.FOREIGN_STORE: Rule("the store is not the one that was used before", PLATFORM, is_counted=False),
    ProblemType.DAMAGED_RECORD: Rule("the stored record of the domain cannot be read", PLATFORM),
    ProblemType.UNDECRYPTABLE: Rule(
        "a stored key cannot be decrypted with the configured encryption keys", PLATFORM, is_counted=False
    ),
    ProblemType.INTERRUPTED: Rule("the step took too long and was interrupted", NOBODY),
    ProblemType.BUSY: Rule("another worker is processing the domain", NOBODY, is_counted=False, first_retry_seconds=1),
    ProblemType.WITHDRAWN: Rule("the domain has been withdrawn by its account", NOBODY, is_permanent=True),
    ProblemType.CRASHED: Rule("the step has crashed its worker several times", PLATFORM, is_permanent=True),
    ProblemType.NOT_WORKED_ON: Rule(
        "no process of the platform works on it", PLATFORM, is_counted=False, stored_as=ProblemType.BUSY
    ),
    ProblemType.QUEUED: Rule("it waits for its turn", NOBODY, is_counted=False, stored_as=ProblemType.BUSY),
}


MEMBERS = ("type", "code", "cause", "detail", "message", "hint", "retry_at", "must_act")
"""Of a stored problem."""


class Told(TypedDict, total=False):
    """Members of `Problem` that depend on where it is told."""

    cause: str
    hint: str
    actor: Actor
    retry_at: float | None


class Problem(Exception):  # noqa: N818 - RFC 8555's word for it
    """Something that went wrong, in words its reader can act on.

    message: the short sentence; the table's when not given. cause: one sentence that says what was found; the message
    when not given. detail: the raw facts: records, addresses, the CA's words. hint: what the one who must act can do.
    retry_at: epoch seconds before which asking again is of no use, or None. actor: who must act before it ends; the
    table's when not given. extra: members of a stored one that a newer release has written.

    Three members are not stored, and only matter while a step's result is decided on. is_of_one_order: it may concern
    one order alone, so it does not yet say that its CA serves nobody. leaves_ca: the CA will not finish the order, so
    the next CA is asked, whatever the type and the step. is_of_http: the CA has validated the domain over HTTP, and got
    no right answer.
    """

    def __init__(
        self,
        type_: ProblemType,
        detail: str = "",
        *,
        message: str = "",
        cause: str = "",
        hint: str = "",
        retry_at: float | None = None,
        actor: Actor | None = None,
        extra: tuple[tuple[str, Any], ...] = (),
        is_of_one_order: bool = False,
        leaves_ca: bool = False,
        is_of_http: bool = False,
    ) -> None:
        super().__init__(type_, detail)
        self.type = type_
        self.detail = detail
        self.message = message or TABLE[type_].message
        self.cause = cause or self.message
        self.hint = hint
        self.retry_at = retry_at
        self.actor = actor or TABLE[type_].actor
        self.extra = extra
        self.is_of_one_order = is_of_one_order
        self.leaves_ca = leaves_ca
        self.is_of_http = is_of_http

    def __str__(self) -> str:
        """The whole story in one line: message, cause, detail, hint; none of them twice."""
        parts: list[str] = []
        for part in (self.message, self.cause, self.detail):
            parts += [] if any(part in former for former in parts) else [part]
        line = ": ".join(filter(None, parts))
        return f"{line} ({self.hint})" if self.hint else line

    @property
    def is_permanent(self) -> bool:
        """True when no retry can help."""
        return TABLE[self.type].is_permanent

    @property
    def is_counted(self) -> bool:
        """True when it counts as a failed try. What is usually the owner's and turns out to be the platform's does not:
        no fault of ours ends an issuance."""
        rule = TABLE[self.type]
        return rule.is_counted and not (rule.actor is OWNER and self.actor is PLATFORM)

    @property
    def first_retry_seconds(self) -> float:
        """How long to wait before the first retry; later ones wait longer."""
        return TABLE[self.type].first_retry_seconds

    @property
    def drops_order(self) -> bool:
        """True when the next try needs a new order."""
        return TABLE[self.type].drops_order

    def put_off(self, until: float) -> Self:
        """The same problem, with another time before which asking again is of no use."""
        return self.changed(retry_at=until)

    def changed(self, **members: Unpack[Told]) -> Self:
        """The same problem with some other members."""
        other = type(self).__new__(type(self), *self.args)  # subclasses have an `__init__` of their own
        vars(other).update(vars(self) | members)
        return other

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, for the record."""
        rule = TABLE[self.type]
        found = {} if self.actor is rule.actor else {"must_act": self.actor.value}
        if self.cause != self.message:
            found["cause"] = self.cause
        if rule.stored_as:
            found["code"] = self.type.value
        return {
            **dict(self.extra),
            **found,
            "type": (rule.stored_as or self.type).value,
            "detail": self.detail,
            "message": self.message,
            "hint": self.hint,
            "retry_at": self.retry_at,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        is_known = values.get("code") in TYPES
        members = MEMBERS if is_known else set(MEMBERS) - {"code"}
        return cls(
            ProblemType(values["code"] if is_known else values["type"]),
            values["detail"],
            message=values["message"],
            cause=values.get("cause") or "",
            hint=values["hint"],
            retry_at=values["retry_at"],
            actor=Actor(values["must_act"]) if values.get("must_act") in ACTORS else None,
            extra=tuple((name, value) for name, value in values.items() if name not in members),
        )
