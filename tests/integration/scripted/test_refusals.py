"""N04: what a CA refuses is read in its place: at a new order, at finalize, at the certificate."""

import json
from collections.abc import Iterator

import pytest

from issuer.domain import Status, Step, status
from issuer.ports import Services
from issuer.presenters import status_body
from issuer.problem import Actor, ProblemType
from issuer.sandbox import LOOPBACK, Dns
from issuer.wiring import build_services
from tests.fakes import NAME, FakeClock
from tests.real import opened, published, settings_for
from tests.scripted import ScriptedCa
from tests.scripted.answers import Refused, problem
from tests.time_travel import DAY, HOUR, lived, shown
from tests.wire import FOR_GOOD, Answer, Fault
from web.app import create_app

WORDS = "account is not permitted to use this profile"


@pytest.fixture
def second(http_port: int) -> Iterator[ScriptedCa]:
    second = ScriptedCa((LOOPBACK, http_port))
    yield second
    second.close()


@pytest.fixture
def of_two(redis_url: str, ca: ScriptedCa, second: ScriptedCa, dns: Dns, clock: FakeClock, http_port: int, serve):
    """The product with two CAs, of which the first allows one failed authorization a week."""
    cas = [{"directory": ca.directory_url, "limits": {"failed_authorizations": "1/7d"}}]
    cas += [{"directory": second.directory_url}]
    services = build_services(settings_for(redis_url, ca.directory_url, dns, cas=json.dumps(cas)), clock)
    serve(create_app(services), http_port)
    published(dns, NAME)
    return services


def refusing(type_: str = "unauthorized", status_code: int = 403, **more: object):
    def answer() -> Answer:
        return Refused(status_code, type_, WORDS, **more).answer

    return answer


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/newOrder", "unauthorized"),
        ("/newOrder", "userActionRequired"),
        ("/newOrder", "invalidProfile"),
        ("/finalize/", "unauthorized"),
        ("/finalize/", "invalidProfile"),
        ("/finalize/", "userActionRequired"),
        ("/finalize/", "externalAccountRequired"),
    ],
)
def test_n04_who_may_order_is_the_operators_and_the_next_ca_is_asked(
    of_two: Services, ca: ScriptedCa, second: ScriptedCa, path: str, type_: str
) -> None:
    ca.add(Fault(path, FOR_GOOD, before=refusing(type_)))
    opened(of_two, NAME)
    record = lived(of_two)
    assert status(record, of_two.clock()) is Status.ACTIVE
    assert record.domain.certificate.ca == second.directory_url
    assert record.issuance.tries == 0
    refused = next(event for event in record.timeline if event.type == "ca.refused")
    assert refused.code in {"ca-account", "ca-settings", "ca-misunderstood"}
    assert WORDS in refused.text
    assert "CNAME" not in refused.text
    assert ca.certificates.log == []


@pytest.mark.parametrize("type_", ["unauthorized", "accountDoesNotExist", "userActionRequired"])
def test_n04_an_account_that_is_refused_everywhere_from_the_csr_on_is_left(
    of_two: Services, ca: ScriptedCa, second: ScriptedCa, type_: str
) -> None:
    for path in ("/finalize/", "/order/"):
        ca.add(Fault(path, FOR_GOOD, before=refusing(type_)))
    opened(of_two, NAME)
    record = lived(of_two)
    assert status(record, of_two.clock()) is Status.ACTIVE
    assert record.domain.certificate.ca == second.directory_url


@pytest.mark.parametrize("path", ["/newOrder", "/finalize/", "/order/", "/authorization/", "/certificate/"])
def test_n04_with_one_ca_the_operator_is_told_and_it_goes_on_by_itself(
    services: Services, ca: ScriptedCa, path: str
) -> None:
    ca.looks_until_valid = 1
    fault = ca.add(Fault(path, FOR_GOOD, before=refusing()))
    opened(services, NAME)
    record = lived(services, 30)
    assert record.issuance.problem.type is ProblemType.CA_ACCOUNT
    body = shown(services)
    assert (body["code"], body["must_act"]) == ("ca-account", Actor.PLATFORM)
    assert "the operator must check the account at the CA" in body["message"]
    assert WORDS in body["message"]
    assert "CNAME" not in str(body)
    orders = len(ca.orders.made)
    fault.times = 0
    record = lived(services, HOUR)
    assert (status(record, services.clock()), record.issuance.tries) == (Status.ACTIVE, 0)
    assert (len(ca.orders.made), len(ca.certificates.log)) == (max(orders, 1), 1)


@pytest.mark.parametrize(
    "error",
    [
        problem("unauthorized", "403 instead of the key authorization"),
        problem("incorrectResponse", "another key authorization"),
        problem("connection", "no route to host"),
    ],
    ids=lambda error: error["detail"],
)
def test_n04_in_a_challenge_it_is_the_validation(of_two: Services, ca: ScriptedCa, second: ScriptedCa, error) -> None:
    ca.authorization_error = error
    opened(of_two, NAME)
    record = lived(of_two, 30)
    assert record.issuance.problem.type is ProblemType.CA_CANNOT_CONNECT
    assert second.seen == []
    assert [event.code for event in lived(of_two, HOUR).timeline if event.type == "ca.refused"] == ["over-budget"]


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/newOrder", "unauthorized"),
        ("/newOrder", "connection"),
        ("/newOrder", "dns"),
        ("/finalize/", "unauthorized"),
        ("/finalize/", "incorrectResponse"),
    ],
)
def test_n04_a_refused_request_spends_no_failed_authorization(
    of_two: Services, ca: ScriptedCa, second: ScriptedCa, type_: str, path: str
) -> None:
    for one in (ca, second):
        one.add(Fault(path, 2, before=refusing(type_)))
    opened(of_two, NAME)
    record = lived(of_two, DAY)
    assert status(record, of_two.clock()) is Status.ACTIVE
    assert "over-budget" not in {event.code for event in record.timeline}
    assert "validation-failed" not in {event.code for event in record.timeline}


@pytest.mark.parametrize("type_", ["caa", "rejectedIdentifier", "unauthorized", "badCSR", "dns", "malformed"])
def test_n04_at_the_download_the_order_is_kept(of_two: Services, ca: ScriptedCa, second: ScriptedCa, type_) -> None:
    ca.add(Fault("/certificate/", 2, before=refusing(type_)))
    opened(of_two, NAME)
    record = lived(of_two, 30)
    assert (record.issuance.step, record.issuance.ca) == (Step.INSTALL, ca.directory_url)
    assert status(lived(of_two, DAY), of_two.clock()) is Status.ACTIVE
    assert (len(ca.orders.made), len(ca.certificates.log), second.seen) == (1, 1, [])


@pytest.mark.parametrize(("status_code", "type_"), [(403, "unauthorized"), (400, "malformed"), (409, "conflict")])
def test_n04_a_refusal_of_a_csr_that_the_ca_has_is_no_refusal(
    of_two: Services, ca: ScriptedCa, second: ScriptedCa, status_code: int, type_: str
) -> None:
    """The CA has taken the CSR, and answers as if this was the second one."""
    ca.looks_until_valid = 2
    ca.add(Fault("/finalize/", after=lambda _: refusing(type_, status_code)()))
    opened(of_two, NAME)
    record = lived(of_two)
    assert (status(record, of_two.clock()), record.issuance.tries) == (Status.ACTIVE, 0)
    assert (len(ca.orders.made), len(ca.certificates.log), second.seen) == (1, 1, [])


EXPLAINED = "looks as if a crawler had followed a wildcard record"


@pytest.mark.parametrize(
    ("name", "type_", "is_explained"),
    [
        ("asdf.asdf.customer.example", "rejectedIdentifier", True),
        ("asdf.asdf.customer.example", "compound", True),
        ("www.mail.blog.customer.example", "unsupportedIdentifier", True),
        ("shop.customer.example", "rejectedIdentifier", False),
    ],
)
def test_n18_a_name_that_looks_like_a_crawlers_is_refused_with_that_reason_and_the_next_ca_is_asked(
    of_two: Services, ca: ScriptedCa, second: ScriptedCa, dns: Dns, name: str, type_: str, *, is_explained: bool
) -> None:
    below = {"subproblems": [problem("rejectedIdentifier", "policy")]} if type_ == "compound" else {}
    ca.add(Fault("/newOrder", FOR_GOOD, before=refusing(type_, 400, **below)))
    opened(of_two, published(dns, name))
    record = lived(of_two, name=name)
    assert status(record, of_two.clock()) is Status.ACTIVE
    assert record.domain.certificate.ca == second.directory_url
    (refused,) = [event for event in record.timeline if event.type == "ca.refused"]
    assert refused.code == "ca-refused"
    assert WORDS in refused.text
    assert (EXPLAINED in refused.text) is is_explained
    assert ca.count("/newOrder") == 1


@pytest.mark.parametrize("name", ["asdf.asdf.customer.example", "www.mail.blog.customer.example"])
def test_n18_with_one_ca_the_owner_reads_why(services: Services, ca: ScriptedCa, dns: Dns, name: str) -> None:
    ca.add(Fault("/newOrder", FOR_GOOD, before=refusing("rejectedIdentifier", 400)))
    opened(services, published(dns, name))
    record = lived(services, name=name)
    body = status_body(record, services.clock())
    assert (body["status"], body["code"], body["must_act"]) == ("error", "ca-refused", "owner")
    assert EXPLAINED in body["error"]
    assert "use a shorter name in which no label is repeated" in body["error"]
    assert ca.count("/newOrder") == 1


@pytest.mark.parametrize("step", [Step.CHALLENGE, Step.FINALIZE, Step.INSTALL])
def test_n04_an_order_of_an_account_that_the_ca_has_lost_is_placed_again_by_a_new_one(
    services: Services, ca: ScriptedCa, step: Step
) -> None:
    ca.looks_until_valid = 1
    opened(services, NAME)
    lived(services, until=step)
    ca.accounts.made.clear()
    record = lived(services, HOUR)
    assert status(record, services.clock()) is Status.ACTIVE
    assert (len(ca.accounts.made), len(ca.orders.made), record.issuance.tries) == (1, 2, 1)
