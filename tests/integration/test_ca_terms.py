"""A CA's terms of service: an account that would accept them is made only where the operator has (RFC 8555 §7.3)."""

from dataclasses import replace

import pytest

from issuer.problem import Actor, ProblemType
from issuer.store import RedisStore
from tests.integration.answers import NAME, problem_of
from tests.wire import Answer, Fault, Wire


def without_terms(answer: Answer) -> Answer:
    status, headers, body = answer
    return status, headers, body.replace(b"termsOfService", b"noTerms")


def test_a_new_account_waits_for_the_operators_consent(new_ca, wire: Wire, real_store: RedisStore) -> None:
    for call in (new_ca(terms_agreed=False).account_url, lambda: new_ca(terms_agreed=False).new_order(NAME)):
        problem = problem_of(call)
        assert (problem.type, problem.actor, problem.is_permanent) == (ProblemType.CA_SETTINGS, Actor.PLATFORM, False)
        assert problem.cause == (
            f"the CA {wire.directory_url} requires consent to its terms of service for a new account: "
            "data:text/plain,Do%20what%20thou%20wilt"
        )
        assert problem.hint.endswith("set ISSUER_ACME_TERMS_AGREED=true")
    assert (wire.count("/sign-me-up"), real_store.ca_account(wire.directory_url)) == (0, None)
    assert new_ca().new_order(NAME).url
    assert wire.count("/sign-me-up") == 1


@pytest.mark.parametrize("is_registered", [True, False], ids=["registered", "cut off before"])
def test_an_account_that_is_stored_stays_in_use(new_ca, wire: Wire, real_store: RedisStore, is_registered) -> None:
    url = new_ca().account_url()
    if not is_registered:
        known = real_store.ca_account(wire.directory_url)
        real_store.keep_ca_account(wire.directory_url, replace(known, url=None), instead_of=known)
    ca = new_ca(terms_agreed=False)
    assert (ca.account_url(), bool(ca.new_order(NAME).url)) == (url, True)


def test_a_ca_without_terms_needs_no_consent(new_ca, wire: Wire) -> None:
    wire.add(Fault("/dir", after=without_terms, times=9))
    assert new_ca(terms_agreed=False).new_order(NAME).url
