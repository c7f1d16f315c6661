"""A CA that validates from several vantage points: each node answers, and the owner reads which one failed."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from issuer.config import Settings
from issuer.domain import Step
from issuer.sandbox import LOOPBACK, Dns, free_port
from issuer.wiring import build_services
from tests.fakes import NAME, FakeClock
from tests.real import opened, published, run_to_end, settings_for
from tests.scripted import ScriptedCa
from tests.scripted.answers import problem
from tests.time_travel import UNTIL_THE_SECOND_RETRY, lived, shown
from web.app import create_app

NODES = 3


@pytest.fixture
def nodes(serve: Callable[..., None], redis_url: str, dns: Dns) -> Iterator[tuple[ScriptedCa, Settings, list[int]]]:
    """A CA whose every fetch reaches another web process, as behind a load balancer; how often each was asked."""
    port = free_port()
    ca = ScriptedCa((LOOPBACK, port))
    settings = settings_for(redis_url, ca.directory_url, dns)
    apps = [create_app(build_services(settings)) for _ in range(NODES)]
    turns, asked = itertools.cycle(range(NODES)), [0] * NODES

    def balancer(environ: dict[str, object], start_response: Callable[..., object]) -> object:
        node = next(turns)
        asked[node] += 1
        return apps[node](environ, start_response)

    serve(balancer, port)
    yield ca, settings, asked
    ca.close()


def test_b10_every_node_has_the_answer_at_once(nodes: tuple[ScriptedCa, Settings, list[int]], dns: Dns) -> None:
    ca, settings, asked = nodes
    ca.validations = 2 * NODES
    services = build_services(settings)
    record = run_to_end(services, opened(services, published(dns, NAME)))
    assert (record.issuance.step, record.issuance.tries) == (Step.DONE, 0)
    assert asked == [2] * NODES
    assert [code for _, code in ca.authorizations.fetches] == [200] * 2 * NODES


def test_b10_the_operator_reads_from_where_it_was_not_seen(
    nodes: tuple[ScriptedCa, Settings, list[int]], dns: Dns, clock: FakeClock
) -> None:
    ca, settings, _ = nodes
    detail = "During secondary validation: 198.51.100.7: Fetching http://track.customer.example/…: Error getting"
    ca.authorization_error = problem("connection", detail)
    services = build_services(settings, clock)
    opened(services, published(dns, NAME))
    lived(services, UNTIL_THE_SECOND_RETRY)
    body = shown(services)
    assert detail in body["error"]
    assert (body["code"], body["must_act"]) == ("ca-cannot-connect", "platform"), "the name leads to us alone"
    assert "geo-blocking" in body["hint"]
