"""N17: the nonce of a probe: new each time, answered by `web` exactly and for seconds, and never shown."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from issuer.challenges import HttpProbe
from issuer.challenges.probe import NONCE_SECONDS
from issuer.ports import Finding, SelfCheck, Verdict
from issuer.problem import Problem, ProblemType
from tests.api_client import ApiClient
from tests.databases import empty_store, take_away
from tests.fakes import NAME, fake_services

PATH = "/.well-known/acme-challenge/"


class ThroughWeb:
    """Fetches from the application as a CA would: its answer must be the expected one, byte for byte."""

    def __init__(self, api_client: ApiClient) -> None:
        self.client = api_client.app.test_client
        self.seen: list[tuple[str, str]] = []
        self.at_the_same_time: Callable[[], object] = lambda: None

    def fetch(self, name: str, token: str, key_authorization: str, *, within_name: bool = False) -> Finding:
        self.seen.append((token, key_authorization))
        self.at_the_same_time()
        with self.client() as client:
            answer = client.get(PATH + token, headers={"Host": name})
            is_ours = (answer.status_code, answer.get_data()) == (200, key_authorization.encode())
        return Finding(Verdict.YES if is_ours else Verdict.NO, name if not within_name else f"{name} alone")


@pytest.fixture
def api_client() -> ApiClient:
    return ApiClient()


@pytest.fixture
def web(api_client: ApiClient) -> ThroughWeb:
    return ThroughWeb(api_client)


@pytest.fixture
def probe(api_client: ApiClient, web: ThroughWeb) -> HttpProbe:
    return HttpProbe(api_client.services.store, web)


def test_n17_the_web_answers_a_probe(probe: HttpProbe, web: ThroughWeb) -> None:
    check: SelfCheck = web
    assert probe.arrives_here(NAME, within_name=False) == Finding(Verdict.YES, NAME)
    assert probe.arrives_here_for_caller(NAME, within_name=True) == Finding(Verdict.YES, f"{NAME} alone")
    assert check.fetch(NAME, "never-made", "answer").verdict is Verdict.NO


def test_n17_each_nonce_and_answer_is_random_and_neither_contains_the_other(probe: HttpProbe, web: ThroughWeb) -> None:
    for _ in range(50):
        probe.arrives_here(NAME, within_name=True)
    nonces, answers = map(set, zip(*web.seen, strict=True))
    assert len(nonces | answers) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", nonce) for nonce in nonces)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", answer) for answer in answers)
    assert not any(nonce in answer for nonce, answer in web.seen)


def test_n17_two_probes_of_a_name_at_once_do_not_disturb_each_other(probe: HttpProbe, web: ThroughWeb) -> None:
    web.at_the_same_time = Barrier(4, timeout=20).wait
    with ThreadPoolExecutor(4) as pool:
        findings = [pool.submit(probe.arrives_here, NAME, within_name=True) for _ in range(4)]
    assert {finding.result().verdict for finding in findings} == {Verdict.YES}


@pytest.mark.parametrize("change", [str.lower, str.swapcase, lambda nonce: nonce[:-1], lambda nonce: f"{nonce}A"])
def test_n17_only_the_nonce_itself_is_answered(
    probe: HttpProbe, web: ThroughWeb, api_client: ApiClient, change: Callable[[str], str]
) -> None:
    probe.arrives_here(NAME, within_name=True)
    nonce, answer = web.seen[0]
    assert api_client.services.store.key_authorization(nonce) == answer
    assert api_client.services.store.key_authorization(change(nonce)) is None


def test_n17_a_nonce_is_short_lived(probe: HttpProbe, web: ThroughWeb, api_client: ApiClient) -> None:
    probe.arrives_here(NAME, within_name=True)
    client = api_client.services.store._redis
    (key,) = client.keys("issuer:token:*")
    assert 0 < client.ttl(key) <= NONCE_SECONDS <= 10


def test_n17_without_the_store_there_is_no_probe(web: ThroughWeb) -> None:
    take_away(store := empty_store())
    with pytest.raises(Problem) as caught:
        HttpProbe(store, web).arrives_here(NAME, within_name=True)
    assert caught.value.type is ProblemType.STORE_UNAVAILABLE
    assert web.seen == []


def test_n17_the_fakes_probe_publishes_too() -> None:
    services = fake_services()
    assert services.probe.arrives_here(NAME, within_name=True).verdict is Verdict.YES
    assert len(services.store._redis.keys("issuer:token:*")) == 1
