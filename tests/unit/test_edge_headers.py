"""/edge/headers: whether a name has a valid certificate, and what is to be told over HTTPS."""

from dataclasses import replace

import pytest
from werkzeug.test import TestResponse

from issuer.domain import Hsts
from issuer.ports import Services
from tests.api_client import issued
from tests.fakes import EDGE_TOKEN, NAME
from tests.writes import write
from web.app import create_app

HSTS = "Strict-Transport-Security"


@pytest.fixture
def look(services: Services):
    app = create_app(services)

    def look(domain: str = NAME, token: str = EDGE_TOKEN) -> TestResponse:
        with app.test_client() as client:
            return client.get("/edge/headers", query_string={"token": token, "domain": domain})

    return look


@pytest.mark.parametrize("name", [NAME, NAME.upper(), f"{NAME}."])
def test_h03_a_valid_certificate_is_told_of_with_the_domains_policy(services: Services, look, name: str) -> None:
    issued(services)
    answer = look(name)
    assert (answer.status_code, answer.headers.get(HSTS), answer.data) == (204, "max-age=5184000", b"")


@pytest.mark.parametrize(
    ("policy", "header"), [(Hsts(3600), "max-age=3600"), (Hsts(0), None), (Hsts(0, off_until=1e12), "max-age=0")]
)
def test_h03_a_policy_that_changes_is_told_at_once(services: Services, look, policy: Hsts, header: str | None) -> None:
    record = issued(services)
    assert look().headers[HSTS] == "max-age=5184000"
    write(services.store, record.with_domain(hsts=policy), now=services.clock())
    assert (look().status_code, look().headers.get(HSTS)) == (204, header)


def test_h03_from_the_second_on_in_which_it_ends_nothing_is_told(services: Services, look) -> None:
    record = issued(services)
    assert look().status_code == 204
    services.clock.now = record.domain.certificate.not_after + 0.9
    assert (look().status_code, look().headers[HSTS]) == (204, "max-age=5184000")
    services.clock.now = record.domain.certificate.not_after + 1
    assert (look().status_code, look().headers.get(HSTS)) == (410, None)


@pytest.mark.parametrize("domain", ["other.customer.example", "", "127.0.0.1", f"{NAME}&domain={NAME}"])
def test_of_other_names_nothing_is_told(services: Services, look, domain: str) -> None:
    issued(services)
    assert (look(domain).status_code, look(domain).headers.get(HSTS)) == (404, None)


def test_it_needs_the_token(services: Services, look) -> None:
    issued(services)
    assert look(token="wrong").status_code == 401


def test_h04_with_redis_away_what_was_looked_at_goes_on_being_told(services: Services, look) -> None:
    issued(services)
    assert look().status_code == 204
    services.store._redis.connection_pool.connection_kwargs["server"].connected = False
    assert (look().status_code, look().headers[HSTS]) == (204, "max-age=5184000")
    assert look("other.customer.example").status_code == 503


def test_a_look_at_what_is_known_costs_one_look_at_redis(services: Services) -> None:
    record, looks = issued(services), []

    class CountedFeed:
        def edge_version(self, name: str) -> str:
            looks.append(name)
            return record.domain.edge_version

    class CountedStore:
        def load(self, name: str):
            looks.append(name)
            return record

    app = create_app(replace(services, feed=CountedFeed(), store=CountedStore()))
    with app.test_client() as client:
        for _ in range(4):
            assert client.get(f"/edge/headers?token={EDGE_TOKEN}&domain={NAME}").status_code == 204
    assert len(looks) == 2 + 3
