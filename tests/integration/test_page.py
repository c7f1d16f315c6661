"""The operators' page in a real browser: one Chromium and one server for all views."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import BaseWSGIServer, make_server

from issuer.domain import Status, status
from issuer.sandbox import LOOPBACK
from tests.databases import give_back, take_away
from tests.fakes import fake_services
from tests.operators_page import DELETED, ENDING, FINE, LONG, OURS, STUCK, Platform, populated

AXE = Path(__file__).parents[1] / "axe" / "node_modules" / "axe-core" / "axe.min.js"
DOMAINS = "/operators/domains"
PATHS = ("/", "/operators/fleet", f"{DOMAINS}?account=platform", f"{DOMAINS}/{LONG}", f"{DOMAINS}/{FINE[0]}/delete")
VIEWS = (*PATHS, f"{DOMAINS}/{OURS}", "/operators/none", "/operators/log-in")
WIDE, PHONE = {"width": 1200, "height": 800}, {"width": 360, "height": 740}
CONTRAST = {"runOnly": ["color-contrast", "link-in-text-block"]}
AS_FINGERS_NEED = {"runOnly": ["target-size", "scrollable-region-focusable", "meta-viewport"]}
SECONDS = 20


@pytest.fixture(scope="module")
def platform() -> Platform:
    services = fake_services()
    services.clock.now = time.time()
    return populated(services)


@pytest.fixture(scope="module")
def server(platform: Platform) -> Iterator[BaseWSGIServer]:
    server = make_server(LOOPBACK, 0, platform.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, server: BaseWSGIServer, platform: Platform, **options: object) -> Iterator[Page]:
    """A page whose operator is logged in. Nothing that its markup may run, and no error, goes unnoticed."""
    context = browser.new_context(base_url=f"http://{LOOPBACK}:{server.server_port}", **options)
    context.set_default_timeout(SECONDS * 1000)
    page, heard = context.new_page(), []
    page.on("dialog", lambda dialog: heard.append(dialog.message))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda said: heard.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto("/")
    page.get_by_label("Operator key").fill(platform.key)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("need")
    yield page
    context.close()
    assert heard == []


def findings(page: Page, options: dict[str, object]) -> list[str]:
    """What axe finds in a page."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("options => axe.run(document, options)", options)
    return [f"{page.url}: {one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


@pytest.mark.parametrize(
    ("scheme", "viewport", "rules"), [("light", WIDE, {}), ("dark", WIDE, CONTRAST), ("light", PHONE, AS_FINGERS_NEED)]
)
def test_every_view_is_for_everybody(
    browser: Browser, server: BaseWSGIServer, platform: Platform, scheme: str, viewport: dict, rules: dict
) -> None:
    with opened(browser, server, platform, color_scheme=scheme, viewport=viewport) as page:
        for path in VIEWS if rules == {} else PATHS:
            page.goto(path)
            assert findings(page, rules) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
            assert page.locator("img, iframe, style, main script").count() == 0
        page.evaluate("document.documentElement.lang = ''")
        assert len(findings(page, {"runOnly": ["html-has-lang"]})) == 1  # so axe does look


def test_it_is_used_by_keyboard(browser: Browser, server: BaseWSGIServer, platform: Platform) -> None:
    with opened(browser, server, platform, viewport=WIDE) as page:
        page.goto("/")
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the content")
        expect(skip).to_be_focused()
        expect(skip).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        seen = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            name, width = page.evaluate(
                "() => {const one = document.activeElement;"
                "return [one.getAttribute('href') || one.tagName, parseFloat(getComputedStyle(one).outlineWidth)]}"
            )
            seen.add(name)
            assert name == "BODY" or width >= 2, name
        assert {f"{DOMAINS}?code=ca-unavailable", f"{DOMAINS}/{ENDING}", "SUMMARY"} <= seen
        page.get_by_role("searchbox").focus()
        page.keyboard.type("SHOP-0")
        page.keyboard.press("Enter")
        expect(page.get_by_role("row")).to_have_count(1 + len(FINE))


def test_it_works_without_javascript(browser: Browser, server: BaseWSGIServer, platform: Platform) -> None:
    services = platform.services
    with opened(browser, server, platform, java_script_enabled=False) as page:
        page.get_by_role("searchbox").fill(STUCK)
        page.get_by_role("button", name="Find").click()
        page.get_by_role("button", name="Try again now").click()
        expect(page.get_by_text("The domain goes on now")).to_be_visible()
        assert services.store.load(STUCK).issuance.next_try_at == services.clock()
        page.goto(f"{DOMAINS}/{FINE[7]}")
        page.get_by_role("link", name="Delete…").click()
        page.get_by_role("button", name="Delete").click()  # without the tick, the browser does not send it
        assert status(services.store.load(FINE[7]), services.clock()) is Status.ACTIVE
        page.get_by_role("checkbox").check()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("The domain is deleted")).to_be_visible()
        assert services.store.load(FINE[7]).domain.is_withdrawn
        page.goto(f"{DOMAINS}?ends_within=3")
        expect(page.get_by_role("link", name=ENDING)).to_be_visible()
        page.goto(f"{DOMAINS}/{DELETED}")
        expect(page.get_by_role("button", name="Try again now")).to_have_count(0)
        page.get_by_role("button", name="Log out anna").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_with_javascript_it_is_live(browser: Browser, server: BaseWSGIServer, platform: Platform) -> None:
    services = platform.services
    with opened(browser, server, platform) as page:
        page.goto("/")
        page.locator("#renewals summary").click()
        page.locator("main").focus()
        for fault in services.faults.open():
            services.faults.end(fault)
        refresh(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("1 thing needs you")
        expect(page).to_have_title("1 thing needs you · issuer")
        assert page.locator("#renewals details").get_attribute("open") is not None

        link = page.locator("#needs a").first
        link.focus()
        services.clock.forward(60)
        before = page.locator("#as-of").text_content()
        refresh(page)
        expect(page.locator("#as-of")).to_have_text(before)  # a part in use is from then
        expect(link).to_be_focused()
        page.locator("main").focus()
        refresh(page)
        expect(page.locator("#as-of")).not_to_have_text(before)

        take_away(services.store)
        refresh(page)
        expect(page.get_by_role("status")).to_contain_text("Not refreshed since")
        give_back(services.store)
        refresh(page)
        expect(page.get_by_role("status")).to_have_text("")
        page.context.clear_cookies()
        refresh(page)
        expect(page.get_by_role("status")).to_contain_text("You are logged out")


def refresh(page: Page) -> None:
    """What the page does every few seconds."""
    page.evaluate("document.dispatchEvent(new Event('issuer:refresh'))")
