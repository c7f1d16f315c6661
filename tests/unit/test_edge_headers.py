"""/edge/headers: whether a name has a valid certificate, and which header to send over HTTPS."""

from dataclasses import replace

import pytest
from werkzeug.test import TestResponse

from issuer.domain import Hsts
from issuer.ports import Services
from tests.api_client import issued
from tests.databases import take_away
from tests.fakes import EDGE_TOKEN, NAME
from tests.writes import write
from web.app import create_app

HSTS = "Strict-Transport-Security"


@pytest.fixture
def get_answer(services: Services):
    app = create_app(services)

    def get_answer(domain: str = NAME, token: str = EDGE_TOKEN) -> TestResponse:
        with app.test_client() as client:
            return client.get("/edge/headers", query_string={"token": token, "domain": domain})

    return get_answer


@pytest.mark.parametrize("name", [NAME, NAME.upper(), f"{NAME}."])
def test_h03_a_valid_certificate_is_204_with_the_domains_policy(services: Services, get_answer, name: str) -> None:
    issued(services)
    answer = get_answer(name)
    assert (answer.status_code, answer.headers.get(HSTS), answer.data) == (204, "max-age=5184000", b"")


@pytest.mark.parametrize(
    ("policy", "header"), [(Hsts(3600), "max-age=3600"), (Hsts(0), None), (Hsts(0, off_until=1e11), "max-age=0")]
)
def test_h03_a_changed_policy_applies_at_once(services: Services, get_answer, policy: Hsts, header: str | None) -> None:
    record = issued(services)
    assert get_answer().headers[HSTS] == "max-age=5184000"
    write(services.store, record.with_domain(hsts=policy), now=services.clock())
    assert (get_answer().status_code, get_answer().headers.get(HSTS)) == (204, header)


def test_h03_after_the_last_second_of_the_certificate_there_is_no_header(services: Services, get_answer) -> None:
    record = issued(services)
    assert get_answer().status_code == 204
    services.clock.now = record.domain.certificate.not_after + 0.9
    assert (get_answer().status_code, get_answer().headers[HSTS]) == (204, "max-age=5184000")
    services.clock.now = record.domain.certificate.not_after + 1
    assert (get_answer().status_code, get_answer().headers.get(HSTS)) == (410, None)


@pytest.mark.parametrize("domain", ["other.customer.example", "", "127.0.0.1", f"{NAME}&domain={NAME}"])
def test_other_names_are_404(services: Services, get_answer, domain: str) -> None:
    issued(services)
    assert (get_answer(domain).status_code, get_answer(domain).headers.get(HSTS)) == (404, None)


def test_it_needs_the_token(services: Services, get_answer) -> None:
    issued(services)
    assert get_answer(token="wrong").status_code == 401


def test_h04_without_redis_cached_names_are_still_answered(services: Services, get_answer) -> None:
    issued(services)
    assert get_answer().status_code == 204
    take_away(services.store)
    assert (get_answer().status_code, get_answer().headers[HSTS]) == (204, "max-age=5184000")
    assert get_answer("other.customer.example").status_code == 503


def test_a_cached_bundle_costs_one_query_to_redis(services: Services) -> None:
    record, queries = issued(services), []

    class CountedFeed:
        def edge_version(self, name: str) -> str:
            queries.append(name)
            return record.domain.edge_version

    class CountedStore:
        def require_own(self, **_: float) -> None:
            """It is ours."""

        def load(self, name: str):
            queries.append(name)
            return record

    app = create_app(replace(services, feed=CountedFeed(), store=CountedStore()))
    with app.test_client() as client:
        for _ in range(4):
            assert client.get(f"/edge/headers?token={EDGE_TOKEN}&domain={NAME}").status_code == 204
    assert len(queries) == 2 + 3
