"""Preferred and required profiles at two CAs, of which only the second offers all."""

import json
from collections.abc import Callable, Iterator

import pytest

from issuer import keys
from issuer.actions.prefer import prefer
from issuer.domain import Record, Status, status
from issuer.events import EventType
from issuer.ports import Services
from issuer.problem import Actor, ProblemType
from issuer.sandbox import LOOPBACK, Dns
from issuer.wiring import build_services
from tests.fakes import NAME, FakeClock
from tests.real import opened, published, settings_for
from tests.scripted import ScriptedCa
from tests.scripted.answers import problem
from tests.time_travel import lived, shown
from web.app import create_app

P, Q = "shortlived", "tlsserver"
OFFERED = {P: "160 hours", Q: "45 days"}


@pytest.fixture
def second(http_port: int) -> Iterator[ScriptedCa]:
    ca = ScriptedCa((LOOPBACK, http_port))
    ca.profiles = OFFERED
    yield ca
    ca.close()


@pytest.fixture
def services_with(
    redis_url: str, ca: ScriptedCa, second: ScriptedCa, dns: Dns, clock: FakeClock, http_port: int, serve
) -> Callable[..., Services]:
    """The product over both CAs, each with these settings."""

    def build(**settings: str) -> Services:
        cas = [{"directory": each.directory_url, **settings} for each in (ca, second)]
        services = build_services(settings_for(redis_url, ca.directory_url, dns, cas=json.dumps(cas)), clock)
        serve(create_app(services), http_port)
        published(dns, NAME)
        return services

    return build


def issued_with(services: Services, **preferences: str) -> Record:
    opened(services, NAME)
    if preferences:
        prefer(services, NAME, **preferences)
    record = lived(services, seconds=30)
    assert (status(record, services.clock()), record.issuance.tries) == (Status.ACTIVE, 0), record.issuance.problem
    return record


def profiles_of(ca: ScriptedCa) -> list[str | None]:
    """Of its orders."""
    return [order.profile for order in ca.orders.made.values()]


def refusals(record: Record) -> list[str]:
    return [event.data["reason"] for event in record.timeline if event.type == EventType.CA_REFUSED]


@pytest.mark.parametrize(
    ("of_ca", "of_domain", "at_first", "at_second"),
    [
        ({}, {}, [None], []),
        ({"profile": P}, {}, [None], []),
        ({}, {"profile": P}, [None], []),
        ({"profile": Q}, {"profile": P}, [None], []),
        ({"required_profile": P}, {}, [], [P]),
        ({}, {"required_profile": P}, [], [P]),
        ({"profile": Q}, {"required_profile": P}, [], [P]),
        ({"required_profile": P}, {"profile": Q}, [], [P]),
        ({"required_profile": Q}, {"required_profile": P}, [], [P]),
        ({"profile": Q, "required_profile": P}, {}, [], [P]),
    ],
)
def test_n12_a_preferred_profile_is_left_out_and_a_required_one_leads_to_the_next_ca(
    services_with, ca: ScriptedCa, second: ScriptedCa, of_ca, of_domain, at_first, at_second
) -> None:
    record = issued_with(services_with(**of_ca), **of_domain)
    assert (profiles_of(ca), profiles_of(second)) == (at_first, at_second)
    assert [P in reason for reason in refusals(record)] == [True] * len(at_second), "told"


@pytest.mark.parametrize(
    ("of_ca", "of_domain", "chosen"),
    [
        ({"profile": P}, {}, P),
        ({"profile": Q}, {"profile": P}, P),
        ({"profile": P}, {"profile": "gone"}, P),
        ({"required_profile": Q}, {"profile": P}, Q),
        ({"required_profile": Q}, {"required_profile": P}, P),
    ],
)
def test_n12_the_domains_own_comes_first_and_a_required_one_before_a_preferred_one(
    services_with, ca: ScriptedCa, of_ca, of_domain, chosen: str
) -> None:
    ca.profiles = OFFERED
    issued_with(services_with(**of_ca), **of_domain)
    assert profiles_of(ca) == [chosen]


REFUSALS = {"invalidProfile": 400, "unauthorized": 403, "malformed": 400, "profileNotForYou": 403}


@pytest.mark.parametrize("type_", REFUSALS)
def test_n12_a_preferred_profile_that_is_refused_is_left_out(services_with, ca: ScriptedCa, type_: str) -> None:
    ca.profiles, ca.refused_profiles = OFFERED, {P: (REFUSALS[type_], type_)}
    issued_with(services_with(profile=P))
    assert profiles_of(ca) == [None]


@pytest.mark.parametrize("type_", REFUSALS)
@pytest.mark.parametrize("of_domain", [False, True])
def test_n12_a_ca_that_refuses_a_required_profile_is_passed_over(
    services_with, ca: ScriptedCa, second: ScriptedCa, type_: str, *, of_domain: bool
) -> None:
    ca.profiles, ca.refused_profiles = OFFERED, {P: (REFUSALS[type_], type_)}
    required = {"required_profile": P}
    record = issued_with(services_with(**({} if of_domain else required)), **(required if of_domain else {}))
    assert (profiles_of(ca), profiles_of(second)) == ([], [P])
    assert [type_ in reason for reason in refusals(record)] == [True]


@pytest.mark.parametrize("of_domain", [{"required_profile": P}, {"profile": P}, {}])
def test_n12_an_order_that_fails_for_its_profile_is_left_for_the_next_ca(
    services_with, ca: ScriptedCa, second: ScriptedCa, of_domain: dict[str, str]
) -> None:
    ca.profiles, ca.order_error = OFFERED, problem("invalidProfile", "this profile is not for you")
    record = issued_with(services_with(), **of_domain)
    assert record.domain.certificate.ca == second.directory_url
    assert ["not for you" in reason for reason in refusals(record)] == [True]


def test_n12_with_one_ca_an_order_that_fails_for_its_profile_is_the_operators(services, ca: ScriptedCa) -> None:
    ca.order_error = problem("invalidProfile", "this profile is not for you")
    opened(services, NAME)
    lived(services, 5)
    body = shown(services)
    assert body["must_act"] == Actor.PLATFORM
    assert "the operator must set a profile that the CA offers" in body["message"]


def test_n12_where_no_ca_has_a_required_profile_the_operator_is_told(services_with, second: ScriptedCa) -> None:
    services = services_with(required_profile="longlived")
    opened(services, NAME)
    problem = lived(services, seconds=30).issuance.problem
    assert (problem.type, "longlived" in problem.detail) == (ProblemType.CA_MISUNDERSTOOD, True)
    assert second.orders.made == {}


@pytest.mark.parametrize("type_", REFUSALS)
def test_n12_a_refused_profile_does_not_cost_replaces(services_with, ca: ScriptedCa, type_: str) -> None:
    ca.profiles, ca.refused_profiles, ca.renewal_window = OFFERED, {P: (REFUSALS[type_], type_)}, (1.0, 2.0)
    services = services_with(profile=P)
    record = issued_with(services)
    replaced = keys.certificate_id(record.domain.certificate.chain)
    services.cas[0].new_order(NAME, replaced)
    order = ca.orders.made["2"]
    assert (order.profile, order.replaces) == (None, replaced)
