"""A CA's errors, read by type and headers, never by their prose."""

import json
from itertools import product

import pytest
from urllib3 import HTTPHeaderDict

from issuer.ca.meanings import TYPES, Resource
from issuer.ca.problems import from_document, from_refusal, of_account, plain, words
from issuer.ca.transport import Answer, Refusal
from issuer.problem import Actor, Problem, ProblemType
from tests.fakes import NOW

URN = "urn:ietf:params:acme:error:"


def headers(text: str | None) -> HTTPHeaderDict:
    return HTTPHeaderDict() if text is None else HTTPHeaderDict({"Retry-After": text})


def refused(
    status: int, document: object, header: str | None = None, resource: Resource = Resource.NEW_ORDER
) -> Problem:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return from_refusal(Refusal(Answer(status, headers(header), body)), NOW, resource)


def document_of(type_: str, detail: str = "as the CA has it", **more: object) -> dict[str, object]:
    return {"type": f"{URN}{type_}", "detail": detail, **more}


ACCOUNT, SETTINGS, ODD, LOST, DEFAULT = "ca-account", "ca-settings", "ca-misunderstood", "order-lost", ""
OURS = (LOST, ACCOUNT, ACCOUNT, ACCOUNT)
OF_A_SETTING = (LOST, SETTINGS, SETTINGS, SETTINGS)
NOT_ACCEPTED = (LOST, ODD, ODD, ODD)
OF_A_VALIDATION = ("validation-failed", ODD, ODD, ODD)
OF_THE_NAME = ("ca-refused", "ca-refused", "ca-refused", ODD)
OF_A_KEY = ("ca-refused", ACCOUNT, "ca-refused", ACCOUNT)
MEANT = {
    "accountDoesNotExist": OURS,
    "alreadyReplaced": NOT_ACCEPTED,
    "alreadyRevoked": NOT_ACCEPTED,
    "badCSR": ("ca-refused", ODD, "ca-refused", ODD),
    "badNonce": (LOST, "ca-unavailable", "ca-unavailable", "ca-unavailable"),
    "badPublicKey": OF_A_KEY,
    "badRevocationReason": NOT_ACCEPTED,
    "badSignatureAlgorithm": OF_A_KEY,
    "caa": ("caa", "caa", "caa", ODD),
    "compound": (DEFAULT, ODD, ODD, ODD),
    "conflict": (LOST, "ca-slow", "ca-slow", "ca-slow"),
    "connection": OF_A_VALIDATION,
    "dns": ("validation-failed", "dns-unknown", "dns-unknown", ODD),
    "externalAccountRequired": OF_A_SETTING,
    "incorrectResponse": OF_A_VALIDATION,
    "invalidContact": OF_A_SETTING,
    "invalidProfile": NOT_ACCEPTED,
    "malformed": (DEFAULT, ODD, ODD, ODD),
    "orderNotReady": (LOST, "ca-slow", "ca-slow", "ca-slow"),
    "rateLimited": (LOST, "rate-limited", "rate-limited", "rate-limited"),
    "rejectedIdentifier": OF_THE_NAME,
    "serverInternal": (LOST, "ca-unavailable", "ca-unavailable", "ca-unavailable"),
    "tls": OF_A_VALIDATION,
    "unauthorized": ("validation-failed", ACCOUNT, ACCOUNT, ACCOUNT),
    "unsupportedContact": OF_A_SETTING,
    "unsupportedIdentifier": OF_THE_NAME,
    "userActionRequired": OF_A_SETTING,
}
"""What a type means as an error of a challenge or an order, as an answer to a new order, to finalize, to anything else.
DEFAULT: what failed decides."""
UNKNOWN = dict.fromkeys(["fromTheFuture", "caa too", "CAA"], (DEFAULT, ODD, ODD, ODD))


def meant_at(resource: Resource, meant: tuple[str, str, str, str]) -> str:
    return meant[{Resource.NEW_ORDER: 1, Resource.FINALIZE: 2}.get(resource, 3)]


def test_every_type_is_in_the_table() -> None:
    assert set(TYPES) == set(MEANT)


@pytest.mark.parametrize("status", [400, 403, 404, 409])
@pytest.mark.parametrize(("type_", "meant"), [*MEANT.items(), *UNKNOWN.items()])
def test_n04_a_refusal_is_read_by_its_type_and_its_place(status: int, type_: str, meant: tuple[str, ...]) -> None:
    for resource in Resource:
        problem = refused(status, document_of(type_), resource=resource)
        assert problem.type.value == meant_at(resource, meant), resource
        assert problem.detail == f"as the CA has it ({type_})"


@pytest.mark.parametrize("type_", [*MEANT, *UNKNOWN, ""])
def test_n04_only_a_new_order_or_finalize_can_be_refused_for_good_or_lose_the_order(type_: str) -> None:
    for resource in set(Resource) - {Resource.NEW_ORDER, Resource.FINALIZE}:
        problem = refused(403, document_of(type_) if type_ else b"<html>", resource=resource)
        assert (problem.is_permanent, problem.drops_order, problem.leaves_ca) == (False, False, False), resource


@pytest.mark.parametrize("type_", [*MEANT, *UNKNOWN])
@pytest.mark.parametrize("resource", Resource)
def test_n04_no_refused_request_is_a_failed_validation(type_: str, resource: Resource) -> None:
    problem = refused(403, document_of(type_), resource=resource)
    assert problem.type is not ProblemType.VALIDATION_FAILED
    assert not any(words in problem.hint for words in ("CNAME", "port 80", "login"))


@pytest.mark.parametrize(
    ("document", "resource", "expected"),
    [
        (document_of("compound", subproblems=[document_of("rejectedIdentifier")]), Resource.NEW_ORDER, "ca-refused"),
        (document_of("compound", subproblems=[{}, "x", document_of("caa")]), Resource.FINALIZE, "caa"),
        (document_of("compound", subproblems=[document_of("new"), document_of("caa")]), Resource.NEW_ORDER, "caa"),
        (document_of("compound", subproblems=[document_of("unauthorized")]), Resource.NEW_ORDER, "ca-account"),
        (document_of("compound", subproblems=[document_of("rejectedIdentifier")]), Resource.CERTIFICATE, ODD),
        (document_of("compound", subproblems=[]), Resource.NEW_ORDER, ODD),
        (document_of("unauthorized", subproblems=[document_of("caa")]), Resource.FINALIZE, "caa"),
        (document_of("unauthorized", subproblems=[document_of("dns")]), Resource.NEW_ORDER, "ca-account"),
    ],
)
def test_n04_a_type_that_says_too_little_means_what_its_subproblems_do(document, resource, expected) -> None:
    assert refused(403, document, resource=resource).type.value == expected


@pytest.mark.parametrize("default", ["order-lost", "validation-failed"])
@pytest.mark.parametrize(
    ("subproblems", "expected"),
    [(["caa"], "caa"), (["dns", "caa"], "caa"), (["dns"], "validation-failed"), ([], "validation-failed")],
)
def test_n04_a_challenge_that_failed_because_of_caa_says_so(subproblems: list[str], expected: str, default: str):
    error = document_of("unauthorized", subproblems=[document_of(type_) for type_ in subproblems])
    problem = from_document(error, ProblemType(default))
    assert problem.type.value == expected
    assert ("login" in problem.hint) is (expected == "validation-failed")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("document", [b"<html>", document_of("badCSR"), document_of("rateLimited"), {}])
def test_an_error_of_the_server_is_never_the_domains_fault(status: int, document: object) -> None:
    problem = refused(status, document, "30")
    assert (problem.type, problem.retry_at) == (ProblemType.CA_UNAVAILABLE, NOW + 30)
    assert (problem.is_permanent, problem.drops_order) == (False, False)


@pytest.mark.parametrize("prose", ["CAA forbids", "rateLimited", "retry after 2030-01-01 00:00:00 UTC", "badCSR"])
def test_c11_nothing_is_decided_by_prose(prose: str) -> None:
    problem = refused(400, document_of("malformed", prose))
    assert (problem.type, problem.retry_at) == (ProblemType.CA_MISUNDERSTOOD, None)
    assert refused(400, {"title": prose, "detail": prose}).type is ProblemType.CA_UNAVAILABLE
    assert from_document({"detail": prose}, ProblemType.ORDER_LOST).type is ProblemType.ORDER_LOST


def test_c11_a_subproblem_does_not_decide_but_is_shown() -> None:
    nested = document_of("caa", "second", subproblems=[document_of("dns", "third")])
    below = [document_of("badNonce", "first"), nested, {"type": f"{URN}tls"}]
    problem = refused(400, document_of("rejectedIdentifier", "some names", subproblems=below))
    assert problem.type is ProblemType.CA_REFUSED
    assert problem.detail == "some names (rejectedIdentifier); first (badNonce); second (caa); third (dns); tls"


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({}, ""),
        ({"detail": "  why  "}, "why"),
        ({"type": f"{URN}dns"}, "dns"),
        ({"type": "about:blank", "detail": "why"}, "why"),
        ({"detail": 7}, "7"),
        ({"detail": "why", "subproblems": None}, "why"),
        ({"detail": "why", "subproblems": []}, "why"),
        ({"detail": "why", "subproblems": ["text", 7, None, {}, {"detail": "too"}]}, "why; too"),
        ({"detail": "why", "subproblems": {"detail": "x"}}, "why"),
        ({"detail": "why", "subproblems": 7}, "why"),
        ({"detail": "why", "subproblems": True}, "why"),
    ],
)
def test_c11_the_words_of_any_document(document: dict[str, object], line: str) -> None:
    assert words(document) == line


ORDER_ERRORS = list(product([*TYPES, "x", ""], ["order-lost", "validation-failed"]))


@pytest.mark.parametrize(("type_", "default"), ORDER_ERRORS)
def test_c11_an_orders_error_never_keeps_the_order(type_: str, default: str) -> None:
    problem = from_document(document_of(type_), ProblemType(default))
    assert problem.drops_order or problem.is_permanent
    assert problem.type.value == (MEANT.get(type_, (DEFAULT,))[0] or default)
    assert "as the CA has it" in problem.detail


@pytest.mark.parametrize("type_", ["serverInternal", "rateLimited", "badNonce", "accountDoesNotExist"])
def test_n04_an_error_of_the_cas_own_is_not_the_owners_fault(type_: str) -> None:
    problem = from_document(document_of(type_), ProblemType.VALIDATION_FAILED)
    assert problem.actor is Actor.NOBODY
    assert "CNAME" not in problem.hint


@pytest.mark.parametrize("document", [None, {}])
def test_c11_a_missing_reason_has_words(document: dict[str, object] | None) -> None:
    problem = from_document(document, ProblemType.ORDER_LOST)
    assert (problem.type, problem.detail) == (ProblemType.ORDER_LOST, "the CA gave no reason")


@pytest.mark.parametrize(
    ("type_", "hint"),
    [("connection", "port 80"), ("unauthorized", "CNAME"), ("tls", "port 80"), ("incorrectResponse", "CNAME")],
)
def test_the_hint_of_a_failed_validation_is_for_the_owner(type_: str, hint: str) -> None:
    assert hint in from_document(document_of(type_), ProblemType.ORDER_LOST).hint


@pytest.mark.parametrize(
    ("type_", "hint"),
    [
        ("dns", "name servers"),
        ("caa", "CAA"),
        ("externalAccountRequired", "eab_key_id"),
        ("rejectedIdentifier", "another CA"),
        ("userActionRequired", "operator"),
        ("malformed", ""),
    ],
)
def test_the_hint_is_for_its_reader(type_: str, hint: str) -> None:
    for problem in (refused(403, document_of(type_)), from_document(document_of(type_), ProblemType.ORDER_LOST)):
        assert hint in problem.hint
        assert bool(hint) is bool(problem.hint)


@pytest.mark.parametrize(("type_", "meant"), MEANT.items())
def test_every_problem_that_needs_action_has_a_hint(type_: str, meant: tuple[str, ...]) -> None:
    problem = refused(400, document_of(type_))
    assert problem.type.value == meant[1]
    if problem.actor is Actor.OWNER:
        assert "operator" not in problem.hint
        assert problem.hint
    if problem.type in {ProblemType.CA_ACCOUNT, ProblemType.CA_REFUSED, ProblemType.CA_SETTINGS}:
        assert "the operator" in problem.hint
    assert "ISSUER_" in problem.hint or problem.type is not ProblemType.CA_SETTINGS


def test_c15_new_terms_say_where_they_are() -> None:
    where = "https://ca.example/terms/2"
    assert refused(403, document_of("userActionRequired", instance=where)).detail.endswith(
        f"(userActionRequired); {where}"
    )
    linked = HTTPHeaderDict()
    linked.add("Link", '<https://ca.example/directory>;rel="index"')
    linked.add("Link", f'<{where}>; rel="terms-of-service"')
    answer = Answer(403, linked, json.dumps(document_of("userActionRequired")).encode())
    assert from_refusal(Refusal(answer), NOW, Resource.NEW_ORDER).detail.endswith(f"; {where}")


@pytest.mark.parametrize("type_", [*MEANT, "new", ""])
@pytest.mark.parametrize("is_bound", [True, False])
def test_an_error_of_our_account_is_not_the_domains(type_: str, *, is_bound: bool) -> None:
    answer = Answer(403, HTTPHeaderDict(), json.dumps(document_of(type_) if type_ else {}).encode())
    problem = of_account(Refusal(answer), NOW, is_bound=is_bound)
    meant = MEANT.get(type_, NOT_ACCEPTED)[3] if type_ else "ca-unavailable"
    of_any_request = {"ca-unavailable", "rate-limited", "ca-settings"}
    is_unclear = type_ in {"unauthorized", "badPublicKey", "badSignatureAlgorithm"}
    is_of_binding = is_bound and (meant != "ca-account" or is_unclear)
    assert problem.type.value == (
        meant if meant in of_any_request else "ca-settings" if is_of_binding else "ca-account"
    )
    assert not problem.is_of_one_order
    if meant not in of_any_request | {"ca-account"} or type_ in {"unauthorized", "badPublicKey"}:
        assert ("eab_key_id" in problem.hint) is is_bound
        assert "the operator" in problem.hint


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("  why\n", "why"),
        ("a\r\nb\x1b[2J\x00c", "a  b [2J c"),
        ("\u202e\ud800\u2028x", "x"),
        ("größe für 日本", "größe für 日本"),
        ("x" * 5000, "x" * 1000),
        (7, "7"),
        (None, ""),
        (["a"], ""),
        ({"a": 1}, ""),
    ],
)
def test_the_text_of_a_ca_is_shown_in_one_line(sent: object, kept: str) -> None:
    assert plain(sent) == kept
    assert words({"detail": sent}) == kept


@pytest.mark.parametrize("depth", [5, 200])
def test_c11_words_are_limited(depth: int) -> None:
    document = document_of("dns", "x" * 500)
    for _ in range(depth):
        document = document_of("dns", "y" * 10, subproblems=[document] * 2)
    assert len(words(document)) <= 1000


@pytest.mark.parametrize(
    ("header", "targets"),
    [
        ('<https://a/1>;rel="alternate"', ["https://a/1"]),
        ('<https://a/1>; rel="alternate", <https://a/2>;rel=alternate', ["https://a/1", "https://a/2"]),
        ('<https://a/1>; title="x"; rel="alternate"', ["https://a/1"]),
        ('<https://a/1>; rel="up", </2>; rel="alternate"', ["/2"]),
        ('<https://a/1>; rel="alternates"', []),
        ("https://a/1; rel=alternate", []),
        ("<", []),
        ("", []),
    ],
)
def test_links_of_an_answer(header: str, targets: list[str]) -> None:
    assert list(Answer(200, HTTPHeaderDict({"Link": header}), b"").links("alternate")) == targets
