"""Faults of the platform's own processes, keys and Redis servers."""

import datetime as dt

from issuer.keys import new_encryption_key
from issuer.sandbox import free_port
from tests.planted.faults import Fault, GoesOn, Kind, Next
from tests.planted.fleet import PROCESSES, Fleet
from tests.wire import Answer
from tests.wire import Fault as AtCa

OTHER_KEY = new_encryption_key()
SHORT_LIFE = dt.timedelta(seconds=60)
SILENT_EDGE = f"127.0.0.1:{free_port()}"
OVERDUE = 90.0
"""An attempt must be overdue by a minute before anybody says so."""
LOST = 30
"""A message that was lost while Redis was away is replaced a minute after the attempt that it was for was due."""
NO_OWNER = (r"your DNS", r"CNAME", r"customer")


def _no_renewals(fleet: Fleet) -> str:
    """A certificate that ends while its renewal waits."""
    fleet.ca.not_before, fleet.ca.lifetime = dt.timedelta(0), SHORT_LIFE
    name = fleet.active()
    fleet.ca.not_before, fleet.ca.lifetime = dt.timedelta(hours=-1), dt.timedelta(days=90)
    return name


def _retry_is_due(fleet: Fleet, *stopped: str) -> str:
    """A name whose next attempt is due, and whose message has been used up."""
    fleet.ca.add(AtCa("/newOrder", 1, before=_busy))
    name = fleet.requested()
    fleet.await_problem(name)
    fleet.stop(*stopped)
    fleet.bring_forward(name)
    return name


def _busy() -> Answer:
    return 503, {"Retry-After": "90"}, b"{}"


def _no_beat(fleet: Fleet) -> str:
    return _retry_is_due(fleet, "beat")


def _no_housekeeping(fleet: Fleet) -> str:
    name = _retry_is_due(fleet, "worker")
    fleet.start_consumer("worker", "interactive")
    return name


def _other_broker(fleet: Fleet) -> str:
    fleet.start("worker", BROKER_URL=fleet.settings.celery_broker_url[:-1] + "7")
    return fleet.requested()


def _right_broker(fleet: Fleet) -> None:
    fleet.restart("worker")


def _no_broker(fleet: Fleet) -> str:
    fleet.broker_server().stop()
    return fleet.requested()


def _broker_back(fleet: Fleet) -> None:
    fleet.brokers.redis(port=fleet.port_of(fleet.settings.celery_broker_url))


def _no_keys(fleet: Fleet) -> str:
    fleet.output = fleet.refused("worker", ENCRYPTION_KEYS="")
    return ""


def _wrong_key(fleet: Fleet) -> str:
    """A worker with another key was there before anything was encrypted; then the account at the CA was made."""
    fleet.start("worker", ENCRYPTION_KEYS=OTHER_KEY)
    fleet.await_consumer("worker")
    fleet.issued()
    return fleet.requested()


def _all_keys_changed(fleet: Fleet) -> str:
    """`web` starts while it cannot look, as its Redis is down; then no other process starts."""
    name = fleet.issued()
    fleet.stop()
    fleet.redis_server().stop()
    fleet.start("web", ENCRYPTION_KEYS=OTHER_KEY)
    _redis_back(fleet)
    fleet.output = fleet.refused("worker", ENCRYPTION_KEYS=OTHER_KEY)
    return name


def _keys_back(fleet: Fleet) -> None:
    fleet.stop()
    fleet.start()


def _redis_down(fleet: Fleet) -> str:
    """With an attempt under way, which goes on when Redis is back."""
    name = _held_attempt(fleet)
    fleet.redis_server().stop()
    return name


def _held_attempt(fleet: Fleet) -> str:
    fleet.ca.keep_processing()
    name = fleet.requested()
    fleet.await_order(name)
    return name


def _redis_back(fleet: Fleet) -> None:
    fleet.sandbox.redis(port=fleet.port_of(fleet.redis_url))
    fleet.ca.finish()


def _read_only(fleet: Fleet) -> str:
    name = _held_attempt(fleet)
    with fleet.admin() as admin:
        admin.replicaof("127.0.0.1", "1")
    return name


def _writable(fleet: Fleet) -> None:
    with fleet.admin() as admin:
        admin.replicaof("no", "one")
    fleet.ca.finish()


FAULTS = (
    Fault(
        "no-worker",
        "no process `worker` runs",
        plant=Fleet.requested,
        lift=lambda fleet: fleet.start("worker"),
        processes=("web", "renewals", "beat"),
        words=("error",),
        code="not-worked-on",
        says=("interactive", "worker", r"since|ago"),
        never=NO_OWNER,
        next=Next.NOT_PAST,
        event=".",
        doctor='"queue.*interactive',
        degraded="interactive",
        metric='issuer_degraded.*"interactive"',
        error_line="interactive",
        patience=OVERDUE,
    ),
    Fault(
        "no-renewals",
        "no process `renewals` runs, a renewal is due",
        plant=_no_renewals,
        lift=lambda fleet: fleet.start("renewals"),
        processes=("web", "worker", "beat"),
        words=("expired",),
        code="not-worked-on",
        says=("renewal", "renewals", r"since|ago"),
        never=NO_OWNER,
        next=Next.NOT_PAST,
        event=".",
        doctor='"queue.*renewal',
        degraded="renewal",
        metric='issuer_degraded.*"renewal"',
        error_line="renewal",
        patience=OVERDUE + 60,
    ),
    Fault(
        "no-beat",
        "beat is not running, a retry is due",
        plant=_no_beat,
        lift=lambda fleet: fleet.start("beat"),
        words=("error",),
        code="not-worked-on",
        says=("beat", r"since|ago"),
        never=NO_OWNER,
        next=Next.NOT_PAST,
        event=".",
        doctor="beat",
        degraded="beat",
        metric='issuer_degraded.*"beat"',
        error_line="beat",
        patience=OVERDUE,
    ),
    Fault(
        "no-housekeeping",
        "`worker` without queue `housekeeping`",
        plant=_no_housekeeping,
        lift=lambda fleet: fleet.restart("worker"),
        words=("error",),
        code="not-worked-on",
        says=("housekeeping", "worker"),
        never=NO_OWNER,
        next=Next.NOT_PAST,
        event=".",
        doctor="housekeeping",
        degraded="housekeeping",
        metric='issuer_degraded.*"housekeeping"',
        error_line="housekeeping",
        patience=OVERDUE,
    ),
    Fault(
        "other-broker",
        "a worker with another `ISSUER_BROKER_URL`",
        plant=_other_broker,
        lift=_right_broker,
        processes=("web", "renewals", "beat"),
        words=("error",),
        code="not-worked-on",
        says=("interactive", "ISSUER_BROKER_URL"),
        never=NO_OWNER,
        next=Next.NOT_PAST,
        event=".",
        doctor="interactive.*ISSUER_BROKER_URL",
        degraded="ISSUER_BROKER_URL",
        metric='issuer_degraded.*"interactive"',
        error_line="interactive",
        patience=OVERDUE,
    ),
    Fault(
        "broker-down",
        "the broker alone is down",
        plant=_no_broker,
        lift=_broker_back,
        words=("error",),
        code="not-worked-on|broker-unavailable",
        says=("broker|messages", r"since|ago"),
        never=NO_OWNER,
        next=Next.NOT_PAST,
        event=".",
        doctor="broker|messages",
        degraded="broker",
        metric='issuer_degraded.*"broker"',
        error_line="broker",
        patience=OVERDUE,
    ),
    Fault(
        "no-keys",
        "`ISSUER_ENCRYPTION_KEYS` missing",
        plant=_no_keys,
        kind=Kind.START,
        processes=(),
        says=("ISSUER_ENCRYPTION_KEYS", "new-encryption-key", "keep|kept"),
        goes_on=GoesOn.NO,
    ),
    Fault(
        "wrong-key",
        "a wrong key, new names come",
        plant=_wrong_key,
        lift=lambda fleet: fleet.restart("worker"),
        processes=("web", "renewals", "beat"),
        code="undecryptable",
        says=("key", r"http://127.0.0.1:\d+/directory", "ISSUER_ENCRYPTION_KEYS"),
        never=NO_OWNER,
        error_line="ISSUER_ENCRYPTION_KEYS",
        degraded="undecryptable",
    ),
    Fault(
        "all-keys-changed",
        "all keys changed, names active, restart",
        plant=_all_keys_changed,
        lift=_keys_back,
        kind=Kind.START,
        says=("ISSUER_ENCRYPTION_KEYS", r"account at http://127.0.0.1:\d+/directory"),
        degraded="503",
    ),
    Fault(
        "redis-down",
        "Redis is down",
        plant=_redis_down,
        lift=_redis_back,
        kind=Kind.UNAVAILABLE,
        http=503,
        code="store-unavailable",
        says=(r"127\.0\.0\.1:\d+", "cannot be reached"),
        end_patience=LOST,
        doctor="redis|store",
        degraded="503",
        error_line="Redis|store|request failed",
    ),
    Fault(
        "redis-read-only",
        "Redis is read-only",
        plant=_read_only,
        lift=_writable,
        kind=Kind.UNAVAILABLE,
        http=503,
        code="store-unavailable",
        says=("read.only", "ISSUER_REDIS_URL"),
        end_patience=LOST,
        doctor="read.only|READONLY|replica",
        degraded="503",
        error_line="read.only",
    ),
    Fault(
        "edge-unreachable",
        "an edge of `ISSUER_EDGE_ADDRESSES` is unreachable",
        plant=Fleet.active,
        kind=Kind.FLEET,
        settings={"edge_addresses": SILENT_EDGE},
        words=("active",),
        doctor=SILENT_EDGE,
        degraded=SILENT_EDGE,
        metric=rf'edge="{SILENT_EDGE}"',
        error_line=SILENT_EDGE,
        goes_on=GoesOn.NO,
    ),
)
assert {name for fault in FAULTS for name in fault.processes} <= set(PROCESSES)
