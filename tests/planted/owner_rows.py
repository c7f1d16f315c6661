"""Faults of the domains' owners."""

from issuer.problem import Actor
from tests.fakes import TARGET
from tests.planted.faults import Fault, GoesOn, Kind, Next
from tests.planted.fleet import CDN, OTHER_OURS, OURS, Fleet
from tests.scripted.answers import problem

FOREIGN = "198.51.100.9"
OWNER = (Actor.OWNER,)


def _no_cname(fleet: Fleet) -> str:
    name = fleet.name()
    fleet.publish(name, "CNAME", None)
    return name


def _points_here(fleet: Fleet) -> None:
    fleet.publish(fleet.last, "CNAME", [TARGET])


def _apex(fleet: Fleet) -> str:
    fleet.numbers += 1
    name = f"customer{fleet.numbers}.example"
    fleet.publish(name, "SOA", ["ns.dns.example. hostmaster.dns.example. 1 3600 600 86400 60"])
    fleet.publish(name, "NS", ["ns.dns.example."])
    fleet.publish(name, "A", [FOREIGN])
    fleet.last = name
    return name


def _right_addresses(fleet: Fleet) -> None:
    fleet.publish(fleet.last, "A", [OURS, OTHER_OURS])


def _proxied(fleet: Fleet) -> str:
    name = _no_cname(fleet)
    fleet.publish(name, "A", [CDN])
    return name


def _proxy_off(fleet: Fleet) -> None:
    fleet.publish(fleet.last, "A", None)
    _points_here(fleet)


def _servfail(fleet: Fleet) -> str:
    name = _no_cname(fleet)
    fleet.publish(name, "*", "SERVFAIL")
    return fleet.requested(name)


def _answers_again(fleet: Fleet) -> None:
    fleet.publish(fleet.last, "*", None)
    _points_here(fleet)


def _caa(fleet: Fleet) -> str:
    """On the parent, as a name with a CNAME has no other records."""
    name = fleet.name()
    fleet.publish(name.partition(".")[2], "CAA", ['0 issue "other.example"'])
    return fleet.requested(name)


def _caa_servfail(fleet: Fleet) -> str:
    name = fleet.name()
    fleet.publish(name.partition(".")[2], "CAA", "SERVFAIL")
    detail = f"DNS problem: SERVFAIL looking up CAA for {name}"
    fleet.ca.authorization_error = problem("dns", detail)
    return fleet.requested(name)


def _no_caa(fleet: Fleet) -> None:
    fleet.ca.authorization_error = None
    fleet.publish(fleet.last.partition(".")[2], "CAA", None)


def _moved_away(fleet: Fleet) -> str:
    name = fleet.active()
    fleet.publish(name, "CNAME", ["shop.elsewhere.example"])
    fleet.publish("shop.elsewhere.example", "A", [FOREIGN])
    fleet.require_cli("renew", name, "--no-wait")
    return name


def _basic_plan(fleet: Fleet) -> str:
    name = fleet.name()
    fleet.keys[name] = fleet.basic_key
    return name


def _upgraded(fleet: Fleet) -> None:
    fleet.require_cli("accounts", "set-plan", "small", "https")


FAULTS = (
    Fault(
        "no-cname",
        "CNAME missing",
        plant=_no_cname,
        lift=_points_here,
        is_calm=True,
        kind=Kind.REFUSAL,
        http=400,
        code="invalid-cname",
        actors=OWNER,
        says=(rf"track\.customer\d+\.example CNAME {TARGET}", "DNS"),
        next=Next.NONE,
        goes_on=GoesOn.ON_REQUEST,
    ),
    Fault(
        "apex-wrong-address",
        "apex with a wrong A",
        plant=_apex,
        lift=_right_addresses,
        is_calm=True,
        kind=Kind.REFUSAL,
        http=400,
        code="invalid-cname",
        actors=OWNER,
        says=(FOREIGN, "apex|root of", "ALIAS|ANAME", OURS),
        next=Next.NONE,
        goes_on=GoesOn.ON_REQUEST,
    ),
    Fault(
        "proxy-on",
        "a CDN proxy is on",
        plant=_proxied,
        lift=_proxy_off,
        is_calm=True,
        kind=Kind.REFUSAL,
        http=400,
        code="invalid-cname",
        actors=OWNER,
        says=(CDN, "proxy", "switch"),
        next=Next.NONE,
        goes_on=GoesOn.ON_REQUEST,
    ),
    Fault(
        "servfail",
        "SERVFAIL",
        plant=_servfail,
        lift=_answers_again,
        is_calm=True,
        code="dns-unknown",
        actors=OWNER,
        says=("SERVFAIL", "DNS"),
        never=("create", r"CNAME edge"),
    ),
    Fault(
        "caa",
        "CAA forbids",
        plant=_caa,
        lift=_no_caa,
        is_calm=True,
        code="caa",
        actors=OWNER,
        says=(r"customer\d+\.example CAA 0 issue .?.?scripted\.example", "other.example"),
        goes_on=GoesOn.ON_REQUEST,
        request=lambda fleet, name: fleet.require_cli("retry", name),
    ),
    Fault(
        "caa-servfail",
        "CAA SERVFAIL",
        plant=_caa_servfail,
        lift=_no_caa,
        is_calm=True,
        code="dns-unknown|caa",
        actors=OWNER,
        says=("CAA", "SERVFAIL"),
        never=("create",),
    ),
    Fault(
        "moved-away",
        "the name has moved away at a renewal",
        plant=_moved_away,
        lift=_points_here,
        is_calm=True,
        code="invalid-cname|moved-away",
        actors=OWNER,
        says=("shop.elsewhere.example", rf"CNAME {TARGET}", "delete|withdraw", r"since|\d{4}-\d\d-\d\d"),
        words=("error", "active", "processing"),
    ),
    Fault(
        "plan",
        "plan without HTTPS",
        plant=_basic_plan,
        lift=_upgraded,
        is_calm=True,
        kind=Kind.REFUSAL,
        http=402,
        code="plan",
        says=("plan", "upgrade"),
        next=Next.NONE,
        goes_on=GoesOn.ON_REQUEST,
    ),
)
