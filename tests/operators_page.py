"""A platform with all kinds of domains and faults for the operators' page. What comes from outside has markup in it."""

from dataclasses import dataclass, field, replace

from flask import Flask

from issuer.actions import operators, withdraw
from issuer.domain import DAY_SECONDS, Account, Plan, Reason, Record, new_issuance
from issuer.ports import CaLimits, CaPolicy, Check, CheckResult, Consumer, Diagnosis, Services
from issuer.problem import Actor, Problem, ProblemType
from tests.api_client import issued, worked
from tests.fakes import ACCOUNT, opened
from tests.writes import open_issuance
from web.app import create_app

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'&amp;{{7*7}}"
"""What must be shown as it is, and never run."""
SHOWN = "<script>alert(1)</script>"
OWNERS, OURS, STUCK, ENDING, DELETED = (
    f"{name}.customer.example" for name in ("missing-cname", "refused", "waits", "ends-soon", "withdrawn")
)
FINE = [f"shop-{number:02}.customer.example" for number in range(8)]
LONG = f"a{'-long' * 12}.{'very-' * 12}x.{'deep-' * 12}x.customer.example"
HINT = "create the record missing-cname.customer.example CNAME edge.platform.example"
WAITING = Problem(ProblemType.CA_UNAVAILABLE, f"connection refused {MARKUP}", cause=f"ca.example refuses {MARKUP}")


@dataclass(frozen=True)
class Platform:
    """key: of the operator anna. app: one for all tests, as it compiles the templates."""

    services: Services
    key: str
    app: Flask = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "app", create_app(self.services))


def populated(services: Services) -> Platform:
    """A key, and domains of which some need somebody."""
    for account in (ACCOUNT.id, "bob"):
        services.store.create_account(Account(account, Plan.HTTPS, "0" * 64, services.clock(), token="t"))
    for name in FINE:
        issued(services, name)
    now = services.clock()
    services.cas[0].policy = CaPolicy(limits=CaLimits(new_orders=(300, 3 * 3600)))
    _fails(
        services,
        OWNERS,
        Problem(ProblemType.INVALID_CNAME, "NXDOMAIN", cause="there is no record", hint=HINT),
        now + 3600,
    )
    refused = Problem(ProblemType.CA_REFUSED, MARKUP, cause=f"the CA refuses the name: {MARKUP}", hint="use another CA")
    opened(services, OURS, account="bob")
    worked(services, lambda issuance: issuance.fail(refused), OURS)
    for name in (STUCK, LONG):
        _fails(services, name, WAITING, now + 240)
    opened(services, DELETED, account="bob")
    withdraw.withdraw(services, None, DELETED)
    _ending(services, now)
    consumers = {"worker@host": ("interactive", "housekeeping"), "renewals@host": ("bulk", "renewal", "lookup")}
    services.board.heartbeats(now)
    services.board.beat(now)
    for name, queues in consumers.items():
        services.board.consumes(Consumer(name, queues, now, now, in_hand=1, slots=4), {"reconcile": now})
    fault = Check(
        "port-80", CheckResult.FAILED, f"edge.platform.example answers 404 {MARKUP}", "edge.platform.example",
        hint="send /.well-known/acme-challenge/ on port 80 to web", since=now - 5400,
    )  # fmt: skip
    services.faults.begin(fault)
    fine = Check("redis", CheckResult.OK, "Redis 7.0 keeps its data on disk", "records")
    unknown = Check("caa", CheckResult.UNKNOWN, "CAA cannot be read", MARKUP, hint="ask again", must_act=Actor.NOBODY)
    services.faults.keep_diagnosis(Diagnosis(now - 600, (fine, fault, unknown)))
    return Platform(services, operators.create_key(services, "anna"))


def _fails(services: Services, name: str, problem: Problem, at: float) -> None:
    opened(services, name)
    worked(services, lambda issuance: issuance.retry(problem, at), name)


def _ending(services: Services, now: float) -> Record:
    """A domain whose certificate ends in two days, and whose renewal fails."""
    record = issued(services, ENDING)
    certificate = record.domain.certificate
    ends = {"not_after": now + 2 * DAY_SECONDS}
    domain = record.with_domain(certificate=replace(certificate, **ends)).domain
    again = new_issuance(ENDING, Reason.RENEWAL, now)
    open_issuance(services.store, domain, again, version=record.version, requeue_at=now)
    return worked(services, lambda issuance: issuance.retry(WAITING, now + 900), ENDING)
