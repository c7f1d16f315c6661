"""Settings that are wrong, and what the platform has around its fleet: its target, its CAA records, its port 80."""

from typing import Any

from issuer.sandbox import LOOPBACK, free_port
from tests.fakes import TARGET
from tests.planted.faults import Fault
from tests.planted.fleet import OTHER_OURS, OURS, Fleet
from tests.planted.fleet_rows import NO_OWNER

TYPO = "edge.plattform.example"
NOBODY_THERE = f"{LOOPBACK}:{free_port()}"
NO_RECORD = ("CNAME record", "create", "your DNS", r"ask who runs")


def _misled(path: str) -> Any:
    """With the URL of the directory wrong."""

    def plant(fleet: Fleet) -> str:
        fleet.start(ACME_DIRECTORY=f"{fleet.ca.origin}/{path}")
        return fleet.requested()

    return plant


def _restarted(fleet: Fleet) -> None:
    fleet.restart()


def _untrusted(fleet: Fleet) -> str:
    fleet.start()
    return fleet.requested()


def _trusted(fleet: Fleet) -> None:
    fleet.restart(ACME_CA_BUNDLE=str(fleet.bundle))


def _no_dns(fleet: Fleet) -> str:
    fleet.start(DNS_SERVERS=NOBODY_THERE)
    return fleet.requested()


def _typo(fleet: Fleet) -> str:
    fleet.start(CNAME_TARGETS=TYPO)
    return fleet.requested()


def _no_address(fleet: Fleet) -> str:
    fleet.publish(TARGET, "A", None)
    fleet.publish(TARGET, "TXT", ["our edge"])
    return fleet.requested()


def _address(fleet: Fleet) -> None:
    fleet.publish(TARGET, "A", [OURS, OTHER_OURS])


def _missing(fleet: Fleet) -> str:
    _each_front(fleet, is_missing=True)
    return fleet.requested()


def _login(fleet: Fleet) -> str:
    fleet.publish("login.platform.example", "A", [OURS])
    _each_front(fleet, is_login=True)
    return fleet.requested()


def _as_it_should(fleet: Fleet) -> None:
    _each_front(fleet, is_missing=False, is_login=False)


def _each_front(fleet: Fleet, **switches: bool) -> None:
    for address in (OURS, OTHER_OURS):
        vars(fleet.fronts[address]).update(switches)


def _one_shut(fleet: Fleet) -> str:
    """The CA finds the address that answers nobody."""
    fleet.fronts[OTHER_OURS].shut()
    detail = f"{OTHER_OURS}: Fetching http://NAME/.well-known/acme-challenge/…: Connection refused"
    fleet.ca.authorization_error = {"type": "urn:ietf:params:acme:error:connection", "detail": detail}
    return fleet.requested()


def _opened(fleet: Fleet) -> None:
    fleet.fronts[OTHER_OURS].open()
    fleet.ca.authorization_error = None


def _caa_at_target(fleet: Fleet) -> str:
    fleet.publish(TARGET, "CAA", ['0 issue "other.example"'])
    return fleet.requested()


def _no_caa_at_target(fleet: Fleet) -> None:
    fleet.publish(TARGET, "CAA", None)


FAULTS = (
    Fault(
        "directory-typo",
        "a typo in `ISSUER_ACME_DIRECTORY` (CA answers 404)",
        plant=_misled("direktory"),
        lift=_restarted,
        processes=(),
        says=("ISSUER_ACME_DIRECTORY", r"/direktory", "404"),
        never=NO_OWNER,
        doctor="ISSUER_ACME_DIRECTORY.*/direktory|/direktory.*ISSUER_ACME_DIRECTORY",
        degraded="direktory",
        error_line="direktory",
    ),
    Fault(
        "directory-page",
        "the directory URL is a web page",
        plant=_misled("welcome"),
        lift=_restarted,
        processes=(),
        says=("ISSUER_ACME_DIRECTORY", r"/welcome", "Welcome", "not an ACME directory|no ACME directory"),
        never=NO_OWNER,
        doctor="ISSUER_ACME_DIRECTORY.*/welcome|/welcome.*ISSUER_ACME_DIRECTORY",
        degraded="welcome",
        error_line="welcome",
    ),
    Fault(
        "untrusted-ca",
        "the CA's certificate cannot be verified",
        plant=_untrusted,
        lift=_trusted,
        processes=(),
        is_tls=True,
        says=("certificate", "verif", "ISSUER_ACME_CA_BUNDLE"),
        never=NO_OWNER,
        doctor="ISSUER_ACME_CA_BUNDLE",
        degraded="ISSUER_ACME_CA_BUNDLE",
        error_line="verif",
    ),
    Fault(
        "no-resolver",
        "`ISSUER_DNS_SERVERS` points nowhere",
        plant=_no_dns,
        lift=_restarted,
        processes=(),
        says=("ISSUER_DNS_SERVERS", NOBODY_THERE),
        never=NO_RECORD,
        doctor="ISSUER_DNS_SERVERS",
        degraded="ISSUER_DNS_SERVERS",
        error_line="ISSUER_DNS_SERVERS|DNS server",
    ),
    Fault(
        "target-typo",
        "`ISSUER_CNAME_TARGETS` mistyped",
        plant=_typo,
        lift=_restarted,
        processes=(),
        says=("ISSUER_CNAME_TARGETS", TYPO, "not exist"),
        never=(rf"CNAME {TYPO}", *NO_RECORD),
        doctor=TYPO,
        degraded=TYPO,
        error_line=TYPO,
    ),
    Fault(
        "target-without-address",
        "our target has lost its address",
        plant=_no_address,
        lift=_address,
        is_calm=True,
        says=(rf"{TARGET}.*no address",),
        never=NO_RECORD,
        doctor=rf"{TARGET}.*address",
        degraded=TARGET,
        error_line=TARGET,
    ),
    Fault(
        "port-80-404",
        "port 80 of our edge answers 404 to challenges",
        plant=_missing,
        lift=_as_it_should,
        is_calm=True,
        says=("404", r"/\.well-known/acme-challenge/", r"port 80"),
        never=("CNAME", "your DNS"),
        doctor="port.80.*404",
        degraded="port.80",
        error_line="404",
    ),
    Fault(
        "caa-at-target",
        "CAA at our target forbids the CA",
        plant=_caa_at_target,
        lift=_no_caa_at_target,
        is_calm=True,
        code="caa",
        says=(TARGET, "other.example", "scripted.example", "owner of the domain need do nothing|nothing for the owner"),
        doctor=rf"caa.*{TARGET}",
        degraded="caa",
        error_line="CAA",
    ),
    Fault(
        "port-80-half",
        "port 80 shut on one of two addresses of our target",
        plant=_one_shut,
        lift=_opened,
        is_calm=True,
        says=(OTHER_OURS, r"port 80"),
        never=("your DNS", "CNAME record"),
        doctor=rf"port.80.*{OTHER_OURS}",
        degraded="port.80",
        error_line=OTHER_OURS,
    ),
    Fault(
        "port-80-login",
        "a login page before port 80, name leads to us",
        plant=_login,
        lift=_as_it_should,
        is_calm=True,
        says=("login.platform.example", r"port 80"),
        never=("your DNS", "CNAME record"),
        doctor="port.80.*login",
        degraded="port.80",
        error_line="login",
    ),
)
