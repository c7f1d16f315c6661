"""A new key for the account at the CA (RFC 8555 §7.3.5), interrupted at every point: the key changes once."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from josepy.json_util import decode_b64jose

from issuer import keys
from issuer.ca import AcmeAuthority
from issuer.ca.signing import Signer
from issuer.ca.transport import Refusal
from issuer.ports import CaAccount
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.integration.answers import KEY, NAME, payloads, problem_of, refusing, wait_for, with_headers
from tests.wire import Fault, Wire, cut

KEY_CHANGE, ACCOUNT = "/rollover-account-key", "/sign-me-up"


@pytest.fixture
def stored(real_store: RedisStore, wire: Wire) -> Callable[[], CaAccount]:
    return lambda: real_store.ca_account(wire.directory_url)


@pytest.fixture
def ca(new_ca: Callable[[], AcmeAuthority]) -> AcmeAuthority:
    """With an account."""
    ca = new_ca()
    ca.account_url()
    return ca


def signs_by(ca: AcmeAuthority, name: str = NAME) -> str:
    """The thumbprint of the key that an order is placed and a challenge is answered with."""
    order = ca.new_order(name)
    return ca.authorization(order.authorization_urls[0], name).challenge.key_authorization.partition(".")[2]


def test_a_new_key_for_the_same_account_and_other_processes_go_on_at_once(ca, new_ca, wire: Wire, stored) -> None:
    other = new_ca()
    order = other.new_order(NAME)
    before, former = ca.known_account(), stored()
    assert signs_by(other) == before.thumbprint
    ca.roll_over()
    after = ca.known_account()
    assert after == replace(before, thumbprint=after.thumbprint)
    assert after.thumbprint != before.thumbprint
    assert stored() == replace(former, key=stored().key)
    assert other.known_account() == after
    assert other.order(order.url).authorization_urls == order.authorization_urls
    assert [signs_by(one) for one in (other, ca, new_ca())] == [after.thumbprint] * 3
    assert (wire.count(KEY_CHANGE), wire.count(ACCOUNT)) == (1, 2)


def test_what_is_sent_to_change_the_key(ca, wire: Wire, stored) -> None:
    url = ca.account_url()
    old = ca._session.keeper.signer().key.public_key().to_partial_json()
    ca.roll_over()
    assert list(payloads(wire, ACCOUNT))[1:] == [{"onlyReturnExisting": True}]
    (inner,) = payloads(wire, KEY_CHANGE)
    parts = {name: json.loads(decode_b64jose(inner[name])) for name in ("protected", "payload")}
    assert parts["payload"] == {"account": url, "oldKey": old}
    assert parts["protected"] == {
        "alg": "ES256",
        "jwk": ca._session.keeper.signer().key.public_key().to_partial_json(),
        "url": f"https://{wire.host}{KEY_CHANGE}",
    }


def test_the_old_key_is_refused_afterwards(ca, wire: Wire, stored) -> None:
    order, former = ca.new_order(NAME), stored()
    ca.roll_over()
    signer = Signer(ca._session.keeper._key(former.key), former.url)
    with pytest.raises(Refusal) as caught:
        ca._session.transport.post(order.url, b"", signer, new_nonce_url=ca._session.directory.resource("newNonce"))
    assert (caught.value.answer.status, caught.value.type) == (400, "malformed")


def test_a_key_can_be_changed_again_and_again(ca, stored) -> None:
    seen = {stored().key}
    for _ in range(3):
        ca.roll_over()
        seen.add(stored().key)
    assert len(seen) == 4
    assert signs_by(ca) == ca.known_account().thumbprint


def test_before_there_is_an_account_one_is_made(new_ca, stored) -> None:
    assert new_ca().known_account() is None
    new_ca().roll_over()
    assert stored().url
    assert stored().next_key is None


CUTS = {
    "before the CA is asked for the next key": Fault(ACCOUNT, before=cut),
    "after it": Fault(ACCOUNT, after=cut),
    "before the CA has the next key": Fault(KEY_CHANGE, before=cut),
    "after it has": Fault(KEY_CHANGE, after=cut),
}


@pytest.mark.parametrize("where", CUTS)
@pytest.mark.parametrize("orders_first", [False, True])
def test_cut_off_on_the_wire_it_is_taken_up(ca, new_ca, wire: Wire, stored, where: str, *, orders_first) -> None:
    former = stored()
    wire.add(replace(CUTS[where]))
    assert problem_of(ca.roll_over).type is ProblemType.CA_UNAVAILABLE
    began_at = stored()
    assert began_at == replace(former, next_key=began_at.next_key)
    assert ca.known_account().is_rolling_over
    if orders_first:
        assert signs_by(new_ca()) == new_ca().known_account().thumbprint
        assert (stored().key == began_at.next_key) is (where == "after it has"), "no request but that one changes a key"
    if not orders_first or where != "after it has":
        new_ca().roll_over()
    assert stored() == replace(former, key=began_at.next_key)
    assert signs_by(ca) == ca.known_account().thumbprint
    assert wire.count(KEY_CHANGE) <= 2


class Ended(BaseException):
    """Raised where a process ends."""


class Ending:
    """The store of a process that ends at its n-th saving of the account, before or after it; then it does nothing."""

    def __init__(self, store: RedisStore, number: int, *, is_saved: bool) -> None:
        self._store, self._left, self._is_saved = store, number, is_saved

    def __getattr__(self, name: str) -> object:
        if not self._left:
            raise Ended
        return getattr(self._store, name)

    def keep_ca_account(self, *args: object, **more: object) -> object:
        self._left -= 1
        if self._left or self._is_saved:
            kept = self._store.keep_ca_account(*args, **more)
        if not self._left:
            raise Ended
        return kept


@pytest.mark.parametrize("how", ["roll_over", "new_order"])
@pytest.mark.parametrize(
    ("number", "is_saved", "is_begun", "is_changed"),
    [(1, False, False, False), (1, True, True, False), (2, False, True, True), (2, True, False, True)],
)
def test_a_process_that_ends_at_a_saving_is_taken_up_where_it_was(
    ca, new_ca, wire: Wire, real_store, stored, number, is_saved, is_begun, is_changed, how
) -> None:
    former = stored()
    ca._session.keeper._accounts = Ending(real_store, number, is_saved=is_saved)
    with pytest.raises(Ended):
        ca.roll_over()
    assert (stored().next_key is not None, wire.count(KEY_CHANGE) == 1) == (is_begun, is_changed)
    other, next_key = new_ca(), stored().next_key
    assert problem_of(other.roll_over).type is ProblemType.BUSY, "as long as its lock holds"
    for lock in real_store._redis.scan_iter("issuer:ca-lock:*"):
        real_store._redis.delete(lock)
    if how == "roll_over":
        other.roll_over()
    assert signs_by(other) == other.known_account().thumbprint
    if is_begun and (is_changed or how == "roll_over"):
        assert stored() == replace(former, key=next_key)
        assert wire.count(KEY_CHANGE) == 1


@pytest.mark.parametrize("path", ["/order-plz", "/my-order/", "/authZ/", "/finalize-order/"])
def test_a_request_that_was_on_its_way_meanwhile_is_signed_again(ca, new_ca, wire: Wire, path: str) -> None:
    other = new_ca()
    order, csr = other.new_order(NAME), keys.new_csr(KEY, NAME)
    calls = {
        "/order-plz": lambda: other.new_order("other.customer.example").url,
        "/my-order/": lambda: other.order(order.url) == order,
        "/authZ/": lambda: other.authorization(order.authorization_urls[0], NAME).challenge,
        "/finalize-order/": lambda: other.finalize(order.url, order.finalize_url, csr).url == order.url,
    }
    before = wire.count(path)
    wire.add(Fault(path, before=ca.roll_over))
    assert calls[path]()
    assert wire.count(path) == before + 2


@pytest.mark.parametrize("is_on_its_way", [True, False])
def test_no_challenge_is_answered_that_was_published_under_the_former_key(ca, new_ca, wire, *, is_on_its_way) -> None:
    other = new_ca()
    (url,) = other.new_order(NAME).authorization_urls
    former = other.authorization(url, NAME).challenge
    if is_on_its_way:
        wire.add(Fault("/chalZ/", before=ca.roll_over))
    else:
        ca.roll_over()
    assert problem_of(lambda: other.answer(former)).type is ProblemType.BUSY
    current = other.authorization(url, NAME).challenge
    assert current == replace(former, key_authorization=f"{former.token}.{ca.known_account().thumbprint}")
    other.answer(current)
    assert wait_for(lambda: other.authorization(url, NAME), lambda authorization: authorization.problem), (
        "the CA has validated it"
    )


@pytest.mark.parametrize("moment", ["before", "after"])
def test_two_at_once_and_one_gets_busy(ca, new_ca, wire: Wire, moment: str) -> None:
    results: dict[str, object] = {}

    def meanwhile(answer: object = None) -> object:
        results["roll-over"] = problem_of(new_ca().roll_over).type
        try:
            results["order"] = new_ca().new_order(NAME).url != ""
        except Problem as problem:
            results["order"] = problem.type
        return answer

    wire.add(Fault(KEY_CHANGE, **{moment: meanwhile}))
    ca.roll_over()
    # Once the CA has the next key, a request that is signed by the old one waits for it to be saved.
    assert results == {"roll-over": ProblemType.BUSY, "order": True if moment == "before" else ProblemType.BUSY}
    assert wire.count(KEY_CHANGE) == 1
    new_ca().roll_over()


def test_a_record_of_the_former_version_can_be_changed(ca, real_store: RedisStore, stored) -> None:
    former = stored()
    (name,) = real_store._redis.scan_iter("issuer:ca-account:*")
    text = json.dumps({"key": former.key, "url": former.url, "created_at": former.created_at})
    real_store._redis.set(name, text)
    ca.roll_over()
    assert stored() == replace(former, key=stored().key)
    assert stored().key != former.key
    assert set(json.loads(real_store._redis.get(name))) == {"key", "url", "created_at"}


@pytest.mark.parametrize(
    ("answer", "type_"),
    [
        (refusing(403, "unauthorized"), ProblemType.CA_ACCOUNT),
        (refusing(400, "badPublicKey"), ProblemType.CA_ACCOUNT),
        (refusing(400, "malformed"), ProblemType.CA_ACCOUNT),
        (refusing(429, "rateLimited"), ProblemType.RATE_LIMITED),
        (lambda: (409, {"Location": "https://x/"}, b""), ProblemType.CA_UNAVAILABLE),
    ],
)
def test_a_refusal_leaves_the_old_key_in_use(ca, wire: Wire, stored, answer, type_: ProblemType) -> None:
    former = stored()
    wire.add(Fault(KEY_CHANGE, before=answer))
    problem = problem_of(ca.roll_over)
    assert (problem.type, "CNAME" in problem.hint) == (type_, False)
    assert replace(stored(), next_key=None) == former
    assert signs_by(ca)
    ca.roll_over()
    assert stored().next_key is None


def test_a_ca_that_has_the_next_key_for_another_account_is_not_believed(ca, wire: Wire, stored) -> None:
    wire.add(Fault(KEY_CHANGE, before=cut))
    problem_of(ca.roll_over)
    began_at = stored()
    wire.add(Fault(ACCOUNT, before=lambda: (200, with_headers(Location="https://x/")((0, {}, b""))[1], b"{}")))
    ca.roll_over()
    assert stored() == replace(began_at, key=began_at.next_key, next_key=None)
    assert wire.count(KEY_CHANGE) == 2


def test_a_ca_without_key_change_says_so(ca, wire: Wire, stored) -> None:
    ca._session.directory._members.pop("keyChange")
    assert "has no keyChange" in problem_of(ca.roll_over).detail
    assert signs_by(ca) == ca.known_account().thumbprint


def test_a_ca_that_forgot_the_account_amid_a_roll_over_gets_the_old_key_again(ca, new_ca, wire: Wire, stored) -> None:
    wire.add(Fault(KEY_CHANGE, before=cut))
    problem_of(ca.roll_over)
    began_at = stored()
    wire.add(Fault("/order-plz", before=refusing(400, "accountDoesNotExist")))
    assert problem_of(lambda: new_ca().new_order(NAME)).type is ProblemType.CA_ACCOUNT
    assert stored() == began_at
    assert signs_by(ca) == ca.known_account().thumbprint
