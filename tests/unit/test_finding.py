"""Domains by several facts at once: every page together has exactly those that fit, each once."""

from dataclasses import replace
from itertools import product

import pytest

from issuer.actions import accounts, finding
from issuer.actions.finding import Wanted
from issuer.domain import Domain, Plan, Reason, Record, Status, Step, new_issuance
from issuer.ports import DamagedRecord, Services
from issuer.presenters import entry
from issuer.problem import Actor, Problem, ProblemType
from tests.api_client import issued, worked
from tests.fakes import NOW, fake_services, opened
from tests.writes import open_issuance, write

DAY = 86400
FAILURES = {
    "fresh": None,
    "soon": lambda issuance: issuance.retry(Problem(ProblemType.CAA), NOW + 90),
    "later": lambda issuance: issuance.retry(Problem(ProblemType.CA_UNAVAILABLE), NOW + 5000),
    "ours": lambda issuance: issuance.retry(Problem(ProblemType.CAA, actor=Actor.PLATFORM), NOW + 5000),
    "given-up": lambda issuance: issuance.fail(Problem(ProblemType.CA_REFUSED)),
}
WANTED = [
    *(Wanted(status=status) for status in Status),
    *(Wanted(must_act=actor) for actor in Actor),
    *(Wanted(status=status, must_act=actor) for status, actor in product(Status, Actor)),
    *(Wanted(code=code, account=account) for code in ("caa", "ca-refused", "order-lost") for account in ("", "bob")),
    *(Wanted(status=status, account="alice") for status in Status),
    Wanted(account="alice"),
    Wanted(ca="https://ca.example/directory"),
    Wanted(ca="https://ca.example/directory", status=Status.ERROR, must_act=Actor.PLATFORM),
    Wanted(ends_from=NOW, ends_until=NOW + 3 * DAY),
    Wanted(ends_from=NOW, ends_until=NOW + 3 * DAY, account="bob", must_act=Actor.OWNER),
    Wanted(ends_until=NOW - 1, status=Status.EXPIRED),
    Wanted(code="caa", must_act=Actor.PLATFORM, status=Status.ERROR, account="bob", ends_until=NOW + 100 * DAY),
]


def with_accounts(services: Services) -> Services:
    for account in ("alice", "bob"):
        accounts.create(services, account, Plan.HTTPS)
    return services


@pytest.fixture(scope="module")
def services() -> Services:
    """Names with and without a certificate, which has ended, ends soon or later, and with each kind of failure."""
    services = with_accounts(fake_services())
    certificate = issued(fake_services()).domain.certificate
    ends = {"none": None, "ended": NOW - 9, "ending": NOW + 2 * DAY, "good": NOW + 80 * DAY}
    for (kind, change), (end, at), account in product(FAILURES.items(), ends.items(), ("alice", "bob")):
        name = f"{kind}.{end}.{account}.example"
        held = replace(certificate, not_after=at) if at else None
        issuance = new_issuance(name, Reason.FIRST, NOW)
        if held and kind == "fresh":
            issuance = replace(issuance, step=Step.DONE)
        open_issuance(services.store, Domain(name, account, NOW, held), issuance, version=0, requeue_at=NOW)
        if change:
            worked(services, change, name)
    opened(services, "withdrawn.example", "alice")
    record = services.store.load("withdrawn.example")
    write(services.store, record.with_domain(withdrawn_until=NOW + DAY), now=NOW)
    services.clock.now = NOW
    return services


@pytest.fixture(scope="module")
def records(services: Services) -> list[Record]:
    return [services.store.load(key.rpartition(":")[2]) for key in services.store._redis.keys("issuer:domain:*")]


def fits(wanted: Wanted, record: Record) -> bool:
    """By the line that a list shows of it."""
    line, certificate = entry(record, NOW), record.domain.certificate
    ends = certificate.not_after if certificate else None
    return not record.domain.is_withdrawn and all(
        (
            wanted.account in {"", line["account"]},
            wanted.ca in {"", line["ca"]},
            wanted.code in {"", line.get("code")},
            wanted.must_act in {None, line.get("must_act")},
            wanted.status in {None, line["status"]},
            not wanted.has_end or (ends is not None and wanted.ends_from <= ends <= wanted.ends_until),
        )
    )


@pytest.mark.parametrize("limit", [3, 1000])
@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_all_pages_together_have_what_fits_each_once(
    services: Services, records: list[Record], wanted: Wanted, limit: int
) -> None:
    found, after, seen = [], "", 0
    while True:
        page = finding.find(services, wanted, after=after, limit=limit)
        assert page.seen >= len(page.records) <= limit
        found += [record.domain.name for record in page.records]
        after, seen = page.next, seen + page.seen
        if not after:
            break
    assert sorted(found) == sorted(record.domain.name for record in records if fits(wanted, record))
    assert seen <= len(records), "one index is walked, once"


def test_of_two_indexes_the_shorter_one_is_walked(services: Services) -> None:
    wanted = Wanted(code="ca-refused", account="alice")
    assert finding.find(services, wanted).seen == services.store.count_of("code", "ca-refused") == 8


def test_a_page_ends_after_many_names_that_do_not_fit(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MAX_SEEN", 3)
    page = finding.find(services, Wanted(ca="https://ca.example/directory", code="order-lost", account="bob"), limit=2)
    assert (page.records, page.seen, page.next) == ([], 0, ""), "the shortest index has none"
    page = finding.find(services, Wanted(must_act=Actor.OWNER, account="alice", status=Status.ACTIVE), limit=2)
    assert (page.records, page.seen, bool(page.next)) == ([], 4, True)


@pytest.mark.parametrize("after", ["x", "ca", "open x", "expiry nan a", "account", "index 1 a"])
def test_a_position_of_no_page_is_refused(services: Services, after: str) -> None:
    with pytest.raises(Problem, match="is not a position in this list") as told:
        finding.find(services, Wanted(status=Status.ERROR), after=after)
    assert told.value.type is ProblemType.INVALID_REQUEST


def test_that_nothing_is_wanted_is_refused(services: Services) -> None:
    with pytest.raises(Problem, match="nothing is said"):
        finding.find(services, Wanted())


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(account="nobody"), "there is no such account"),
        (Wanted(ca="https://c.example/"), "is not one of the CAs in use"),
        (Wanted(account="nobody", ca="https://ca.example/directory"), "there is no such account"),
    ],
)
def test_a_mistyped_account_or_ca_is_told(services: Services, wanted: Wanted, words: str) -> None:
    with pytest.raises(Problem, match=words):
        finding.find(services, wanted)


@pytest.mark.parametrize(
    ("wanted", "is_found"),
    [
        (Wanted(account="alice"), True),
        (Wanted(code="damaged-record"), True),
        (Wanted(code="damaged-record", must_act=Actor.PLATFORM, status=Status.ERROR), True),
        (Wanted(account="alice", must_act=Actor.PLATFORM), True),
        (Wanted(account="alice", status=Status.ACTIVE), False),
        (Wanted(account="alice", must_act=Actor.OWNER), False),
        (Wanted(account="bob", code="damaged-record"), False),
        (Wanted(status=Status.ERROR), True),
        (Wanted(status=Status.ERROR, account="alice"), True),
        (Wanted(must_act=Actor.PLATFORM), True),
        (Wanted(must_act=Actor.PLATFORM, account="bob"), False),
    ],
    ids=str,
)
def test_a_damaged_record_is_among_those_that_it_may_belong_to(wanted: Wanted, *, is_found: bool) -> None:
    services = with_accounts(fake_services())
    opened(services, "bad.example", "alice")
    services.store._redis.hset("issuer:domain:bad.example", "issuance", "null")
    services.store.records(["bad.example"])
    found = finding.find(services, wanted).records
    assert [isinstance(one, DamagedRecord) for one in found] == [True] * is_found
