"""The demo as a user runs it: its own processes, its exit code, and nothing left running."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from issuer.sandbox import Dns, Pebble, free_port
from tests.real import published

ISSUER = Path(sys.executable).with_name("issuer")
STEPS = ["order", "challenge", "finalize", "install"]


def environment(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ISSUER_")}
    return clean | {"COLUMNS": "200"} | more


def left_running(folder: Path) -> list[str]:
    """Command lines of processes that write into the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in str((process / "fd" / "1").readlink()):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "demo"
    assert left_running(tmp_path) == []


def demo(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [ISSUER, "demo", "--once", "--folder", folder, *arguments]
    return subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, timeout=120, check=False
    )


def assert_shows_all_steps(output: str) -> None:
    steps = re.findall(r"(order|challenge|finalize|install) +done in", output)
    assert steps == STEPS
    assert re.search(r"\d+\.\d\d seconds from POST to active", output)
    for word in ("names ", "issuer ", "expires ", "checked "):
        assert f"  {word}" in output


def test_it_ends_well_by_itself_and_its_data_survive_to_the_next_one(folder: Path) -> None:
    first = demo(folder, "--domain", "first.customer.example")
    assert first.returncode == 0, first.stdout + first.stderr
    assert_shows_all_steps(first.stdout)
    assert (folder / "encryption-key").stat().st_mode & 0o777 == 0o600
    again = demo(folder, "--domain", "first.customer.example")
    assert again.returncode != 0
    assert "409" in again.stdout
    assert "Traceback" not in again.stderr


def test_it_can_be_pointed_at_another_ca_dns_and_redis(
    folder: Path, redis_url: str, pebble: Pebble, dns: Dns, http_port: int, tmp_path: Path
) -> None:
    name = published(dns, "other-ca.customer.example")
    root = tmp_path / "root.pem"
    root.write_text(pebble.root())
    ended = demo(
        folder,
        *("--domain", name, "--root", str(root), "--port", str(http_port)),
        ISSUER_REDIS_URL=redis_url,
        ISSUER_ACME_DIRECTORY=pebble.directory_url,
        ISSUER_ACME_TERMS_AGREED="true",
        ISSUER_ACME_CA_BUNDLE=str(pebble.bundle),
        ISSUER_DNS_SERVERS=dns.server,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert_shows_all_steps(ended.stdout)
    assert not (folder / "redis").exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"ISSUER_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"},
        {"ISSUER_KEY_TYPE": "rsa-512"},
        {"PATH": "/nonexistent"},
    ],
    ids=["redis away", "wrong setting", "no programs"],
)
def test_what_fails_ends_it_with_a_line_and_not_zero(folder: Path, variables: dict[str, str]) -> None:
    ended = demo(folder, **variables)
    assert ended.returncode not in {0, None}
    assert ended.stderr.strip()
    assert "Traceback" not in ended.stdout + ended.stderr


def without_redis(tmp_path: Path) -> str:
    """A PATH with the CA's programs alone."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("pebble", "pebble-challtestsrv"):
        (programs / name).symlink_to(shutil.which(name))
    return str(programs)


@pytest.mark.parametrize("has_redis", [True, False], ids=["redis", "no redis"])
def test_it_runs_on_until_it_is_stopped(folder: Path, tmp_path: Path, *, has_redis: bool) -> None:
    variables = {} if has_redis else {"PATH": without_redis(tmp_path)}
    story = tmp_path / "story"
    with story.open("wb") as output:
        command = [ISSUER, "demo", "--folder", folder]
        running = subprocess.Popen(command, env=environment(**variables), stdout=output, stderr=subprocess.STDOUT)
    until = time.monotonic() + 60
    while "curl" not in story.read_text() and time.monotonic() < until and running.poll() is None:
        time.sleep(0.1)
    assert running.poll() is None
    assert len(left_running(folder)) >= 6
    running.send_signal(signal.SIGINT if has_redis else signal.SIGTERM)
    assert running.wait(30) == 0, story.read_text()
    assert "Traceback" not in story.read_text()
    assert story.read_text().count("WARNING") == (not has_redis)
    assert_shows_all_steps(story.read_text())
