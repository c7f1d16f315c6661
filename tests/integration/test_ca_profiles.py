"""Profiles at Pebble, and in a directory that a wire changes."""

import pytest

from issuer.ports import CaPolicy
from issuer.problem import ProblemType
from tests.integration.answers import NAME, always, payloads, problem_of, with_members
from tests.wire import Wire

OFFERED = {"tlsserver": "45 days", "classic": "90 days", "shortlived": "160 hours"}
SITE = "https://ca.example/"


@pytest.fixture
def offering(wire: Wire):
    return lambda profiles: always(wire, "/dir", with_members(meta={"website": SITE, "profiles": profiles}))


def sent(wire: Wire) -> list[object]:
    return [one.get("profile", "none") for one in payloads(wire, "/order-plz")]


def test_none_is_asked_for_by_default(new_ca, wire: Wire, offering) -> None:
    offering(OFFERED)
    new_ca().new_order(NAME)
    assert sent(wire) == ["none"]


def test_the_domains_own_comes_before_the_policys(new_ca, wire: Wire, offering) -> None:
    offering(OFFERED | {"default": "Pebble's own"})
    for policy, profile in (("", "default"), ("default", ""), ("shortlived", "default")):
        assert new_ca(CaPolicy(profile=policy)).new_order(NAME, profile=profile).url
    assert sent(wire) == ["default"] * 3


@pytest.mark.parametrize("profile", ["tls-server", "TLSSERVER", "tlsserver ", "45 days", "\u202e\n"])
@pytest.mark.parametrize("by_policy", [True, False])
def test_n12_an_unknown_required_profile_is_the_operators_problem_and_the_hint_lists_the_known_ones(
    new_ca, wire: Wire, offering, profile: str, *, by_policy
) -> None:
    offering(OFFERED)
    ca = new_ca(CaPolicy(required_profile=profile if by_policy else "classic"))
    problem = problem_of(lambda: ca.new_order(NAME, required_profile="" if by_policy else profile))
    assert problem.type is ProblemType.CA_MISUNDERSTOOD
    assert problem.hint.endswith("one of the CA's profiles, or none: classic, shortlived, tlsserver")
    assert ascii(profile) in problem.detail
    assert sent(wire) == []


@pytest.mark.parametrize("profiles", [None, [], ["tlsserver"], {}, "tlsserver", 7, True])
def test_a_directory_without_profiles_has_none(new_ca, wire: Wire, offering, profiles: object) -> None:
    offering(profiles)
    problem = problem_of(lambda: new_ca(CaPolicy(required_profile="tlsserver")).new_order(NAME))
    assert (problem.type, problem.hint.endswith("the CA offers none")) == (ProblemType.CA_MISUNDERSTOOD, True)
    for profile in ("", "tlsserver"):
        assert new_ca(CaPolicy(profile=profile)).new_order(NAME).url
    assert sent(wire) == ["none"] * 2


@pytest.mark.parametrize("meta", [None, [], "x", 7])
def test_a_directory_whose_meta_is_none_will_do(new_ca, wire: Wire, meta: object) -> None:
    always(wire, "/dir", with_members(meta=meta))
    ca = new_ca()
    assert ca.new_order(NAME).url
    assert ca.caa_identities() == ()


def test_names_of_profiles_are_shown_in_one_line_with_an_end(new_ca, offering) -> None:
    offering({f"{number:03}\n\x1b[2J": "x" for number in range(500)})
    hint = problem_of(lambda: new_ca(CaPolicy(required_profile="x")).new_order(NAME)).hint
    assert hint.isprintable()
    assert len(hint) < 300
