"""/metrics: what Prometheus reads."""

import math
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from issuer.metrics import EDGE_CONFIRMED, EDGE_LOOKS, exposition
from issuer.ports import Services
from tests.api_client import issued
from tests.databases import take_away
from tests.fakes import NAME, fake_services
from tests.simulated_fleet import DAY, SimulatedFleet
from web.app import create_app

FIRST, SECOND = EDGES = ("edge1.platform.example:443", "edge2.platform.example:443")


@pytest.fixture
def services() -> Services:
    return replace(fake_services(), edges=EDGES)


def read(text: str) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def scrape(services: Services) -> dict[tuple[str, ...], float]:
    """The metrics of a web process, as Prometheus reads them."""
    with create_app(services).test_client() as client:
        answer = client.get("/metrics")
    assert (answer.status_code, answer.content_type.startswith("text/plain")) == (200, True)
    return read(answer.text)


def checks(metrics: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    return {key[1:]: value for key, value in metrics.items() if key[0] == "issuer_edge_looks_total"}


def test_before_the_first_count_all_metrics_are_zero(services: Services) -> None:
    metrics = scrape(services)
    assert checks(metrics) == {}
    assert (metrics["issuer_edge_unconfirmed",], metrics["issuer_edge_confirmed_seconds_count",]) == (0, 0)


def test_h02_how_soon_and_how_often_edges_serve_what_is_in_force(fleet: SimulatedFleet, services: Services) -> None:
    serial = issued(services).domain.certificate.serial
    services.handshake.serials = {FIRST: serial, SECOND: "0ddba11"}
    fleet.run(3)
    metrics = scrape(services)
    assert checks(metrics) == {(FIRST, "yes"): 1, (SECOND, "no"): 1}
    assert metrics["issuer_edge_unconfirmed",] == 1
    services.handshake.serials = {FIRST: serial}
    fleet.run(3)
    assert checks(scrape(services))[SECOND, "unknown"] == 1
    services.handshake.serials = dict.fromkeys(EDGES, serial)
    fleet.run(60)
    metrics = scrape(services)
    assert checks(metrics) == {(FIRST, "yes"): 3, (SECOND, "no"): 1, (SECOND, "unknown"): 1, (SECOND, "yes"): 1}
    counted = {key[1]: value for key, value in metrics.items() if key[0] == "issuer_edge_confirmed_seconds_bucket"}
    seconds = metrics["issuer_edge_confirmed_seconds_sum",]
    assert 5 < seconds < 60
    assert counted == {bound: float(seconds <= float(bound)) for bound in counted}
    assert list(counted)[-1] == "+Inf"
    assert (metrics["issuer_edge_confirmed_seconds_count",], metrics["issuer_edge_unconfirmed",]) == (1, 0)
    assert metrics.get(("issuer_edge_given_up_total",), 0) == 0


def test_h02_a_certificate_not_served_for_a_day_is_counted_once(fleet: SimulatedFleet, services: Services) -> None:
    issued(services)
    fleet.run(2 * DAY)
    metrics = scrape(services)
    assert (metrics["issuer_edge_given_up_total",], metrics["issuer_edge_unconfirmed",]) == (1, 0)
    assert metrics["issuer_edge_confirmed_seconds_count",] == 0


def test_no_metric_names_a_domain(fleet: SimulatedFleet, services: Services) -> None:
    issued(services)
    fleet.run(60)
    with create_app(services).test_client() as client:
        assert NAME not in client.get("/metrics").text


def test_without_redis_it_is_503_and_json(services: Services) -> None:
    take_away(services.store)
    with create_app(services).test_client() as client:
        answer = client.get("/metrics")
    assert (answer.status_code, answer.json["code"]) == (503, "store-unavailable")


@pytest.mark.parametrize("edge", ["[2001:db8::1]:443", 'a"b', "a\\b", "a\nb"])
def test_any_label_is_written_so_that_it_is_read_again(edge: str) -> None:
    assert checks(read(exposition(EDGE_LOOKS.once(edge, "yes")).decode())) == {(edge, "yes"): 1}


@pytest.mark.parametrize(("value", "bound"), [(0, "3.0"), (3, "3.0"), (3.01, "5.0"), (86400, "86400.0"), (1e9, "+Inf")])
def test_a_value_is_in_the_first_bucket_that_reaches_it(value: float, bound: str) -> None:
    metrics = read(exposition(EDGE_CONFIRMED.observed(value)).decode())
    buckets = {float(key[1]): count for key, count in metrics.items() if key[0].endswith("_bucket")}
    assert buckets == {upper: float(upper >= float(bound)) for upper in buckets}
    assert (max(buckets), metrics["issuer_edge_confirmed_seconds_sum",]) == (math.inf, value)
