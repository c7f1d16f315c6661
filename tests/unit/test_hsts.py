"""…/hsts: what an account may set for its domains, and the header that browsers get (H03)."""

import json
from dataclasses import replace

import pytest

from issuer.domain import Hsts
from issuer.edge.bundle import bundle_for
from issuer.events import EventType
from tests.api_client import ApiClient, issued, opened, renewing
from tests.fakes import NAME, NOW

PATH = f"/v2/x509/{NAME}/hsts"
DEFAULT = 5_184_000
YEAR = 31_536_000
DAY = 86400


@pytest.fixture
def api_client() -> ApiClient:
    api_client = ApiClient().with_accounts()
    issued(api_client.services)
    return api_client


def put(api_client: ApiClient, body: object, **more):
    return api_client.call("PUT", PATH, data=json.dumps(body), content_type="application/json", **more)


def sent(api_client: ApiClient) -> str | None:
    """The header that an edge sends."""
    return bundle_for(api_client.services, NAME).header(api_client.services.clock())


@pytest.mark.parametrize(
    ("body", "header", "warned"),
    [
        ({"max_age": 1}, "max-age=1", ()),
        ({"max_age": 63_072_000}, "max-age=63072000", ()),
        ({"max_age": 60, "include_subdomains": False, "preload": False}, "max-age=60", ()),
        ({"max_age": DAY, "include_subdomains": True}, f"max-age={DAY}; includeSubDomains", ("every name below",)),
        (
            {"max_age": YEAR, "include_subdomains": True, "preload": True},
            f"max-age={YEAR}; includeSubDomains; preload",
            ("every name below", "365 days", "built into browsers"),
        ),
    ],
)
def test_h03_a_policy_is_set_shown_and_sent(api_client: ApiClient, body, header: str, warned) -> None:
    answer = put(api_client, body)
    assert (answer.status_code, answer.json["header"]) == (200, header)
    assert answer.json["policy"] == {"include_subdomains": False, "preload": False} | body
    assert ("warning" in answer.json) is bool(warned)
    assert all(words in answer.json["warning"] for words in warned)
    assert sent(api_client) == header
    assert api_client.call("GET", PATH).json == answer.json
    assert put(api_client, answer.json["policy"]).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"3600",
        b"\xff",
        b"[" * 60_000,
        b"{}",
        b'{"max_age": null}',
        b'{"max_age": "abc"}',
        b'{"max_age": "3600"}',
        b'{"max_age": -1}',
        b'{"max_age": 1e12}',
        b'{"max_age": 1000000000000}',
        b'{"max_age": 63072001}',
        b'{"max_age": 60.0}',
        b'{"max_age": 1e2}',
        b'{"max_age": true}',
        b'{"max_age": [60]}',
        b'{"max_age": NaN}',
        b'{"max_age": ' + b"9" * 5000 + b"}",
        b'{"maxage": 60}',
        b'{"max_age": 60, "includeSubDomains": true}',
        b'{"max_age": 60, "include_subdomains": 1}',
        b'{"max_age": 60, "include_subdomains": "true"}',
        b'{"max_age": 60, "include_subdomains": null}',
        b'{"max_age": 31536000, "preload": true}',
        b'{"max_age": 31535999, "include_subdomains": true, "preload": true}',
        b'{"max_age": 0, "include_subdomains": true, "preload": true}',
        b'{"max_age": 31536000, "include_subdomains": true, "preload": "yes"}',
    ],
)
def test_h03_an_invalid_policy_is_400_and_changes_nothing(api_client: ApiClient, body: bytes) -> None:
    before = api_client.load()
    answer = api_client.call("PUT", PATH, data=body, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid-request")
    assert answer.json["detail"]
    assert answer.json["hint"]
    assert api_client.load() == before


OFF = [lambda api_client: put(api_client, {"max_age": 0}), lambda api_client: api_client.call("DELETE", PATH)]


@pytest.mark.parametrize("off", OFF, ids=["put", "delete"])
@pytest.mark.parametrize(("former", "seconds"), [(None, DEFAULT), ({"max_age": 3600}, DEFAULT)])
def test_h03_off_is_sent_until_the_last_browser_has_forgotten(api_client: ApiClient, off, former, seconds: int) -> None:
    """A browser that received the policy before it became shorter remembers the longer one."""
    if former:
        put(api_client, former)
    answer = off(api_client)
    now = api_client.services.clock()
    assert (answer.status_code, answer.json["header"], sent(api_client)) == (200, "max-age=0", "max-age=0")
    assert api_client.load().domain.hsts == Hsts(0, off_until=now + seconds)
    api_client.services.clock.forward(3600)
    off(api_client)
    assert api_client.load().domain.hsts == Hsts(0, off_until=now + seconds), "twice is as once"
    api_client.services.clock.now = now + seconds - 1
    assert sent(api_client) == "max-age=0"
    api_client.services.clock.now = now + seconds
    assert sent(api_client) is None
    assert api_client.call("GET", PATH).json["header"] is None
    assert "off" in api_client.call("GET", PATH).json["message"]


def test_h03_a_longer_policy_is_remembered(api_client: ApiClient) -> None:
    put(api_client, {"max_age": YEAR})
    api_client.call("DELETE", PATH)
    assert api_client.load().domain.hsts.off_until == api_client.services.clock() + YEAR
    put(api_client, {"max_age": 60})
    assert sent(api_client) == "max-age=60"
    api_client.services.clock.forward(DAY)
    api_client.call("DELETE", PATH)
    assert api_client.load().domain.hsts.off_until == api_client.services.clock() + YEAR - DAY


def test_h03_the_default_policy_is_shown_as_such(api_client: ApiClient) -> None:
    answer = api_client.call("GET", PATH)
    assert answer.json["policy"] == {"max_age": DEFAULT, "include_subdomains": False, "preload": False}
    assert (answer.json["header"], "by default" in answer.json["message"]) == (f"max-age={DEFAULT}", True)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_the_holder_may(api_client: ApiClient, method: str) -> None:
    before = api_client.load()
    more = {"data": b'{"max_age": 60}'}
    other, unknown = (
        api_client.call(method, PATH, "other", **more),
        api_client.call(method, "/v2/x509/b.example/hsts", **more),
    )
    assert (other.status_code, unknown.status_code) == (404, 404)
    assert other.text == unknown.text.replace("b.example", NAME)
    assert api_client.call(method, PATH, "nobody", **more).status_code == 401
    assert api_client.load() == before
    api_client.call("DELETE", f"/v2/x509/{NAME}")
    assert api_client.call(method, PATH, **more).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v2/x509/hsts",
        "/v2/x509//hsts",
        "/v2/x509/hsts/hsts",
        f"/v2/x509/{NAME}/hsts/hsts",
        f"/v2/x509/{NAME}/hsts/",
        f"/v2/x509/{NAME}/status/hsts",
        f"/v2/x509/{NAME}%2Fhsts/hsts",
        f"/v2/x509/{NAME}%0A/hsts",
        "/v2/x509/%FF/hsts",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_paths_with_this_end_are_not_domains(api_client: ApiClient, method: str, path: str) -> None:
    before = api_client.load()
    assert api_client.call(method, path, data=b'{"max_age": 60}').status_code in {400, 404, 405}
    assert api_client.load() == before


@pytest.mark.parametrize("state", [opened, renewing])
def test_it_is_set_while_an_issuance_is_open(state) -> None:
    api_client = ApiClient().with_accounts()
    record = state(api_client.services)
    assert put(api_client, {"max_age": 60}).json["header"] == "max-age=60"
    after = api_client.load()
    assert (after.domain.hsts.max_age_seconds, after.issuance) == (60, record.issuance)
    now = api_client.services.clock()
    assert api_client.services.store.lease(record.issuance.id, now=now, until=now + 70), "and it goes on"


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("how", ["save", "save_and_release"])
def test_a_worker_with_the_lease_neither_delays_nor_undoes_it(api_client: ApiClient, how: str, times: int) -> None:
    store = api_client.services.store
    record = renewing(api_client.services, other := "other.customer.example")
    now, path = api_client.services.clock(), f"/v2/x509/{other}/hsts"
    leased = store.lease(record.issuance.id, now=now, until=now + 70)
    for number in range(times):
        assert api_client.call("PUT", path, data=b'{"max_age": %d}' % (60 + number)).status_code == 200
    changed = leased.with_issuance(replace(leased.issuance, waits=3)).with_event(now, EventType.NOTE, {"text": "seen"})
    after = store.save(changed) if how == "save" else store.save_and_release(changed, requeue_at=now)
    stored = store.load(other)
    assert (stored.domain.hsts.max_age_seconds, stored.issuance.waits) == (59 + times, 3)
    assert [event.type for event in stored.timeline[-times - 1 :]] == ["hsts.changed"] * times + ["note"]
    assert [event.id for event in stored.timeline] == list(range(1, len(stored.timeline) + 1))
    assert (after.version, after.domain.hsts) == (stored.version, stored.domain.hsts)
    if how == "save":
        assert store.save_and_release(after, requeue_at=None).version == stored.version + 1


def test_the_edges_get_the_change(api_client: ApiClient) -> None:
    end = api_client.services.feed.position()
    put(api_client, {"max_age": 60})
    (change,) = api_client.services.feed.changes(end, limit=9, wait_seconds=0.01)
    assert (change.name, change.edge_version) == (NAME, api_client.load().domain.edge_version)


def test_h03_the_longest_policy_is_remembered() -> None:
    long, short = Hsts(YEAR), Hsts(60)
    assert short.after(long, NOW) == Hsts(60, off_until=NOW + YEAR)
    assert long.after(short, NOW) == long
    assert Hsts(0).after(Hsts(0), NOW) == Hsts(0)
    assert Hsts(0).after(short.after(long, NOW), NOW + DAY).off_until == NOW + YEAR
