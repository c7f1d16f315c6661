"""Heartbeats of a fleet that does not run."""

from collections.abc import Mapping

from issuer.fleet.queues import READ_BY
from issuer.ports import Consumer, Services


def everybody_works(services: Services, *, but: str = "", **others: Mapping[str, object]) -> None:
    """Let all processes show themselves now. but: not this one. others: changed members of a process."""
    now, board = services.clock(), services.board
    if but != "beat":
        board.beat(now)
    scans = {"reconcile": now} if but not in {"beat", "worker"} else {}
    ids = {"broker": board.broker([]).id, "store": board.heartbeats(now).store}
    for process, queues in READ_BY.items():
        if process != but:
            members = {"queues": queues, "seen_at": now} | ids | dict(others.get(process, {}))
            board.consumes(consumer := Consumer(f"{process}@here:1", **members), scans)
            board.consumes_at_broker(consumer)
