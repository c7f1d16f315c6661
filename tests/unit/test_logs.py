"""Logs: one event per line, with the domain, issuance and step of its task, and no local variables in tracebacks."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import structlog

from issuer.logs import CHATTY, configure_logs

TASK = {"domain": "track.customer.example", "issuance": "track.customer.example/1", "step": "finalize"}
SECRET = "hunter2-the-secret"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Restore pytest's logging, as the logging of a process is global."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in CHATTY}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


Written = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Written:
    def read() -> list[dict[str, object]]:
        written = capsys.readouterr()
        assert written.out == ""
        return [json.loads(line) for line in written.err.splitlines()]

    return read


def fail() -> None:
    private_key = f"{SECRET[:7]}{SECRET[7:]}"
    raise ValueError(len(private_key))


LOGGERS = {"ours": lambda: structlog.get_logger("issuer.tasks"), "a library's": lambda: logging.getLogger("celery.app")}


@pytest.mark.parametrize("logger", LOGGERS.values(), ids=LOGGERS)
def test_a_line_of_json_has_the_fields_of_its_task(logger: Callable, lines: Written) -> None:
    configure_logs("json", "INFO")
    structlog.contextvars.bind_contextvars(**TASK)
    logger().warning("step failed")
    structlog.contextvars.clear_contextvars()
    logger().warning("after it")
    first, second = lines()
    assert first.items() >= TASK.items()
    assert (first["event"], first["level"]) == ("step failed", "warning")
    assert first["logger"] in {"issuer.tasks", "celery.app"}
    assert abs((datetime.fromisoformat(first["timestamp"]) - datetime.now(UTC)).total_seconds()) < 60
    assert not TASK.keys() & second.keys()


def test_values_are_separate_fields(lines: Written) -> None:
    configure_logs("json", "INFO")
    structlog.get_logger("issuer.tasks").info("step done", seconds=0.25, next_step="install", nothing=None)
    logging.getLogger("celery").info("for %s", "you", extra={"queue": "interactive"})
    ours, theirs = lines()
    assert ours.items() >= {"seconds": 0.25, "next_step": "install", "nothing": None}.items()
    assert theirs.items() >= {"event": "for you", "queue": "interactive"}.items()


@pytest.mark.parametrize("logger", LOGGERS.values(), ids=LOGGERS)
def test_every_event_is_one_line(logger: Callable, lines: Written) -> None:
    configure_logs("json", "INFO")
    for text in ('two\nlines "and\r\nmore', "\x1b[31mred", "«ü» ✓", "\u2028", "\0"):
        logger().error(text)
        assert [line["event"] for line in lines()] == [text]


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("logger", LOGGERS.values(), ids=LOGGERS)
def test_f02_a_traceback_is_plain(logger: Callable, log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(log_format, "DEBUG")
    try:
        fail()
    except ValueError:
        logger().exception("it ended")
    text = capsys.readouterr().err
    assert "it ended" in text
    assert "ValueError: 18" in text
    assert "Traceback (most recent call last)" in text
    assert SECRET not in text
    assert text.count("\n") == 1 or log_format == "console"


@pytest.mark.parametrize("logger", LOGGERS.values(), ids=LOGGERS)
def test_console_is_for_people(logger: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console", "INFO")
    structlog.contextvars.bind_contextvars(**TASK)
    logger().warning("step failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "step failed" in line
    assert "warning" in line
    assert all(f"{name}={value}" in line for name, value in TASK.items())
    assert "\x1b" not in line
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)


@pytest.mark.parametrize(("is_terminal", "is_json"), [(True, False), (False, True)])
def test_the_format_is_by_default_that_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_terminal: bool, is_json: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    configure_logs("", "INFO")
    structlog.get_logger("issuer").info("hello")
    assert capsys.readouterr().err.startswith("{") is is_json


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("INFO", ["info", "warning", "error"]),
        ("WARNING", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
@pytest.mark.parametrize("logger", LOGGERS.values(), ids=LOGGERS)
def test_the_level_is_for_all(logger: Callable, level: str, written: list[str], lines: Written) -> None:
    configure_logs("json", level)
    for name in ("debug", "info", "warning", "error"):
        getattr(logger(), name)(name)
    assert [line["event"] for line in lines()] == written


@pytest.mark.parametrize("name", CHATTY)
def test_celerys_lines_about_every_task_are_only_for_debug(name: str, lines: Written) -> None:
    for level in ("INFO", "DEBUG"):
        configure_logs("json", level)
        logging.getLogger(name).info("Task succeeded at %s", level)
        logging.getLogger(name).warning("trouble at %s", level)
    assert [line["event"] for line in lines()] == ["trouble at INFO", "Task succeeded at DEBUG", "trouble at DEBUG"]


def test_after_two_configurations_a_line_is_written_once(lines: Written) -> None:
    configure_logs("json", "INFO")
    configure_logs("json", "INFO")
    structlog.get_logger("issuer").info("hello")
    assert len(lines()) == 1
