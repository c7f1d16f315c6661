"""What TLS terminators get for a name: /edge/certificate and /edge/ask, and the HSTS header."""

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from werkzeug.test import TestResponse

from issuer.domain import Hsts
from issuer.edge import cache as cache_module
from issuer.edge.bundle import bundle_for, default_hsts_header
from issuer.edge.cache import BundleCache
from issuer.keys import PLACEHOLDER_NAME, is_placeholder, verify_bundle
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from tests.api_client import issued
from tests.databases import take_away
from tests.fakes import EDGE_TOKEN, NAME, with_settings
from tests.writes import write
from web.app import create_app

DAY = 86400


class Edge:
    """A terminator, with the edge token."""

    def __init__(self, services: Services) -> None:
        self.app = create_app(services)

    def get(self, path: str, token: str | None = EDGE_TOKEN) -> TestResponse:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with self.app.test_client() as client:
            return client.get(f"/edge/{path}", headers=headers)


@pytest.fixture
def edge(services: Services) -> Edge:
    return Edge(services)


@pytest.mark.parametrize("name", [NAME, NAME.upper(), f"{NAME}.", "Track.Customer.Example"])
def test_chain_and_key_of_a_name_in_any_spelling(services: Services, edge: Edge, name: str) -> None:
    certificate = issued(services).domain.certificate
    answer = edge.get(f"certificate?server_name={name}")
    assert (answer.status_code, answer.content_type) == (200, "application/x-pem-file")
    assert answer.text.startswith(certificate.chain)
    key = load_pem_private_key(answer.data, password=None)
    assert x509.load_pem_x509_certificate(answer.data).public_key() == key.public_key()
    assert edge.get(f"ask?domain={name}").status_code == 200


@pytest.mark.parametrize(
    "name", ["other.customer.example", "", "192.0.2.1", f"{NAME}:443", "no_name.example", "*", f"x.{NAME}", "a" * 2000]
)
def test_h04_n41_a_name_without_a_certificate_is_404(services: Services, edge: Edge, name: str) -> None:
    issued(services)
    assert edge.get(f"certificate?server_name={name}").status_code == 404
    assert edge.get(f"ask?domain={name}").status_code == 404


@pytest.mark.parametrize("query", ["", f"?domain={NAME}&domain={NAME}", f"?server_name={NAME}"])
def test_h04_one_name_must_be_given(services: Services, edge: Edge, query: str) -> None:
    issued(services)
    assert edge.get(f"ask{query}").status_code == 404


@pytest.mark.parametrize("path", ["certificate?server_name=", "ask?domain="])
@pytest.mark.parametrize("token", [None, "wrong", EDGE_TOKEN[:-1], f"{EDGE_TOKEN}é".encode().decode("latin-1")])
def test_without_the_token_it_is_401(services: Services, edge: Edge, path: str, token: str | None) -> None:
    issued(services)
    answer = edge.get(path + NAME, token)
    assert answer.status_code == 401
    assert b"BEGIN" not in answer.data


def test_the_token_may_be_in_the_query_for_those_who_send_no_headers(services: Services, edge: Edge) -> None:
    issued(services)
    assert edge.get(f"certificate?token={EDGE_TOKEN}&server_name={NAME}", None).status_code == 200
    assert edge.get(f"certificate?token=wrong&server_name={NAME}", None).status_code == 401


def test_without_a_token_in_the_settings_there_is_no_edge(services: Services) -> None:
    issued(services)
    edge = Edge(replace(services, edge_token=""))
    for token in (None, "", EDGE_TOKEN):
        assert edge.get(f"certificate?server_name={NAME}", token).status_code == 404


def test_h02_a_renewal_is_served_at_once(services: Services, edge: Edge) -> None:
    record = issued(services)
    before = edge.get(f"certificate?server_name={NAME}").data
    other = issued(services, "other.customer.example").domain.certificate
    moved = replace(other, serial="0ddba11", installed_at=services.clock())
    write(services.store, record.with_domain(certificate=moved), now=services.clock())
    after = edge.get(f"certificate?server_name={NAME}").data
    assert (before != after, after.startswith(other.chain.encode())) == (True, True)


def test_without_redis_cached_certificates_are_still_served(services: Services, edge: Edge) -> None:
    issued(services)
    before = edge.get(f"certificate?server_name={NAME}").data
    take_away(services.store)
    assert edge.get(f"certificate?server_name={NAME}").data == before
    assert edge.get(f"ask?domain={NAME}").status_code == 200
    assert edge.get("certificate?server_name=other.customer.example").status_code == 503


class UnreliableFeed:
    """The feed of a store that can be unavailable. asked: the number of calls."""

    def __init__(self, feed) -> None:
        self._feed, self.is_unavailable, self.asked = feed, False, 0
        self.before = lambda: None

    def edge_version(self, name: str) -> str:
        self.asked += 1
        self.before()
        if self.is_unavailable:
            raise Problem(ProblemType.STORE_UNAVAILABLE)
        return self._feed.edge_version(name)


def test_h04_a_handshake_does_not_wait_for_an_unavailable_store(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued(services)
    feed = UnreliableFeed(services.feed)
    cache = BundleCache(replace(services, feed=feed))
    before = cache.bundle_for(NAME)
    feed.is_unavailable, feed.asked = True, 0
    assert [cache.bundle_for(NAME) for _ in range(5)] == [before] * 5
    assert feed.asked == 1
    with pytest.raises(Problem):
        cache.bundle_for("other.customer.example")  # nothing is known of it, so it is asked for
    monkeypatch.setattr(cache_module, "UNAVAILABLE_SECONDS", 0.0)
    assert (cache.bundle_for(NAME), feed.asked) == (before, 2)


def test_h04_one_caller_tries_the_store_and_the_others_do_not_wait(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = issued(services)
    monkeypatch.setattr(cache_module, "UNAVAILABLE_SECONDS", 0.0)
    feed = UnreliableFeed(services.feed)
    cache = BundleCache(replace(services, feed=feed))
    before = cache.bundle_for(NAME)
    feed.is_unavailable = True
    assert cache.bundle_for(NAME) == before
    feed.is_unavailable, feed.asked = False, 0
    write(services.store, record.with_domain(hsts=Hsts(60)), now=services.clock())
    meanwhile = []
    feed.before = lambda: meanwhile.extend(cache.bundle_for(NAME) for _ in range(3) if feed.asked == 1)
    assert cache.bundle_for(NAME).policy == Hsts(60)
    assert (meanwhile, feed.asked) == ([before] * 3, 1)
    assert (cache.bundle_for(NAME).policy, feed.asked) == (Hsts(60), 2)


def test_a_key_is_decrypted_once(services: Services, edge: Edge) -> None:
    issued(services)
    opened = []

    class CountingVault:
        def decrypt(self, token: str, what: str = "") -> bytes:
            opened.append(token)
            return services.vault.decrypt(token)

    edge = Edge(replace(services, vault=CountingVault()))
    for _ in range(3):
        assert edge.get(f"certificate?server_name={NAME}").status_code == 200
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("policy", "header"),
    [
        (None, "max-age=5184000"),
        (Hsts(3600), "max-age=3600"),
        (Hsts(3600, includes_subdomains=True), "max-age=3600; includeSubDomains"),
        (Hsts(3600, includes_subdomains=True, is_preload=True), "max-age=3600; includeSubDomains; preload"),
        (Hsts(0), None),
        (Hsts(0, off_until=1e11), "max-age=0"),
        (Hsts(0, off_until=1.0), None),
    ],
)
def test_h03_the_header_of_a_policy(services: Services, policy: Hsts | None, header: str | None) -> None:
    record = issued(services)
    write(services.store, record.with_domain(hsts=policy), now=services.clock())
    assert bundle_for(services, NAME).header(services.clock()) == header


def test_h03_max_age_0_is_sent_only_as_long_as_necessary(services: Services, edge: Edge) -> None:
    record, now = issued(services), services.clock()
    write(services.store, record.with_domain(hsts=Hsts(0, off_until=now + 60)), now=now)
    for services.clock.now, header in ((now, "max-age=0"), (now + 59, "max-age=0"), (now + 60, None)):
        answer = edge.get(f"headers?domain={NAME}")
        assert (answer.status_code, answer.headers.get("Strict-Transport-Security")) == (204, header)


def test_h03_no_header_without_a_valid_certificate(services: Services) -> None:
    record = issued(services)
    end = record.domain.certificate.not_after + 1
    bundle = bundle_for(services, NAME)
    assert (bundle.is_valid(end - 0.1), bundle.is_valid(end), bundle.header(end)) == (True, False, None)
    write(services.store, record.with_domain(is_expiry_reported=True), now=services.clock())
    assert bundle_for(services, NAME).header(services.clock()) is None, "an edge with a slow clock knows it, too"
    write(services.store, services.store.load(NAME).with_domain(certificate=None), now=services.clock())
    assert bundle_for(services, NAME) is None


@pytest.mark.parametrize(("seconds", "header"), [(60, "max-age=60"), (0, None)])
def test_h03_the_header_of_domains_without_a_policy(services: Services, seconds: int, header: str | None) -> None:
    services = with_settings(services, hsts_max_age_seconds=seconds)
    issued(services)
    assert default_hsts_header(services) == bundle_for(services, NAME).header(services.clock()) == header


def test_d01_on_request_there_is_a_placeholder_certificate(services: Services, edge: Edge) -> None:
    own = issued(services).domain.certificate
    assert edge.get(f"certificate?server_name={NAME}&otherwise=neutral").text.startswith(own.chain)
    answers = [edge.get(f"certificate?otherwise=neutral&server_name={name}") for name in ("other.example", "", "a b")]
    assert [answer.status_code for answer in answers] == [200] * 3
    for answer in answers:
        verify_bundle(answer.text, PLACEHOLDER_NAME)
        assert is_placeholder(x509.load_pem_x509_certificate(answer.data))
    assert edge.get("certificate?otherwise=x&server_name=other.example").status_code == 404
    assert edge.get("ask?otherwise=neutral&domain=other.example").status_code == 404
    assert edge.get("certificate?otherwise=neutral&server_name=other.example", None).status_code == 401
    take_away(services.store)
    assert edge.get("certificate?otherwise=neutral&server_name=unseen.example").status_code == 503


def test_f01_the_repr_of_a_bundle_has_no_key(services: Services) -> None:
    issued(services)
    assert "PRIVATE" not in repr(bundle_for(services, NAME))
    assert EDGE_TOKEN not in repr(services)


def test_a_key_that_cannot_be_decrypted_is_an_error(services: Services, edge: Edge) -> None:
    issued(services)

    class ForeignVault:
        def decrypt(self, token: str, what: str = "") -> bytes:
            raise Problem(ProblemType.UNDECRYPTABLE)

    edge = Edge(replace(services, vault=ForeignVault()))
    answer = edge.get(f"certificate?server_name={NAME}")
    assert (answer.status_code, answer.json["code"]) == (500, "undecryptable")


@pytest.mark.parametrize("loss", ["the record", "all"])
def test_n26_what_is_held_is_served_though_its_record_is_missing(services: Services, edge: Edge, loss: str) -> None:
    issued(services)
    certificate = f"certificate?server_name={NAME}"
    held, redis = edge.get(certificate).data, services.store._redis
    redis.delete(f"issuer:domain:{NAME}") if loss == "the record" else redis.flushdb()
    for days in (0, 6.9):
        services.clock.forward(days * DAY)
        assert (edge.get(certificate).status_code, edge.get(certificate).data) == (200, held)
        assert edge.get(f"ask?domain={NAME}").status_code == 200
    services.clock.forward(0.2 * DAY)
    assert edge.get(certificate).status_code == {"the record": 404, "all": 200}[loss]


def test_n26_a_withdrawal_takes_effect_at_once(services: Services, edge: Edge) -> None:
    record = issued(services)
    assert edge.get(f"certificate?server_name={NAME}").status_code == 200
    withdrawn = record.domain.withdrawn(services.clock() + DAY, ())
    write(services.store, replace(record, domain=withdrawn), now=services.clock())
    assert edge.get(f"certificate?server_name={NAME}").status_code == 404
