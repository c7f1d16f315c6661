"""When a consumer counts as seen, when as deaf, and who is told of what does not run."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from issuer.fleet import watch
from issuer.fleet.ears import Ears
from issuer.fleet.pulse import FORGET_SECONDS, Presence, Working
from issuer.fleet.watch import Watch
from issuer.ports import Consumer, Services
from issuer.store import connect
from tests.databases import give_back, take_away
from tests.fakes import NOW, fake_services

QUEUES = ("interactive", "housekeeping")
IDLE = Working(QUEUES, QUEUES, None, 0, 4)


@pytest.fixture
def services() -> Services:
    services = fake_services()
    services.store.require_own()
    return services


@pytest.fixture
def ears(services: Services) -> Ears:
    return Ears(services, services.clock)


@pytest.fixture
def presence(services: Services, ears: Ears) -> Presence:
    return Presence(services, "worker@here:1", ears)


def message(services: Services, queue: str = "interactive") -> None:
    services.store._redis.lpush(queue, "{}")


def shown(services: Services) -> list[Consumer]:
    return list(services.board.heartbeats(services.clock()).consumers)


def test_a_consumer_shows_itself_to_its_store_and_its_broker(services: Services, presence: Presence) -> None:
    presence.tick(IDLE, {"reconcile": NOW - 1, "never": 0.0})
    broker = services.board.broker(())
    assert shown(services) == [Consumer("worker@here:1", QUEUES, NOW, None, 0, 4, broker.id)]
    assert services.board.heartbeats(NOW).scans == {"reconcile": NOW - 1}
    assert [(one.name, one.store) for one in broker.consumers] == [
        ("worker@here:1", services.store.identity("").id),
    ]


@pytest.mark.parametrize(
    ("now_and_then", "seen_at"),
    [
        ({}, NOW),
        ({"in_hand": 3}, NOW),
        ({"in_hand": 4}, NOW + 20),
        ({"taken_at": NOW + 19}, NOW + 20),
    ],
)
def test_who_takes_nothing_though_messages_wait_is_not_seen(
    services: Services, presence: Presence, ears: Ears, now_and_then: dict[str, float], seen_at: float
) -> None:
    presence.tick(IDLE, {})
    message(services)
    services.clock.forward(20)
    presence.tick(replace(IDLE, **now_and_then), {})
    assert ears.silent_seconds == services.clock() - seen_at
    assert shown(services)[0].seen_at == seen_at


def test_a_consumer_of_a_silent_redis_goes_on(services: Services, presence: Presence) -> None:
    take_away(services.store)
    presence.tick(IDLE, {})
    give_back(services.store)
    services.clock.forward(20)
    presence.tick(IDLE, {})
    assert shown(services)[0].seen_at == NOW + 20


def test_a_clock_that_is_set_back_does_not_silence_it(services: Services, presence: Presence) -> None:
    presence.tick(IDLE, {})
    services.clock.forward(-3600)
    presence.tick(replace(IDLE, taken_at=1.0), {})
    assert shown(services)[0].seen_at == NOW - 3600


def test_those_that_ended_long_ago_are_forgotten_but_for_the_last_of_a_queue(
    services: Services, presence: Presence
) -> None:
    old, older = NOW - FORGET_SECONDS - 1, NOW - FORGET_SECONDS - 2
    for former in (
        Consumer("a", ("interactive",), older),
        Consumer("b", ("bulk",), older),
        Consumer("c", ("bulk",), old),
    ):
        services.board.consumes(former, {})
        services.board.consumes_at_broker(former)
    presence.tick(IDLE, {})
    services.clock.forward(61)
    presence.tick(replace(IDLE, taken_at=NOW), {})
    assert [one.name for one in shown(services)] == ["c", "worker@here:1"]
    assert [one.name for one in services.board.broker(()).consumers] == ["worker@here:1"]


def after(services: Services, ears: Ears, seconds: float) -> bool:
    """Whether a consumer is deaf after so many seconds, looked at every five."""
    is_deaf = False
    for _ in range(int(seconds / 5)):
        services.clock.forward(5)
        is_deaf = ears.is_deaf(QUEUES)
    return is_deaf


def test_deaf_is_who_takes_nothing_for_half_a_minute(services: Services, ears: Ears) -> None:
    message(services)
    assert not after(services, ears, 25)
    assert after(services, ears, 5)
    ears.hear()
    assert not after(services, ears, 25)


def test_who_has_nothing_to_take_is_not_deaf(services: Services, ears: Ears) -> None:
    message(services, "of somebody else")
    assert not after(services, ears, 300)
    message(services)
    assert not after(services, ears, 15), "it has had no time to take it"
    assert after(services, ears, 5)


def test_a_broker_that_was_away_leaves_time_to_connect(services: Services, ears: Ears) -> None:
    message(services)
    take_away(services.store)
    assert not after(services, ears, 60)
    give_back(services.store)
    assert not after(services, ears, 15)


@pytest.fixture
def own_watch(services: Services, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr(watch, "QUIET_SECONDS", 0)
    monkeypatch.setattr(watch, "EVERY_SECONDS", 1)
    own = Watch(services)
    own._looked = -1e9
    return own


def test_what_begins_and_ends_is_told_once_in_the_fleet(services: Services, own_watch: Watch) -> None:
    services.board.heartbeats(NOW - 100)
    other = Watch(services)
    with capture_logs() as lines:
        own_watch.look()
        other.degraded()
        own_watch.degraded()
    told = {(line["code"], line["subject"], line["log_level"]) for line in lines}
    queues = ("interactive", "housekeeping", "bulk", "renewal", "lookup")
    assert told == {("beat", "", "error"), *(("queue", queue, "error") for queue in queues)}
    assert len(lines) == len(told)
    services.board.beat(services.clock())
    with capture_logs() as lines:
        other.degraded()
        own_watch.degraded()
    assert [(line["event"], line["code"], line["log_level"]) for line in lines] == [
        ("no longer degraded", "beat", "info")
    ]


def test_a_process_that_has_just_started_tells_nothing(services: Services) -> None:
    services.board.heartbeats(NOW - 100)
    with capture_logs() as lines:
        assert len(Watch(services).degraded()) == 6
    assert lines == []


def test_a_broker_that_is_away_is_told_with_the_time_when_that_was_noticed(
    services: Services, own_watch: Watch
) -> None:
    board = services.board
    board._messages = connect("redis://127.0.0.1:1")
    with capture_logs() as lines:
        own_watch.degraded()
    assert [(line["code"], line["must_act"]) for line in lines] == [("broker", "platform")]
    services.clock.forward(100)
    (found,) = [check for check in own_watch.degraded() if check.code == "broker"]
    assert found.since == NOW
    assert "ISSUER_BROKER_URL" in found.hint
