"""One type for what can go wrong, one table, and words that survive a message, a log line and a record."""

import copy
import json
import pickle
import traceback

import pytest

from issuer.problem import TABLE, Actor, Problem, ProblemType, Rule

FULL = Problem(
    ProblemType.CAA,
    "found «letsencrypt.org» ✓",
    message="in short",
    cause="as we found",
    hint="do this",
    retry_at=1_790_000_000.25,
)
BARE = Problem(ProblemType.CRASHED)
PERMANENT = {
    "invalid-name",
    "plan",
    "not-found",
    "not-initiated",
    "already-initiated",
    "invalid-request",
    "unauthorized",
    "account-exists",
    "ca-refused",
    "crashed",
    "withdrawn",
}
COSTS_THE_ORDER = {
    "validation-failed",
    "edge-unreachable",
    "ca-cannot-connect",
    "caa",
    "order-lost",
    "bad-certificate",
}


def facts(problem: Problem) -> tuple:
    return problem.type, problem.detail, problem.message, problem.cause, problem.hint, problem.retry_at


def test_the_table_covers_every_type_and_no_other() -> None:
    assert set(TABLE) == set(ProblemType)


PASSES = {
    "bad-certificate",
    "busy",
    "ca-account",
    "ca-rests",
    "ca-settings",
    "foreign-store",
    "over-budget",
    "paced",
    "not-worked-on",
    "queued",
}
PASSES |= {"undecryptable", "resolver-unavailable", "target-dns", "edge-unreachable", "ca-cannot-connect"}
FIRST_RETRY = {"bad-certificate": 600, "caa": 600, "busy": 1, "paced": 1, "ca-rests": 10, "ca-cannot-connect": 1200}


@pytest.mark.parametrize("type_", ProblemType)
def test_what_follows_from_each_type(type_: ProblemType) -> None:
    problem = Problem(type_)
    assert problem.is_permanent is (type_.value in PERMANENT)
    assert problem.drops_order is (type_.value in COSTS_THE_ORDER)
    assert problem.is_counted is (type_.value not in PASSES)
    assert problem.first_retry_seconds == FIRST_RETRY.get(type_.value, 60)
    assert problem.message == TABLE[type_].message
    assert problem.message == problem.message.strip().rstrip(".")


@pytest.mark.parametrize(
    ("type_", "actor"),
    [
        ("invalid-cname", "owner"),
        ("validation-failed", "owner"),
        ("caa", "owner"),
        ("plan", "platform"),
        ("ca-account", "platform"),
        ("ca-settings", "platform"),
        ("bad-certificate", "platform"),
        ("ca-refused", "platform"),
        ("undecryptable", "platform"),
        ("rate-limited", "nobody"),
        ("ca-unavailable", "nobody"),
        ("over-budget", "nobody"),
    ],
)
def test_who_must_act(type_: str, actor: str) -> None:
    assert Problem(ProblemType(type_)).actor.value == actor


@pytest.mark.parametrize("type_", ["validation-failed", "caa", "dns-unknown"])
def test_what_turns_out_to_be_the_platforms_ends_no_issuance_of_an_owner(type_: str) -> None:
    assert Problem(ProblemType(type_)).is_counted
    assert not Problem(ProblemType(type_), actor=Actor.PLATFORM).is_counted
    assert Problem(ProblemType(type_), actor=Actor.NOBODY).is_counted


def test_no_two_types_have_the_same_words() -> None:
    assert len({rule.message for rule in TABLE.values()}) == len(TABLE)
    assert all(type_.value == type_.name.lower().replace("_", "-") for type_ in ProblemType)


@pytest.mark.parametrize("problem", [FULL, BARE, Problem(ProblemType.PLAN, retry_at=0.0)])
def test_a_problem_comes_back_from_json(problem: Problem) -> None:
    text = json.dumps(problem.as_dict())
    back = Problem.from_dict(json.loads(text))
    assert facts(back) == facts(problem)
    assert type(back.type) is ProblemType
    assert str(back) == str(problem)


def test_fields_of_a_newer_version_are_left_out() -> None:
    assert facts(Problem.from_dict(FULL.as_dict() | {"from_the_future": 1})) == facts(FULL)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("problem", [FULL, BARE])
def test_c05_all_of_it_survives_a_pickle(problem: Problem, protocol: int) -> None:
    back = pickle.loads(pickle.dumps(problem, protocol))
    assert facts(back) == facts(problem)
    assert str(back) == str(problem)
    assert back.is_permanent is problem.is_permanent


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_c05_all_of_it_survives_a_copy(duplicate) -> None:
    assert facts(duplicate(FULL)) == facts(FULL)


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (Problem(ProblemType.PLAN), "upgrade your account to enable this feature"),
        (Problem(ProblemType.CAA, message="no"), "no"),
        (Problem(ProblemType.INVALID_CNAME, "found none"), "invalid CNAME record: found none"),
        (Problem(ProblemType.INVALID_CNAME, hint="make one"), "invalid CNAME record (make one)"),
        (
            Problem(ProblemType.INVALID_CNAME, "found none", hint="make one"),
            "invalid CNAME record: found none (make one)",
        ),
    ],
)
def test_the_whole_story_in_one_line(problem: Problem, line: str) -> None:
    assert str(problem) == line
    assert traceback.format_exception_only(problem)[0].strip().endswith(line)


@pytest.mark.parametrize(
    ("type_", "message"),
    [
        (ProblemType.INVALID_CNAME, "invalid CNAME record"),
        (ProblemType.PLAN, "upgrade your account to enable this feature"),
    ],
)
def test_the_contracts_own_sentences(type_: ProblemType, message: str) -> None:
    assert Problem(type_).message == message


@pytest.mark.parametrize("actor", list(Actor))
@pytest.mark.parametrize("type_", [ProblemType.DNS_UNKNOWN, ProblemType.CA_SLOW, ProblemType.CA_ACCOUNT])
def test_n15_who_must_act_depends_on_what_was_found(type_: ProblemType, actor: Actor) -> None:
    problem = Problem(type_, actor=actor)
    again = Problem.from_dict(json.loads(json.dumps(problem.as_dict())))
    assert (problem.actor, again.actor, copy.copy(problem).actor) == (actor, actor, actor)
    assert ("must_act" in problem.as_dict()) is (actor is not TABLE[type_].actor)


@pytest.mark.parametrize("stored", [{}, {"must_act": "somebody"}, {"must_act": None}, {"must_act": []}])
def test_n15_without_a_known_actor_the_type_says_who(stored: dict[str, object]) -> None:
    values = {**Problem(ProblemType.DNS_UNKNOWN, "d", hint="h").as_dict(), **stored}
    assert Problem.from_dict(values).actor is Actor.OWNER


@pytest.mark.parametrize("problem", [FULL, BARE])
def test_the_cause_is_the_message_unless_more_was_found(problem: Problem) -> None:
    assert problem.cause == ("as we found" if problem is FULL else problem.message)
    assert "cause" in FULL.as_dict()
    assert "cause" not in BARE.as_dict()


def test_a_neighbour_reads_a_type_that_it_does_not_know_as_another(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Rule("as it is known now", Actor.NOBODY, stored_as=ProblemType.CA_UNAVAILABLE)
    monkeypatch.setitem(TABLE, ProblemType.CA_SLOW, rule)
    stored = json.loads(json.dumps(Problem(ProblemType.CA_SLOW, "found").as_dict()))
    assert (stored["type"], stored["code"]) == ("ca-unavailable", "ca-slow")
    assert Problem.from_dict(stored).type is ProblemType.CA_SLOW


def test_the_code_of_a_newer_release_survives() -> None:
    stored = {**Problem(ProblemType.CAA).as_dict(), "code": "newer"}
    assert Problem.from_dict(stored).type is ProblemType.CAA
    assert Problem.from_dict(stored).as_dict()["code"] == "newer"
