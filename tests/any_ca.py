"""What a test must know about a CA, so that it can run with each CA."""

from collections.abc import Callable
from dataclasses import dataclass, field

from issuer.sandbox import LOOPBACK, Dns, Pebble
from tests.acme2certifier import WEB_PORT, SecondCa
from tests.real import issued
from tests.scripted import ScriptedCa
from tests.wire import Wire

LOSABLE = {
    "pebble": {
        "newOrder": "/order-plz",
        "authorization": "/authZ/",
        "challenge": "/chalZ/",
        "finalize": "/finalize-order/",
        "order": "/my-order/",
        "certificate": "/certZ/",
    },
    "acme2certifier": {
        "newOrder": "/acme/neworders",
        "authorization": "/acme/authz/",
        "challenge": "/acme/chall/",
        "finalize": "/finalize",  # answered with the valid order, which is not polled then
        "certificate": "/acme/cert/",
    },
    "scripted": {
        "newOrder": "/newOrder",
        "authorization": "/authorization/",
        "challenge": "/challenge/",
        "finalize": "/finalize/",
        "order": "/order/",
        "certificate": "/certificate/",
    },
}
"""For each CA, the resources that every issuance requests, and what their URL paths contain."""


@dataclass(frozen=True)
class AnyCa:
    """wire: the proxy to it, which has the faults. paths: as in LOSABLE. web: the address and port where it validates.
    root: what its chains lead to, PEM. issued: how many certificates it has issued. reason: what it says about a wrong
    response to a challenge. settings: the further settings that the product needs for it."""

    wire: Wire | ScriptedCa
    paths: dict[str, str]
    dns: Dns
    web: tuple[str, int]
    root: Callable[[], str]
    issued: Callable[[], int]
    reason: str
    settings: dict[str, str] = field(default_factory=dict)


def at_pebble(ca: Pebble, dns: Dns, http_port: int) -> AnyCa:
    return AnyCa(
        Wire(ca.directory_url, ca.bundle),
        LOSABLE["pebble"],
        dns,
        (LOOPBACK, http_port),
        root=ca.root,
        issued=lambda: issued(ca),
        reason="key authorization",
        settings={"acme_ca_bundle": str(ca.bundle)},
    )


def at_acme2certifier(ca: SecondCa) -> AnyCa:
    """It requires a contact, which RFC 8555 leaves to the client, and does not store why a validation failed."""
    return AnyCa(
        Wire(ca.directory_url),
        LOSABLE["acme2certifier"],
        ca.dns,
        (ca.web, WEB_PORT),
        root=ca.root.read_text,
        issued=ca.issued,
        reason="the authorization is invalid",
        settings={"acme_contact": "operator@platform.example"},
    )


def at_scripted(dns: Dns, http_port: int) -> AnyCa:
    """Its orders are `processing` for one poll, so that they are polled."""
    ca = ScriptedCa((LOOPBACK, http_port))
    ca.looks_until_valid = 1
    return AnyCa(
        ca,
        LOSABLE["scripted"],
        dns,
        (LOOPBACK, http_port),
        root=lambda: ca.certificates.signing.root,
        issued=lambda: len(ca.certificates.log),
        reason="key authorization",
    )
