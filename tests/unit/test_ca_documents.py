"""Any JSON of a CA gives either a value of the right types or a Problem: every member of every document is replaced by
wrong values."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from typing import Any

import pytest
from urllib3 import HTTPHeaderDict

from issuer import keys
from issuer.ca import AcmeAuthority, documents
from issuer.ca.signing import Signer
from issuer.ca.transport import Answer, Transport
from issuer.keys import KeyType, Vault, new_encryption_key
from issuer.ports import CaPolicy, Challenge
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.databases import empty_store
from tests.fakes import NAME, NOW, FakeClock

CA = "https://ca.example"
ERROR = "urn:ietf:params:acme:error:"
ID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
CSR = keys.new_csr(keys.new_key(KeyType.EC_P256), NAME)
VAULT = Vault([new_encryption_key()])
SAID = {
    "type": f"{ERROR}connection",
    "detail": "no answer",
    "instance": f"{CA}/terms",
    "subproblems": [{"type": f"{ERROR}dns", "detail": "no", "identifier": {"type": "dns", "value": NAME}}],
}
ORDER = {
    "status": "pending",
    "expires": "2030-01-01T00:00:00Z",
    "identifiers": [{"type": "dns", "value": NAME}],
    "authorizations": [f"{CA}/authz/1"],
    "finalize": f"{CA}/finalize/1",
}
HTTP_01 = {"type": "http-01", "url": f"{CA}/chall/1", "status": "pending", "token": "a" * 43}
AUTHORIZATION = {
    "status": "pending",
    "identifier": {"type": "dns", "value": NAME},
    "challenges": [{"type": "dns-01", "url": f"{CA}/chall/2", "token": "b" * 43}, HTTP_01],
}
DOCUMENTS: dict[str, Any] = {
    "/directory": {one: f"{CA}/{one}" for one in ("newNonce", "newAccount", "newOrder", "renewalInfo", "keyChange")}
    | {"meta": {"caaIdentities": ["ca.example", "ca.test"], "profiles": {"classic": "x"}, "termsOfService": CA}},
    "/newAccount": {"status": "valid", "contact": ["mailto:a@b.example"], "orders": f"{CA}/orders"},
    "/newOrder": ORDER,
    "/order/pending": ORDER,
    "/order/valid": ORDER | {"status": "valid", "certificate": f"{CA}/cert/1"},
    "/order/invalid": ORDER | {"status": "invalid", "error": SAID},
    "/order/untold": ORDER | {"status": "invalid"},
    "/finalize/1": ORDER | {"status": "processing"},
    "/authz/1": AUTHORIZATION
    | {"status": "invalid", "challenges": [HTTP_01 | {"status": "invalid", "error": SAID}, HTTP_01]},
    "/authz/pending": AUTHORIZATION,
    f"/renewalInfo/{ID}": {
        "suggestedWindow": {"start": "2030-01-01T00:00:00Z", "end": "2030-01-02T00:00:00Z"},
        "explanationURL": f"{CA}/why",
    },
    "/refused": SAID,
}


class Script(Transport):
    """A CA with prepared answers; nothing is sent."""

    def __init__(self) -> None:
        super().__init__(f"{CA}/directory")
        self.documents = {one: json.dumps(document) for one, document in DOCUMENTS.items()}
        self.status = 403

    def look(self, url: str) -> Answer:
        self.require_own(url)
        path = url.removeprefix(CA)
        status = self.status if path == "/refused" else 200
        text = self.documents.get(path, '{"status": "valid"}')
        return Answer(status, HTTPHeaderDict({"Location": f"{CA}/order/1"}), text.encode())

    def post(self, url: str, payload: bytes, signer: Signer, *, new_nonce_url: str) -> Answer:
        self.require_own(new_nonce_url)
        return self.get(url)


@dataclass
class Scripted:
    """Each call is another process, without an account unless it is kept."""

    script: Script
    store: RedisStore
    keeps_account: bool = False

    def __call__(self) -> AcmeAuthority:
        if not self.keeps_account:
            self.store._redis.flushall()
        policy, url = CaPolicy(profile="classic"), f"{CA}/directory"
        return AcmeAuthority(
            url,
            self.store,
            policy=policy,
            vault=VAULT,
            clock=FakeClock(NOW),
            transport=self.script,
            terms_agreed=True,
        )


@pytest.fixture
def scripted() -> Scripted:
    return Scripted(Script(), empty_store())


def challenge_of(ca: AcmeAuthority) -> Challenge:
    ca.account_url()
    return Challenge(f"{CA}/refused", "t", f"t.{ca.known_account().thumbprint}")


CALLS: dict[str, list[Callable[[AcmeAuthority], object]]] = {
    "/directory": [
        lambda ca: ca.caa_identities(),
        lambda ca: ca.has_renewal_info(),
        lambda ca: ca.renewal_info(ID),
        lambda ca: ca.new_order(NAME),
        lambda ca: ca.roll_over(),
    ],
    "/newAccount": [lambda ca: ca.account_url(), lambda ca: ca.roll_over()],
    "/newOrder": [lambda ca: ca.new_order(NAME)],
    "/finalize/1": [lambda ca: ca.finalize(f"{CA}/order/1", f"{CA}/finalize/1", CSR)],
    "/authz/1": [lambda ca: ca.authorization(f"{CA}/authz/1", NAME), lambda ca: ca.order(f"{CA}/order/untold")],
    "/authz/pending": [lambda ca: ca.authorization(f"{CA}/authz/pending", NAME)],
    f"/renewalInfo/{ID}": [lambda ca: ca.renewal_info(ID)],
    "/refused": [
        lambda ca: ca.order(f"{CA}/refused"),
        lambda ca: ca.answer(challenge_of(ca)),
        lambda ca: ca.finalize(f"{CA}/order/pending", f"{CA}/refused", CSR),
        lambda ca: ca.authorization(f"{CA}/refused", NAME),
        lambda ca: ca.chain(f"{CA}/refused"),
    ],
} | {one: [lambda ca, one=one: ca.order(f"{CA}{one}")] for one in DOCUMENTS if one.startswith("/order/")}


def nested(depth: int, *, in_lists: bool) -> str:
    return "[" * depth + "]" * depth if in_lists else '{"subproblems":[' * depth + "{}" + "]}" * depth


SMALL = [
    *("null", "true", "0", "-1", "1.5", "1e999", "NaN", '""', '"odd"', '"\\ud800\\u0000\\n\\u202e"', "[]", "{}"),
    *("[null]", "[[]]", "[{}]", '{"a": 1}', '["odd", 7]', '[{"type": "http-01"}]', '{"error": []}'),
    *(
        f'"{url}"'
        for url in ("https://[", "https://evil.example/", "//evil.example", "data:,", "https://ca.example:x/")
    ),
]
LARGE = [
    *("9" * 4000, json.dumps("x" * 100_000), json.dumps([f"{CA}/x"] * 5000), json.dumps(dict.fromkeys(SMALL * 99, 0))),
    *(nested(depth, in_lists=in_lists) for depth in (100, 300, 600, 900, 960, 20_000) for in_lists in (True, False)),
]


def spots(document: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    below = document.items() if isinstance(document, dict) else enumerate(document) if type(document) is list else ()
    for key, value in below:
        yield from spots(value, (*path, key))


def replaced(document: object, path: tuple[str | int, ...], foreign: str) -> str:
    """The JSON of a document with another value in one place."""
    if not path:
        return foreign
    whole = json.loads(json.dumps(document))
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = "@@"
    return json.dumps(whole).replace('"@@"', foreign)


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from texts_in(one)


def require_storable(result: object) -> None:
    """A result must fit into a record: strings are strings, each on one printable line."""
    values = astuple(result) if hasattr(result, "__dataclass_fields__") else (result,)
    problems = [one for one in values if isinstance(one, Problem)]
    json.dumps([value for value in values if value not in problems])
    for problem in problems:
        require_readable(problem)
    for text in texts_in(values):
        text.encode("utf-8")


def require_readable(problem: Problem) -> None:
    assert str(problem).isprintable()
    assert len(str(problem)) < 3000
    assert Problem.from_dict(json.loads(json.dumps(problem.as_dict()))).type is problem.type


@pytest.mark.parametrize("path", DOCUMENTS)
def test_c11_foreign_json_is_a_problem_or_ignored(scripted: Scripted, path: str) -> None:
    chance = random.Random(path)
    scripted.keeps_account = path not in {"/directory", "/newAccount"}
    for spot in spots(DOCUMENTS[path]):
        for foreign in [*SMALL, *chance.sample(LARGE, 3)]:
            scripted.script.documents[path] = replaced(DOCUMENTS[path], spot, foreign)
            for number, call in enumerate(CALLS[path]):
                try:
                    require_storable(call(scripted()))
                except Problem as problem:
                    require_readable(problem)
                except Exception as error:
                    raise AssertionError(f"call {number} of {path}, {spot}, {foreign[:80]}") from error


@pytest.mark.parametrize("status", [403, 404, 429, 503])
@pytest.mark.parametrize("call", CALLS["/refused"])
def test_c11_a_refusal_of_foreign_json_is_a_problem(scripted: Scripted, status: int, call) -> None:
    scripted.keeps_account = True
    scripted.script.status = status
    for foreign in SMALL + LARGE:
        scripted.script.documents["/refused"] = foreign
        try:
            assert call(scripted()).problem.type is ProblemType.ORDER_LOST
        except Problem as problem:
            require_readable(problem)
            expected = ProblemType.RATE_LIMITED if status == 429 else ProblemType.CA_UNAVAILABLE
            assert problem.type is expected, foreign[:80]


@pytest.mark.parametrize(
    ("body", "is_challenge"),
    [
        (b"", True),
        (b" ", True),
        (b'{"type": "http-01", "status": "pending", "token": "t"}', True),
        (b'{"type": "http-01", "status": "invalid", "error": {}}', True),
        (b'{"status": "processing"}', True),
        (b'{"token": "t"}', True),
        (b"{}", False),
        (b'{"status": "ok"}', False),
        (b'{"status": ["pending"]}', False),
        (b'{"status": null, "url": "https://ca.example/1"}', False),
        (b'["token"]', False),
        (b"true", False),
        (b"<html>", False),
        (b"\xff", False),
        (b"[" * 20_000, False),
    ],
)
def test_n03_an_answer_to_a_challenge_is_a_challenge_or_empty(body: bytes, *, is_challenge: bool) -> None:
    assert documents.is_challenge(Answer(200, HTTPHeaderDict(), body)) is is_challenge


def test_the_unchanged_documents_are_read(scripted: Scripted) -> None:
    ca = scripted()
    assert ca.caa_identities() == ("ca.example", "ca.test")
    assert ca.new_order(NAME).authorization_urls == (f"{CA}/authz/1",)
    assert ca.order(f"{CA}/order/valid").certificate_url == f"{CA}/cert/1"
    assert ca.order(f"{CA}/order/invalid").problem.detail == "no answer (connection); no (dns)"
    assert ca.order(f"{CA}/order/untold").problem.detail == "no answer (connection); no (dns)"
    assert ca.authorization(f"{CA}/authz/1", NAME).problem.detail == "no answer (connection); no (dns)"
    assert ca.authorization(f"{CA}/authz/pending", NAME).challenge.url == f"{CA}/chall/1"
    assert ca.renewal_info(ID).window.explanation_url == f"{CA}/why"
