"""What `issuer edge sync` prints and runs, and its exit codes."""

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from issuer.domain import Hsts
from issuer.edge import sync
from issuer.ports import Services
from issuer.sandbox import LOOPBACK, free_port
from tests.edge.records import Records, edge_settings
from tests.edge.runs import Run
from tests.edge.sync.directory import NAME, OTHER, names
from tests.edge.terminators import COMMAND, until


def counting(file: Path, then: str = "true") -> str:
    return shlex.join(["sh", "-c", f"echo >> {file}; {then}"])


def test_the_reload_runs_once_for_all_changes(records: Records, tmp_path: Path, run) -> None:
    counted = tmp_path / "counted"
    command = counting(counted)
    runs = []
    for change in (
        lambda: [records.install(name) for name in (NAME, OTHER)],
        lambda: records.install(NAME),
        lambda: [records.policy(name, Hsts(60)) for name in (NAME, OTHER)],
        lambda: None,
        lambda: records.change(NAME, account="other"),
        lambda: records.withdraw(NAME),
    ):
        change()
        run(reload=command)
        runs.append(len(counted.read_text()))
    assert runs == [1, 2, 3, 3, 3, 4]


def test_a_reload_that_a_kill_prevented_runs_later(
    records: Records, services: Services, tmp_path: Path, path: Path, run
) -> None:
    counted = tmp_path / "counted"
    run(reload=counting(counted))
    state = (path / "state.json").read_text()
    records.install(NAME)
    run()
    (path / "state.json").write_text(state)
    run(reload=counting(counted))
    assert len(counted.read_text()) == 2
    run(reload=counting(counted))
    assert len(counted.read_text()) == 2


@pytest.mark.parametrize(
    ("command", "words"), [("sh -c 'echo oops >&2; exit 3'", "exit code 3.*oops"), ("/none", "No such")]
)
def test_a_reload_that_fails_is_reported_and_retried(
    records: Records, services: Services, tmp_path: Path, path: Path, run, command: str, words: str
) -> None:
    records.install(NAME)
    failed = Run(services, path, reload=command)
    assert not failed.is_done
    assert [line for line in failed.output if re.search(words, line)]
    assert names(path) == {NAME}
    counted = tmp_path / "counted"
    for _ in range(2):
        run(reload=counting(counted))
    assert len(counted.read_text()) == 1


def test_a_long_first_run_reports_its_progress(records: Records, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "PROGRESS_SECONDS", 0)
    for name in (NAME, OTHER):
        records.install(name)
    output = run().output
    assert "1 names checked so far, 1 have a certificate" in output
    assert output[-1] == "all 2 names checked, 2 have a certificate"


def test_without_haproxy_a_failure_is_reported_and_the_files_are_written(
    records: Records, services: Services, path: Path
) -> None:
    records.install(NAME)
    failed = Run(services, path, haproxy=path / "none.sock")
    assert (failed.is_done, names(path)) == (False, {NAME})
    assert any(line.startswith("HAProxy: ") and "none.sock" in line for line in failed.output)


def command(redis_url: str, *options: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **edge_settings(redis_url).as_environment()}
    return subprocess.run(
        [*COMMAND, *options], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_exit_code_of_once_says_whether_anything_failed(records: Records, redis_url: str, path: Path) -> None:
    records.install(NAME)
    done = command(redis_url, "--dir", str(path), "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{NAME}: certificate ")
    unavailable = command(f"redis://{LOOPBACK}:{free_port()}/0", "--dir", str(path), "--once")
    assert (unavailable.returncode, "temporarily unavailable" in unavailable.stdout) == (1, True)
    assert names(path) == {NAME}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--once"], "--dir"),
        (["--dir", "{path}", "--group", "no-such-group"], "no group"),
        (["--dir", "{path}", "--reload", "'"], "quotation"),
        (["--dir", "/dev/null/x"], "Not a directory"),
    ],
)
def test_wrong_options_are_one_line_of_error(redis_url: str, path: Path, options: list[str], words: str) -> None:
    failed = command(redis_url, *[option.format(path=path) for option in options])
    assert failed.returncode != 0
    assert words in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_e12_it_ends_cleanly_and_saves_its_position(records: Records, redis_url: str, path: Path, sign) -> None:
    records.install(NAME)
    environment = {**os.environ, **edge_settings(redis_url).as_environment()}
    with subprocess.Popen(
        [*COMMAND, "--dir", str(path)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        until((path / "state.json").exists, 20)
        process.send_signal(sign)
        assert process.wait(5) == 0
        assert "Traceback" not in process.stdout.read()
    position = json.loads((path / "state.json").read_text())["position"]
    assert records.services.feed.is_complete_after(position)
    records.install(OTHER)
    assert command(redis_url, "--dir", str(path), "--once").stdout.startswith(f"{OTHER}: ")
