"""Names by facts, and how many have which status: the same over fakeredis and a real Redis."""

from collections import Counter
from dataclasses import replace

import pytest

from issuer.actions import listing as listings
from issuer.domain import Account, Domain, Hsts, Listing, Plan, Reason, Record, Status, Step, new_issuance, status
from issuer.ports import DamagedRecord, Services
from issuer.presenters import entry
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.api_client import issued, worked
from tests.fakes import NOW, below, fake_services, opened
from tests.writes import open_issuance, write

DAY = 86400
ALICE, BOB = (Account(name, Plan.HTTPS, "0" * 64, NOW) for name in ("alice", "bob"))
LATER = [0, 60, 121, 3600, 30 * DAY, 89 * DAY, 90 * DAY + 1, 200 * DAY]
"""When the clock is looked at: with no beat and no worker in between."""


@pytest.fixture
def services(store: RedisStore) -> Services:
    for account in (ALICE, BOB):
        store.create_account(account)
    return fake_services(store)


def all_kinds(services: Services) -> dict[str, str]:
    """A domain of every kind, by its name: what has happened to it."""
    failed = Problem(ProblemType.CA_REFUSED, "high risk")
    soon, far = NOW + 90, NOW + 5000
    changes = {
        "first": None,
        "waits-soon": lambda issuance: issuance.retry(Problem(ProblemType.CAA), soon),
        "waits-long": lambda issuance: issuance.retry(Problem(ProblemType.CAA), far),
        "given-up": lambda issuance: issuance.fail(failed),
    }
    for kind, change in changes.items():
        opened(services, f"{kind}.example", account="alice")
        if change:
            worked(services, change, f"{kind}.example")
        certified = f"certified-{kind}.example"
        opened(services, certified, account="bob")
        record = issued_for(services, certified)
        if change:
            again = new_issuance(certified, Reason.RENEWAL, services.clock())
            open_issuance(services.store, record.domain, again, version=record.version, requeue_at=services.clock())
            worked(services, change, certified)
    opened(services, "withdrawn.example", account="alice")
    record = services.store.load("withdrawn.example")
    write(services.store, record.with_domain(withdrawn_until=NOW + DAY), now=NOW)
    services.clock.now = NOW
    return {f"{prefix}{kind}.example": kind for kind in changes for prefix in ("", "certified-")}


def issued_for(services: Services, name: str) -> Record:
    """A certificate for a name whose record is there already."""
    certificate = issued(fake_services(), name).domain.certificate
    record = services.store.load(name)
    leased = services.store.lease(record.issuance.id, now=services.clock(), until=services.clock() + 70)
    done = replace(leased.issuance, step=Step.DONE)
    services.store.save_and_release(leased.with_issuance(done).with_domain(certificate=certificate), requeue_at=None)
    return services.store.load(name)


@pytest.mark.parametrize("seconds", LATER)
def test_list_counts_and_status_agree_at_any_moment_without_a_lease(services: Services, seconds: float) -> None:
    names = all_kinds(services)
    services.clock.now = NOW + seconds
    now = services.clock()
    words = Counter(status(services.store.load(name), now) for name in names)
    pages = [listings.by_fact(services, Listing.ACCOUNT, account.id) for account in (ALICE, BOB)]
    listed = [entry(record, now) for page in pages for record in page.records]
    assert sorted(line["domain"] for line in listed) == sorted(names)
    assert Counter(line["status"] for line in listed) == words
    counts = listings.counts(services)
    assert {word: getattr(counts, word) for word in Status} == {word: words[word] for word in Status}


def test_each_fact_lists_its_names_and_no_others(services: Services) -> None:
    names = all_kinds(services)

    def listed(listing: Listing, value: str) -> list[str]:
        return [record.domain.name for record in listings.by_fact(services, listing, value).records]

    certified = sorted(name for name in names if name.startswith("certified"))
    assert listed(Listing.ACCOUNT, "alice") == sorted(set(names) - set(certified))
    assert listed(Listing.ACCOUNT, "bob") == certified
    assert listed(Listing.CA, "https://ca.example/directory") == certified
    assert listed(Listing.CODE, "caa") == sorted(name for name, kind in names.items() if kind.startswith("waits"))
    assert listed(Listing.CODE, "ca-refused") == sorted(name for name, kind in names.items() if kind == "given-up")
    assert listed(Listing.CODE, "no-such-code") == listed(Listing.CA, "") == []
    with pytest.raises(Problem):
        listings.by_fact(services, Listing.OPEN, "")


def test_a_listing_follows_what_happens_to_a_domain(services: Services) -> None:
    name = "track.customer.example"
    opened(services, name, account="alice")
    where = [(Listing.ACCOUNT, "alice"), (Listing.CODE, "caa"), (Listing.OPEN, ""), (Listing.FAILED, "")]

    def listed() -> list[bool]:
        return [services.store.names_of(*index, after="", limit=9) == [name] for index in where]

    assert listed() == [True, False, True, False]
    worked(services, lambda issuance: issuance.retry(Problem(ProblemType.CAA), NOW), name)
    assert listed() == [True, True, True, False]
    worked(services, lambda issuance: issuance.fail(Problem(ProblemType.CAA)), name)
    assert listed() == [True, True, False, True]
    record = services.store.load(name)
    services.store.update(name, lambda held: held.with_domain(hsts=Hsts(60)), now=NOW)
    assert listed() == [True, True, False, True]
    services.store.remove(services.store.load(name))
    assert listed() == [False] * 4
    assert record.domain.account == "alice"


def walked(services: Services, size: int, until: float | None = None) -> list[list[str]]:
    """The names of all pages of a list."""
    pages, after = [], ""
    while True:
        if until is None:
            page = listings.by_fact(services, Listing.ACCOUNT, "alice", after=after, limit=size)
        else:
            page = listings.by_expiry(services, until=until, after=after, limit=size)
        pages.append([record.domain.name for record in page.records])
        if not page.next:
            return pages
        after = page.next


@pytest.mark.parametrize("size", [1, 3, 10, 11])
def test_pages_have_every_name_once_in_order(services: Services, size: int) -> None:
    names = sorted(below("customer.example", 10))
    for name in names:
        opened(services, name, account="alice")
    pages = walked(services, size)
    assert [name for page in pages for name in page] == names
    assert {len(page) for page in pages[:-1]} <= {size}


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_by_expiry_the_earliest_come_first_and_those_that_end_together_once_each(services: Services, size: int) -> None:
    ends = {name: NOW + DAY * (number // 3) for number, name in enumerate(sorted(below("customer.example", 10)))}
    for name, end in ends.items():
        opened(services, name, account="alice")
        record = issued_for(services, name)
        certificate = replace(record.domain.certificate, not_after=end)
        write(services.store, record.with_domain(certificate=certificate), now=NOW)
    assert [name for page in walked(services, size, NOW + 99 * DAY) for name in page] == list(ends)
    early = [name for name, end in ends.items() if end <= NOW + DAY]
    assert [name for page in walked(services, size, NOW + DAY) for name in page] == early


def test_a_list_goes_on_where_the_last_name_of_a_page_has_gone_or_moved(services: Services) -> None:
    for name in ("a.example", "b.example", "c.example"):
        opened(services, name, account="alice")
        record = issued_for(services, name)
        certificate = replace(record.domain.certificate, not_after=NOW + 5)
        write(services.store, record.with_domain(certificate=certificate), now=NOW)
    first = listings.by_expiry(services, until=NOW + 9, limit=1)
    record = services.store.load("a.example")
    moved = replace(record.domain.certificate, not_after=NOW + 7)
    write(services.store, record.with_domain(certificate=moved), now=NOW)
    page = listings.by_expiry(services, until=NOW + 9, after=first.next, limit=9)
    assert [record.domain.name for record in page.records] == ["b.example", "c.example", "a.example"]


@pytest.mark.parametrize("gone", ["moved", "removed"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_of_many_that_end_together_none_is_left_out_when_the_last_of_a_page_goes(
    services: Services, size: int, gone: str
) -> None:
    names = sorted(below("customer.example", 8))
    for name in names:
        opened(services, name, account="alice")
        record = issued_for(services, name)
        certificate = replace(record.domain.certificate, not_after=NOW + 5)
        write(services.store, record.with_domain(certificate=certificate), now=NOW)
    first = listings.by_expiry(services, until=NOW + 9, limit=size)
    last = first.records[-1]
    if gone == "removed":
        services.store.remove(last)
    else:
        later = replace(last.domain.certificate, not_after=NOW + 9)
        write(services.store, last.with_domain(certificate=later), now=NOW)
    rest, after = [], first.next
    while after:
        page = listings.by_expiry(services, until=NOW + 8, after=after, limit=size)
        rest += [record.domain.name for record in page.records]
        after = page.next
    assert rest == names[size:]


@pytest.mark.parametrize("after", ["x", "nan x", "inf x", "12;3 a"])
def test_a_position_that_is_none_of_ours_is_refused(services: Services, after: str) -> None:
    with pytest.raises(Problem) as caught:
        listings.by_expiry(services, until=NOW, after=after)
    assert caught.value.type is ProblemType.INVALID_REQUEST


@pytest.mark.parametrize(
    "damage",
    [
        {"domain": "null"},
        {"domain": '{"name": "b.exa'},
        {"domain": '{"name": "b.example"}'},
        {"domain": '{"name": 7, "account": "alice", "created_at": 1}'},
        {"issuance": "null"},
        {"issuance": "[]"},
        {"issuance": '{"id": "b.example/1", "reason": "of a newer release", "created_at": 1, "step": "order"}'},
        {"version": "many"},
        {"timeline": '[{"at": 1}]'},
    ],
    ids=lambda damage: "{}={}".format(*next(iter(damage.items())))[:30],
)
def test_a_damaged_record_is_named_and_harms_no_other(services: Services, damage: dict[str, str]) -> None:
    for name in ("a.example", "b.example", "c.example"):
        opened(services, name, account="alice")
    services.store._redis.hset("issuer:domain:b.example", mapping=damage)
    page = listings.by_fact(services, Listing.ACCOUNT, "alice")
    assert [type(record) for record in page.records] == [Record, DamagedRecord, Record]
    lines = [entry(record, NOW) for record in page.records]
    assert [(line["domain"], line.get("code")) for line in lines] == [
        ("a.example", None),
        ("b.example", "damaged-record"),
        ("c.example", None),
    ]
    with pytest.raises(Problem) as caught:
        services.store.load("b.example")
    assert (caught.value.type, "b.example" in caught.value.detail) == (ProblemType.DAMAGED_RECORD, True)


def test_a_record_whose_key_is_of_another_type_harms_no_other(services: Services) -> None:
    for name in ("a.example", "b.example", "c.example"):
        opened(services, name, account="alice")
    services.store._redis.delete("issuer:domain:b.example")
    services.store._redis.set("issuer:domain:b.example", "nothing")
    page = listings.by_fact(services, Listing.ACCOUNT, "alice")
    assert [type(record) for record in page.records] == [Record, DamagedRecord, Record]
    with pytest.raises(Problem) as caught:
        services.store.load("b.example")
    assert caught.value.type is ProblemType.DAMAGED_RECORD
    progress = services.store.reindex(now=NOW, limit=100, restart=True)
    assert (progress.seen, progress.damaged, progress.is_done) == (3, 1, True)


def test_a_domain_with_equal_name_and_account_of_others_is_in_one_list_each(services: Services) -> None:
    domain = Domain("alice", "alice", NOW)
    open_issuance(services.store, domain, new_issuance("alice", Reason.FIRST, NOW), version=0, requeue_at=NOW)
    assert services.store.names_of(Listing.ACCOUNT, "alice", after="", limit=9) == ["alice"]
    assert services.store.names_of(Listing.ACCOUNT, "bob", after="", limit=9) == []
    assert [services.store.count_of(Listing.ACCOUNT, account) for account in ("alice", "bob")] == [1, 0]
