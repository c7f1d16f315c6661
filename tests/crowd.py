"""Everybody who writes a record, in random order, and in between what another one reads and what it writes.

A ledger says which write made which version, and of which fields.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from issuer.domain import Due, Hsts, Reason, Record, Step, new_issuance, withdrawn_issuance
from issuer.events import EventType
from issuer.ports import Conflict
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.fakes import NAME, NOW

LEASE = 70
CALLER, SCAN, HOLDER, LEASED = "caller", "scan", "holder", "leased"
WEIGHTS = [6, 7, 3, 6, 4, 2, 3, 4, 1, 2, 1, 1, 1, 2]


class Crowd(RedisStore):
    """The store, with somebody else who comes between what one of its methods reads and what it writes."""

    def __init__(self, store: RedisStore, seed: int) -> None:
        super().__init__(store._redis)
        self.random, self.now, self.number, self.depth = random.Random(seed), NOW, 0, 0
        self.ledger: dict[int, tuple[str, dict[str, object]]] = {}
        self.texts: list[str] = []
        self.held: list[Record] = []
        self.more: list[Callable[[], None]] = []

    def load(self, name: str) -> Record | None:
        self.intrude()
        record = super().load(name)
        self.intrude()
        return record

    def intrude(self) -> None:
        if self.depth < 2 and self.random.random() < 0.25:
            self.depth += 1
            self.act()
            self.depth -= 1

    def act(self) -> None:
        ways = [self.lease_it, self.save_it, self.release_it, self.caller, self.scan, self.wake, self.start]
        ways += [self.pass_by, self.withdraw, self.claim_all, self.reindex_all, *self.more]
        (way,) = self.random.choices(ways, WEIGHTS[: len(ways)])
        try:
            way()
        except Conflict:
            pass
        except Problem as problem:
            assert problem.type is ProblemType.BUSY, problem

    def noted(self, record: Record, **values: object) -> tuple[Record, str]:
        self.number += 1
        text = f"{self.number} {values}"
        return record.with_event(self.now, EventType.NOTE, {"text": text}), text

    def wrote(self, kind: str, version: int, values: dict[str, object], *texts: str) -> None:
        assert version not in self.ledger, "two writes of one version"
        self.ledger[version] = (kind, values)
        self.texts += texts

    def write(self, kind: str, change, values: dict[str, object]) -> None:
        """`update` with a change that also leaves a note."""
        told = ""

        def with_note(record: Record | None) -> Record | None:
            nonlocal told
            changed = change(record)
            if changed:
                changed, told = self.noted(changed, **values)
            return changed

        if record := self.update(NAME, with_note, now=self.now):
            self.wrote(kind, record.version, values | {"id": record.issuance.id}, told)

    def caller(self) -> None:
        self.number += 1
        hsts, number = Hsts(self.number), self.number
        self.write(CALLER, lambda held: held.with_domain(hsts=hsts, profile=str(number)), {"hsts": hsts})

    def scan(self) -> None:
        self.number += 1
        ask_at, renew_at = self.now + self.number, self.now + self.random.choice([-5, 5, 500])
        self.write(SCAN, lambda held: held.with_domain(ask_at=ask_at, renew_at=renew_at), {"ask_at": ask_at})

    def wake(self) -> None:
        self.now += 0.01  # no two at the same instant: the second would change nothing

        def change(held: Record) -> Record | None:
            woken = held.issuance.wake(self.now, self.random.choice(list(Reason)))
            is_bulk = self.random.random() < 0.5
            return held.with_issuance(replace(woken, is_bulk=is_bulk)) if held.issuance.is_open else None

        self.write(SCAN, change, {})

    def start(self) -> None:
        def change(held: Record) -> Record | None:
            again = new_issuance(NAME, self.random.choice(list(Reason)), self.now)
            opened_again = held.with_issuance(again).with_domain(withdrawn_until=None)
            return None if held.issuance.is_open else opened_again

        self.write(SCAN, change, {"csr": None})

    def withdraw(self) -> None:
        def change(held: Record) -> Record:
            stopped = withdrawn_issuance(NAME, held.issuance, self.now)
            return replace(held, domain=held.domain.withdrawn(self.now + 9e9, ()), issuance=stopped)

        self.write(SCAN, change, {"hsts": None, "ask_at": None, "csr": None})

    def lease_it(self) -> None:
        until = self.now + LEASE
        if record := self.lease(super().load(NAME).issuance.id, now=self.now, until=until):
            self.wrote(LEASED, record.version, {})
            self.held.append(record)

    def save_it(self, *, is_release: bool = False) -> None:
        if not self.held:
            return
        mine = self.held.pop(self.random.randrange(len(self.held)))
        self.number += 1
        issuance = replace(mine.issuance, csr=str(self.number))
        if is_release:
            choices = [issuance, issuance.retry(Problem(ProblemType.PACED), self.now + 30)]
            choices += [replace(issuance, step=Step.DONE), issuance.fail(Problem(ProblemType.CAA))]
            issuance = self.random.choice(choices)
        after, text = self.noted(mine.with_issuance(issuance), csr=issuance.csr)
        requeue_at = (issuance.next_try_at or self.now) + 60 if issuance.is_open else None
        saved = self.save_and_release(after, requeue_at=requeue_at) if is_release else self.save(after)
        between = [self.ledger[v][0] for v in range(mine.version + 1, saved.version) if v in self.ledger]
        assert set(between) <= {CALLER}, f"saved under a lease that was lost: {between}"
        self.wrote(HOLDER, saved.version, {"csr": issuance.csr}, text)
        self.held += [] if is_release else [saved]

    def release_it(self) -> None:
        self.save_it(is_release=True)

    def pass_by(self) -> None:
        self.now += self.random.choice([0.5, 5, 40, 71])

    def claim_all(self) -> None:
        later = self.now + 300
        for due in (Due.OPEN_INTERACTIVE, Due.OPEN_BULK, Due.OPEN_RENEWAL, Due.EXPIRY, Due.RENEWAL_INFO):
            self.claim(due, now=self.now, limit=9, requeue_at=later)
        self.claim_renewals(now=self.now, limit=9, requeue_at=later, per_second=5, at_once=self.random.choice([0, 9]))

    def reindex_all(self) -> None:
        self._redis.delete("issuer:reindex")
        while not self.reindex(now=self.now, limit=9).is_done:
            pass
