"""What each view of the operators' page costs, of a thousand domains and of many: `python -m tests.bench.page`.

It fills two real Redis servers with copies of one record, and asks both for each view in turns, so that what else runs
on the machine slows both. With many domains, no view may take more than one and a half times as long, nor ask Redis
for more.
"""

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog
from flask.testing import FlaskClient

from issuer.actions import operators
from issuer.domain import DAY_SECONDS, Due
from issuer.ports import Services
from issuer.sandbox import Sandbox
from issuer.store import RedisStore, connect
from issuer.store.keys import index_key
from tests.bench.listings import CHUNK, NAME, fill
from tests.fakes import ACCOUNT, fake_services
from web.app import create_app

FEW = 1000
ROUNDS = 15
MOST = 1.5
DOMAINS = "/operators/domains"
VIEWS = {
    "overview": "/",
    "fleet": "/operators/fleet",
    "search": f"{DOMAINS}?q=n000",
    "account": f"{DOMAINS}?account={ACCOUNT.id}",
    "code": f"{DOMAINS}?code=ca-refused",
    "ends": f"{DOMAINS}?ends_within=900",
    "status": f"{DOMAINS}?status=error",
    "must-act": f"{DOMAINS}?must_act=platform",
    "domain": f"{DOMAINS}/{NAME}",
    "metrics": "/metrics",
}


@dataclass(frozen=True)
class Side:
    """A platform with so many domains, and an operator who is logged in."""

    services: Services
    client: FlaskClient

    def ask(self, path: str) -> tuple[float, int, int]:
        """The milliseconds of an answer, the commands that Redis gets for it, and the answer's size."""
        redis, start = self.services.store._redis, time.perf_counter()
        before = redis.info("stats")["total_commands_processed"]
        start = time.perf_counter()
        answer = self.client.get(path)
        milliseconds = 1000 * (time.perf_counter() - start)
        assert answer.status_code == 200, (path, answer.text)
        return milliseconds, redis.info("stats")["total_commands_processed"] - before - 1, len(answer.data)


def filled(redis_url: str, count: int) -> Side:
    """Domains whose renewal has failed, and whose certificates end one a second."""
    services = fake_services(RedisStore(connect(redis_url)))
    services.store.create_account(ACCOUNT)
    fill(services, count)
    _plan(services, count)
    client = create_app(services).test_client()
    key = operators.create_key(services, "anna")
    client.set_cookie("issuer_session", operators.log_in(services, key, "").token)
    services.clock.forward(80 * DAY_SECONDS)
    return Side(services, client)


def _plan(services: Services, count: int) -> None:
    """A renewal and an expiry for each domain, a few seconds after one another."""
    redis, now = services.store._redis, services.clock()
    for due in (Due.RENEWAL_START, Due.EXPIRY):
        for first in range(0, count, CHUNK):
            planned = {f"n{number:07}.example": now + 5 * number for number in range(first, min(first + CHUNK, count))}
            redis.zadd(index_key((due, "")), planned)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=FEW)
    parser.add_argument("--untimed", action="store_true", help="a short look, which compares only what Redis is asked")
    given = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        urls = [f"{stack.enter_context(Sandbox(folder)).redis()}/0" for folder in folders]
        few, many = (filled(url, count) for url, count in zip(urls, (given.few, given.domains), strict=True))
        print(f"{'view':<9} {'ms':>7} {'ms':>7} {'ratio':>6} {'commands':>9} {'commands':>9} {'bytes':>7}")
        print(f"{'':<9} {given.few:>7,} {given.domains:>7,}")
        slow = [view for view, path in VIEWS.items() if not _is_fast(view, path, few, many, is_timed=not given.untimed)]
    if slow:
        sys.exit(f"these views cost more with more domains: {', '.join(slow)}")


def _is_fast(view: str, path: str, few: Side, many: Side, *, is_timed: bool) -> bool:
    for side in (few, many):
        side.ask(path)  # the templates are compiled
    asked = [(few.ask(path), many.ask(path)) for _ in range(ROUNDS if is_timed else 1)]
    of_few, of_many = ([pair[side] for pair in asked] for side in (0, 1))
    before, after = (statistics.median(one[0] for one in side) for side in (of_few, of_many))
    commands = [min(one[1] for one in side) for side in (of_few, of_many)]
    print(
        f"{view:<9} {before:>7.1f} {after:>7.1f} {after / before:>6.2f} {commands[0]:>9} {commands[1]:>9} "
        f"{of_many[0][2]:>7}",
        flush=True,
    )
    return (after <= MOST * before or not is_timed) and commands[1] <= commands[0]


if __name__ == "__main__":
    main()
