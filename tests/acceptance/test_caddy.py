"""From a POST to HTTPS, all of it through Caddy: the CA's validation, the page, and the look at what is served."""

import time
from collections.abc import Callable

import pytest

from issuer.actions import accounts
from issuer.domain import Plan
from issuer.ports import Services
from issuer.sandbox import LOOPBACK, Dns, Pebble, free_port
from tests.acceptance.conftest import Platform, Running
from tests.edge.caddy import started
from tests.edge.platform import Backend
from tests.fakes import EDGE_TOKEN
from tests.real import published

NAME = "track.customer.example"


@pytest.mark.parametrize("plain_http", ["redirect", "plain"])
def test_d01_from_post_to_https_with_the_ca_validating_through_caddy(
    running: Running,
    services: Services,
    dns: Dns,
    pebble: Pebble,
    http_port: int,
    serve: Callable[..., None],
    plain_http: str,
) -> None:
    web_port, backend_port, backend = free_port(), free_port(), Backend()
    serve(backend, backend_port)
    caddy = started(
        running.sandbox,
        web=web_port,
        platform=backend_port,
        roots=pebble.root(),
        http_port=http_port,
        EDGE_HTTP=plain_http,
    )
    running.environment |= {
        "GUNICORN_CMD_ARGS": f"--bind {LOOPBACK}:{web_port}",
        "ISSUER_EDGE_TOKEN": EDGE_TOKEN,
        "ISSUER_EDGE_ADDRESSES": f"{LOOPBACK}:{caddy.https_port}",
        "ISSUER_SELF_CHECK_TEST_PORT": str(http_port),
    }
    for part in ("worker", "renewals", "beat"):
        running.start(part)
    running.sandbox.wait_for_web(running.start("web"), web_port)
    platform = Platform(f"http://{LOOPBACK}:{web_port}", accounts.create(services, "platform", Plan.HTTPS))

    assert caddy.shows_placeholder(NAME)
    assert platform.call("POST", f"/v2/x509/{published(dns, NAME)}")[0] == 202
    platform.wait_until(NAME, "active")
    serial = services.store.load(NAME).domain.certificate.serial
    assert caddy.served_within(NAME, serial) < 2
    answer = caddy.https(NAME, "/welcome")
    assert (answer.status, answer.headers["Strict-Transport-Security"]) == (200, "max-age=5184000")
    assert caddy.http(NAME).status == (308 if plain_http == "redirect" else 200)
    sentences = timeline(services)
    assert any(text.startswith(f"self-check, yes: http://{NAME}") for text in sentences), sentences
    assert in_timeline_within(services, f"served everywhere: serial number {serial}", seconds=20)


def timeline(services: Services) -> list[str]:
    return [event.text for event in services.store.load(NAME).timeline]


def in_timeline_within(services: Services, text: str, *, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while timeline(services)[-1] != text:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
