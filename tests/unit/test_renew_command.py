"""`issuer renew` as an operator types it, over fakes: between two looks, the fleet works."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from issuer.actions import renew as action
from issuer.cli import main
from issuer.cli import renew as command
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from tests.databases import give_back, take_away
from tests.fakes import NAME, below
from tests.faults import fails
from tests.simulated_fleet import DAY, HOUR, SimulatedFleet

NAMES = below("customer.example", 2)


@pytest.fixture
def issuer(services: Services, fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch):
    fleet.issued(*NAMES)
    monkeypatch.setattr(command, "load_services", lambda: services)
    monkeypatch.setattr(command.time, "sleep", lambda _: fleet.run(10))

    def issuer(*arguments: str) -> Result:
        services.clock.forward(1)
        with capture_logs():
            return CliRunner().invoke(main, ["renew", *arguments], catch_exceptions=False)

    return issuer


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--all"], 2),
        (["--issued-by", "Fake CA"], 2),
        (["--issued-by", "{pem}"], 2),
        (["--issued-by", "{der}"], 2),
        (["--issued-by", "https://ca.example/directory"], 2),
        ([NAMES[0]], 1),
        ([NAMES[0], f"{NAMES[1].upper()}."], 2),
        (["--all", "--pace", "0.5"], 2),
    ],
    ids=str,
)
def test_n22_it_says_how_it_goes_and_how_it_ends(
    issuer, services: Services, fleet: SimulatedFleet, tmp_path: Path, arguments: list[str], count: int
) -> None:
    files = {"pem": tmp_path / "intermediate.pem", "der": tmp_path / "intermediate.der"}
    for file, encoding in zip(files.values(), (Encoding.PEM, Encoding.DER), strict=True):
        file.write_bytes(services.cas[0]._intermediate.public_bytes(encoding))
    arguments = [argument.format(**files) for argument in arguments]
    before = {name: fleet.domain(name).certificate.serial for name in NAMES}
    result = issuer(*arguments)
    assert (result.exit_code, services.cas[0].calls.count("new_order")) == (0, 2 + count), result.output
    lines = result.output.splitlines()
    assert lines[0].startswith(f"to renew: {count} certificate{'s' if count > 1 else ''}, at ")
    assert lines[0].endswith(f"; {count} of them marked now")
    assert lines[-2:] == [
        f"{count} of {count} renewed, 0 in progress, 0 waiting for their turn, 0 delayed",
        f"renewed: {count} certificate{'s' if count > 1 else ''}",
    ]
    after = {name: fleet.domain(name).certificate.serial for name in NAMES}
    assert sum(before[name] != after[name] for name in NAMES) == count
    again = issuer(*arguments, "--no-wait").output.splitlines()
    assert again[0].endswith(f"; {count} of them marked now"), "the next call is anew"


@pytest.mark.parametrize("again", [["--all"], ["--all", "--pace", "5"], ["--all", "--no-wait"]], ids=str)
def test_n22_the_same_call_goes_on_after_ctrl_c(
    issuer, services: Services, fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch, again: list[str]
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command.time, "sleep", interrupt)
        result = issuer("--all")
    assert (result.exit_code, "call this again" in result.output) == (1, True)
    fleet.run(HOUR)
    result = issuer(*again)
    assert result.output.startswith("going on with the same call of 2026-")
    assert "; 0 of them marked now" in result.output
    assert (result.exit_code, services.cas[0].calls.count("new_order")) == (0, 4)


@pytest.mark.parametrize(
    ("pace", "starts_in", "is_said"),
    [([], 0, True), (["--pace", "0.000001"], 0, True), (["--pace", "0.1"], 0, True), (["--pace", "0.1"], HOUR, False)],
)
def test_n22_if_what_is_due_does_not_begin_it_says_what_to_look_at(
    issuer, services: Services, fleet: SimulatedFleet, monkeypatch: pytest.MonkeyPatch, pace, starts_in, is_said
) -> None:
    for setting, value in (("IDLE_SECONDS", 0.0), ("SHORTEST_PAUSE_SECONDS", 0.0), ("PAUSES", 0)):
        monkeypatch.setattr(command, setting, value)
    looks = iter([lambda: None] * 3)  # beat does not run, and then it does
    monkeypatch.setattr(command.time, "sleep", lambda _: next(looks, lambda: fleet.run(90 * DAY))())
    monkeypatch.setattr(command.time, "time", lambda: services.clock() - starts_in)
    result = issuer("--all", *pace)
    assert (result.exit_code, "do `beat` and `renewals` run" in result.output) == (0, is_said), result.output
    assert result.output.splitlines()[-1] == "renewed: 2 certificates"


def test_n22_with_no_wait_it_ends_when_all_are_marked(issuer, services: Services, fleet: SimulatedFleet) -> None:
    result = issuer("--all", "--no-wait")
    assert (result.exit_code, len(result.output.splitlines())) == (0, 1)
    assert services.cas[0].calls.count("new_order") == 2
    fleet.run(HOUR)
    assert services.cas[0].calls.count("new_order") == 4


def test_n22_what_is_delayed_is_told_with_its_reason(issuer, services: Services) -> None:
    services.cas[0].before = fails(Problem(ProblemType.CA_REFUSED), "new_order")
    result = issuer("--all")
    assert result.exit_code == 1
    assert result.output.splitlines()[-2:] == [
        "renewed: 0 certificates",
        f"not renewed yet (ca-refused), will be retried automatically: 2: {', '.join(NAMES)}",
    ]


def test_n22_without_the_store_it_waits(issuer, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    take_away(services.store)
    run = action.Run(action.Selection(), asked_at=services.clock() + 1, is_resumed=False, per_second=None)
    monkeypatch.setattr(action, "begin", lambda *_, **__: run)
    sleep = command.time.sleep

    def come_back(seconds: float) -> None:
        give_back(services.store)
        sleep(seconds)

    monkeypatch.setattr(command.time, "sleep", come_back)
    result = issuer("--all")
    assert "this command goes on when the store answers again" in result.output.splitlines()[0]
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either names, or --issued-by, or --all"),
        (["--all", NAME], "give either names, or --issued-by, or --all"),
        (["--all", "--issued-by", "R10"], "give either names, or --issued-by, or --all"),
        (["--issued-by", " "], "needs a value"),
        (["--all", "--pace", "0"], "0"),
        (["--issued-by", "R10"], r"no certificate is issued by R10 \(the issuers are: Fake CA \(2\)\)"),
        (["--issued-by", __file__], "has no certificate, neither PEM nor DER"),
        (["--issued-by", "https://c.example/"], r"no certificate is issued by https://c\.example/ \("),
        (["other.example"], "there is no certificate to renew: other.example"),
        (["a..b"], "no certificate can be had for this name"),
    ],
    ids=str,
)
def test_n22_a_call_that_means_nothing_is_refused(
    issuer, services: Services, fleet: SimulatedFleet, arguments: list[str], words: str
) -> None:
    result = issuer(*arguments)
    assert result.exit_code != 0
    assert re.search(words, result.output), result.output
    fleet.run(HOUR)
    assert services.cas[0].calls.count("new_order") == 2
