"""What an operator types and sees, over fakes: in a pipe, as JSON, and on a terminal of 80 columns."""

import json
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner

from issuer.actions import accounts
from issuer.cli import issue, main, show
from issuer.cli.checks import show_checks
from issuer.cli.main import COMMANDS
from issuer.domain import Plan, Reason, Rejection, Status, Step
from issuer.events import EventType
from issuer.ports import Check, CheckResult, KnownAccount, Services, Verdict
from issuer.problem import Problem, ProblemType
from tests.api_client import worked
from tests.command_line import OWN_SEQUENCES, TERMINAL, Command, command_over
from tests.databases import give_back, take_away
from tests.fakes import NAME, all_opened, below, opened
from tests.faults import fails
from tests.simulated_fleet import DAY, SimulatedFleet
from tests.writes import write

WIDTH = 80
FOREIGN = "[red]no[/red] \x1b[31m\x1b]0;title\x07\x9b2J \u202eevil [/b] \r\n2026-01-01 UTC  forged"
HARMLESS = r"[red]no[/red] \x1b[31m\x1b]0;title\x07\x9b2J \u202eevil [/b] \r\n2026-01-01 UTC  forged"
OK = Check("plan", CheckResult.OK, "fine", hint="nothing to do")
LONG_NAME = f"{'a' * 60}.{'b' * 60}.{'c' * 60}.customer.example"


@pytest.fixture
def issuer(services: Services, fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command. Between two looks, the fleet works."""
    monkeypatch.setattr(time, "sleep", lambda _: fleet.run(1))
    accounts.create(services, "platform", Plan.HTTPS)
    return command_over(services, monkeypatch)


def failing(services: Services, name: str, problem: Problem, seconds: float = 3600) -> None:
    opened(services, name)
    at = services.clock() + seconds
    worked(services, lambda issuance: issuance.retry(problem, at), name)


def forbidden(fleet: SimulatedFleet, *names: str) -> None:
    resolver = fleet.services.resolver
    resolver.caa_verdicts = dict.fromkeys(names, Verdict.NO)
    for name in names:
        fleet.services.queue.enqueue(opened(fleet.services, name))
    fleet.work()
    resolver.caa_verdicts = {}


def test_a_list_in_a_pipe_has_a_line_for_each_domain_with_nothing_cut_off(issuer: Command, services: Services) -> None:
    words = "a reason of many words " * 40
    failing(services, LONG_NAME, Problem(ProblemType.CAA, words))
    head, line = issuer.said("list", "--status", "error")
    assert [cell.strip() for cell in head.split("│")][:4] == ["domain", "account", "status", "not_after"]
    assert [cell.strip() for cell in line.split("│")][:3] == [LONG_NAME, "platform", "error"]
    assert words.strip() in line


@pytest.mark.parametrize("name", [LONG_NAME, "shop.example"])
def test_a_list_on_a_terminal_fits_its_width_and_shows_all(issuer: Command, services: Services, name: str) -> None:
    failing(services, name, Problem(ProblemType.CAA, "the record", cause="a CAA record forbids ca.example"))
    lines = issuer.shown("list", "--code", "caa")
    assert max(map(len, lines)) <= WIDTH
    together = "".join("".join(line.split()) for line in lines)
    if name == "shop.example":
        assert f"{name}error" in together
        assert "caa (owner must act):" in " ".join(" ".join(lines).split())
    else:
        assert all(label in together.replace("error", "") for label in ("a" * 20, "b" * 20, "customer"))


def test_filters_are_combined_and_a_short_page_is_honest(issuer: Command, services: Services) -> None:
    names = below("customer.example", 5)
    for name in names[:4]:
        failing(services, name, Problem(ProblemType.CAA))
    failing(services, names[4], Problem(ProblemType.CA_UNAVAILABLE))
    assert [line["domain"] for line in issuer.json_lines("list", "--must-act", "owner")] == names[:4]
    assert [line["domain"] for line in issuer.json_lines("list", "--must-act", "nobody", "--status", "error")] == [
        names[4]
    ]
    first = issuer.said("list", "--must-act", "nobody", "--limit", "3")
    assert first == issuer.said("list", "--must-act", "nobody")
    first = issuer.said("list", "--must-act", "owner", "--limit", "3")
    assert first[-1].startswith("more: --after 'must_act ")
    first = issuer.said("list", "--must-act", "owner", "--expires-before", "2026-12-01")
    assert first == ["domain │ account │ status │ not_after │ code │ must_act │ message"]
    page = issuer("list", "--code", "caa", "--limit", "3", "--json")
    assert [json.loads(line)["domain"] for line in page.stdout.splitlines()] == names[:3]
    assert page.stderr == f"more: --after 'code {names[2]}'\n"
    assert [line["domain"] for line in issuer.json_lines("list", "--code", "caa", "--after", f"code {names[2]}")] == [
        names[3]
    ]


def test_certificates_that_end_soon_are_listed_by_their_end(
    issuer: Command, services: Services, fleet: SimulatedFleet
) -> None:
    fleet.issued("soon.example", "late.example", "ended.example")
    for name, days in (("soon.example", 2), ("late.example", 5), ("ended.example", -1)):
        record = fleet.record(name)
        end = services.clock() + days * DAY
        certificate = replace(record.domain.certificate, not_after=end)
        write(services.store, record.with_domain(certificate=certificate), now=services.clock())
    for within, names in (("3d", ["soon.example"]), ("1w", ["soon.example", "late.example"]), ("60m", [])):
        assert [line["domain"] for line in issuer.json_lines("list", "--ends-within", within)] == names
    assert [line["domain"] for line in issuer.json_lines("list", "--status", "expired")] == ["ended.example"]
    assert issuer.json("list") == {"active": 2, "processing": 0, "expired": 1, "error": 0}


def test_show_has_all_that_is_known(issuer: Command, services: Services, fleet: SimulatedFleet) -> None:
    problem = Problem(ProblemType.CAA, "0 issue other", cause="CAA forbids", hint="add 0 issue ca.example")
    failing(services, NAME, problem)
    lines = issuer.said("show", NAME.upper())
    assert lines[0] == f"{NAME}: error, held by platform"
    facts = [line.strip().split("  ", 1) for line in lines[1:-1]]
    assert {title: text.strip() for title, text in facts} == {
        "what is wrong": "caa",
        "cause": "CAA forbids",
        "found": "0 issue other",
        "what to do": "add 0 issue ca.example",
        "must act": "owner",
        "next attempt": "2026-09-21T15:13:20+00:00",
    }
    body = issuer.json("show", NAME)
    assert (body["domain"], body["status"], body["code"], body["must_act"]) == (NAME, "error", "caa", "owner")
    assert (body["certificate"], body["issuance"]["step"], body["timeline"]) == (None, "order", [])
    fleet.issued("good.example")
    body = issuer.json("show", "good.example")
    assert (body["status"], body["certificate"]["ca"]) == ("active", "https://ca.example/directory")
    assert body["timeline"][-1]["type"] == "renewal.planned"
    assert "PRIVATE" not in json.dumps(body)
    assert max(map(len, issuer.shown("show", "good.example"))) <= WIDTH


def test_events_are_followed(
    issuer: Command, services: Services, fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbidden(fleet, NAME)
    before = issuer.json_lines("events", NAME)
    assert before[-1]["type"] == "issuance.retry_planned"
    looks = iter(
        [lambda: fleet.run(3600), lambda: None, lambda: take_away(services.store), lambda: give_back(services.store)]
    )

    def sleep(_: float) -> None:
        if (look := next(looks, None)) is None:
            raise KeyboardInterrupt
        look()

    monkeypatch.setattr(show.time, "sleep", sleep)
    result = issuer("events", NAME, "--follow", "--json")
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    assert "this command goes on when it answers again" in result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})
    assert events[: len(before)] == before
    assert "issuance.succeeded" in [event["type"] for event in events]


def test_new_events_of_a_timeline_that_began_anew_are_all_of_it(services: Services) -> None:
    record = opened(services).with_event(0, EventType.ISSUANCE_STARTED).with_event(0, EventType.NOTE)
    assert [event.id for event in show.new_events(record.pending, 0)] == [1, 2]
    assert [event.id for event in show.new_events(record.pending, 1)] == [2]
    assert show.new_events(record.pending, 2) == []
    assert [event.id for event in show.new_events(record.pending, 40)] == [1, 2]


def test_issue_shows_each_step_and_ends_with_the_certificate(issuer: Command, fleet: SimulatedFleet) -> None:
    lines = issuer.said("issue", NAME, "--account", "platform", "--wait")
    assert lines[0].endswith("UTC  the operator asked for a certificate")
    steps = [line.split()[3] for line in lines if " done in " in line]
    assert steps == ["order", "challenge", "finalize", "install"]
    assert lines[-1].startswith(f"{NAME}: active, until 2026-")
    assert fleet.word() is Status.ACTIVE
    assert "has already been initiated" in issuer.refused("issue", NAME, "--account", "platform", "--wait")
    documents = issuer.json_lines("issue", "other.example", "--account", "platform", "--wait")
    assert documents[-1]["status"] == "active"
    assert {event["type"] for event in documents[:-1]} > {"issuance.started", "issuance.step_done"}


def test_issue_on_a_terminal_shows_the_steps(issuer: Command) -> None:
    lines = issuer.shown("issue", NAME, "--account", "platform", "--wait")
    assert max(map(len, lines)) <= WIDTH
    for step in ("order", "challenge", "finalize", "install"):
        assert any(line.strip().startswith(f"✓  {step}") for line in lines), lines


def test_issue_without_wait_says_where_to_look(issuer: Command, fleet: SimulatedFleet) -> None:
    assert issuer.said("issue", NAME, "--account", "platform") == [
        f"{NAME}: requested; 'issuer show {NAME}' shows how it goes"
    ]
    assert fleet.record().issuance.step is Step.ORDER
    assert issuer.json("issue", "other.example", "--account", "platform")["status"] == "processing"


def test_issue_that_comes_to_nothing_says_why_and_when_it_goes_on(issuer: Command, services: Services) -> None:
    services.resolver.caa_verdicts[NAME] = Verdict.NO
    result = issuer("issue", NAME, "--account", "platform", "--wait")
    assert result.exit_code == 1
    *_, why, who, when = result.stdout.splitlines()
    assert why.startswith(f"{NAME}: a CAA record forbids the CA")
    assert (who, when.startswith("  next attempt: 2026-")) == ("  must act: owner", True)
    result = issuer("issue", NAME, "--account", "platform", "--wait", "--json")
    assert (result.exit_code, json.loads(result.stdout.splitlines()[-1])["code"]) == (1, "caa")


def test_issue_goes_on_watching_and_says_when_nothing_happens(
    issuer: Command, services: Services, fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issue.time, "sleep", lambda _: None)
    monkeypatch.setattr(issue, "IDLE_SECONDS", 0.0)
    result = issuer("issue", NAME, "--account", "platform", "--wait", "--timeout", "0.0001")
    assert result.exit_code == 2, "too short"
    ticks = count()
    monkeypatch.setattr(issue.time, "monotonic", lambda: next(ticks))
    result = issuer("issue", NAME, "--account", "platform", "--wait")
    assert (result.exit_code, "'issuer doctor' says whether the workers run" in result.stderr) == (1, True)
    assert f"{NAME}: there is no certificate yet; the issuance goes on" in result.stdout
    monkeypatch.undo()
    monkeypatch.setattr(time, "sleep", lambda _: fleet.run(1))
    again = command_over(services, monkeypatch)
    assert again.said("issue", NAME, "--account", "platform", "--wait")[-1].startswith(f"{NAME}: active")


def test_issue_that_nobody_works_on_ends_and_says_so(
    issuer: Command, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issue.time, "sleep", lambda _: services.clock.forward(20))
    result = issuer("issue", NAME, "--account", "platform", "--wait")
    assert result.exit_code == 1
    assert f"{NAME}: no process of the platform works on it" in result.stdout
    assert "must act: platform" in result.stdout
    assert issuer.json_lines("list", "--code", "not-worked-on")[0]["domain"] == NAME
    assert "not-worked-on" in issuer.said("show", NAME)[1]


def test_check_shows_each_look_and_the_records_to_set(issuer: Command, services: Services) -> None:
    long_name = f"{'x' * 60}.{'y' * 60}.customer.example"
    services.resolver.verdicts[long_name] = Verdict.NO
    result = issuer("check", long_name)
    assert (result.exit_code, f"✗ cname: {long_name} as DNS has it" in result.stdout.splitlines()) == (1, True)
    assert issuer("check", long_name, is_terminal=True).exit_code == 1
    result = issuer("check", long_name, "--json")
    found = json.loads(result.stdout)
    (cname,) = [one for one in found["checks"] if one["code"] == "cname"]
    assert (result.exit_code, found["result"], cname["result"], cname["must_act"]) == (1, "failed", "failed", "owner")
    assert issuer.json("check", NAME, "--account", "platform")["result"] in {"ok", "unknown"}
    assert {line[0] for line in issuer.said("check", NAME)} <= {"✓", "?", " ", *"0123456789"}
    assert services.store.load(NAME) is None
    assert services.cas[0].calls == []


def test_records_to_set_are_whole_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for name, value in TERMINAL.items():
        monkeypatch.setenv(name, value)
    record = f"{'x' * 90}.example CNAME edge.platform.example"
    found = [Check("cname", CheckResult.FAILED, FOREIGN, hint="word " * 40, records=(record,)), OK]
    show_checks(found, as_json=False)
    lines = [OWN_SEQUENCES.sub("", line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == f"✗ cname: {HARMLESS}"
    assert f"        {record}" in lines
    assert lines[-2:] == ["✓ plan: fine", "1 ✓, 1 ✗, 0 ?"]
    assert max(len(line) for line in lines[1:] if record not in line) <= WIDTH


def test_ctrl_c_ends_the_watching_alone(
    issuer: Command, fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(issue.time, "sleep", interrupt)
    result = issuer("issue", NAME, "--account", "platform", "--wait")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        "Error: interrupted; the issuance goes on, and the same call watches it again",
    )
    fleet.run(5)
    assert fleet.word() is Status.ACTIVE


def test_retry_of_one_and_of_all(issuer: Command, fleet: SimulatedFleet) -> None:
    names = below("customer.example", 4)
    forbidden(fleet, *names)
    assert issuer.said("retry", names[0]) == [f"{names[0]} goes on now; 'issuer show {names[0]}' shows how"]
    assert issuer.json("retry", "--code", "caa", "--dry-run") == {
        "is_dry_run": True,
        "resumed": 3,
        "left": 1,
        "skipped": {},
        "last_at": "2026-09-21T14:13:20+00:00",
    }
    (line, left) = issuer.said("retry", "--code", "caa", "--account", "platform", "--pace", "1")
    assert line.startswith("3 domains with the code caa go on, the last at 2026-")
    assert left.startswith("1 others go on within a minute anyway")
    fleet.run(10)
    assert fleet.words() == {Status.ACTIVE: 4}
    assert issuer.said("retry", "--code", "caa") == ["0 domains with the code caa go on"]


def test_retry_that_is_interrupted_and_that_skips(
    issuer: Command, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = all_opened(services, "bad.example")
    redis = services.store._redis
    redis.hset(f"issuer:domain:{name}", mapping={"issuance": "null", "domain": "{", "indexes": ""})
    redis.zrem("issuer:index:account:platform", name)
    services.store.records([name])
    result = issuer("retry", "--code", "damaged-record")
    assert (result.exit_code, result.stdout.splitlines()[-1].startswith(f"1 cannot go on: {name} (")) == (1, True)

    def interrupt(*_, **__) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(services.store, "names_of", interrupt)
    assert issuer.refused("retry", "--code", "caa").startswith("Error: interrupted; 0 go on")


def test_delete_asks_and_withdraws(issuer: Command, services: Services, fleet: SimulatedFleet) -> None:
    fleet.issued(NAME)
    assert issuer("delete", NAME, answer="n\n").exit_code == 1
    assert fleet.word() is Status.ACTIVE
    assert issuer("delete", NAME).exit_code == 1, "nobody answers"
    assert fleet.word() is Status.ACTIVE
    lines = issuer.said("delete", NAME, "--revoke", "--reason", "keyCompromise", "--yes")
    assert lines[:2] == [f"{NAME} is no longer served or renewed", "the CA is asked to revoke its certificate"]
    assert lines[2].startswith("it is reserved for the account platform until 2026-")
    assert fleet.domain().revocations[0].reason == 1
    assert "the operator has withdrawn the domain" in issuer.said("show", NAME)[-1]
    assert issuer.json("show", NAME)["status"] == "withdrawn"
    fleet.issued("other.example")
    assert issuer.json("delete", "other.example", "--yes")["revocation"] is None


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("list", "--status", "broken"), 2, "'broken' is not one of"),
        (("list", "--code", "ca"), 2, "did you mean caa"),
        (("list", "--code", "x"), 2, "it is one of: account-exists, "),
        (("list", "--ends-within", "soon"), 2, "'soon' is not a time such as 3d or 12h"),
        (("list", "--ends-within", "3d", "--expires-before", "2026-12-01"), 2, "give only one of"),
        (("list", "--must-act", "me"), 2, "'me' is not one of"),
        (("list", "--after", "x"), 2, "--after needs the options"),
        (("list", "--account", "platform", "--after", "x"), 1, "is not a position in this list"),
        (("list", "--account", "nobody"), 1, "there is no such account"),
        (("list", "--ca", "https://c.example/directory"), 1, "is not one of the CAs in use"),
        (("list", "--limit", "0"), 2, "0 is not in the range"),
        (("show",), 2, "Missing argument"),
        (("show", "other.example"), 1, "domain not found: other.example"),
        (("show", "a..b"), 1, "no certificate can be had for this name"),
        (("show", "\x1b[31m.example"), 1, r"\x1b[31m"),
        (("events", "other.example", "--follow"), 1, "domain not found"),
        (("issue", NAME), 2, "Missing option '--account'"),
        (("issue", NAME, "--account", "nobody"), 1, "there is no such account"),
        (("issue", "no_name.example", "--account", "platform"), 1, "underscore"),
        (("issue", NAME, "--account", "platform", "--wait", "--timeout", "x"), 2, "is not a time such as 15m"),
        (("retry",), 2, "give either a domain or --code"),
        (("retry", NAME, "--code", "caa"), 2, "give either a domain or --code"),
        (("retry", NAME, "--dry-run"), 2, "go with --code"),
        (("retry", "--code", "caaa"), 2, "did you mean caa"),
        (("retry", "--code", "caa", "--pace", "0"), 2, "0"),
        (("retry", "--code", "caa", "--account", "nobody"), 1, "there is no such account"),
        (
            ("retry", "--code", "not-worked-on"),
            1,
            "wait for a process of the platform, not for a repair ('issuer doctor'",
        ),
        (("retry", "other.example"), 1, "domain not found"),
        (("delete", "other.example", "--yes"), 1, "domain not found"),
        (("delete", NAME, "--reason", "superseded"), 2, "--reason goes with --revoke"),
        (("check", NAME, "--account", "nobody"), 1, "there is no such account"),
        (("check",), 2, "Missing argument"),
        (("plan", "--lifetime", "90d"), 2, "--lifetime goes with --domains"),
        (("completion", "tcsh"), 2, "'tcsh' is not one of"),
        (("shwo",), 2, "No such command 'shwo'"),
        (("show", NAME, "--jsno"), 2, "No such option"),
    ],
    ids=str,
)
def test_what_means_nothing_is_a_line_and_an_exit_code(
    issuer: Command, fleet: SimulatedFleet, arguments: tuple[str, ...], exit_code: int, words: str
) -> None:
    assert words in issuer.refused(*arguments, exit_code=exit_code)
    assert fleet.queued() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("accounts", "list"),
        ("ca", "list"),
        ("ca", "rejected"),
        ("events", NAME),
        ("issue", NAME, "--account", "platform"),
        ("list",),
        ("list", "--code", "caa"),
        ("plan",),
        ("retry", NAME),
        ("retry", "--code", "caa"),
        ("delete", NAME, "--yes"),
        ("show", NAME),
        ("status", NAME),
        ("store", "reindex"),
        ("operator-key", "list"),
    ],
    ids=" ".join,
)
def test_redis_that_does_not_answer_is_a_line_that_names_it_without_its_password(
    issuer: Command, services: Services, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ISSUER_REDIS_URL", "redis://user:hush@redis.example:6390/0")
    monkeypatch.setenv("ISSUER_ENCRYPTION_KEYS", services.settings.encryption_keys[0].get_secret_value())
    monkeypatch.setenv("ISSUER_CNAME_TARGETS", "edge.example")
    take_away(services.store)
    line = issuer.refused(*arguments)
    assert "Redis at redis.example:6390 (ISSUER_REDIS_URL) cannot be reached" in line
    assert "hush" not in line


@pytest.mark.parametrize("is_terminal", [False, True])
def test_foreign_words_do_not_act_on_the_terminal(
    issuer: Command, services: Services, fleet: SimulatedFleet, *, is_terminal: bool
) -> None:
    services.cas[0].before = fails(Problem(ProblemType.CA_REFUSED, FOREIGN, cause=FOREIGN, hint=FOREIGN), "new_order")
    services.queue.enqueue(opened(services))
    fleet.work()
    rejections = (Rejection("https://[red].example", FOREIGN, services.clock()),)
    write(services.store, fleet.record().with_domain(rejections=rejections), now=services.clock())
    for arguments in (
        ("show", NAME),
        ("status", NAME),
        ("events", NAME),
        ("list", "--code", "ca-refused"),
        ("ca", "rejected"),
        ("issue", NAME, "--account", "platform", "--wait"),
    ):
        output = issuer(*arguments, is_terminal=is_terminal).output
        assert "\x07" not in output
        assert "\x9b" not in output
        assert "\u202e" not in output
        assert "\x1b]" not in output
        assert "\x1b[31m\\x1b]0" not in output
        assert "\n2026-01-01 UTC  forged" not in output
        if not is_terminal:
            assert "\x1b" not in output
            assert HARMLESS in output, arguments
        else:
            assert "[red]" in output


def test_plan_without_settings_or_redis_knows_the_calendar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ISSUER_REDIS_URL", "ISSUER_ENCRYPTION_KEYS", "ISSUER_CNAME_TARGETS", "ISSUER_ACME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["plan", "--domains", "90000", "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["certificates"] == 90_000
    assert {(one["from"], one["lifetime_seconds"] / DAY) for one in found["calendar"]} >= {("2028-02-16", 45)}
    assert found["calendar"][-1]["renewals_a_day"] == 3000
    lines = CliRunner().invoke(main, ["plan", "--domains", "1"]).stdout.splitlines()
    assert lines[0] == "1 certificate with a planned renewal, 0 renewals open"
    text = CliRunner().invoke(main, ["plan", "--domains", "7", "--lifetime", "160h"]).stdout
    assert "acme-v02.api.letsencrypt.org" in text


def test_plan_of_a_ca_without_a_calendar_asks_for_the_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUER_ACME_DIRECTORY", "https://ca.example/directory")
    result = CliRunner().invoke(main, ["plan", "--domains", "5"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the lifetime of the certificates of https://ca.example/directory is not known" in result.stderr
    assert "--lifetime" in result.stderr


def test_plan_counts_one_in_the_singular(issuer: Command, fleet: SimulatedFleet, services: Services) -> None:
    fleet.issued(NAME)
    assert issuer.said("plan")[0] == "1 certificate with a planned renewal, 0 renewals open"
    services.resolver.verdicts[NAME] = Verdict.NO
    fleet.run(61 * DAY)
    assert fleet.record().issuance.reason is Reason.RENEWAL
    assert f"1 domain has moved away: its DNS points to other servers ({NAME})" in issuer.said("plan")
    assert max(map(len, issuer.shown("plan"))) <= WIDTH


def test_each_command_that_shows_something_has_json(issuer: Command, services: Services) -> None:
    failing(services, NAME, Problem(ProblemType.CAA))
    assert issuer.json("accounts", "list")[0]["account"] == "platform"
    assert issuer.json("accounts", "create", "second")["key"].startswith("second.")
    assert issuer.json("accounts", "rotate-key", "second")["account"] == "second"
    assert issuer.json_lines("ca", "rejected") == []
    assert issuer.json("operator-key", "create", "anna")["key"].startswith("anna.")
    assert issuer.json("operator-key", "list")[0]["operator"] == "anna"
    assert issuer.json("status", NAME)["code"] == "caa"
    assert issuer.json("store", "reindex") == {"seen": 1, "damaged": 0}
    assert issuer.json("plan")["certificates"] == 0
    assert issuer.json("renew", "--all")["renewed"] == []
    assert {setting["variable"] for setting in issuer.json("settings")} > {"ISSUER_REDIS_URL", "PORT"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_a_script_that_asks_the_command(shell: str) -> None:
    script = CliRunner().invoke(main, ["completion", shell], catch_exceptions=False).output
    assert f"_ISSUER_COMPLETE={shell}_complete" in script


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("issuer re", {"renew", "retry"}),
        ("issuer ", set(COMMANDS)),
        ("issuer list --s", {"--status"}),
        ("issuer list --status e", {"expired", "error"}),
        ("issuer ca r", {"rejected", "roll-over"}),
        ("issuer --v", {"--version"}),
    ],
)
def test_commands_and_options_are_completed(words: str, expected: set[str]) -> None:
    *_, last = words.split(" ")
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_ISSUER_COMPLETE": "bash_complete"}
    result = CliRunner().invoke(main, [], prog_name="issuer", env=environment)
    found = {line.partition(",")[2] for line in result.output.splitlines()}
    assert found == expected, last


def test_the_output_may_have_an_encoding_that_lacks_signs() -> None:
    result = CliRunner(charset="latin-1").invoke(main, ["plan", "--domains", "5"], catch_exceptions=False)
    assert (result.exit_code, "\\u2502" in result.output) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        (("renew", "--all"), "renewed: 3 certificates"),
        (("store", "reindex"), "all records have their indexes"),
        (("retry", "--code", "caa"), "0 domains with the code caa go on"),
    ],
)
def test_long_work_has_a_bar_on_a_terminal_and_none_in_a_pipe(
    issuer: Command, services: Services, fleet: SimulatedFleet, arguments: tuple[str, ...], last: str
) -> None:
    fleet.issued(*below("customer.example", 3))
    services.clock.forward(1)
    lines = issuer.shown(*arguments)
    assert lines[-1].strip() == last
    assert max(map(len, lines[-2:])) <= WIDTH
    services.clock.forward(1)
    result = issuer(*arguments)
    assert (result.exit_code, result.stderr, result.stdout.splitlines()[-1]) == (0, "", last)


def test_the_cas_are_shown_one_below_the_other_on_a_terminal(issuer: Command, services: Services) -> None:
    ca = services.cas[0]
    ca.known_account = lambda: KnownAccount(
        f"{ca.account_url()}/{'7' * 90}", "t" * 43, services.clock(), is_rolling_over=False
    )
    lines = issuer.shown("ca", "list")
    assert max(map(len, lines)) <= WIDTH
    together = "".join("".join(line.split()) for line in lines)
    for text in (ca.directory_url, "7" * 90, "t" * 43, "asked"):
        assert text in together
    head, line = issuer.said("ca", "list")
    assert head.startswith("CA ")
    assert f"{ca.account_url()}/{'7' * 90} │ {'t' * 43}" in line
    assert issuer.json("ca", "list")[0]["account"]["thumbprint"] == "t" * 43
