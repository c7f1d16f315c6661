"""N17: names behind a proxy of the customer, whose addresses are all foreign, are asked through the name."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Semaphore

import pytest

from issuer import renewal, tasks
from issuer.challenges.probe import AT_ONCE_FOR_CALLERS
from issuer.domain import Record, Status, Step
from issuer.events import EventType
from issuer.ports import Verdict
from issuer.problem import ProblemType
from tests.api_client import ApiClient, issued
from tests.fakes import NAME, TARGET, opened, with_settings
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet

NAMES = (NAME, "customer.example", "xn--mnchen-3ya.example")
NOT_HERE = (Verdict.NO, Verdict.UNKNOWN)
ORDINARY = f"create the record {NAME} CNAME {TARGET}"
PERHAPS = "; if DNS has it, a proxy (CDN) hides it: switch that off for this name"


def behind_a_proxy(api_client: ApiClient, verdict: Verdict = Verdict.YES, name: str = NAME) -> None:
    api_client.services.resolver.elsewhere.add(name)
    api_client.services.probe.self_check.verdicts[name] = verdict


@pytest.fixture
def api_client() -> ApiClient:
    return ApiClient().with_accounts()


def accepting(api_client: ApiClient, **settings: object) -> ApiClient:
    services = with_settings(api_client.services, accept_proxied_names=True, **settings)
    return ApiClient(services, keys=api_client.keys)


def ordered(api_client: ApiClient, name: str = NAME) -> Record:
    """The record after its order step."""
    tasks.attempt(api_client.services, Step.ORDER, api_client.load(name).issuance.id)
    return api_client.load(name)


def events(record: Record) -> list[str]:
    return [event.type for event in record.timeline]


def renewed(api_client: ApiClient, name: str = NAME) -> Record:
    """The record after the first step of its renewal."""
    api_client.services.clock.now = api_client.load(name).domain.renew_at
    renewal.start(api_client.services, name)
    return ordered(api_client, name)


@pytest.mark.parametrize("name", NAMES)
def test_n17_a_first_post_is_told_to_switch_the_proxy_off(api_client: ApiClient, name: str) -> None:
    behind_a_proxy(api_client, name=name)
    answer = api_client.post(name)
    assert (answer.status_code, answer.json["message"], answer.json["code"]) == (
        400,
        "invalid CNAME record",
        "invalid-cname",
    )
    assert answer.json["hint"].startswith("a proxy (CDN) is on: switch it off")
    assert answer.json["hint"].endswith(f"{name} CNAME {TARGET}")
    assert answer.json["detail"] == f"{name} as DNS has it, but requests to it arrive here"
    assert api_client.load(name) is None


@pytest.mark.parametrize("name", ["customer.example", "example.co.uk", "xn--mnchen-3ya.example"])
def test_n24_an_apex_behind_a_proxy_is_not_told_to_show_a_cname(api_client: ApiClient, name: str) -> None:
    behind_a_proxy(api_client, name=name)
    api_client.services.resolver.advice[name] = "it is an apex: create an ALIAS"
    hint = api_client.post(name).json["hint"]
    off = "a proxy (CDN) is on: switch it off for this name"
    assert hint == f"{off}; if that is not enough: it is an apex: create an ALIAS", "which it may have already"


@pytest.mark.parametrize("verdict", NOT_HERE)
def test_n17_a_foreign_address_that_does_not_reach_us_is_a_wrong_record(
    api_client: ApiClient, verdict: Verdict
) -> None:
    behind_a_proxy(api_client, verdict)
    answer = api_client.post()
    assert (answer.status_code, answer.json["detail"], answer.json["hint"]) == (400, f"{NAME} as DNS has it", ORDINARY)


@pytest.mark.parametrize("verdict", NOT_HERE)
@pytest.mark.parametrize("accepts", [False, True])
def test_n17_where_a_proxy_answers_in_our_place_it_is_named_as_a_possible_cause(
    api_client: ApiClient, verdict: Verdict, *, accepts: bool
) -> None:
    api_client = accepting(api_client) if accepts else api_client
    behind_a_proxy(api_client, verdict)
    api_client.services.probe.self_check.by_proxy.add(NAME)
    answer = api_client.post()
    assert (answer.status_code, answer.json["hint"]) == (400, f"{ORDINARY}{PERHAPS}")


def test_n17_a_name_that_is_redirected_to_another_one_has_no_proxy(api_client: ApiClient) -> None:
    behind_a_proxy(api_client)
    api_client.services.probe.self_check.redirected.add(NAME)
    assert api_client.post().json["hint"] == ORDINARY
    answer = accepting(api_client).post()
    assert (answer.status_code, answer.json["hint"]) == (400, ORDINARY)


@pytest.mark.parametrize("name", NAMES)
def test_n17_with_the_setting_a_probe_decides_at_the_first_post(api_client: ApiClient, name: str) -> None:
    api_client = accepting(api_client)
    behind_a_proxy(api_client, name=name)
    assert api_client.post(name).status_code == 202
    record = ordered(api_client, name)
    assert record.issuance.step is Step.CHALLENGE
    assert EventType.DOMAIN_PROXIED in events(record)


@pytest.mark.parametrize("verdict", NOT_HERE)
def test_n17_with_the_setting_a_name_that_does_not_reach_us_is_refused(api_client: ApiClient, verdict: Verdict) -> None:
    api_client = accepting(api_client)
    behind_a_proxy(api_client, verdict)
    answer = api_client.post()
    assert (answer.status_code, answer.json["hint"]) == (400, ORDINARY)
    assert f"http://{NAME}" in answer.json["detail"]


@pytest.mark.parametrize("accepts", [False, True])
def test_n17_names_that_point_elsewhere_without_foreign_addresses_alone_are_not_probed(
    api_client: ApiClient, *, accepts: bool
) -> None:
    api_client = accepting(api_client) if accepts else api_client
    api_client.services.resolver.verdicts[NAME] = Verdict.NO
    assert api_client.post().status_code == 400
    api_client.services.resolver.verdicts[NAME] = Verdict.UNKNOWN
    assert api_client.post().status_code == 202
    assert api_client.services.probe.self_check.asked == []


def test_n17_the_first_step_tells_the_same(api_client: ApiClient) -> None:
    opened(api_client.services)
    behind_a_proxy(api_client)
    problem = ordered(api_client).issuance.problem
    assert (problem.type, problem.hint.startswith("a proxy (CDN) is on")) == (ProblemType.INVALID_CNAME, True)


@pytest.mark.parametrize("name", NAMES)
def test_n17_a_name_that_had_a_certificate_is_renewed_where_we_answer(api_client: ApiClient, name: str) -> None:
    issued(api_client.services, name)
    behind_a_proxy(api_client, name=name)
    record = renewed(api_client, name)
    assert record.issuance.step is Step.CHALLENGE
    assert record.domain.moved_away_since is None
    assert EventType.DOMAIN_MOVED_AWAY not in events(record)
    assert EventType.DOMAIN_PROXIED in events(record)
    assert next(event.text for event in record.timeline if event.type == EventType.DOMAIN_PROXIED).startswith("behind")


def test_n17_its_renewal_also_follows_a_redirect_to_another_name_as_the_ca_does(api_client: ApiClient) -> None:
    issued(api_client.services)
    behind_a_proxy(api_client)
    api_client.services.probe.self_check.redirected.add(NAME)
    assert renewed(api_client).issuance.step is Step.CHALLENGE


@pytest.mark.parametrize("verdict", NOT_HERE)
def test_n17_a_name_that_had_a_certificate_has_moved_away_where_we_do_not_answer(
    api_client: ApiClient, verdict: Verdict
) -> None:
    issued(api_client.services)
    behind_a_proxy(api_client, verdict)
    record = renewed(api_client)
    assert record.domain.moved_away_since is not None
    assert record.issuance.problem.type is ProblemType.INVALID_CNAME
    assert f"http://{NAME}" in record.issuance.problem.detail


def test_n17_a_call_for_a_name_that_had_a_certificate_is_accepted(api_client: ApiClient) -> None:
    certificate = issued(api_client.services).domain.certificate
    behind_a_proxy(api_client)
    api_client.services.clock.now = certificate.not_after + 1
    assert api_client.post().status_code == 202


def test_n17_a_name_that_is_requested_anew_had_no_certificate(api_client: ApiClient) -> None:
    issued(api_client.services)
    api_client.call("DELETE", f"/v2/x509/{NAME}")
    behind_a_proxy(api_client)
    assert api_client.post().json["hint"].startswith("a proxy (CDN) is on")


@pytest.mark.parametrize("after", [HOUR, DAY, 4 * DAY])
def test_n17_a_name_that_moved_away_returns_through_a_proxy(api_client: ApiClient, after: float) -> None:
    fleet = SimulatedFleet(api_client.services)
    fleet.issued(NAME)
    fleet.clock.now = fleet.domain().renew_at
    behind_a_proxy(api_client, Verdict.NO)
    fleet.run(after)
    assert fleet.domain().moved_away_since is not None
    behind_a_proxy(api_client)
    fleet.run(25 * HOUR)
    assert fleet.domain().moved_away_since is None
    assert fleet.word() is Status.ACTIVE


def test_n17_a_whole_life_behind_a_proxy(api_client: ApiClient) -> None:
    api_client = accepting(api_client)
    behind_a_proxy(api_client)
    fleet = SimulatedFleet(api_client.services)
    assert api_client.post().status_code == 202
    for _ in range(5):
        fleet.run(30 * DAY)
        assert fleet.word() is Status.ACTIVE
    assert EventType.DOMAIN_MOVED_AWAY not in events(fleet.record())


@contextmanager
def slow_probes(api_client: ApiClient) -> Iterator[Semaphore]:
    """Probes that end with the context. Yields a semaphore that each of them raises when it begins."""
    begun, goes_on = Semaphore(0), Event()

    def wait(*_: str) -> None:
        begun.release()
        assert goes_on.wait(20)

    api_client.services.probe.self_check.before = wait
    try:
        yield begun
    finally:
        goes_on.set()
        api_client.services.probe.self_check.before = lambda *_: None


@pytest.mark.parametrize(("accepts", "answer"), [(True, 202), (False, 400)])
def test_n17_few_threads_of_the_web_wait_for_probes(api_client: ApiClient, *, accepts: bool, answer: int) -> None:
    api_client = accepting(api_client) if accepts else api_client
    names = [f"{number}.customer.example" for number in range(AT_ONCE_FOR_CALLERS + 3)]
    for name in names:
        behind_a_proxy(api_client, name=name)
    waiting, others = names[:AT_ONCE_FOR_CALLERS], names[AT_ONCE_FOR_CALLERS:]
    with ThreadPoolExecutor(len(waiting)) as pool:
        with slow_probes(api_client) as begun:
            posts = [pool.submit(api_client.post, name) for name in waiting]
            assert all(begun.acquire(timeout=20) for _ in waiting)
            # Without a probe nothing is decided: the first step asks, or the answer is that of DNS.
            answers = [api_client.post(name) for name in others]
        assert [post.result().status_code for post in posts] == [answer] * len(waiting)
    assert [one.status_code for one in answers] == [answer] * len(others)
    if not accepts:
        assert all(PERHAPS in one.json["hint"] for one in answers)
        assert api_client.post(others[0]).json["hint"].startswith("a proxy (CDN) is on")


def test_n17_workers_probe_as_many_names_as_they_like(api_client: ApiClient) -> None:
    names = [f"{number}.customer.example" for number in range(AT_ONCE_FOR_CALLERS + 3)]
    with ThreadPoolExecutor(len(names)) as pool:
        with slow_probes(api_client) as begun:
            probe = api_client.services.probe.arrives_here
            findings = [pool.submit(probe, name, within_name=True) for name in names]
            assert all(begun.acquire(timeout=20) for _ in names)
        assert {finding.result().verdict for finding in findings} == {Verdict.YES}


def test_n17_an_undecided_post_is_decided_by_its_first_step(api_client: ApiClient) -> None:
    api_client = accepting(api_client)
    behind_a_proxy(api_client, Verdict.NO)
    with ThreadPoolExecutor(AT_ONCE_FOR_CALLERS) as pool, slow_probes(api_client) as begun:
        for _ in range(AT_ONCE_FOR_CALLERS):
            pool.submit(api_client.services.probe.arrives_here_for_caller, "a.example", within_name=True)
        assert all(begun.acquire(timeout=20) for _ in range(AT_ONCE_FOR_CALLERS))
        assert api_client.post().status_code == 202
    problem = ordered(api_client).issuance.problem
    assert (problem.type, problem.hint) == (ProblemType.INVALID_CNAME, ORDINARY)
