"""F02: an error in every step, logging at DEBUG, and then every place is searched for key material."""

import base64
import json
import time
from collections.abc import Iterator

import pytest
import redis
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from issuer.config import Settings
from issuer.domain import Due, Step
from issuer.ports import Services
from issuer.problem import ProblemType
from issuer.sandbox import Dns
from tests.acceptance.conftest import Platform, Running
from tests.acceptance.test_main_path import WHERE
from tests.real import published
from tests.wire import Fault, Wire

TWICE = 2
"""Without a reason that it can read, the product asks a CA once more at once."""
BROKEN = {
    "html": lambda: (502, {"Content-Type": "text/html"}, b"<html>"),
    "500": lambda: (500, {"Content-Type": "application/problem+json"}, b'{"type": "about:blank", "detail": "oops"}'),
}


def spellings(der: bytes) -> Iterator[bytes]:
    """A private key in every form that a careless line could show it in."""
    key = load_der_private_key(der, password=None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    scalar = key.private_numbers().private_value
    yield from (der, der.hex().encode(), base64.b64encode(der)[:40], base64.urlsafe_b64encode(der)[:40])
    yield from (pem.splitlines()[1], str(scalar).encode(), f"{scalar:x}".encode(), scalar.to_bytes(32, "big"))
    yield base64.urlsafe_b64encode(scalar.to_bytes(32, "big"))[:40]
    yield repr(der)[2:-1].encode()


def everything_in_redis(settings: Settings) -> Iterator[bytes]:
    for url in (settings.redis_url.get_secret_value(), settings.celery_broker_url):
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter():
                yield key
                yield client.dump(key)
                kind = client.type(key)
                read = {b"string": client.get, b"hash": client.hgetall, b"set": client.smembers}.get(kind)
                yield repr(read(key) if read else (client.lrange(key, 0, -1) if kind == b"list" else "")).encode()


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_f02_no_key_is_shown_anywhere_whatever_fails(
    platform: Platform, running: Running, services: Services, settings: Settings, dns: Dns, wire: Wire, how: str
) -> None:
    secrets = {name: value for name, value in running.environment.items() if name == "ISSUER_ENCRYPTION_KEYS"}
    forbidden = [platform.key.encode(), platform.key.split(".")[1].encode(), *(v.encode() for v in secrets.values())]
    answers = []
    for step, path in (WHERE | {Step.CHALLENGE: "/authZ/"}).items():
        name = published(dns, f"fails-{step}-{how}.customer.example")
        fault = wire.add(Fault(path, times=TWICE, before=BROKEN[how]))
        answers.append(platform.call("POST", f"/v2/x509/{name}"))
        record = wait_for_failure(services, name)
        assert fault.hits == TWICE
        assert record.issuance.problem.type is ProblemType.CA_UNAVAILABLE
        assert record.issuance.step is step
        answers.append(platform.call("GET", f"/v2/x509/{name}/status"))
        forbidden += spellings(services.vault.decrypt(record.issuance.key))
    forbidden += spellings(services.vault.decrypt(services.store.ca_account(settings.acme_directory).key))
    crash(platform, services, dns, running, settings)
    stores = list(everything_in_redis(settings))
    places = {
        "logs": b"".join(part.log.read_bytes() for part in running.parts.values()),
        "redis": b"".join(stores),
        "answers": repr(answers).encode(),
    }
    assert b'"level": "debug"' in places["logs"]
    for place, content in places.items():
        found = [one for one in (b"PRIVATE KEY", *forbidden) if one in content]
        assert found == [], place


def wait_for_failure(services: Services, name: str):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        record = services.store.load(name)
        if record.issuance.tries:
            return record
        time.sleep(0.05)
    raise AssertionError(f"{name} did not fail")


def crash(platform: Platform, services: Services, dns: Dns, running: Running, settings: Settings) -> None:
    """A fault of our own, with a traceback: a record whose CSR is no CSR."""
    name = published(dns, "crashes.customer.example")
    running.parts["worker"].stop()
    platform.call("POST", f"/v2/x509/{name}")
    spoilt = {"step": Step.FINALIZE.value, "csr": "no CSR", "order_url": "x", "finalize_url": "x"}
    with redis.Redis.from_url(settings.redis_url.get_secret_value(), decode_responses=True) as client:
        issuance = json.loads(client.hget(f"issuer:domain:{name}", "issuance"))
        client.hset(f"issuer:domain:{name}", "issuance", json.dumps(issuance | spoilt))
    services.store.claim(Due.OPEN_INTERACTIVE, now=1e12, limit=9, requeue_at=0)
    running.start("worker")
    until = time.monotonic() + 20
    while "Traceback" not in running.parts["worker"].log.read_text():
        assert time.monotonic() < until, "nothing crashed"
        time.sleep(0.05)
