"""N17: names behind a customer's HAProxy, with a real DNS, Redis and CA."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from issuer import renewal
from issuer.challenges import HttpProbe, HttpSelfCheck
from issuer.domain import Reason, Record, Status, new_issuance, status
from issuer.events import EventType
from issuer.ports import Services, Verdict
from issuer.problem import ProblemType
from issuer.sandbox import Dns, Pebble, Sandbox
from issuer.wiring import build_services
from tests.api_client import ApiClient
from tests.fakes import TARGET
from tests.integration import customers_proxy
from tests.integration.customers_proxy import PROXY
from tests.integration.fetches import NAME, OTHER, http, redirect, self_check
from tests.integration.raw_server import Reply
from tests.real import opened, published, run_to_end, settings_for
from tests.writes import open_issuance
from web.app import create_app

NOBODY = "127.0.0.3"
"""An address at which nothing listens."""
OFF = "a proxy (CDN) is on: switch it off"


@pytest.fixture(scope="module", autouse=True)
def haproxy(module_sandbox: Sandbox, http_port: int) -> None:
    customers_proxy.start(module_sandbox, http_port)


@pytest.fixture(scope="module")
def pebble(module_sandbox: Sandbox, dns: Dns, http_port: int) -> Pebble:
    """A CA that validates a name at each order."""
    return module_sandbox.pebble(dns.server, http_port, {"PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"})


@pytest.fixture
def services(redis_url: str, pebble: Pebble, dns: Dns, http_port: int, serve: Callable[..., None]) -> Services:
    settings = settings_for(
        redis_url, pebble.directory_url, dns, acme_ca_bundle=str(pebble.bundle), self_check_test_port=http_port
    )
    services = build_services(settings)
    serve(create_app(services), http_port)
    return services


@pytest.fixture
def api_client(services: Services) -> ApiClient:
    return ApiClient(services).with_accounts()


def accepting(api_client: ApiClient) -> ApiClient:
    settings = api_client.services.settings.model_copy(update={"accept_proxied_names": True})
    return ApiClient(replace(api_client.services, settings=settings), keys=api_client.keys)


def in_turn(*replies: bytes) -> Reply:
    """Gives the replies one after the other."""
    left = iter(replies)
    return lambda _: next(left)


def proxied(dns: Dns, label: str, address: str = PROXY) -> str:
    """A name whose only address is the proxy's, or another one."""
    name = f"{label}.proxied.example"
    dns.addresses(name, address)
    return name


@pytest.mark.parametrize(
    ("label", "verdict", "within_name", "words"),
    [
        ("forward", Verdict.YES, Verdict.YES, "answers the challenge"),
        ("tls", Verdict.YES, Verdict.YES, "redirects to https://tls.proxied.example"),
        ("www", Verdict.YES, Verdict.NO, "redirects to http://forward.proxied.example"),
        ("bots", Verdict.NO, Verdict.NO, "answers 403"),
        ("old", Verdict.NO, Verdict.NO, "answers 404"),
        ("echo", Verdict.NO, Verdict.NO, "does not answer with the challenge response"),
    ],
)
def test_n17_a_probe_finds_out_whether_a_proxy_leads_here(
    services: Services, dns: Dns, label: str, verdict: Verdict, within_name: Verdict, words: str
) -> None:
    name = proxied(dns, label)
    dns.addresses("forward.proxied.example", PROXY)
    finding = services.probe.arrives_here(name, within_name=False)
    assert (finding.verdict, words in finding.summary) == (verdict, True)
    assert services.probe.arrives_here(name, within_name=True).verdict is within_name


@pytest.mark.parametrize("address", [PROXY, "10.0.0.1", "169.254.169.254"])
def test_n17_a_probe_connects_to_public_addresses_alone(services: Services, dns: Dns, address: str) -> None:
    check = HttpSelfCheck([dns.server])
    finding = HttpProbe(services.store, check).arrives_here(
        proxied(dns, f"private-{address}", address), within_name=True
    )
    assert finding.verdict is Verdict.UNKNOWN
    assert "cannot be reached from the internet" in finding.summary


@pytest.mark.parametrize("label", ["forward", "tls", "shop"])
def test_n17_a_first_post_is_told_to_switch_the_proxy_off(api_client: ApiClient, dns: Dns, label: str) -> None:
    name = proxied(dns, label)
    answer = api_client.post(name)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid-cname")
    assert answer.json["detail"] == f"{name} has no CNAME and the address {PROXY}, but requests to it arrive here"
    assert answer.json["hint"].startswith(OFF)
    assert answer.json["hint"].endswith(f"{name} CNAME {TARGET}")
    assert accepting(api_client).post(name).status_code == 202


@pytest.mark.parametrize(("label", "address"), [("old", PROXY), ("echo", PROXY), ("www", PROXY), ("dead", NOBODY)])
def test_n17_a_foreign_address_that_does_not_reach_us_is_a_wrong_record(
    api_client: ApiClient, dns: Dns, label: str, address: str
) -> None:
    name = proxied(dns, label, address)
    answer = api_client.post(name)
    assert (answer.status_code, answer.json["detail"]) == (400, f"{name} has no CNAME and the address {address}")
    assert "proxy" not in answer.text
    refused = accepting(api_client).post(name)
    assert (refused.status_code, f"http://{name}" in refused.json["detail"]) == (400, True)


def test_n17_a_cdn_that_answers_in_our_place_may_hide_the_record(api_client: ApiClient, dns: Dns) -> None:
    name = proxied(dns, "bots")
    answer = api_client.post(name)
    assert answer.json["hint"].startswith(f"create the record {name} CNAME {TARGET}: in the DNS of proxied.example, ")
    assert answer.json["hint"].endswith("; if DNS has it, a proxy (CDN) hides it: switch that off for this name")
    assert PROXY not in answer.json["hint"], "a proxy's addresses are no record of the owner"


@pytest.mark.parametrize(
    ("reply", "is_by_proxy"),
    [
        (http("no", 525, CF_RAY="1"), True),
        (http("no", 403, via="1.1 4f.cloudfront.net (CloudFront)"), True),
        (http("no", 404, X_Cache="MISS"), True),
        (http("no", 503, Cache_Status="cdn.example; fwd=miss"), True),
        (http("no", 200, X_CDN="Imperva"), True),
        (http("no", 404), False),
        (http("no", 404, Server="nginx", X_Powered_By="Via"), False),
        (in_turn(redirect(f"http://{OTHER}/"), http("no", 404, Via="1.1 cdn.example")), False),
        (in_turn(redirect(f"https://{NAME}/"), b""), False),
        (in_turn(http("", 301, Location=f"http://{OTHER}/", Via="1.1 cdn.example"), http()), True),
    ],
)
def test_n17_proxies_make_themselves_known(reply: Reply | bytes, *, is_by_proxy: bool) -> None:
    assert self_check(reply).is_by_proxy is is_by_proxy


def test_n17_posts_at_once_do_not_disturb_each_other(api_client: ApiClient, dns: Dns) -> None:
    api_client = accepting(api_client)
    names = [proxied(dns, f"at-once-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(api_client.post, names))
    assert [answer.status_code for answer in answers] == [202] * 8


def reissued(services: Services, record: Record) -> Record:
    """The record after another issuance, as a renewal makes it."""
    again = new_issuance(record.domain.name, Reason.RENEWAL, services.clock())
    open_issuance(services.store, record.domain, again, version=record.version, requeue_at=services.clock() + 60)
    return run_to_end(services, record)


def test_n17_a_name_behind_a_proxy_is_renewed_and_returns_from_elsewhere(services: Services, dns: Dns) -> None:
    name = published(dns, "shop.life.proxied.example")
    dns.addresses(name, PROXY)
    dns.addresses("moved.life.proxied.example", NOBODY)
    record = run_to_end(services, opened(services, name))
    direct = record.domain.certificate.serial
    dns.clear_cname(name)
    record = reissued(services, record)
    renewed = record.domain.certificate.serial
    assert (status(record, services.clock()), renewed != direct) == (Status.ACTIVE, True)
    assert record.domain.moved_away_since is None
    assert EventType.DOMAIN_PROXIED in [event.type for event in record.timeline]
    dns.cname(name, "moved.life.proxied.example")
    record = reissued(services, record)
    assert record.issuance.problem.type is ProblemType.INVALID_CNAME
    assert f"http://{name} cannot be reached" in record.issuance.problem.detail
    assert record.domain.moved_away_since is not None
    assert renewal.recheck(services, name) is None
    dns.clear_cname(name)
    record = run_to_end(services, renewal.recheck(services, name))
    assert record.domain.moved_away_since is None
    assert record.domain.certificate.serial not in {direct, renewed}
