"""What `issuer edge sync` says and runs, and how it ends."""

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


def test_the_reload_runs_once_for_all_that_has_changed(records: Records, tmp_path: Path, run) -> None:
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


def test_a_reload_that_a_kill_came_before_is_made_up_for(
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
    ("command", "words"), [("sh -c 'echo oops >&2; exit 3'", "with 3.*oops"), ("/none", "No such")]
)
def test_a_reload_that_fails_is_told_and_tried_again(
    records: Records, services: Services, tmp_path: Path, path: Path, run, command: str, words: str
) -> None:
    records.install(NAME)
    found = Run(services, path, reload=command)
    assert not found.is_done
    assert [line for line in found.said if re.search(words, line)]
    assert names(path) == {NAME}
    counted = tmp_path / "counted"
    for _ in range(2):
        run(reload=counting(counted))
    assert len(counted.read_text()) == 1


def test_a_long_first_run_tells_how_far_it_is(records: Records, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "PROGRESS_SECONDS", 0)
    for name in (NAME, OTHER):
        records.install(name)
    said = run().said
    assert "1 names looked at, 1 have a certificate …" in said
    assert said[-1] == "all 2 names looked at, 2 have a certificate"


def test_haproxy_away_is_told_and_the_files_are_written(records: Records, services: Services, path: Path) -> None:
    records.install(NAME)
    found = Run(services, path, haproxy=path / "none.sock")
    assert (found.is_done, names(path)) == (False, {NAME})
    assert any(line.startswith("HAProxy: ") and "none.sock" in line for line in found.said)


def command(redis_url: str, *options: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **edge_settings(redis_url).as_environment()}
    return subprocess.run(
        [*COMMAND, *options], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_once_says_by_its_exit_code_whether_all_was_done(records: Records, redis_url: str, path: Path) -> None:
    records.install(NAME)
    done = command(redis_url, "--dir", str(path), "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{NAME}: certificate ")
    away = command(f"redis://{LOOPBACK}:{free_port()}/0", "--dir", str(path), "--once")
    assert (away.returncode, "temporarily unavailable" in away.stdout) == (1, True)
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
def test_what_can_not_be_is_said_in_a_line(redis_url: str, path: Path, options: list[str], words: str) -> None:
    found = command(redis_url, *[one.format(path=path) for one in options])
    assert found.returncode != 0
    assert words in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_e12_it_ends_cleanly_and_goes_on_from_there(records: Records, redis_url: str, path: Path, sign) -> None:
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
