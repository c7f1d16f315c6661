"""One damaged record harms nobody else, wherever records are read."""

import json
from collections.abc import Callable

import pytest

from issuer.ports import Services
from issuer.store.keys import RECORDS
from tests.api_client import ApiClient, issued
from tests.fakes import EDGE_TOKEN
from tests.simulated_fleet import HOUR, SimulatedFleet

GOOD, BAD = "good.customer.example", "bad.customer.example"
KEY = f"{RECORDS}{BAD}"


def cut(services: Services) -> None:
    text = services.store._redis.hget(KEY, "domain")
    services.store._redis.hset(KEY, "domain", text[: len(text) // 2])


def without_certificate_key(services: Services) -> None:
    values = json.loads(services.store._redis.hget(KEY, "domain"))
    del values["certificate"]["key"]
    services.store._redis.hset(KEY, "domain", json.dumps(values))


DAMAGES: dict[str, Callable[[Services], object]] = {
    "cut": cut,
    "null": lambda services: services.store._redis.hset(KEY, "issuance", "null"),
    "a part is missing": lambda services: services.store._redis.hdel(KEY, "issuance"),
    "of another type": lambda services: services.store._redis.hset(KEY, "domain", '["a", "list"]'),
    "a part of the certificate is missing": without_certificate_key,
    "a key of another type": lambda services: (
        services.store._redis.delete(KEY) and services.store._redis.set(KEY, "text")
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_scans_go_on_and_calls_say_so(damage: Callable[[Services], object]) -> None:
    api_client = ApiClient().with_accounts()
    services = api_client.services
    for name in (GOOD, BAD):
        issued(services, name)
    fleet = SimulatedFleet(services)
    good = services.store.load(GOOD)
    damage(services)
    services.clock.now = good.domain.renew_at + HOUR
    fleet.run(120)
    good = services.store.load(GOOD)
    assert [event.type for event in good.timeline].count("issuance.succeeded") == 2, "it was renewed"
    for method, path in (("GET", "/status"), ("POST", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/hsts")):
        answer = api_client.call(method, f"/v2/x509/{BAD}{path}")
        assert (answer.status_code, answer.json["code"]) == (503, "damaged-record"), method
        assert BAD in answer.json["detail"]
    assert api_client.status(GOOD).json["status"] == "active"
    with api_client.app.test_client() as client:
        for name, status in ((GOOD, 200), (BAD, 503)):
            found = client.get(f"/edge/certificate?token={EDGE_TOKEN}&server_name={name}")
            assert (found.status_code, name) in {(status, name), (204, BAD)}
