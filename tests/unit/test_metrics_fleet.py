"""/metrics: what the whole fleet is like, counted from indexes."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from issuer import metrics
from issuer.domain import Listing, Reason, new_issuance
from issuer.ports import CaLimits, CaPolicy, Services, Verdict
from issuer.problem import Actor, Problem, ProblemType
from issuer.store import RedisServers
from issuer.store.keys import METRICS, RECORDS, REINDEX, index_key
from tests.api_client import issued, worked
from tests.databases import empty_store, take_away
from tests.fakes import ACCOUNT, NAME, below, fake_services, opened, queue_at
from tests.simulated_fleet import DAY, SimulatedFleet
from tests.unit.test_fleet import everybody_works
from tests.unit.test_metrics import scrape
from tests.writes import open_issuance

CA = "https://ca.example/directory"


@pytest.fixture
def broker() -> redis.Redis:
    return empty_store()._redis


@pytest.fixture
def services(broker: redis.Redis) -> Iterator[Services]:
    services = fake_services()
    services.store.create_account(ACCOUNT)
    url = "redis://{host}:{port}/{db}".format(**broker.connection_pool.connection_kwargs)
    queue = queue_at(url)
    servers = RedisServers({"records": services.store._redis, "messages": broker})
    services.cas[0].policy = CaPolicy(limits=CaLimits(new_orders=(10, 3600.0)))
    yield replace(services, queue=queue, servers=servers)
    queue.celery.close()


def of(values: dict[tuple[str, ...], float], metric: metrics.AnyMetric) -> dict[str, float]:
    """The values of a metric with one label."""
    return {key[1]: value for key, value in values.items() if key[0] == metric.name}


def renewing_with(services: Services, name: str, problem: Problem) -> None:
    """A name with a certificate whose renewal has failed with a problem."""
    record = issued(services, name)
    again = new_issuance(name, Reason.RENEWAL, services.clock())
    open_issuance(services.store, record.domain, again, version=record.version, requeue_at=services.clock())
    worked(services, lambda issuance: issuance.retry(problem, services.clock() + 3600), name)


def test_domains_are_counted_by_status_by_code_and_by_who_must_act(services: Services) -> None:
    issued(services, "active.example")
    opened(services, "new.example")
    renewing_with(services, "owners.example", Problem(ProblemType.CAA))
    renewing_with(services, "ours.example", Problem(ProblemType.CAA, actor=Actor.PLATFORM))
    values = scrape(services)
    assert of(values, metrics.DOMAINS) == {"active": 1, "processing": 1, "error": 2, "expired": 0}
    assert of(values, metrics.DOMAINS_BY_CODE) == {"caa": 2}
    assert of(values, metrics.DOMAINS_BY_ACTOR) == {"owner": 1, "platform": 1, "nobody": 0}
    assert of(values, metrics.CERTIFICATES) == {CA: 3}


def test_certificates_are_counted_by_their_end_and_by_whether_their_renewal_fails(services: Services) -> None:
    issued(services, "fine.example")
    renewing_with(services, "failing.example", Problem(ProblemType.CA_UNAVAILABLE))
    for days, ending, at_risk, ended in (
        (0, [0, 0, 0, 2], [0, 0], 0),
        (88, [0, 2, 2, 2], [0, 1], 0),
        (91, [0] * 4, [0, 0], 2),
    ):
        values = scrape(replace(services, clock=lambda days=days: services.clock() + days * DAY))
        found = of(values, metrics.CERTIFICATES_ENDING)
        assert [found[within] for within in ("1d", "3d", "30d", "90d")] == ending
        assert [of(values, metrics.CERTIFICATES_AT_RISK)[within] for within in ("1d", "3d")] == at_risk
        assert values[metrics.CERTIFICATES_ENDED.name,] == ended


def test_an_issuance_is_counted_by_result_reason_and_ca_and_its_steps_by_their_time(services: Services) -> None:
    metrics.TALLY.take()
    issued(services)
    opened(services, "failing.example")
    services.resolver.verdicts["failing.example"] = Verdict.NO
    SimulatedFleet(services).run(100)
    services.counters.add_tally()
    values = scrape(services)
    counted = {key[1:]: value for key, value in values.items() if key[0] == metrics.ISSUANCES.name and value}
    assert counted == {(CA, "first", "succeeded"): 1, ("", "first", "retried"): 1}
    steps = {key[1]: value for key, value in values.items() if key[0] == "issuer_step_seconds_count"}
    assert steps == dict.fromkeys(("order", "challenge", "finalize", "install"), 1)
    assert all(value > 0 for key, value in values.items() if key[0] == "issuer_step_seconds_sum")


def test_a_damaged_counter_stops_no_write(services: Services) -> None:
    services.store._redis.hset(METRICS, '["issuer_events_total", "issuance.started", ""]', "x")
    issued(services)
    assert of(scrape(services), metrics.DOMAINS)["active"] == 1


def test_what_is_due_and_for_how_long(services: Services) -> None:
    opened(services)
    services.clock.forward(200)
    values = scrape(services)
    assert of(values, metrics.DUE_ENTRIES)["interactive"] == of(values, metrics.DUE_NOW)["interactive"] == 1
    assert of(values, metrics.DUE_OLDEST) == dict.fromkeys(of(values, metrics.DUE_OLDEST), 0) | {"interactive": 140}
    assert "ready" in of(values, metrics.DUE_ENTRIES)


def test_what_waits_in_queues_and_for_how_long(services: Services) -> None:
    services.queue.enqueue(opened(services))
    values = scrape(replace(services, clock=lambda: time.time() + 60))
    assert of(values, metrics.QUEUE_MESSAGES) == dict.fromkeys(of(values, metrics.QUEUE_MESSAGES), 0) | {
        "interactive": 1
    }
    assert 59 < of(values, metrics.QUEUE_OLDEST)["interactive"] < 62
    assert values[metrics.BROKER_UP.name,] == 1


def test_a_ca_in_cooldown_and_what_its_limit_leaves(services: Services) -> None:
    issued(services)
    now = services.clock()
    values = scrape(services)
    assert of(values, metrics.CA_COOLDOWN) == of(values, metrics.CA_FAILING) == {CA: 0}
    assert (of(values, metrics.CA_ORDERS_LEFT), of(values, metrics.CA_ORDERS_LIMIT)) == ({CA: 9}, {CA: 10})
    services.limits.record_failure(CA, now=now, is_certain=True)
    services.clock.forward(100)
    values = scrape(services)
    assert of(values, metrics.CA_FAILING) == {CA: 100}
    assert of(values, metrics.CA_COOLDOWN) == {CA: pytest.approx(500, abs=1)}


def test_the_oldest_certificate_that_not_all_edges_serve(services: Services) -> None:
    services = replace(services, edges=("edge1.platform.example:443",))
    issued(services)
    services.clock.forward(300)
    assert scrape(services)[metrics.EDGE_LAG.name,] == pytest.approx(300, abs=5)
    assert scrape(services)[metrics.EDGE_UNCONFIRMED.name,] == 1


def test_reindex_gives_records_of_an_older_release_their_new_listings(services: Services) -> None:
    renewing_with(services, NAME, Problem(ProblemType.CAA))
    client, key = services.store._redis, f"{RECORDS}{NAME}"
    whole = client.hget(key, "indexes")
    new = [line for line in whole.split("\n") if line.startswith(("index:must_act", "index:at_risk"))]
    assert len(new) == 2
    client.hset(key, "indexes", "\n".join(line for line in whole.split("\n") if line not in new))
    for line in new:
        client.delete(f"issuer:{line.partition('=')[0]}")
    client.hset(REINDEX, mapping={"done_at": services.clock(), "seen": 1, "damaged": 0, "cursor": 0, "server": ""})
    services.store.reindex(now=services.clock(), limit=100)
    assert client.hget(key, "indexes") == whole
    assert client.zrange(index_key((Listing.MUST_ACT, "owner")), 0, -1) == [NAME]
    assert client.zrange(index_key((Listing.AT_RISK, "")), 0, -1) == [NAME]


def test_without_a_broker_all_else_is_shown(services: Services, broker: redis.Redis) -> None:
    store = empty_store()
    take_away(store)
    issued(services)
    values = scrape(replace(services, servers=RedisServers({"messages": store._redis})))
    assert of(values, metrics.DOMAINS)["active"] == 1
    assert of(values, metrics.QUEUE_MESSAGES) == {}


def asked(services: Services) -> Counter[str]:
    """How many commands a scrape takes, by their names."""
    client = services.store._redis
    before = Counter({name: stats["calls"] for name, stats in client.info("commandstats").items()})
    scrape(services)
    return Counter({name: stats["calls"] for name, stats in client.info("commandstats").items()}) - before


def test_a_scrape_asks_redis_no_more_for_more_domains(services: Services) -> None:
    fleet = SimulatedFleet(services)

    def grow(some: str) -> Counter[str]:
        """More domains of each kind: active, failing, new, and with a certificate that has ended."""
        for name in below(some, 4):
            issued(services, name)
            renewing_with(services, f"failing.{name}", Problem(ProblemType.CAA))
        services.clock.forward(91 * DAY)
        fleet.scan()
        everybody_works(services)
        scrape(services)
        return asked(services)

    assert grow("few.example") == grow("many.example")
    assert of(scrape(services), metrics.DOMAINS)["expired"] > 8


def test_a_domain_on_which_nobody_works_is_the_platforms(services: Services) -> None:
    services.board.heartbeats(services.clock())
    opened(services)
    services.clock.forward(300)
    values = scrape(services)
    assert of(values, metrics.DOMAINS_BY_CODE) == {"not-worked-on": 1}
    assert of(values, metrics.DOMAINS_BY_ACTOR) == {"owner": 0, "platform": 1, "nobody": 0}
