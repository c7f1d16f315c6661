"""A CA whose HTTP is odd: what it sends is used as it was sent, and costs neither an order nor a minute."""

import itertools
import string
from collections.abc import Callable

import pytest

from issuer import keys
from issuer.ca import AcmeAuthority
from issuer.ca.transport import Transport
from issuer.domain import Record, Status, Step, status
from issuer.keys import Vault, new_encryption_key
from issuer.ports import CaPolicy, Services
from issuer.problem import ProblemType
from tests.databases import empty_store
from tests.fakes import NAME, NOW, FakeClock
from tests.integration.answers import KEY, problem_of, refusing
from tests.real import opened
from tests.scripted import ScriptedCa
from tests.scripted.answers import Refused
from tests.time_travel import HOUR, lived
from tests.wire import Answer, Fault, cut

RESOURCES = ("/newAccount", "/newOrder", "/authorization/", "/challenge/", "/finalize/", "/order/", "/certificate/")
"""To each of these every issuance sends a signed POST."""
LETTERS = string.ascii_letters + string.digits + "-_"


@pytest.fixture
def client(ca: ScriptedCa) -> AcmeAuthority:
    """The client alone, over a store of this process. Every authorization is valid at once."""
    ca.authorization_status = "valid"
    return AcmeAuthority(
        ca.directory_url,
        empty_store(),
        policy=CaPolicy(),
        vault=Vault([new_encryption_key()]),
        clock=FakeClock(NOW),
        transport=Transport(ca.directory_url, timeout_seconds=2),
        terms_agreed=True,
    )


def page(code: int, **headers: str) -> Answer:
    return code, {"Content-Type": "text/html"} | headers, b"<html>Internal Server Error</html>"


def issued_at_once(services: Services) -> Record:
    """An issuance without a failure, within seconds."""
    opened(services, NAME)
    record = lived(services, seconds=5)
    assert (status(record, services.clock()), record.issuance.problem) == (Status.ACTIVE, None)
    assert record.issuance.tries == 0
    return record


@pytest.mark.parametrize("code", [500, 502, 503])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_n06_a_page_in_place_of_any_answer_costs_one_request(services: Services, ca: ScriptedCa, code, moment) -> None:
    ca.looks_until_valid = 1
    faults = [ca.add(Fault(path, **{moment: lambda *_: page(code)})) for path in RESOURCES]
    issued_at_once(services)
    assert [fault.hits for fault in faults] == [1] * len(RESOURCES)
    # What the CA did before it failed is found again, except for an order whose URL nobody knows.
    assert (len(ca.accounts.made), len(ca.certificates.log)) == (1, 1)
    assert len(ca.orders.made) == (1 if moment == "before" else 2)


def test_n06_a_ca_that_fails_at_nonces_of_former_answers(services: Services, ca: ScriptedCa) -> None:
    ca.stale_nonces = True
    issued_at_once(services)
    assert (len(ca.orders.made), len(ca.certificates.log)) == (1, 1)
    assert ca.count("/newNonce") > 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_n06_a_page_at_a_revocation_and_a_roll_over(client: AcmeAuthority, ca: ScriptedCa, moment: str) -> None:
    order = client.new_order(NAME)
    url = client.finalize(order.url, order.finalize_url, keys.new_csr(KEY, NAME)).certificate_url
    chain, former = client.chain(url), client.known_account()
    for path in ("/revokeCert", "/keyChange"):
        ca.add(Fault(path, **{moment: lambda *_: page(500)}))
    client.revoke(chain, 0)
    client.roll_over()
    assert (ca.count("/revokeCert"), ca.count("/keyChange"), len(ca.accounts.made)) == (2, 2, 1)
    assert client.known_account().thumbprint != former.thumbprint
    assert client.order(order.url).certificate_url == url


@pytest.mark.parametrize("answer", [page(200), (200, {}, b"OK"), (202, {"Content-Type": "application/json"}, b"<p>")])
def test_n03_a_page_is_no_revocation_and_no_roll_over(client: AcmeAuthority, ca: ScriptedCa, answer: Answer) -> None:
    order = client.new_order(NAME)
    chain = client.chain(client.finalize(order.url, order.finalize_url, keys.new_csr(KEY, NAME)).certificate_url)
    former = client.known_account()
    for path in ("/revokeCert", "/keyChange"):
        ca.add(Fault(path, before=lambda: answer))
    for call in (lambda: client.revoke(chain, 1), client.roll_over):
        assert problem_of(call).type is ProblemType.CA_UNAVAILABLE
    assert client.known_account().thumbprint == former.thumbprint
    assert client.order(order.url).certificate_url, "the account is still in use"
    client.revoke(chain, 1)
    client.roll_over()
    assert client.known_account().thumbprint != former.thumbprint
    assert (ca.count("/revokeCert"), len(ca.accounts.made)) == (2, 1)


@pytest.mark.parametrize(
    ("answer", "requests"),
    [
        (lambda: page(500), 2),
        (lambda: (500, {}, b""), 2),
        (lambda: (503, {"Content-Type": "application/json"}, b'{"message": "overloaded"}'), 2),
        (lambda: (500, {}, b"[]"), 2),
        (lambda: (502, {}, b'{"type": "about:blank", "title": "Bad Gateway"}'), 2),
        (refusing(500, "serverInternal"), 1),
        (refusing(503, "rateLimited"), 1),
        (lambda: page(503, **{"Retry-After": "90"}), 1),
        (lambda: page(404), 1),
        (lambda: page(403), 1),
    ],
)
def test_n06_once_more_and_only_if_nothing_explains_it(
    client: AcmeAuthority, ca: ScriptedCa, answer: Callable[[], Answer], requests: int
) -> None:
    client.account_url()
    ca.add(Fault("/newOrder", times=9, before=answer))
    assert problem_of(lambda: client.new_order(NAME)).type is ProblemType.CA_UNAVAILABLE
    assert ca.count("/newOrder") == requests


@pytest.mark.parametrize("code", [403, 404, 405, 409, 500])
@pytest.mark.parametrize("step", [Step.CHALLENGE, Step.FINALIZE])
def test_n06_a_failure_at_the_nonce_is_none_of_what_was_to_be_asked(
    services: Services, ca: ScriptedCa, step: Step, code: int
) -> None:
    opened(services, NAME)
    lived(services, until=step)
    services.cas[0]._session.transport._nonces.clear()
    ca.add(Fault("/newNonce", before=lambda: page(code)))
    record = lived(services, HOUR)
    assert status(record, services.clock()) is Status.ACTIVE
    assert (ca.count("/newOrder"), record.issuance.tries) == (1, int(code < 500))


@pytest.mark.parametrize("resource", ["/authorization/", "/finalize/", "/certificate/"])
def test_n06_a_problem_document_that_names_no_problem_is_not_the_cas(
    services: Services, ca: ScriptedCa, resource: str
) -> None:
    """A gateway in front of the CA sends one (RFC 9457 §4.2.1)."""
    body = b'{"type": "about:blank", "title": "Not Found", "status": 404}'
    ca.add(Fault(resource, before=lambda: (404, {"Content-Type": "application/problem+json"}, body)))
    opened(services, NAME)
    assert status(lived(services, HOUR), services.clock()) is Status.ACTIVE
    assert ca.count("/newOrder") == 1


NONCES = {
    "one letter": itertools.cycle(LETTERS),
    "no whole number of bytes": (f"{number:041}" for number in itertools.count()),
    "last letter not canonical": (f"{number:021}B" for number in itertools.count()),
    "long": (f"{'_' * 1000}{number}" for number in itertools.count()),
}


@pytest.mark.parametrize("kind", NONCES)
def test_n08_a_nonce_is_used_as_it_came(services: Services, ca: ScriptedCa, kind: str) -> None:
    ca.nonces = lambda: next(NONCES[kind])
    issued_at_once(services)
    assert (ca.count("/newNonce"), len(ca.orders.made)) == (1, 1)


@pytest.mark.parametrize("header", ["", "YWJj==", "a b", "a+/b", "ä", "one, two"])
def test_n08_a_bad_nonce_costs_no_good_answer(services: Services, ca: ScriptedCa, header: str) -> None:
    ca.nonce_header = header
    issued_at_once(services)
    posts = sum(ca.count(path) for path in RESOURCES)
    assert (ca.count("/newNonce"), len(ca.orders.made), len(ca.certificates.log)) == (posts, 1, 1)


@pytest.mark.parametrize("header", ["YWJj", "x", "n" * 300])
def test_n08_where_the_nonces_of_answers_are_refused_fresh_ones_are_used(
    services: Services, ca: ScriptedCa, header: str
) -> None:
    """The CA has not given this nonce, or has given it long ago."""
    ca.nonce_header = header
    issued_at_once(services)
    assert (len(ca.orders.made), len(ca.certificates.log)) == (1, 1)


@pytest.mark.parametrize(
    "token", ["A" * 42 + "B", "A" * 41, "a" * 256, "-" * 22, "_", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oB"]
)
def test_n08_a_token_is_published_under_the_name_that_the_ca_sent(services: Services, ca: ScriptedCa, token) -> None:
    ca.tokens = lambda: token
    issued_at_once(services)
    assert ca.authorizations.fetches == [(token, 200)]


@pytest.mark.parametrize("token", ["", "../x", "a/b", "a.b", "a b", "ä", "A" * 257, "A" * 42 + "="])
def test_n08_what_cannot_be_a_token_is_not_published(services: Services, ca: ScriptedCa, token: str) -> None:
    ca.tokens = lambda: token
    opened(services, NAME)
    problem = lived(services, seconds=5).issuance.problem
    assert (problem.type, "token" in problem.detail) == (ProblemType.CA_UNAVAILABLE, True)


@pytest.mark.parametrize("shown", ["", "..", "//{host}"])
def test_n09_relative_urls_are_resolved(services: Services, ca: ScriptedCa, shown: str) -> None:
    ca.looks_until_valid = 1
    ca.origin_shown = shown.format(host=ca.host)
    record = issued_at_once(services)
    urls = (record.issuance.order_url, record.issuance.finalize_url, *record.issuance.authorization_urls)
    assert urls == tuple(f"{ca.origin}/{resource}/1" for resource in ("order", "finalize", "authorization"))
    assert services.cas[0].known_account().url == f"{ca.origin}/account/1"


@pytest.mark.parametrize("shown", ["", "..", "//{host}"])
def test_n09_relative_urls_of_alternate_chains_and_of_a_roll_over(client: AcmeAuthority, ca, shown: str) -> None:
    ca.alternates, ca.origin_shown = True, shown.format(host=ca.host)
    order = client.new_order(NAME)
    url = client.finalize(order.url, order.finalize_url, keys.new_csr(KEY, NAME)).certificate_url
    assert keys.top_issuer(client.chain(url, preferred="other root")) == "other root"
    client.roll_over()
    assert (ca.count("/keyChange"), len(ca.accounts.made)) == (1, 1)


@pytest.mark.parametrize("location", ["{url}#", "{url}#part", "/order/1#part", "../order/1", "order/1"])
def test_n09_a_location_is_resolved_without_its_fragment(client: AcmeAuthority, ca: ScriptedCa, location: str) -> None:
    client.account_url()
    url = f"{ca.origin}/order/1"
    shown = {"Location": location.format(url=url)}
    ca.add(Fault("/newOrder", after=lambda answer: (answer[0], answer[1] | shown, answer[2])))
    assert client.order(client.new_order(NAME).url).url == url


@pytest.mark.parametrize("location", ["https://evil.example/order/1", "//evil.example/", "https://[::1", "\\\\x", "ä"])
def test_n09_no_other_host_is_asked(client: AcmeAuthority, ca: ScriptedCa, location: str) -> None:
    client.account_url()
    ca.add(Fault("/newOrder", after=lambda answer: (answer[0], answer[1] | {"Location": location}, answer[2])))
    problem = problem_of(lambda: client.new_order(NAME))
    assert (problem.type, "points to another host" in problem.detail) == (ProblemType.CA_UNAVAILABLE, True)


@pytest.mark.parametrize("retry_after", ["", "2"])
@pytest.mark.parametrize("word", ["pending", "processing"])
def test_n09_an_authorization_in_processing_is_pending(services: Services, ca: ScriptedCa, word, retry_after) -> None:
    ca.unfinished_word, ca.retry_after = word, retry_after
    issued_at_once(services)
    assert (len(ca.orders.made), ca.count("/challenge/")) == (1, 1)


OPTIONAL = ("authorizations", "finalize", "identifiers", "expires")


@pytest.mark.parametrize(
    ("members", "looks"),
    [
        (("status", "certificate"), 0),
        (("status", "certificate", "authorizations"), 0),
        (("status", "certificate", "finalize"), 0),
        (("status", "certificate", *OPTIONAL), 0),
        (("status",), 1),
        (("certificate",), 1),
        ((), 1),
    ],
)
def test_n09_a_finalize_answer_needs_its_status_alone(services: Services, ca: ScriptedCa, members, looks: int) -> None:
    ca.finalize_members = members
    issued_at_once(services)
    assert (ca.count("/order/"), ca.count("/finalize/")) == (looks, 1)


@pytest.mark.parametrize(
    "answer", [(204, {}, b""), (200, {}, b"<html>"), (200, {}, b'{"status": 7}'), (202, {}, b'{"status": "accepted"}')]
)
def test_n09_after_any_other_answer_to_finalize_the_order_is_asked(services: Services, ca, answer: Answer) -> None:
    ca.add(Fault("/finalize/", after=lambda real: (answer[0], real[1] | answer[1], answer[2])))
    issued_at_once(services)
    assert (ca.count("/order/"), ca.count("/finalize/")) == (1, 1)


def revoke(client: AcmeAuthority, ca: ScriptedCa) -> None:
    (leaf,) = ca.certificates._issued.values()
    client.revoke(ca.certificates.signing.chains(leaf.leaf)[0], 0)


CALLS: dict[str, Callable[[AcmeAuthority, ScriptedCa], object]] = {
    "new order": lambda client, _: client.new_order(NAME),
    "order": lambda client, ca: client.order(f"{ca.origin}/order/1"),
    "authorization": lambda client, ca: client.authorization(f"{ca.origin}/authorization/1", NAME),
    "chain": lambda client, ca: client.chain(f"{ca.origin}/certificate/1"),
    "revoke": revoke,
}
REFUSALS = [
    (400, "urn:ietf:params:acme:error:malformed"),
    (401, "urn:ietf:params:acme:error:unauthorized"),
    (403, "urn:ietf:params:acme:error:unauthorized"),
    (403, "invalid JWS signature: the key does not belong to the account"),
    (401, ""),
    (400, "urn:ietf:params:acme:error:badPublicKey"),
]


@pytest.mark.parametrize(
    ("call", "refusal"),
    [
        *(("new order", refusal) for refusal in REFUSALS),
        *((call, REFUSALS[3]) for call in CALLS if call != "new order"),
    ],
    ids=str,
)
def test_n44_a_roll_over_that_was_cut_off_heals_at_the_next_request(client: AcmeAuthority, ca, refusal, call) -> None:
    order = client.new_order(NAME)
    client.finalize(order.url, order.finalize_url, keys.new_csr(KEY, NAME))
    former, ca.wrong_key = client.known_account(), refusal
    ca.add(Fault("/keyChange", after=cut))
    assert problem_of(client.roll_over).type is ProblemType.CA_UNAVAILABLE
    assert client.known_account().is_rolling_over
    CALLS[call](client, ca)
    after = client.known_account()
    assert (after.is_rolling_over, after.url, after.thumbprint != former.thumbprint) == (False, former.url, True)
    assert (ca.count("/keyChange"), len(ca.accounts.made)) == (1, 1)


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_n44_a_roll_over_that_the_ca_never_saw_leaves_the_old_key_in_use(client: AcmeAuthority, ca, refusal) -> None:
    former = client.account_url() and client.known_account()
    ca.add(Fault("/keyChange", before=cut))
    problem_of(client.roll_over)
    ca.add(Fault("/newOrder", before=lambda: Refused(refusal[0], "", "no", type=refusal[1]).answer))
    problem_of(lambda: client.new_order(NAME))
    assert client.known_account().thumbprint == former.thumbprint
    assert client.new_order(NAME).url
    client.roll_over()
    assert client.known_account().thumbprint != former.thumbprint


@pytest.mark.parametrize("refusal", REFUSALS[1:4], ids=str)
@pytest.mark.parametrize("answer", [refusing(500, "serverInternal"), refusing(429, "rateLimited"), cut])
def test_n44_while_the_ca_does_not_say_which_key_it_knows_no_account_is_made(
    client: AcmeAuthority, ca: ScriptedCa, answer: Callable[[], Answer], refusal: tuple[int, str]
) -> None:
    url, ca.wrong_key = client.account_url(), refusal
    ca.add(Fault("/keyChange", after=cut))
    problem_of(client.roll_over)
    ca.add(Fault("/newAccount", before=answer))
    assert problem_of(lambda: client.new_order(NAME)).type in {ProblemType.CA_UNAVAILABLE, ProblemType.RATE_LIMITED}
    assert client.new_order(NAME).url
    assert (client.account_url(), client.known_account().is_rolling_over, len(ca.accounts.made)) == (url, False, 1)


@pytest.mark.parametrize("path", ["/directory", "/newNonce"])
@pytest.mark.parametrize(
    "answer", [cut, lambda: page(503), lambda: page(302, Location="/"), refusing(500, "serverInternal")]
)
def test_n37_a_ca_can_be_reached_if_it_serves_its_directory_and_a_nonce(client, ca: ScriptedCa, path, answer) -> None:
    assert client.is_reachable()
    ca.add(Fault(path, before=answer))
    assert not client.is_reachable()
    assert client.new_order(NAME).url, "the former directory stays in use"
    assert client.is_reachable()
    assert ca.count("/directory") == 3
