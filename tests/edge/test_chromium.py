"""A browser in front of Caddy: it trusts the certificate, and follows HSTS in later visits."""

import re
import time
from collections.abc import Callable

import pytest

from issuer.domain import Hsts
from issuer.sandbox import Sandbox
from tests.edge.chromium import Chromium
from tests.edge.platform import Edge, issue, running
from tests.writes import write

NAME = "track.customer.example"
PAGE = f"GET {NAME} 0"
UNTRUSTED = re.compile(r"ERR_CERT_AUTHORITY_INVALID|net_error -202\b")
"""Chromium's error for an untrusted root, in the words of several versions."""


@pytest.fixture
def edge(module_sandbox: Sandbox, serve: Callable[..., None]) -> Edge:
    """Plain HTTP is answered, so that only HSTS makes a browser use HTTPS."""
    return running(module_sandbox, serve, EDGE_HTTP="plain")


def test_h03_a_browser_comes_back_over_https_by_itself_until_hsts_is_switched_off(edge: Edge, tmp_path) -> None:
    browser = Chromium(tmp_path, edge.caddy)
    record = issue(edge.services, NAME)
    page, log = browser.visit(f"https://{NAME}/untrusted")
    assert (PAGE in page, bool(UNTRUSTED.search(log))) == (False, True), log
    browser.trust(edge.caddy.roots)

    assert PAGE in browser.visit(f"http://{NAME}/first")[0]
    switch(browser, f"https://{NAME}/hsts-on", on=True)
    assert PAGE in browser.visit(f"http://{NAME}/second")[0]
    assert pages(edge, "http") == ["/first"]
    assert pages(edge, "https") == ["/hsts-on", "/second"]

    off = Hsts(0, off_until=time.time() + 3600)
    write(edge.services.store, record.with_domain(hsts=off), now=time.time())
    switch(browser, f"http://{NAME}/hsts-off", on=False)
    assert PAGE in browser.visit(f"http://{NAME}/third")[0]
    assert pages(edge, "https") == ["/hsts-on", "/second", "/hsts-off"]
    assert pages(edge, "http") == ["/first", "/third"]


def switch(browser: Chromium, url: str, *, on: bool) -> None:
    """Visit a page that switches HSTS on or off. On a busy machine a browser may end before it has saved that."""
    for _ in range(3):
        assert PAGE in browser.visit(url)[0]
        if browser.has_policies() is on:
            return
    raise AssertionError("it has not saved the policy")


def pages(edge: Edge, scheme: str) -> list[str]:
    """The pages that were visited, each once."""
    return list(dict.fromkeys(path for path in edge.backend.came(scheme, NAME) if path != "/favicon.ico"))
