"""Heartbeats: what is written by one process is read by all, also beside those of another release."""

import json

import pytest

from issuer.ports import Consumer, FleetBoard, Services
from issuer.store import keys
from tests.fakes import NOW, fake_services

CONSUMER = Consumer("worker@here", ("interactive", "housekeeping"), NOW, NOW - 1, 2, 4, broker="b", store="s")


@pytest.fixture
def services() -> Services:
    return fake_services()


@pytest.fixture
def board(services: Services) -> FleetBoard:
    return services.board


def test_a_new_store_remembers_since_when_heartbeats_are_kept(board: FleetBoard) -> None:
    first = board.heartbeats(NOW)
    assert (first.began_at, first.beat_at, first.scans, first.consumers) == (NOW, None, {}, ())
    assert board.heartbeats(NOW + 100).began_at == NOW


def test_what_is_written_is_read(board: FleetBoard, services: Services) -> None:
    board.beat(NOW + 1)
    board.consumes(CONSUMER, {"reconcile": NOW + 2})
    read = board.heartbeats(NOW + 3)
    assert (read.beat_at, read.scans) == (NOW + 1, {"reconcile": NOW + 2})
    assert read.consumers == (Consumer("worker@here", ("interactive", "housekeeping"), NOW, NOW - 1, 2, 4, "b"),)
    assert read.store == "", "a store has no identity before it is used"
    services.store.require_own()
    assert board.heartbeats(NOW + 3).store == services.store.identity("").id
    board.leave("worker@here")
    assert board.heartbeats(NOW + 3).consumers == ()


def test_the_broker_has_an_identity_and_knows_the_store_of_its_consumers(board: FleetBoard, services: Services) -> None:
    services.store._redis.rpush("interactive", "one", "two")
    first = board.broker(["interactive", "bulk"])
    assert first.waiting == {"interactive": 2, "bulk": 0}
    assert len(first.id) == 32
    board.consumes_at_broker(CONSUMER)
    again = board.broker([])
    assert again.id == first.id
    assert [(one.name, one.store, one.broker) for one in again.consumers] == [("worker@here", "s", "")]
    board.leave_broker("worker@here")
    assert board.broker([]).consumers == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"queues": 1, "seen_at": 1}', '{"queues": [], "seen_at": []}']
)
def test_what_cannot_be_read_is_left_out(board: FleetBoard, services: Services, text: str) -> None:
    services.store._redis.hset(keys.FLEET, mapping={"consumer:other": text, "beat": "soon", "scan:x": "", "new": "?"})
    board.consumes(CONSUMER, {})
    read = board.heartbeats(NOW)
    assert [one.name for one in read.consumers] == ["worker@here"]
    assert (read.beat_at, read.scans) == (None, {})


def test_members_of_a_newer_release_do_not_matter(board: FleetBoard, services: Services) -> None:
    values = {"queues": ["bulk"], "seen_at": 5, "mood": "fine"}
    services.store._redis.hset(keys.FLEET, "consumer:new", json.dumps(values))
    assert board.heartbeats(NOW).consumers == (Consumer("new", ("bulk",), 5.0),)
