"""Answers of a wire instead of a CA, and the requests that it has seen."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from josepy.json_util import decode_b64jose

from issuer import keys
from issuer.ca import AcmeAuthority
from issuer.keys import KeyType
from issuer.ports import Order
from issuer.problem import Problem
from tests.wire import Answer, Fault, Wire

NAME = "track.customer.example"
ERROR = "urn:ietf:params:acme:error:"
JSON = {"Content-Type": "application/json"}
ACME_JSON = {"Content-Type": "application/problem+json"}
KEY = keys.new_key(KeyType.EC_P256)


def refusing(
    status: int, type_: str, detail: str = "no", headers: dict[str, str] | None = None, **more: object
) -> Callable[[], Answer]:
    body = json.dumps({"type": f"{ERROR}{type_}", "detail": detail, **more}).encode()
    return lambda: (status, ACME_JSON | (headers or {}), body)


def with_members(**members: object) -> Callable[[Answer], Answer]:
    """The CA's own answer, with some members of its JSON replaced."""

    def change(answer: Answer) -> Answer:
        status, headers, body = answer
        return status, headers, json.dumps(json.loads(body) | members).encode()

    return change


def with_headers(**values: str) -> Callable[[Answer], Answer]:
    """The CA's own answer, with some headers replaced."""
    return lambda answer: (answer[0], answer[1] | values, answer[2])


def always(wire: Wire, path: str, after: Callable[[Answer], Answer]) -> Fault:
    return wire.add(Fault(path, times=99, after=after))


def problem_of(call: Callable[[], object]) -> Problem:
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


def payloads(wire: Wire, path: str) -> Iterator[dict[str, object]]:
    """What was signed and sent to a path."""
    for where, body in wire.bodies:
        if path in where:
            yield json.loads(decode_b64jose(json.loads(body)["payload"]))


def wait_for(get: Callable[[], object], is_there: Callable[[object], object], seconds: float = 10) -> object:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_there(value := get()):
            return value
        time.sleep(0.02)
    raise AssertionError(f"not in time: {value}")


def ready(ca: AcmeAuthority, name: str = NAME) -> Order:
    """An order that waits for its CSR, at a CA that accepts every challenge."""
    order = ca.new_order(name)
    (url,) = order.authorization_urls
    ca.answer(ca.authorization(url, name).challenge)
    return wait_for(lambda: ca.order(order.url), lambda order: order.needs_csr)


def certificate(ca: AcmeAuthority, name: str = NAME) -> str:
    """The URL of an issued certificate."""
    order = ready(ca, name)
    ca.finalize(order.url, order.finalize_url, keys.new_csr(KEY, name))
    return wait_for(lambda: ca.order(order.url), lambda order: order.certificate_url).certificate_url
