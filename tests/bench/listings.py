"""What a page of a listing costs, at its start and at its end: `python -m tests.bench.listings --domains 1000000`.

It fills a real Redis with copies of one record, and counts the commands and the entries of indexes that a page reads.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import redis

from issuer.actions import listing
from issuer.actions.listing import Page
from issuer.domain import Listing, Reason, new_issuance
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.sandbox import Sandbox
from issuer.store import RedisStore, connect
from issuer.store.keys import RECORDS
from tests.api_client import issued, worked
from tests.fakes import ACCOUNT, fake_services
from tests.writes import open_issuance

NAME = "n0000000.example"
CHUNK = 2000
PAGE = 100
FAR = 10.0**11


def fill(services: Services, count: int) -> None:
    """A domain with a certificate whose renewal has failed, and its copies: in every listing there is."""
    client = services.store._redis
    record = issued(services, NAME)
    again = new_issuance(NAME, Reason.RENEWAL, services.clock())
    open_issuance(services.store, record.domain, again, version=record.version, requeue_at=services.clock())
    worked(services, lambda issuance: issuance.fail(Problem(ProblemType.CA_REFUSED, "no")), NAME)
    fields = client.hgetall(f"{RECORDS}{NAME}")
    indexes = {key: client.zscore(key, NAME) for key in client.scan_iter("issuer:index:*")}
    for first in range(1, count, CHUNK):
        with client.pipeline(transaction=False) as pipeline:
            for number in range(first, min(first + CHUNK, count)):
                name = f"n{number:07}.example"
                copy = {field: value.replace(NAME, name) for field, value in fields.items()}
                pipeline.hset(f"{RECORDS}{name}", mapping=copy)
                for key, score in indexes.items():
                    pipeline.zadd(key, {name: score + (number if key.endswith(":expiry") else 0)})
            pipeline.execute()
        if first // CHUNK % 50 == 0:
            print(f"{first:,} of {count:,} domains", file=sys.stderr, flush=True)


def measured(client: redis.Redis, page: Callable[[], Page]) -> tuple[Page, int, int, float]:
    """A page, the commands and entries of indexes that it reads, and its milliseconds."""
    read: list[int] = []
    execute = client.execute_command

    def counted(*command, **options):
        answer = execute(*command, **options)
        if command[0] in {"ZRANGEBYLEX", "ZRANGE"}:
            read.append(len(answer))
        return answer

    client.execute_command = counted
    before, start = _commands(client), time.perf_counter()
    found = page()
    milliseconds = 1000 * (time.perf_counter() - start)
    client.execute_command = execute
    return found, _commands(client) - before - 1, sum(read), milliseconds


def _commands(client: redis.Redis) -> int:
    return int(client.info("stats")["total_commands_processed"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", type=int, default=1_000_000)
    count = parser.parse_args(arguments).domains
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
        services = fake_services(RedisStore(connect(f"{sandbox.redis()}/0")))
        services.store.create_account(ACCOUNT)
        fill(services, count)
        directory, last = services.cas[0].directory_url, f"n{count - PAGE - 1:07}.example"
        end = services.store.load(NAME).domain.certificate.not_after + count - PAGE - 1
        facts = [(Listing.ACCOUNT, ACCOUNT.id), (Listing.CODE, "ca-refused"), (Listing.CA, directory)]
        print(f"{'list by':<8} {'page':<6} {'domains':>7} {'commands':>8} {'entries':>7} {'ms':>6}")
        costs = set()
        for fact, value in facts:
            for title, after in (("first", ""), ("last", last)):
                cost = measured(
                    services.store._redis,
                    lambda fact=fact, value=value, after=after: listing.by_fact(services, fact, value, after=after),
                )
                costs.add(_shown(fact.value, title, cost))
        for title, after in (("first", ""), ("last", f"{end} {last}")):
            cost = measured(
                services.store._redis, lambda after=after: listing.by_expiry(services, until=FAR, after=after)
            )
            costs.add(_shown("expiry", title, cost))
        start = time.perf_counter()
        counts = listing.counts(services)
        print(f"counts by status: {counts}, {1000 * (time.perf_counter() - start):.1f} ms")
        if any(domains != PAGE or commands > PAGE + 3 or entries > PAGE + 1 for domains, commands, entries in costs):
            sys.exit("a page costs more than it should")


def _shown(fact: str, title: str, cost: tuple[Page, int, int, float]) -> tuple[int, int, int]:
    page, commands, entries, milliseconds = cost
    print(f"{fact:<8} {title:<6} {len(page.records):>7} {commands:>8} {entries:>7} {milliseconds:>6.1f}")
    return len(page.records), commands, entries


if __name__ == "__main__":
    main()
