"""What becomes of a name that is requested: what it counts against, and which names no CA would accept."""

import pytest

from issuer.actions import authorities, lookup, renew
from issuer.problem import Problem
from tests.api_client import ApiClient, issued
from tests.fakes import fake_services


@pytest.mark.parametrize(
    ("names", "accepted"),
    [
        ([f"shop{number}.uk.com" for number in range(5)], 5),
        ([f"shop{number}.github.io" for number in range(5)], 5),
        ([f"{number}.compute.amazonaws.com" for number in range(5)], 5),
        (["uk.com", "a.uk.com", "b.uk.com", "www.b.uk.com", "x.b.uk.com"], 4),
        ([f"{number}.shop.uk.com" for number in range(5)], 2),
        ([f"{number}.city.kobe.jp" for number in range(5)], 2),
    ],
)
def test_n14_names_below_a_private_suffix_are_counted_each_by_itself(names: list[str], accepted: int) -> None:
    api_client = ApiClient(fake_services(new_names_per_registered_domain=2)).with_accounts()
    answers = [api_client.post(name) for name in names]
    assert [answer.status_code for answer in answers] == [202] * accepted + [429] * (len(names) - accepted)


@pytest.mark.parametrize("name", ["shop.shop.shop.example.com", "Shop.shop.SHOP.example.com", "a.b.b.b.example.com"])
def test_n18_a_name_like_a_crawlers_recursion_is_refused_with_the_reason(name: str) -> None:
    api_client = ApiClient(fake_services()).with_accounts()
    answer = api_client.post(name)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid-name")
    assert "three times in a row" in answer.json["detail"]


@pytest.mark.parametrize("name", ["shop.shop.shop.example", "a.a.a.a.customer.example", "www.www.www.uk.com"])
def test_n18_such_a_name_that_is_held_already_can_be_shown_renewed_and_withdrawn(name: str) -> None:
    api_client = ApiClient(fake_services()).with_accounts()
    issued(api_client.services, name)
    assert api_client.status(name.upper()).json["status"] == "active"
    assert api_client.call("PUT", f"/v2/x509/{name}/hsts", json={"max_age": 0}).status_code == 200
    assert lookup.record_of(api_client.services, name).domain.name == name
    assert renew.begin(api_client.services, renew.Selection((name,))).selection.names == (name,)
    assert api_client.call("DELETE", f"/v2/x509/{name}").status_code == 200


@pytest.mark.parametrize("name", ["shop.shop.shop.example", "a.a.a.a.customer.example", "www.www.www.uk.com"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_n18_such_a_name_is_tried_again_for_the_account_that_holds_it_alone(name: str, method: str) -> None:
    api_client = ApiClient(fake_services()).with_accounts()

    def code(name: str = name, account: str = "platform") -> str:
        return api_client.call(method, f"/v2/x509/{name}", account).json.get("code", "")

    assert code() == "invalid-name"
    certificate = issued(api_client.services, name).domain.certificate
    assert (code(), code(account="other")) == ("already-initiated", "invalid-name")
    api_client.services.clock.now = certificate.not_after + 1
    assert code(name.upper()) == ""
    api_client.call("DELETE", f"/v2/x509/{name}")
    assert code() == "invalid-name"


@pytest.mark.parametrize("name", ["shop.shop.shop.example", "a.a.a.a.customer.example", "www.www.www.uk.com"])
def test_n18_the_operator_may_allow_a_ca_for_such_a_name(name: str) -> None:
    api_client = ApiClient(fake_services()).with_accounts()
    certificate = issued(api_client.services, name).domain.certificate
    with pytest.raises(Problem, match="has issued no certificate"):
        authorities.allow(api_client.services, certificate.ca, name)
