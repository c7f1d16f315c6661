"""What `issuer doctor` asks a CA: whether it is there, and whether our account can be used. Nothing is changed."""

import pytest

from issuer.ports import CaPolicy
from issuer.problem import Problem, ProblemType
from issuer.store import RedisStore
from tests.integration.answers import NAME, always, problem_of, refusing, with_members
from tests.wire import Wire

BOUND = CaPolicy(eab_key_id="kid-1", eab_hmac_key="c2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXMhIQ")


def test_an_account_that_is_not_there_yet_is_none_of_our_troubles_and_is_not_made(
    new_ca, wire: Wire, real_store: RedisStore
) -> None:
    ca = new_ca()
    ca.require_reachable()
    ca.require_account()
    assert wire.count("/sign-me-up") == 0
    assert real_store.ca_account(wire.directory_url) is None


def test_an_account_in_use_can_be_used_until_it_is_deactivated(new_ca, wire: Wire, real_store: RedisStore) -> None:
    ca = new_ca()
    ca.new_order(NAME)
    ca.require_account()
    known = real_store.ca_account(wire.directory_url)
    ca._session.post(known.url, b'{"status": "deactivated"}')
    problem = problem_of(ca.require_account)
    assert (problem.type, problem.detail) == (ProblemType.CA_ACCOUNT, known.url)
    assert problem.cause == f"our account at the CA {wire.directory_url} is deactivated"
    assert f"issuer ca forget {wire.directory_url}" in problem.hint
    assert real_store.ca_account(wire.directory_url) == known


def test_an_account_that_the_ca_does_not_know_is_registered_again_by_itself(new_ca, wire: Wire) -> None:
    ca = new_ca()
    ca.new_order(NAME)
    always(wire, "/sign-me-up", lambda _: refusing(400, "accountDoesNotExist")())
    ca.require_account()


def test_a_binding_that_is_wanted_and_not_set_is_named_with_its_setting(new_ca, wire: Wire) -> None:
    always(wire, "/dir", with_members(meta={"externalAccountRequired": True}))
    problem = problem_of(new_ca().require_account)
    assert problem.type is ProblemType.CA_SETTINGS
    assert "eab_key_id" in problem.hint
    new_ca(BOUND).require_account()


def test_terms_that_nobody_has_agreed_to(new_ca) -> None:
    problem = problem_of(new_ca(terms_agreed=False).require_account)
    assert "ISSUER_ACME_TERMS_AGREED" in problem.hint


def test_a_ca_that_is_away_says_why(new_ca, wire: Wire) -> None:
    always(wire, "/dir", lambda _: (404, {"Content-Type": "text/html"}, b"<h1>nothing here</h1>"))
    ca = new_ca()
    with pytest.raises(Problem) as raised:
        ca.require_reachable()
    assert "ISSUER_ACME_DIRECTORY" in raised.value.cause
    assert not ca.is_reachable()
