"""The operators' page without a browser: who may see it, what its forms do, what it says when something is wrong."""

import re
from dataclasses import dataclass, field

import pytest
from flask import Flask
from flask.testing import FlaskClient
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from issuer.actions import operators
from issuer.domain import Status, Step, status
from issuer.ports import Services
from issuer.problem import Actor, Problem, ProblemType
from issuer.store.keys import record_key
from tests.api_client import SECRETS
from tests.databases import give_back, take_away
from tests.fakes import fake_services
from tests.operators_page import DELETED, ENDING, FINE, MARKUP, OURS, OWNERS, SHOWN, STUCK, Platform, populated
from web.app import create_app
from web.operators.blueprint import COOKIE

DOMAINS = "/operators/domains"
VIEWS = ["/", "/operators/fleet", DOMAINS, f"{DOMAINS}?account=platform", f"{DOMAINS}?code=ca-unavailable"]
VIEWS += [
    f"{DOMAINS}?ends_within=0",
    f"{DOMAINS}?ends_within=3",
    f"{DOMAINS}?q=shop",
    f"{DOMAINS}?ca=https://ca.example/directory",
]
VIEWS += [f"{DOMAINS}?status={word}" for word in Status] + [
    f"{DOMAINS}?must_act={actor}&account=platform" for actor in Actor
]
VIEWS += [f"{DOMAINS}/{name}" for name in (FINE[0], OURS, STUCK, ENDING, DELETED)] + [f"{DOMAINS}/{FINE[0]}/delete"]
LOG_IN = "/operators/log-in"


@dataclass
class Page:
    """A browser without a screen. Every answer is looked at for what holds for all."""

    app: Flask
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def get(self, path: str, **more) -> TestResponse:
        return self._looked_at(self.client.get(path, **more))

    def send(self, path: str, form: dict[str, str], **more) -> TestResponse:
        return self._looked_at(self.client.post(path, data=form, **more))

    def submit(self, path: str, where: str, **fields: str) -> TestResponse:
        """Send the form of the page `where` that goes to a path."""
        text = self.get(where).text
        (form,) = [one for one in re.findall(r"<form .*?</form>", text, re.DOTALL) if f'action="{path}"' in one]
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
        return self.send(path, hidden | fields)

    def log_in(self, key: str, **fields: str) -> TestResponse:
        return self.submit(LOG_IN, LOG_IN, key=key, **fields)

    def _looked_at(self, answer: TestResponse) -> TestResponse:
        assert not any(secret in answer.data for secret in SECRETS)
        assert answer.content_type == "text/html; charset=utf-8"
        assert answer.headers.getlist("Cache-Control") == ["no-store"]
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.status_code != 500
        text = answer.text
        assert SHOWN not in text
        assert "<img" not in text
        assert not re.search(
            r"""\son\w+=|\sstyle=|<style|javascript:|<script(?! src="/operators/static/)""",
            re.sub(r"&[#\w]+;|>[^<]*<", "><", text),
        )
        return answer


@pytest.fixture(scope="module")
def platform() -> Platform:
    return populated(fake_services())


@pytest.fixture
def own() -> Platform:
    """A platform for a test that changes it."""
    return populated(fake_services())


def page_of(platform: Platform) -> Page:
    """A page whose operator is logged in."""
    page = Page(platform.app)
    platform.services.store._redis.delete(*platform.services.store._redis.scan_iter("issuer:quota:log-in:*"), "none")
    assert page.log_in(platform.key).status_code == 303
    return page


def is_sent_to_log_in(answer: TestResponse) -> bool:
    return answer.status_code == 303 and answer.headers["Location"].startswith(LOG_IN)


@pytest.mark.parametrize("path", VIEWS)
def test_each_view_is_for_operators_alone_and_shows_markup_as_text(platform: Platform, path: str) -> None:
    assert is_sent_to_log_in(Page(platform.app).get(path))
    page = page_of(platform).get(path)
    assert page.status_code == 200
    assert page.text.count("<h1") == 1
    assert re.search(r"<title>[^<]+ · issuer</title>", page.text)


@pytest.mark.parametrize(
    "path", ["/", "/operators/fleet", f"{DOMAINS}/{STUCK}", f"{DOMAINS}/{OURS}", f"{DOMAINS}?code=ca-refused"]
)
def test_foreign_words_are_there_and_escaped(platform: Platform, path: str) -> None:
    escaped = "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(2)&gt; &#34;&#39;&amp;amp;{{7*7}}"
    assert escaped in page_of(platform).get(path).text


def test_the_first_page_says_what_is_wrong_who_must_act_and_when_it_goes_on(platform: Platform) -> None:
    text = re.sub(r"<[^>]+>", " ", page_of(platform).get("/").text)
    text = re.sub(r"\s+", " ", text)
    assert "2 things need you" in text
    assert "1 waits for owners of domains and 1 goes on by itself" in text
    yours, owners, nobody = (
        text.index(title) for title in ("You, the platform", "Owners of domains", "Goes on by itself")
    )
    assert yours < text.index("answers 404") < text.index("use another CA") < owners
    assert owners < text.index("create the record missing-cname") < nobody < text.index("ca.example refuses")
    assert "in 4 min" in text[nobody:]
    ends = text[text.index("without a working renewal") :]
    assert ENDING in ends[: ends.index("Certificates that end")]
    assert "ca.example: 2,400 a day" in ends


def test_a_key_opens_the_page_until_log_out(own: Platform) -> None:
    page = Page(own.app)
    answer = page.log_in(own.key)
    cookie = next(one for one in answer.headers.getlist("Set-Cookie") if one.startswith(COOKIE))
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert "Log out anna" in page.get("/").text
    assert is_sent_to_log_in(page.submit("/operators/log-out", "/"))
    assert is_sent_to_log_in(page.get("/"))
    page.client.set_cookie(COOKIE, cookie.partition("=")[2].partition(";")[0])
    assert is_sent_to_log_in(page.get("/"))


def test_over_https_the_cookie_is_secure(own: Platform) -> None:
    page = Page(own.app)
    form = {"form_token": "x", "key": own.key}
    for headers in ({"X-Forwarded-Proto": "https"}, {}):
        page.client.set_cookie("issuer_log_in", "x", path=LOG_IN)
        url = {} if headers else {"base_url": "https://localhost"}
        answer = page.send(LOG_IN, form, headers=headers, **url)
        assert answer.status_code == 303
        assert all("; Secure;" in one for one in answer.headers.getlist("Set-Cookie") if one.startswith(COOKIE))


def test_a_revoked_key_ends_what_it_has_begun(own: Platform) -> None:
    page = page_of(own)
    operators.create_key(own.services, "berta")
    operators.revoke_key(own.services, "anna")
    assert is_sent_to_log_in(page.get("/"))
    assert page.log_in(own.key).status_code == 403


@pytest.mark.parametrize("key", ["", "anna", "anna.wrong", "<b>.x", "\ud800", MARKUP, "a" * 20_000])
def test_a_wrong_key_is_told_in_one_sentence(platform: Platform, key: str) -> None:
    page = Page(platform.app)
    platform.services.store._redis.delete("issuer:quota:log-in:127.0.0.1")
    answer = page.submit(LOG_IN, LOG_IN, key=key.encode("utf-8", "replace").decode())
    assert answer.status_code == 403
    assert "This is not a valid operator key" in answer.text
    assert COOKIE not in str(answer.headers)


def test_many_wrong_keys_are_slowed_down(own: Platform) -> None:
    page = Page(own.app)
    codes = [page.log_in("anna.wrong").status_code for _ in range(operators.LOG_INS_AT_ONCE + 1)]
    assert codes == [403] * operators.LOG_INS_AT_ONCE + [429]
    answer = page.log_in(own.key)
    assert (answer.status_code, "Too many attempts to log in" in answer.text) == (429, True)
    assert int(answer.headers["Retry-After"]) >= 1


COOKIES = ["", "x", "cut", "0" * 43, "a" * 3000, "ü", "'; --", "%00", "..", "issuer:metrics"]


@pytest.mark.parametrize("value", COOKIES)
def test_a_foreign_or_cut_cookie_opens_nothing(platform: Platform, value: str) -> None:
    page = page_of(platform)
    if value == "cut":
        value = page.client.get_cookie(COOKIE).value[:-1]
    page.client.set_cookie(COOKIE, value)
    assert is_sent_to_log_in(page.get(f"{DOMAINS}/{FINE[0]}"))
    assert is_sent_to_log_in(page.send(f"{DOMAINS}/{FINE[0]}/delete", {"sure": "yes"}))
    assert status(platform.services.store.load(FINE[0]), platform.services.clock()) is Status.ACTIVE


FORMS = [f"{DOMAINS}/{FINE[0]}/delete", f"{DOMAINS}/{STUCK}/retry", "/operators/log-out"]


@pytest.mark.parametrize("token", [None, "", "x", "other"])
@pytest.mark.parametrize("path", FORMS)
def test_no_form_without_its_token_changes_anything(platform: Platform, path: str, token: str | None) -> None:
    page, versions = page_of(platform), [platform.services.store.load(name).version for name in (FINE[0], STUCK)]
    if token == "other":  # of another session
        token = re.search(r'name="form_token" value="([^"]+)"', page_of(platform).get("/").text)[1]
    answer = page.send(path, {"sure": "yes"} | ({} if token is None else {"form_token": token}))
    assert answer.status_code == 400
    assert "This form is no longer valid" in answer.text
    assert [platform.services.store.load(name).version for name in (FINE[0], STUCK)] == versions
    assert page.get("/").status_code == 200


def test_a_log_in_from_another_site_begins_nothing(platform: Platform) -> None:
    page = Page(platform.app)
    for form in ({"key": platform.key}, {"key": platform.key, "form_token": "x"}):
        answer = page.send(LOG_IN, form)
        assert (answer.status_code, COOKIE in str(answer.headers)) == (400, False)
        page.client.delete_cookie("issuer_log_in", path=LOG_IN)


ELSEWHERE = [
    "//evil.example",
    "https://evil.example",
    "/\\evil.example",
    "/operators/\n",
    "javascript:alert(1)",
    "/v2/x509",
]


@pytest.mark.parametrize("there", [*ELSEWHERE, "/operators/../..//evil.example\\", "operators/x"])
def test_a_log_in_goes_on_to_pages_of_ours_alone(platform: Platform, there: str) -> None:
    page = Page(platform.app)
    platform.services.store._redis.delete("issuer:quota:log-in:127.0.0.1")
    assert page.log_in(platform.key, next=there).headers["Location"] == "/"
    assert "evil" not in page.get(LOG_IN, query_string={"next": there}).text


def test_a_log_in_goes_on_to_the_page_that_was_asked_for(platform: Platform) -> None:
    page, wanted = Page(platform.app), f"{DOMAINS}?q=shop"
    sent = page.get(wanted)
    platform.services.store._redis.delete("issuer:quota:log-in:127.0.0.1")
    assert page.submit(LOG_IN, sent.headers["Location"], key=platform.key).headers["Location"] == wanted


WRONG = [
    (f"{DOMAINS}/none.example", 404, "Domain not found"),
    (f"{DOMAINS}/none.example/delete", 404, "Domain not found"),
    (f"{DOMAINS}/{DELETED}/delete", 404, "The domain has been withdrawn"),
    (f"{DOMAINS}/a b", 400, "No certificate can be had"),
    (f"{DOMAINS}/%00%ff", 400, "No certificate can be had"),
    (f"{DOMAINS}/<script>", 400, "No certificate can be had"),
    (f"{DOMAINS}/{'a' * 3000}", 400, "No certificate can be had"),
    (f"{DOMAINS}?account=platform&after=%00", 400, "This is not a position in the list"),
    (f"{DOMAINS}?ends_within=3&after=nonsense", 400, "position"),
    (f"{DOMAINS}?ends_within=3&after=1e999 a.example", 400, "position"),
    (f"{DOMAINS}?q=shop&after=<b>", 400, "This is not a position in the list"),
    (f"{DOMAINS}?ends_within=soon", 400, "is not a number of days"),
    (f"{DOMAINS}?ends_within=-1", 400, "is not a number of days"),
    (f"{DOMAINS}?ends_within=3&after=expiry 1e999 a.example", 400, "position"),
    (f"{DOMAINS}?code=caa&after=expiry 1 a.example", 400, "position"),
    (f"{DOMAINS}?account=<b>", 404, "There is no such account"),
    (f"{DOMAINS}?ca=x", 400, "is not one of the CAs in use"),
    (f"{DOMAINS}?status=fine", 400, "choose one of processing, active, expired, error"),
    (f"{DOMAINS}?must_act=<b>", 400, "choose one of owner, platform, nobody"),
    ("/operators/nothing", 404, "There is no such page"),
    ("/operators", 404, "There is no such page"),
    ("/operators/", 404, "There is no such page"),
    ("/operators/log-out", 404, "There is no such page"),
]


@pytest.mark.parametrize(("path", "code", "told"), WRONG)
def test_what_is_not_there_is_told_in_one_sentence(platform: Platform, path: str, code: int, told: str) -> None:
    answer = page_of(platform).get(path)
    assert (answer.status_code, told in answer.text) == (code, True), answer.text


NONE = [
    f"{DOMAINS}?code=nonsense",
    f"{DOMAINS}?account=bob&status=expired",
    f"{DOMAINS}?q=%00",
    f"{DOMAINS}?q={'a' * 500}",
]


@pytest.mark.parametrize("path", [*NONE, f"{DOMAINS}?q=%f0%9f%94%91", f"{DOMAINS}?q={MARKUP}", f"{DOMAINS}?q=."])
def test_what_matches_nothing_is_an_empty_list(platform: Platform, path: str) -> None:
    answer = page_of(platform).get(path)
    assert answer.status_code == 200
    assert "<tbody" not in answer.text


def test_a_search_finds_names_by_their_beginning_and_a_whole_name_at_once(platform: Platform) -> None:
    page = page_of(platform)
    found = re.findall(rf'href="{DOMAINS}/([^"]+)"', page.get(f"{DOMAINS}?q=+SHOP-0").text)
    assert found == FINE
    for whole in (FINE[0], f"{FINE[0].upper()}.", DELETED):
        answer = page.get(DOMAINS, query_string={"q": whole})
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{DOMAINS}/{whole.lower().rstrip('.')}")


def test_a_long_list_has_pages(own: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.operators.domains.PAGE", 5)
    monkeypatch.setattr("issuer.actions.overview.domains.SEARCHED", 3)
    monkeypatch.setattr("issuer.actions.overview.SEARCHED", 3)
    page = page_of(own)
    for path, wanted in (
        (f"{DOMAINS}?account=platform", 12),
        (f"{DOMAINS}?q=shop", 8),
        (f"{DOMAINS}?ends_within=999", 9),
    ):
        found, here = [], path
        while here:
            text = page.get(here).text
            found += re.findall(rf'href="{DOMAINS}/([^"/]+)"', text)
            more = re.search(r'rel="next" href="([^"]+)"', text)
            here = more and more[1].replace("&amp;", "&")
        assert len(found) == len(set(found)) == wanted, path


def test_a_domain_is_tried_again(own: Platform) -> None:
    page, before = page_of(own), own.services.store.load(STUCK).issuance
    answer = page.submit(f"{DOMAINS}/{STUCK}/retry", f"{DOMAINS}/{STUCK}")
    assert answer.headers["Location"] == f"{DOMAINS}/{STUCK}?done=retry"
    assert "The domain goes on now" in page.get(answer.headers["Location"]).text
    after = own.services.store.load(STUCK)
    assert (after.issuance.next_try_at, before.next_try_at > own.services.clock()) == (own.services.clock(), True)
    assert after.timeline[-1].by == "operator"


def test_a_domain_with_a_certificate_is_not_tried_again(own: Platform) -> None:
    answer = page_of(own).submit(f"{DOMAINS}/{FINE[0]}/retry", f"{DOMAINS}/{FINE[0]}")
    assert (answer.status_code, "waits for nothing" in answer.text) == (409, True)


def test_a_deleted_domain_is_not_tried_again(platform: Platform) -> None:
    page = page_of(platform)
    token = re.search(r'name="form_token" value="([^"]+)"', page.get("/").text)[1]
    with capture_logs() as logs:
        answer = page.send(f"{DOMAINS}/{DELETED}/retry", {"form_token": token})
    assert (answer.status_code, "The domain has been withdrawn" in answer.text) == (404, True)
    sent = [line for line in logs if line["event"] == "an operator has sent a form"]
    assert [(line["operator"], line["path"]) for line in sent] == [("anna", f"{DOMAINS}/{DELETED}/retry")]


def test_a_domain_is_deleted_after_a_confirmation(own: Platform) -> None:
    page, path = page_of(own), f"{DOMAINS}/{FINE[0]}/delete"
    refused = page.submit(path, path)
    assert (refused.status_code, "was not confirmed" in refused.text) == (400, True)
    refused = page.submit(path, path, sure="yes", reason="because")
    assert (refused.status_code, own.services.store.load(FINE[0]).domain.is_withdrawn) == (400, False)
    answer = page.submit(path, path, sure="yes", reason="superseded")
    record = own.services.store.load(FINE[0])
    assert (record.domain.is_withdrawn, record.domain.revocations[0].reason) == (True, 4)
    assert record.timeline[-1].by == "operator"
    assert "The domain is deleted" in page.get(answer.headers["Location"]).text


def test_damaged_records_are_shown_and_can_be_tried_again(own: Platform) -> None:
    page = page_of(own)
    for damaged, name in (("domain", OWNERS), ("issuance", STUCK), ("timeline", FINE[0])):
        path = f"{DOMAINS}/{name}"
        own.services.store._redis.hset(record_key(name), damaged, f"{{{MARKUP}")
        for view in (
            path,
            f"{path}/delete",
            f"{DOMAINS}?account=platform",
            f"{DOMAINS}?q={name}",
            f"{DOMAINS}?q={name[:5]}",
            "/",
        ):
            assert page.get(view).status_code in {200, 303}, view
        assert "cannot be read" in page.get(path).text
        assert page.submit(f"{path}/retry", path).status_code == 303
        assert own.services.store.load(name).issuance.step is Step.ORDER


def test_without_a_key_the_page_says_how_to_make_one(services: Services) -> None:
    page = Page(create_app(services))
    for path in ("/", LOG_IN, "/operators/fleet"):
        answer = page.get(path)
        assert (answer.status_code, "issuer operator-key create" in answer.text) == (200, True)
        assert "<form" not in answer.text
    answer = page.send(LOG_IN, {"key": "admin"})
    assert answer.status_code == 400
    assert not list(services.store._redis.scan_iter("issuer:operator-session:*"))


def test_without_redis_the_page_says_so_and_the_api_goes_on_in_json(own: Platform) -> None:
    page = page_of(own)
    take_away(own.services.store)
    for path in ("/", "/operators/fleet", f"{DOMAINS}/{STUCK}", LOG_IN):
        fresh = Page(page.app)
        for one in (page, fresh):
            answer = one.get(path)
            assert answer.status_code == 503
            assert "The store is unavailable" in answer.text
            assert int(answer.headers["Retry-After"]) >= 1
    answer = page.client.get("/v2/x509/a.example/status", headers={"Authorization": "Bearer a.b"})
    assert (answer.status_code, answer.json["code"]) == (503, "store-unavailable")
    give_back(own.services.store)
    assert page.get("/").status_code == 200


def test_an_error_of_ours_is_a_page_without_details(own: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(own)
    monkeypatch.setattr("issuer.actions.overview.expiries", lambda _: 1 / 0)
    answer = page.client.get("/")
    assert (answer.status_code, answer.content_type) == (500, "text/html; charset=utf-8")
    assert "The log of web has the reason" in answer.text
    assert "Zero" not in answer.text


def test_what_is_not_the_page_stays_as_it_was(platform: Platform) -> None:
    client = page_of(platform).client
    assert client.get("/v2/x509/a.example/status").json["code"] == "unauthorized"
    assert client.get("/.well-known/acme-challenge/x").json == {"message": "not found", "code": "not-found"}
    assert client.get("/none").json["code"] == "not-found"
    assert client.post("/").json["code"] == "method-not-allowed"
    large = client.post(LOG_IN, data={"key": "a" * 70_000})
    assert (large.status_code, large.content_type) == (413, "text/html; charset=utf-8")


def test_a_problem_of_each_type_has_a_page(own: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(own)
    for type_ in ProblemType:
        problem = Problem(type_, MARKUP, hint=MARKUP, cause=MARKUP, retry_at=own.services.clock() + 60)

        def fails(_: Services, problem: Problem = problem) -> None:
            raise problem

        monkeypatch.setattr("issuer.actions.overview.needs", fails)
        answer = page.client.get("/")
        assert answer.status_code >= 400
        assert answer.status_code != 500
        assert SHOWN not in answer.text
        assert answer.content_type == "text/html; charset=utf-8"
