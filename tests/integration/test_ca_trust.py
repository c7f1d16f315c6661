"""Requests go only to the CA's own hosts, whatever its answers name."""

import json
from collections.abc import Callable, Iterator

import pytest

from issuer import keys
from issuer.ca import AcmeAuthority
from issuer.ca.transport import Transport
from issuer.ports import Challenge
from issuer.problem import ProblemType
from issuer.sandbox import LOOPBACK
from tests.integration.answers import KEY, NAME, problem_of, with_headers, with_members
from tests.integration.raw_server import raw_server
from tests.wire import Answer, Fault, Wire

SECONDS = 0.4
ID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


@pytest.fixture
def other_host() -> Iterator[str]:
    """A server on another port than the CA's, which must get no request."""
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as server:
        yield f"https://{LOOPBACK}:{server.port}/x"
    assert server.connections == 0


def in_challenges(url: str) -> Callable[[Answer], Answer]:
    def change(answer: Answer) -> Answer:
        challenges = json.loads(answer[2])["challenges"]
        return with_members(challenges=[challenge | {"url": url} for challenge in challenges])(answer)

    return change


MEMBERS = {
    "newNonce": lambda ca: ca.new_order(NAME),
    "newAccount": lambda ca: ca.new_order(NAME),
    "newOrder": lambda ca: ca.new_order(NAME),
    "keyChange": lambda ca: ca.roll_over(),
    "renewalInfo": lambda ca: ca.renewal_info(ID),
}


@pytest.mark.parametrize("member", MEMBERS)
def test_no_directory_member_may_point_to_another_host(new_ca, wire: Wire, other_host: str, member: str) -> None:
    wire.add(Fault("/dir", after=with_members(**{member: other_host})))
    problem = problem_of(lambda: MEMBERS[member](new_ca()))
    assert problem.type is ProblemType.CA_UNAVAILABLE
    assert "points to another host" in problem.detail


PLACES = {
    "the Location of an order": ("/order-plz", lambda url: with_headers(Location=url)),
    "finalize": ("/order-plz", lambda url: with_members(finalize=url)),
    "one of its authorizations": ("/order-plz", lambda url: with_members(authorizations=[url])),
    "certificate": ("/my-order/", lambda url: with_members(status="valid", certificate=url)),
    "a challenge": ("/authZ/", in_challenges),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_url_in_an_answer_may_point_to_another_host(new_ca, wire: Wire, other_host: str, place: str) -> None:
    path, change = PLACES[place]
    wire.add(Fault(path, after=change(other_host)))
    ca = new_ca()

    def go_on() -> None:
        order = ca.new_order(NAME)
        ca.order(order.url)
        ca.authorization(order.authorization_urls[0], NAME)

    problem = problem_of(go_on)
    assert (problem.type, problem.drops_order) == (ProblemType.CA_UNAVAILABLE, False)
    assert "points to another host" in problem.detail


def shown(ca: AcmeAuthority) -> str:
    ca.account_url()
    return ca.known_account().thumbprint


@pytest.mark.parametrize(
    "call",
    [
        lambda ca, url: ca.order(url),
        lambda ca, url: ca.authorization(url, NAME),
        lambda ca, url: ca.answer(Challenge(url, "token", f"token.{shown(ca)}")),
        lambda ca, url: ca.finalize(url, url, keys.new_csr(KEY, NAME)),
        lambda ca, url: ca.chain(url),
    ],
)
def test_nor_one_that_a_record_holds(new_ca, other_host: str, call: Callable[[AcmeAuthority, str], object]) -> None:
    ca = new_ca()
    assert problem_of(lambda: call(ca, other_host)).type is ProblemType.CA_UNAVAILABLE


def test_the_url_of_our_account_is_a_name_and_never_asked(new_ca, wire: Wire, other_host: str) -> None:
    wire.add(Fault("/sign-me-up", after=with_headers(Location=other_host)))
    ca = new_ca()
    assert ca.account_url() == other_host
    assert problem_of(lambda: ca.new_order(NAME))
    assert problem_of(ca.roll_over)


def test_a_host_that_the_operator_names_may_be_asked(wire: Wire) -> None:
    transport = Transport(
        wire.directory_url, hosts=("127.0.0.77",), ca_bundle=str(wire.bundle), timeout_seconds=SECONDS
    )
    assert "another host" not in problem_of(lambda: transport.get("https://127.0.0.77/x")).detail
    for url in ("https://127.0.0.77:444/x", "http://127.0.0.77/x", "https://127.0.0.78/x"):
        assert "another host" in problem_of(lambda url=url: transport.get(url)).detail
