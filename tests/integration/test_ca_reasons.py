"""C11: the reason why an order is lost reaches Problem.detail, wherever the CA has put it."""

import json
from collections.abc import Callable

import pytest

from issuer.problem import ProblemType
from tests.integration.answers import ERROR, JSON, NAME, always, problem_of, refusing, with_members
from tests.wire import Answer, Fault, Wire, cut

SAID = {
    "type": f"{ERROR}connection",
    "detail": "203.0.113.9: Fetching http://track.customer.example/: Timeout",
    "subproblems": [
        {"type": f"{ERROR}dns", "detail": "SERVFAIL", "identifier": {"type": "dns", "value": NAME}},
        {"type": f"{ERROR}unauthorized", "detail": "secondary"},
    ],
}
TOLD = f"{SAID['detail']} (connection); SERVFAIL (dns); secondary (unauthorized)"


def failed(error: object) -> Callable[[Answer], Answer]:
    """An authorization as it is after a failed HTTP-01 challenge."""

    def change(answer: Answer) -> Answer:
        challenges = json.loads(answer[2])["challenges"]
        shown = [
            challenge | ({"status": "invalid", "error": error} if challenge["type"] == "http-01" else {})
            for challenge in challenges
        ]
        return with_members(status="invalid", challenges=shown)(answer)

    return change


def test_the_error_of_an_authorizations_challenge(new_ca, wire: Wire) -> None:
    wire.add(Fault("/authZ/", after=failed(SAID)))
    ca = new_ca()
    problem = ca.authorization(ca.new_order(NAME).authorization_urls[0], NAME).problem
    assert (problem.type, problem.detail) == (ProblemType.VALIDATION_FAILED, TOLD)


@pytest.mark.parametrize("state", ["deactivated", "expired", "revoked", "invalid"])
@pytest.mark.parametrize("error", [None, [], {}, "why", 7, True])
def test_an_authorization_without_a_reason_says_its_state(new_ca, wire: Wire, state: str, error: object) -> None:
    wire.add(Fault("/authZ/", after=lambda answer: with_members(status=state)(failed(error)(answer))))
    ca = new_ca()
    problem = ca.authorization(ca.new_order(NAME).authorization_urls[0], NAME).problem
    type_ = ProblemType.VALIDATION_FAILED if state == "invalid" else ProblemType.ORDER_LOST
    assert (problem.type, problem.detail) == (type_, f"the authorization is {state}")


@pytest.mark.parametrize("missing", ["absent", None, {}, [], ""])
def test_an_invalid_order_without_an_error_has_that_of_its_authorization(new_ca, wire: Wire, missing: object) -> None:
    error = {} if missing == "absent" else {"error": missing}
    wire.add(Fault("/my-order/", after=with_members(status="invalid", **error)))
    wire.add(Fault("/authZ/", after=failed(SAID)))
    ca = new_ca()
    problem = ca.order(ca.new_order(NAME).url).problem
    assert (problem.type, problem.detail) == (ProblemType.VALIDATION_FAILED, TOLD)


@pytest.mark.parametrize(
    ("error", "type_", "detail"),
    [
        (SAID, "validation-failed", TOLD),
        ({"type": f"{ERROR}caa", "detail": "CAA forbids"}, "caa", "CAA forbids (caa)"),
        ({"type": f"{ERROR}badCSR", "detail": "weak"}, "ca-refused", "weak (badCSR)"),
        ({"type": f"{ERROR}serverInternal", "detail": "HSM"}, "order-lost", "HSM (serverInternal)"),
        ({"detail": "only words"}, "order-lost", "only words"),
        ({"title": "only a title"}, "order-lost", "the CA gave no reason"),
        ({"type": None, "detail": ["a", "list"]}, "order-lost", "the CA gave no reason"),
        ("a text", "order-lost", "the CA gave no reason"),
        (["a list"], "order-lost", "the CA gave no reason"),
        ({"detail": "x", "identifier": 7, "subproblems": [{"identifier": []}]}, "order-lost", "x"),
    ],
)
def test_the_error_of_an_order_in_any_form(new_ca, wire: Wire, error: object, type_: str, detail: str) -> None:
    wire.add(Fault("/my-order/", after=with_members(status="invalid", error=error)))
    ca = new_ca()
    problem = ca.order(ca.new_order(NAME).url).problem
    assert (problem.type.value, problem.detail) == (type_, detail)
    assert problem.drops_order or problem.is_permanent


@pytest.mark.parametrize(
    "answer",
    [cut, lambda: (200, JSON, b"[]"), lambda: (404, {}, b""), refusing(500, "serverInternal"), lambda: (302, {}, b"")],
)
def test_an_order_is_lost_also_where_the_reason_cannot_be_had(new_ca, wire: Wire, answer) -> None:
    wire.add(Fault("/my-order/", after=with_members(status="invalid")))
    wire.add(Fault("/authZ/", before=answer))
    ca = new_ca()
    problem = ca.order(ca.new_order(NAME).url).problem
    assert (problem.type, problem.detail) == (ProblemType.ORDER_LOST, "the CA gave no reason")


def test_the_reason_is_looked_for_in_few_requests(new_ca, wire: Wire) -> None:
    many = [f"https://{wire.host}/authZ/{number}" for number in range(500)]
    wire.add(Fault("/my-order/", after=with_members(status="invalid", authorizations=many)))
    ca = new_ca()
    order = ca.new_order(NAME)
    assert problem_of(lambda: ca.order(order.url)).type is ProblemType.CA_UNAVAILABLE
    assert wire.count("/authZ/") == 0


def test_c11_a_refused_order_shows_all_subproblems(new_ca, wire: Wire) -> None:
    below = [
        {"type": f"{ERROR}rejectedIdentifier", "detail": "on a list", "identifier": {"type": "dns", "value": NAME}},
        {"type": f"{ERROR}badNonce", "detail": "not a reason to try again"},
    ]
    wire.add(Fault("/order-plz", before=refusing(403, "rejectedIdentifier", "policy", subproblems=below)))
    problem = problem_of(lambda: new_ca().new_order(NAME))
    detail = "policy (rejectedIdentifier); on a list (rejectedIdentifier); not a reason to try again (badNonce)"
    assert (problem.type, problem.detail) == (ProblemType.CA_REFUSED, detail)
    assert wire.count("/order-plz") == 1


@pytest.mark.parametrize("unused", ["dns-01", "tls-alpn-01", "dns-persist-01"])
def test_challenges_of_other_types_are_not_checked(new_ca, wire: Wire, unused: str) -> None:
    odd = [{"type": unused}, {"type": unused, "token": 7, "url": [], "status": "odd", "error": "x"}, 7, None, {}]

    def change(answer: Answer) -> Answer:
        return with_members(challenges=odd + json.loads(answer[2])["challenges"], expires="odd", wildcard="odd")(answer)

    always(wire, "/authZ/", change)
    always(wire, "/order-plz", with_members(expires=7, notBefore=[], identifiers=None, odd={}))
    ca = new_ca()
    assert ca.authorization(ca.new_order(NAME).authorization_urls[0], NAME).challenge.url


def test_an_authorization_without_http_01_is_refused(new_ca, wire: Wire) -> None:
    always(wire, "/authZ/", with_members(challenges=[{"type": "dns-01", "url": "x", "token": "x"}]))
    ca = new_ca()
    order = ca.new_order(NAME)
    problem = problem_of(lambda: ca.authorization(order.authorization_urls[0], NAME))
    assert (problem.type, "HTTP-01" in problem.detail) == (ProblemType.CA_REFUSED, True)
