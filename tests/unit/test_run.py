"""`issuer run`: what it starts, and what it prints if it cannot."""

import sys
from collections.abc import Callable
from importlib.util import find_spec

import click
import pytest
from click.testing import CliRunner

from issuer.cli import main
from issuer.cli import run as command
from issuer.cli.run import PROCESSES, command_line
from issuer.config import ProcessSettings
from tests.unit.test_config import environment

__all__ = ["environment"]


class Started(Exception):  # noqa: N818 - no error
    """What would run in this process."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Run a process; returns its module and arguments."""

    def start(module: str, *, run_name: str, alter_sys: bool) -> None:
        raise Started(module, *sys.argv[1:], run_name, alter_sys)

    def run(process: str) -> list[str]:
        with pytest.raises(Started) as caught:
            CliRunner().invoke(main, ["run", process], catch_exceptions=False)
        *command, run_name, alter_sys = caught.value.args
        assert (run_name, alter_sys) == ("__main__", True)
        return command

    monkeypatch.setattr(sys, "argv", ["issuer", "run", "what is not passed on"])
    monkeypatch.setattr(command.runpy, "run_module", start)
    monkeypatch.setattr(command, "configure_logs", lambda *_: None)
    monkeypatch.setattr(command, "await_startable", lambda *_, **__: None)
    return run


def test_each_process_is_a_module_that_can_be_run() -> None:
    for process in PROCESSES:
        module, *_ = command_line(process, ProcessSettings())
        assert module in {"gunicorn", "celery", "issuer.cli"}
        assert find_spec(f"{module}.__main__"), f"python -m {module} runs nothing"


def test_web_has_as_many_processes_as_are_set(monkeypatch: pytest.MonkeyPatch, run: Callable[[str], list[str]]) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    arguments = run("web")
    assert arguments[0] == "gunicorn"
    assert arguments[arguments.index("--workers") + 1] == "7"
    assert arguments[-1] == "web.wsgi:app"
    assert "--bind" not in arguments


@pytest.mark.parametrize(("process", "variable"), [("worker", "WORKER"), ("renewals", "RENEWAL")])
def test_consumers_have_as_many_processes_as_are_set(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[str], list[str]], process: str, variable: str
) -> None:
    assert run(process)[-6:] == [
        *("4", "--hostname", f"{process}@%h"),
        *("--without-mingle", "--without-gossip", "--without-heartbeat"),
    ]
    monkeypatch.setenv(f"{variable}_CONCURRENCY", "9")
    assert "9" in run(process)


def test_the_edge_has_the_options_that_are_set(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[str], list[str]]
) -> None:
    begin = ["issuer.cli", "edge", "sync", "--dir"]
    for name in ("EDGE_DIRECTORY", "EDGE_GROUP", "EDGE_HAPROXY"):
        monkeypatch.delenv(name, raising=False)
    assert run("edge-sync") == [*begin, "/var/lib/issuer/edge"]
    monkeypatch.setenv("EDGE_GROUP", "www-data")
    monkeypatch.setenv("EDGE_HAPROXY", "/run/x.sock")
    monkeypatch.setenv("EDGE_DIRECTORY", "/srv/edge")
    assert run("edge-sync") == [*begin, "/srv/edge", "--group", "www-data", "--haproxy", "/run/x.sock"]


@pytest.mark.parametrize(
    ("arguments", "variables", "line"),
    [
        (["web"], {"WEB_CONCURRENCY": "none"}, "WEB_CONCURRENCY: Input should be a valid integer"),
        (["worker"], {"ISSUER_CNAME_TARGETS": ""}, "ISSUER_CNAME_TARGETS: not set"),
        (["beat"], {"ISSUER_STEP_SECONDS": "1"}, "ISSUER_STEP_SECONDS: Input should be greater"),
    ],
)
def test_a_wrong_setting_is_reported_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, run, arguments: list[str], variables: dict[str, str], line: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(main, ["run", *arguments])
    assert result.exit_code == 1
    assert result.output.startswith(line)
    assert result.output.count("\n") == 1


def test_a_missing_program_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch, run) -> None:
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    result = CliRunner().invoke(main, ["run", "web"])
    assert (result.exit_code, result.output) == (1, "Error: the Python package gunicorn is not installed\n")


def test_an_unknown_process_is_refused_with_those_that_there_are() -> None:
    result = CliRunner().invoke(main, ["run", "everything"])
    assert result.exit_code == click.UsageError.exit_code
    assert all(process in result.output for process in PROCESSES)
