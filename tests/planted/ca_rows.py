"""Faults of a CA, and of our account there."""

import datetime as dt
import json
import time
from collections.abc import Callable

from issuer import presenters
from issuer.problem import Actor
from tests.planted.faults import Fault, GoesOn, Next
from tests.planted.fleet import Fleet
from tests.scripted.answers import problem
from tests.wire import FOR_GOOD, Answer
from tests.wire import Fault as AtCa

MANY = 200
SHORT_LIFE = dt.timedelta(seconds=60)
EAB = {"planted-kid": "bWFjLWtleS1vZi0zMi1ieXRlcy1mb3ItdGVzdHMtMTIz"}
NO_OWNER = ("your DNS", "CNAME")
NOBODY = (Actor.NOBODY,)


def refusing(status: int, type_: str, detail: str, **headers: str) -> Callable[[], Answer]:
    """An answer of the CA instead of what was asked for."""
    body = json.dumps(problem(type_, detail)).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: (status, {"Content-Type": "application/problem+json", **named}, body)


def _at_new_order(before: Callable[[], Answer]) -> Callable[[Fleet], str]:
    def plant(fleet: Fleet) -> str:
        fleet.ca.add(AtCa("/newOrder", FOR_GOOD, before=before))
        return fleet.requested()

    return plant


def _cleared(fleet: Fleet) -> None:
    fleet.ca.faults.clear()


def _validation_fails(error: dict[str, object]) -> Callable[[Fleet], str]:
    def plant(fleet: Fleet) -> str:
        fleet.ca.authorization_error = error
        return fleet.requested()

    return plant


def _validates(fleet: Fleet) -> None:
    fleet.ca.authorization_error = None


def _down(fleet: Fleet) -> str:
    fleet.ca.go_down()
    return fleet.requested()


def _never_done(fleet: Fleet) -> str:
    fleet.ca.keep_processing()
    return fleet.requested()


def _done(fleet: Fleet) -> None:
    fleet.ca.finish()


def _another_key(fleet: Fleet) -> str:
    fleet.ca.foreign_key = True
    return fleet.requested()


def _our_key(fleet: Fleet) -> None:
    fleet.ca.foreign_key = False


def _deactivated(fleet: Fleet) -> str:
    fleet.issued()
    fleet.ca.accounts.made[-1].status = "deactivated"
    return fleet.requested()


def _new_account(fleet: Fleet) -> None:
    fleet.cli("ca", "forget", fleet.ca.directory_url, "--yes")


def _wants_binding(fleet: Fleet) -> str:
    fleet.ca.eab_keys = dict(EAB)
    return fleet.requested()


def _bound(fleet: Fleet) -> None:
    [(kid, mac_key)] = EAB.items()
    ca = {"directory": fleet.ca.directory_url, "eab_key_id": kid, "eab_hmac_key": mac_key}
    fleet.restart(CAS=json.dumps([ca]))


def _many_renewals(fleet: Fleet) -> str:
    """The last one ends while the CA is away."""
    fleet.many = fleet.all_issued(MANY - 1)
    fleet.ca.not_before, fleet.ca.lifetime = dt.timedelta(0), SHORT_LIFE
    fleet.many.append(fleet.issued())
    fleet.ca.not_before, fleet.ca.lifetime = dt.timedelta(hours=-1), dt.timedelta(days=90)
    fleet.ca.add(AtCa("/newOrder", FOR_GOOD, before=refusing(503, "serverInternal", "Service busy; retry later.")))
    code, text = fleet.cli("renew", "--all", "--no-wait")
    assert code == 0, text
    return fleet.many[0]


def _wrong_of_many(fleet: Fleet) -> str:
    """All tell the same reason, in one ERROR line, and the certificate that has ended is no longer active."""
    *valid, ended = (presenters.status_body(record, time.time()) for record in fleet.services.store.records(fleet.many))
    silent = sum("Service busy" not in str(body.get("cause")) for body in valid)
    lines = sum("Service busy" in line for line in fleet.errors())
    if silent:
        return f"{silent} of {MANY} do not tell the reason"
    if ended["status"] != "expired":
        return f"a certificate that has ended reads {ended['status']}"
    return f"{lines} ERROR lines for one outage" if lines > MANY / 10 else ""


FAULTS = (
    Fault(
        "ca-down",
        "the CA is down",
        plant=_down,
        lift=lambda fleet: fleet.ca.come_back(),
        is_calm=True,
        code="ca-unavailable|ca-rests",
        actors=NOBODY,
        says=("refuses connections|ends connections", r"127\.0\.0\.1:\d+"),
        never=(*NO_OWNER, "ISSUER_"),
        doctor=r"ca.*refuses",
        degraded="ca",
        error_line="refuses connections|ends connections",
    ),
    Fault(
        "new-order-503",
        "newOrder 503, Retry-After 90",
        plant=_at_new_order(refusing(503, "serverInternal", "Service busy; retry later.", Retry_After="90")),
        lift=_cleared,
        is_calm=True,
        code="ca-unavailable|ca-rests",
        actors=NOBODY,
        says=("Service busy; retry later",),
        never=NO_OWNER,
        not_before=60,
        end_patience=100,
    ),
    Fault(
        "new-order-429",
        "newOrder 429, Retry-After 90",
        plant=_at_new_order(
            refusing(429, "rateLimited", "too many new orders (300) from this account", Retry_After="90")
        ),
        lift=_cleared,
        is_calm=True,
        code="rate-limited",
        actors=NOBODY,
        says=(r"too many new orders \(300\)", "limit"),
        never=NO_OWNER,
        not_before=60,
        end_patience=100,
    ),
    Fault(
        "rejected-name",
        "newOrder rejectedIdentifier",
        plant=_at_new_order(
            refusing(400, "rejectedIdentifier", "The ACME server refuses to issue: forbidden by policy")
        ),
        lift=_cleared,
        is_calm=True,
        code="ca-refused",
        actors=(Actor.OWNER, Actor.PLATFORM),
        words=("error",),
        says=("forbidden by policy", "no further attempt", "another name", "POST|retry"),
        next=Next.NONE,
        goes_on=GoesOn.ON_REQUEST,
    ),
    Fault(
        "caa-at-ca",
        "challenge `unauthorized` with a CAA subproblem",
        plant=_validation_fails(
            problem(
                "unauthorized",
                "During secondary validation: some checks failed",
                subproblems=[problem("caa", "CAA record for customer.example prevents issuance")],
            )
        ),
        lift=_validates,
        is_calm=True,
        code="caa",
        actors=(Actor.OWNER,),
        says=("CAA", "prevents issuance"),
        never=("log.?in", "CNAME"),
    ),
    Fault(
        "perspectives",
        "our look says yes, the CA says «connection refused»",
        plant=_validation_fails(
            problem("connection", "198.51.100.7: Fetching http://track.example/.well-known/…: Connection refused")
        ),
        lift=_validates,
        is_calm=True,
        code="ca-cannot-connect",
        says=("Connection refused", "port 80", "firewall", "geo|countr|region"),
        never=NO_OWNER,
    ),
    Fault(
        "never-done",
        "finalize `processing` for ever",
        plant=_never_done,
        lift=_done,
        is_calm=True,
        code="ca-slow|None",
        actors=(*NOBODY,),
        says=("order", r"since|\d{4}-\d\d-\d\d", "not finished|not yet finished"),
        never=NO_OWNER,
    ),
    Fault(
        "foreign-key",
        "the CA sends a certificate for another key",
        plant=_another_key,
        lift=_our_key,
        is_calm=True,
        code="bad-certificate",
        says=("key", r"http://127.0.0.1:\d+/directory"),
        never=NO_OWNER,
        error_line="key",
        goes_on=GoesOn.ON_REQUEST,
        request=lambda fleet, name: fleet.require_cli("ca", "allow", fleet.ca.directory_url, name),
    ),
    Fault(
        "account-deactivated",
        "our CA account was deactivated",
        plant=_deactivated,
        lift=_new_account,
        code="ca-account",
        says=("deactivated", r"http://127.0.0.1:\d+/directory", "issuer ca"),
        never=NO_OWNER,
        doctor="deactivated",
        degraded="ca-account",
        error_line="deactivated",
    ),
    Fault(
        "no-binding",
        "EAB missing",
        plant=_wants_binding,
        lift=_bound,
        code="ca-settings",
        says=("external account", "eab_key_id", "ISSUER_CAS"),
        never=NO_OWNER,
        doctor="eab|external account",
        degraded="ca-settings",
        error_line="external account",
    ),
    Fault(
        "many-renewals",
        "200 renewals, the CA answers 503 to all",
        plant=_many_renewals,
        lift=_cleared,
        code="ca-unavailable|ca-rests",
        actors=NOBODY,
        words=("active", "error", "processing"),
        also=_wrong_of_many,
        patience=100,
        says=("Service busy; retry later",),
        never=NO_OWNER,
        metric=r'issuer_domains_must_act\{must_act="nobody"\} (19\d|200)',
        error_line="Service busy",
    ),
)
