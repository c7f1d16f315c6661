"""Many callers of the store at once, and what is due: over fakeredis and a real Redis (E16)."""

import threading
from dataclasses import replace
from itertools import cycle, islice

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from issuer import keys
from issuer.domain import Certificate, Domain, Due, Reason, Record, Step, new_issuance
from issuer.keys import KeyType, Vault, new_encryption_key
from issuer.ports import CaAccount, Conflict
from issuer.store import RedisStore
from tests.fakes import NAME, NOW, FakeCa, FakeClock
from tests.indexes import OPEN_INDEXES
from tests.threads import at_once
from tests.writes import open_issuance

UNTIL = NOW + 70
DIRECTORY = "https://ca.example/directory"
BARE = Domain(NAME, "platform", NOW)


def first(store: RedisStore, name: str = NAME, requeue_at: float = NOW) -> Record:
    issuance = new_issuance(name, Reason.FIRST, NOW)
    return open_issuance(store, replace(BARE, name=name), issuance, version=0, requeue_at=requeue_at)


def test_g10_of_50_that_open_at_once_one_wins(store: RedisStore) -> None:
    results = at_once(50, lambda _: first(store))
    won = [one for one in results if one is not Conflict]
    assert len(won) == 1
    assert store.load(NAME) == won[0]
    assert store._redis.zrange(OPEN_INDEXES[0], 0, -1) == [NAME]


def test_g10_of_20_that_open_anew_at_once_one_wins(store: RedisStore) -> None:
    old = first(store)
    again = [new_issuance(NAME, Reason.MANUAL, NOW) for _ in range(20)]
    results = at_once(20, lambda n: open_issuance(store, BARE, again[n], version=old.version, requeue_at=NOW))
    won = [one for one in results if one is not Conflict]
    assert len(won) == 1
    assert store._redis.zrange(OPEN_INDEXES[0], 0, -1) == [NAME]


def test_e01_of_16_that_lease_at_once_one_gets_the_lease(store: RedisStore) -> None:
    issuance = first(store).issuance
    got = [one for one in at_once(16, lambda _: store.lease(issuance.id, now=NOW, until=UNTIL)) if one]
    assert [one.attempts_started for one in got] == [1]
    assert store.load(NAME) == got[0]


@pytest.mark.parametrize("way", ["save", "save_and_release", "open"])
def test_e06_of_16_that_write_the_same_version_one_wins(store: RedisStore, way: str) -> None:
    first(store)
    held = store.lease(store.load(NAME).issuance.id, now=NOW, until=UNTIL)

    def write(number: int) -> Record:
        record = held.with_issuance(replace(held.issuance, csr=f"CSR {number}"))
        if way == "save":
            return store.save(record)
        if way == "save_and_release":
            return store.save_and_release(record, requeue_at=NOW)
        other = replace(record.issuance, id=f"{NAME}/{number}")
        return open_issuance(store, record.domain, other, version=record.version, requeue_at=NOW)

    won = [one for one in at_once(16, write) if one is not Conflict]
    assert len(won) == 1
    assert store.load(NAME).issuance == won[0].issuance
    assert store.load(NAME).version == held.version + 1


def pair(number: int) -> tuple[Certificate, bytes]:
    """A certificate with its key: they belong together."""
    ca, vault, key = FakeCa(FakeClock(), lambda _: None), Vault([new_encryption_key()]), keys.new_key(KeyType.EC_P256)
    chain = ca._issue(keys.new_csr(key, NAME))
    made = keys.as_certificate(chain, key=key, name=NAME, ca=DIRECTORY, vault=vault, now=NOW)
    return replace(made, ca=f"{DIRECTORY}/{number}"), vault.decrypt(made.key)


def belong_together(chain: str, key: bytes) -> bool:
    leaf = x509.load_pem_x509_certificate(chain.encode())
    return leaf.public_key() == load_der_private_key(key, None).public_key()


def test_f01_readers_see_the_old_pair_or_the_new_and_never_a_mix(store: RedisStore) -> None:
    pairs = [pair(number) for number in range(2)]
    decrypted = {certificate.key: key for certificate, key in pairs}
    seen: list[Certificate] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            seen.append(store.load(NAME).domain.certificate)

    record = first(store)
    record = open_issuance(
        store, replace(BARE, certificate=pairs[1][0]), record.issuance, version=record.version, requeue_at=NOW
    )
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for certificate, _ in islice(cycle(pairs), 200):
            held = store.lease(record.issuance.id, now=NOW, until=UNTIL)
            ready = replace(held.issuance, step=Step.INSTALL, key="the new key", csr="CSR")
            installed = held.with_issuance(ready).install(certificate)
            store.save_and_release(replace(installed, attempts_started=0), requeue_at=None)
            record = open_issuance(
                store,
                installed.domain,
                new_issuance(NAME, Reason.MANUAL, NOW),
                version=store.load(NAME).version,
                requeue_at=NOW,
            )
    finally:
        is_over.set()
        for reader in readers:
            reader.join()
    assert {one.ca for one in seen} == {one.ca for one, _ in pairs}
    for one in set(seen):
        assert one in [certificate for certificate, _ in pairs]
        assert belong_together(one.chain, decrypted[one.key])


def test_f01_done_and_certificate_come_in_the_same_write(store: RedisStore) -> None:
    certificate = pair(0)[0]
    first(store)
    held = store.lease(store.load(NAME).issuance.id, now=NOW, until=UNTIL)
    held = store.save(held.with_issuance(replace(held.issuance, step=Step.INSTALL, key="new", csr="CSR")))
    assert store.load(NAME).domain.certificate is None
    store.save_and_release(held.install(certificate), requeue_at=None)
    found = store.load(NAME)
    assert (found.domain.certificate, found.issuance.step) == (certificate, Step.DONE)
    assert (found.issuance.key, found.issuance.csr) == (None, None)


def opened_at(store: RedisStore, *times: float) -> list[str]:
    """Names with an open issuance, to be looked at again at these times."""
    names = [f"{number}.customer.example" for number in range(len(times))]
    return [first(store, name, at).domain.name for name, at in zip(names, times, strict=True)]


def test_claim_gives_what_is_due_in_order_of_time_and_puts_it_off(store: RedisStore) -> None:
    late, early, exact, future, _ = opened_at(store, NOW - 1, NOW - 9, NOW, NOW + 0.01, NOW + 1e6)
    assert store.claim(Due.OPEN_INTERACTIVE, now=NOW, limit=10, requeue_at=NOW + 60) == [early, late, exact]
    assert store.claim(Due.OPEN_INTERACTIVE, now=NOW, limit=10, requeue_at=NOW + 60) == []
    assert store.claim(Due.OPEN_INTERACTIVE, now=NOW + 1, limit=10, requeue_at=NOW + 60) == [future]
    assert store.claim(Due.OPEN_INTERACTIVE, now=NOW + 59.99, limit=10, requeue_at=NOW + 999) == []
    assert set(store.claim(Due.OPEN_INTERACTIVE, now=NOW + 60, limit=10, requeue_at=NOW + 999)) == {
        early,
        late,
        exact,
        future,
    }


def test_claim_is_bounded_and_the_oldest_come_first(store: RedisStore) -> None:
    ids = opened_at(store, *(NOW - 10 + number for number in range(7)))
    got = [store.claim(Due.OPEN_INTERACTIVE, now=NOW, limit=3, requeue_at=NOW + 60) for _ in range(4)]
    assert got == [ids[:3], ids[3:6], ids[6:], []]


def test_g05_claim_returns_what_a_dead_worker_had_leased(store: RedisStore) -> None:
    issuance = first(store).issuance
    store.lease(issuance.id, now=NOW, until=UNTIL)
    assert store.claim(Due.OPEN_INTERACTIVE, now=UNTIL - 0.01, limit=9, requeue_at=UNTIL + 60) == []
    assert store.claim(Due.OPEN_INTERACTIVE, now=UNTIL, limit=9, requeue_at=UNTIL + 60) == [NAME]
    assert store.lease(issuance.id, now=UNTIL, until=UNTIL + 70).attempts_started == 2


def test_e09_of_8_that_claim_at_once_each_gets_others(store: RedisStore) -> None:
    ids = opened_at(store, *[NOW] * 60)

    def claim(_: int) -> list[str]:
        mine: list[str] = []
        for _ in range(60):
            got = store.claim(Due.OPEN_INTERACTIVE, now=NOW, limit=3, requeue_at=NOW + 60)
            assert len(got) <= 3
            mine += got
        return mine

    claimed = [one for mine in at_once(8, claim) for one in mine]
    assert sorted(claimed) == sorted(ids)


def test_of_8_that_keep_a_ca_account_one_wins_and_all_get_it(store: RedisStore) -> None:
    mine = [CaAccount(f"encrypted {number}", None, NOW) for number in range(8)]
    kept = at_once(8, lambda n: store.keep_ca_account(DIRECTORY, mine[n], instead_of=None))
    assert set(kept) == {store.ca_account(DIRECTORY)}
    assert kept[0] in mine


def test_of_8_that_replace_a_ca_account_one_wins_and_all_get_it(store: RedisStore) -> None:
    old = store.keep_ca_account(DIRECTORY, CaAccount("encrypted", None, NOW), instead_of=None)
    mine = [replace(old, url=f"https://ca.example/account/{number}") for number in range(8)]
    kept = at_once(8, lambda n: store.keep_ca_account(DIRECTORY, mine[n], instead_of=old))
    assert set(kept) == {store.ca_account(DIRECTORY)}
    assert kept[0] in mine


def test_of_8_that_lock_one_may_register(store: RedisStore) -> None:
    locks = at_once(8, lambda _: store.lock_ca_account(DIRECTORY, seconds=30))
    assert len([lock for lock in locks if lock]) == 1
