"""G10: many requests at once for one name, over a real Redis: one starts, the others get 409."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest
import redis as redis_client

from issuer.domain import Step
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.api_client import ApiClient, worked
from tests.fakes import fake_services, opened, queue_at
from tests.indexes import OPEN_INDEXES

THREADS = 200
CANONICAL = "xn--mnchen-3ya.example"
SPELLINGS = [quote("münchen.example"), CANONICAL, quote("MÜNCHEN.example"), CANONICAL.upper(), f"{CANONICAL}."]
ALREADY = f"x509 key pair generation has already been initiated for {CANONICAL}"


@pytest.fixture
def api_client(real_store: RedisStore, redis_url: str) -> Iterator[ApiClient]:
    services = fake_services(real_store)
    queue = queue_at(redis_url.removesuffix("/0") + "/1")
    yield ApiClient(replace(services, queue=queue)).with_accounts()
    queue.celery.close()


@pytest.fixture
def admin(redis_url: str) -> Iterator[redis_client.Redis]:
    with redis_client.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def at_once(ask: Callable[[int], object]) -> list:
    """The results of all threads, which start together; each has its own test client."""
    barrier, answers = threading.Barrier(THREADS), []

    def run(number: int) -> None:
        barrier.wait(20)
        answers.append(ask(number))

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(THREADS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert time.monotonic() - began < 20
    assert len(answers) == THREADS
    return answers


def assert_one_started(api_client: ApiClient, admin: redis_client.Redis, redis_url: str) -> None:
    """One record, one open issuance, one message, and all three agree."""
    issuance = api_client.load(CANONICAL).issuance
    assert issuance.step is Step.ORDER
    assert admin.keys("issuer:domain:*") == [f"issuer:domain:{CANONICAL}"]
    assert admin.zrange(OPEN_INDEXES[0], 0, -1) == [issuance.id.split("/")[0]]
    with redis_client.Redis.from_url(redis_url.removesuffix("/0") + "/1", decode_responses=True) as broker:
        messages = [json.loads(text)["headers"] for text in broker.lrange("interactive", 0, -1)]
    assert [(one["task"], one["argsrepr"]) for one in messages] == [("order", f"('{issuance.id}',)")]


def assert_one_202_and_the_others_409(answers: list) -> None:
    assert Counter(answer.status_code for answer in answers) == {202: 1, 409: THREADS - 1}
    for answer in answers:
        if answer.status_code == 202:
            assert answer.headers["Location"] == answer.json["location"] == f"/v2/x509/{CANONICAL}/status"
        else:
            assert answer.json["message"] == ALREADY
    assert len({answer.text for answer in answers if answer.status_code == 409}) == 1


def test_g10_posts_at_once_in_several_spellings(
    api_client: ApiClient, admin: redis_client.Redis, redis_url: str
) -> None:
    answers = at_once(lambda number: api_client.post(SPELLINGS[number % len(SPELLINGS)]))
    assert_one_202_and_the_others_409(answers)
    assert_one_started(api_client, admin, redis_url)
    assert api_client.load(CANONICAL).version == 1


def fail(api_client: ApiClient) -> None:
    worked(api_client.services, lambda issuance: issuance.fail(Problem(ProblemType.CA_REFUSED)), CANONICAL)


def put_off(api_client: ApiClient) -> None:
    at = api_client.services.clock() + 3600
    worked(api_client.services, lambda issuance: issuance.retry(Problem(ProblemType.CA_UNAVAILABLE), at), CANONICAL)


@pytest.mark.parametrize("state", [fail, put_off])
@pytest.mark.parametrize("methods", [["PUT"], ["POST"], ["PUT", "POST"]], ids="-".join)
def test_g10_puts_and_posts_at_once_on_a_failed_one(
    api_client: ApiClient, admin: redis_client.Redis, redis_url: str, methods: list[str], state
) -> None:
    opened(api_client.services, CANONICAL)
    state(api_client)
    before = api_client.load(CANONICAL)
    answers = at_once(
        lambda number: api_client.call(
            methods[number % len(methods)], f"/v2/x509/{SPELLINGS[number // 2 % len(SPELLINGS)]}"
        )
    )
    assert_one_202_and_the_others_409(answers)
    assert_one_started(api_client, admin, redis_url)
    after = api_client.load(CANONICAL)
    assert after.version == before.version + 1
    assert (after.issuance.id == before.issuance.id) is (state is put_off)


def test_g10_two_accounts_at_once_one_gets_the_name(
    api_client: ApiClient, admin: redis_client.Redis, redis_url: str
) -> None:
    accounts = ("platform", "other")
    answers = at_once(lambda number: (number % 2, api_client.post(CANONICAL, accounts[number % 2])))
    (winner,) = {who for who, answer in answers if answer.status_code == 202}
    ours = Counter(answer.status_code for who, answer in answers if who == winner)
    theirs = Counter(answer.status_code for who, answer in answers if who != winner)
    assert ours == {202: 1, 409: THREADS // 2 - 1}
    assert theirs == {404: THREADS // 2}
    assert api_client.load(CANONICAL).domain.account == accounts[winner]
    assert_one_started(api_client, admin, redis_url)
    assert [api_client.status(CANONICAL, account).status_code for account in accounts] == (
        [200, 404] if winner == 0 else [404, 200]
    )


def test_g10_every_name_of_many_at_once_is_begun(api_client: ApiClient, admin: redis_client.Redis) -> None:
    answers = at_once(lambda number: api_client.post(f"n{number // 2}.customer.example"))
    assert Counter(answer.status_code for answer in answers) == {202: THREADS // 2, 409: THREADS // 2}
    assert sum(admin.zcard(queue) for queue in OPEN_INDEXES) == THREADS // 2
