"""N15, N43: zones whose DNSSEC is broken, on a real BIND behind real validating servers."""

from collections.abc import Iterator
from dataclasses import replace

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from issuer import tasks
from issuer.dns import DnsResolver
from issuer.domain import Step
from issuer.ports import Finding, Verdict
from issuer.presenters import status_body
from issuer.problem import Actor
from issuer.sandbox import Sandbox
from tests.fakes import fake_services, opened
from tests.integration.dns_server import Zone, dns_server
from tests.integration.pointing import NO, UNKNOWN, YES
from tests.integration.signed_zones import LAME, SignedZones

EDGE, CA = "edge.ours.example", "ca.example"
BROKEN = [
    ("shop.expired.example", "expired.example"),
    ("expired.example", "expired.example"),
    ("nothing.expired.example", "expired.example"),
    ("shop.below.expired.example", "expired.example"),
    ("to-expired.sound.example", "expired.example"),
    ("shop.wrongds.example", "wrongds.example"),
    ("shop.stripped.example", "stripped.example"),
    ("tampered.example", "tampered.example"),
]
SOUND = [
    ("shop.sound.example", YES),
    ("sound.example", YES),
    ("shop.unsigned.example", YES),
    ("unsigned.example", YES),
    ("shop.denial.example", YES),
    ("to-nothing.sound.example", NO),
    ("nothing.sound.example", NO),
    ("nothing.example", NO),
]
VALIDATORS = pytest.mark.parametrize("validator", ["unbound", "pdns"])


@pytest.fixture(scope="module")
def zones(module_sandbox: Sandbox) -> Iterator[SignedZones]:
    refused: Zone = {(name, "*"): "REFUSED" for name in (LAME, f"shop.{LAME}", f"a.b.{LAME}")}
    with dns_server(refused) as refusing:
        yield SignedZones(module_sandbox, refusing.port)


def resolver(server: str, target: str = EDGE) -> DnsResolver:
    return DnsResolver([target], [server])


@VALIDATORS
@pytest.mark.parametrize(("name", "zone"), BROKEN)
def test_n15_the_broken_zone_is_named(zones: SignedZones, validator: str, name: str, zone: str) -> None:
    finding = resolver(zones.validators[validator]).points_here(name)
    assert (finding.verdict, finding.is_bogus, finding.must_act) == (UNKNOWN, True, Actor.OWNER)
    assert finding.summary.endswith(f"(SERVFAIL), as DNSSEC of the zone {zone} is broken")
    assert finding.hint.startswith(f"whoever runs its DNS must sign the zone {zone} anew, or remove its DS record")
    assert "since 2026-03-15 every CA must refuse it" in finding.hint


@VALIDATORS
@pytest.mark.parametrize(("name", "verdict"), SOUND)
def test_n15_a_sound_zone_is_not_accused(zones: SignedZones, validator: str, name: str, verdict: Verdict) -> None:
    finding = resolver(zones.validators[validator]).points_here(name)
    assert (finding.verdict, finding.is_bogus) == (verdict, False)


@pytest.mark.parametrize(
    ("name", "zone", "target", "must_act"),
    [
        (*BROKEN[0], EDGE, "owner"),
        (*BROKEN[4], EDGE, "owner"),
        (*BROKEN[5], EDGE, "owner"),
        ("to-our-expired.sound.example", "expired.example", "edge.expired.example", "platform"),
    ],
)
def test_n15_the_status_says_who_must_do_what(
    zones: SignedZones, name: str, zone: str, target: str, must_act: str
) -> None:
    services = replace(fake_services(), resolver=resolver(zones.validators["unbound"], target))
    issuance = opened(services, name).issuance
    for _ in range(2):
        _, seconds = tasks.attempt(services, Step.ORDER, issuance.id)
        services.clock.forward(seconds)
    record = services.store.load(name)
    assert record.issuance.tries == (must_act == "owner"), "faults of the platform use up none"
    body = status_body(record, services.clock())
    code = "dns-unknown" if must_act == "owner" else "target-dns"
    assert (body["code"], body["must_act"]) == (code, must_act)
    assert body["message"].startswith("DNSSEC of the zone is broken: ")
    assert f"DNSSEC of the zone {zone} is broken" in body["message"]
    assert "every CA must refuse it" in body["message"]
    assert services.cas[0].calls == []


@pytest.mark.parametrize(("name", "zone"), [("shop.expired.example", "expired.example"), *BROKEN[1:7]])
def test_n15_caa_in_a_broken_zone_is_unknown_for_that_reason(zones: SignedZones, name: str, zone: str) -> None:
    finding = resolver(zones.validators["unbound"]).caa(name, [CA], "")
    assert (finding.verdict, finding.is_bogus) == (UNKNOWN, True)
    assert finding.summary.endswith(f" CAA (SERVFAIL), as DNSSEC of the zone {zone} is broken")


def test_n15_a_broken_denial_of_caa_alone_lets_the_site_work(zones: SignedZones) -> None:
    by_unbound = resolver(zones.validators["unbound"])
    assert by_unbound.points_here("www.denial.example").verdict is YES
    finding = by_unbound.caa("www.denial.example", [CA], "")
    assert (finding.verdict, finding.is_bogus) == (UNKNOWN, True)
    assert finding.summary.endswith("as DNSSEC of the zone denial.example is broken")


def test_n15_caa_in_our_own_broken_zone_is_nothing_for_the_owner(zones: SignedZones) -> None:
    by_unbound = resolver(zones.validators["unbound"], "edge.expired.example")
    finding = by_unbound.caa("to-our-expired.sound.example", [CA], "")
    assert (finding.verdict, finding.is_bogus, finding.must_act) == (UNKNOWN, True, Actor.PLATFORM)
    assert finding.advice.endswith("the owner of the domain need do nothing")


@VALIDATORS
def test_n15_our_own_broken_zone_is_nothing_for_the_owner(zones: SignedZones, validator: str) -> None:
    finding = resolver(zones.validators[validator], "edge.expired.example").points_here("to-our-expired.sound.example")
    assert (finding.verdict, finding.is_bogus, finding.must_act) == (UNKNOWN, True, Actor.PLATFORM)
    assert finding.hint.startswith("the platform must sign the zone expired.example anew")
    assert finding.hint.endswith("the owner of the domain need do nothing")


@pytest.mark.parametrize("name", ["shop.sound.example", "shop.unsigned.example", "shop.expired.example"])
def test_n15_a_server_that_mistrusts_the_root_accuses_no_zone(zones: SignedZones, name: str) -> None:
    finding = resolver(zones.mistrusting).points_here(name)
    assert (finding.verdict, finding.is_bogus, finding.must_act) == (UNKNOWN, False, Actor.PLATFORM)
    assert finding.hint.startswith("the operator must check the servers in ISSUER_DNS_SERVERS, their clock")


@pytest.mark.parametrize("server", ["authority", "unbound", "pdns"])
@pytest.mark.parametrize("name", [LAME, f"shop.{LAME}", f"a.b.{LAME}"])
def test_n15_a_lame_zone_is_not_a_broken_one(zones: SignedZones, server: str, name: str) -> None:
    address = zones.authority if server == "authority" else zones.validators[server]
    finding = resolver(address).points_here(name)
    assert (finding.verdict, finding.is_bogus) == (UNKNOWN, False)
    assert finding.hint.startswith("ask whoever runs the DNS of lame.example: its name servers must answer")


@pytest.mark.parametrize("name", ["shop.expired.example", "shop.wrongds.example", "shop.stripped.example"])
def test_n43_a_server_that_validates_on_demand_is_asked_to(zones: SignedZones, name: str) -> None:
    server = zones.validators["pdns"]
    host, _, port = server.rpartition(":")
    plain = dns.message.make_query(name, "CNAME", use_edns=False, flags=dns.flags.RD)
    assert dns.query.udp(plain, host, port=int(port), timeout=5).rcode() == dns.rcode.NOERROR
    assert resolver(server).points_here(name).verdict is UNKNOWN
    assert resolver(server).caa(name, [CA], "").verdict is UNKNOWN


@pytest.mark.parametrize("server", ["authority", "unbound", "pdns"])
def test_b07_caa_goes_on_where_the_target_of_a_cname_does_not_exist(zones: SignedZones, server: str) -> None:
    address = zones.authority if server == "authority" else zones.validators[server]
    finding = resolver(address).caa("to-nothing.sound.example", [CA], "")
    assert finding == Finding(YES, f"sound.example allows {CA}")
    finding = resolver(address).caa("to-nothing.sound.example", ["other.example"], "")
    assert finding == Finding(NO, f"sound.example allows only {CA}")
