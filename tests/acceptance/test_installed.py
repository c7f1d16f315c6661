"""Every command of `issuer` from a wheel, in a folder that is no checkout: it works, or says in one line why not."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from issuer.cli.main import COMMANDS
from issuer.cli.run import PROCESSES
from issuer.config import child_environment
from issuer.keys import new_encryption_key
from issuer.sandbox import LOOPBACK, free_port
from tests.checkout import CHECKOUT

IN_THE_WHEEL = ("pyproject.toml", "README.md", "LICENSE", "issuer", "web")
NEEDED = {"ISSUER_ENCRYPTION_KEYS": new_encryption_key(), "ISSUER_CNAME_TARGETS": "edge.platform.example"}
HELP = """
from click import Context, Group
from click.testing import CliRunner
from issuer.cli import main

def walk(command, *names):
    result = CliRunner().invoke(main, [*names, "--help"])
    assert result.exit_code == 0 and "Usage: " in result.output, (names, result.output)
    print(*names)
    for name in command.list_commands(Context(command)) if isinstance(command, Group) else ():
        walk(command.get_command(Context(command), name), *names, name)

walk(main)
"""
"""Run there: the help of every command, each of which is printed."""


def ran(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ISSUER_", "PYTHON"))}
    environment = kept | {"COLUMNS": "200"} | variables
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build stays in the checkout, and without the network."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for name in IN_THE_WHEEL:
        copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
        copy(CHECKOUT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "."]
    done = subprocess.run(
        [*build, "--wheel-dir", wheels],
        cwd=source,
        env=child_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return next(wheels.glob("issuer-*.whl"))


@pytest.fixture(scope="module")
def issuer(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command of an environment that has the wheel, and its dependencies from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = str(folder / "bin" / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, wheel], check=True, capture_output=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    # What this file names is found, but no .pth file there is read: the checkout is not importable.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return str(folder / "bin" / "issuer")


def test_the_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    kept = {
        str(path.relative_to(CHECKOUT))
        for package in ("issuer", "web")
        for path in (CHECKOUT / package).rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".pyo"}
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == kept
    assert "issuer/sandbox/redis.conf" in names


def test_what_is_run_is_what_was_installed(issuer: str, tmp_path: Path) -> None:
    code = "import issuer, web; print(issuer.__file__, web.__path__[0])"
    found = ran([str(Path(issuer).with_name("python")), "-P", "-c", code], tmp_path)
    assert found.stdout.count("site-packages") == 2, found.stderr
    assert str(CHECKOUT) not in found.stdout


def test_the_version_is_that_of_the_package(issuer: str, tmp_path: Path) -> None:
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    for command in ([issuer], [str(Path(issuer).with_name("python")), "-m", "issuer.cli"]):
        found = ran([*command, "--version"], tmp_path)
        assert (found.returncode, found.stdout, found.stderr) == (0, f"issuer {version}\n", "")


def test_every_command_helps(issuer: str, tmp_path: Path) -> None:
    found = ran([str(Path(issuer).with_name("python")), "-P", "-c", HELP], tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    helped = found.stdout.splitlines()
    assert set(COMMANDS) < set(helped)
    assert {"accounts create", "ca roll-over", "edge sync", "run"} < set(helped)


def test_what_needs_no_redis_works(issuer: str, tmp_path: Path) -> None:
    key = ran([issuer, "new-encryption-key"], tmp_path)
    assert (key.returncode, len(key.stdout.strip())) == (0, 44)
    page = ran([issuer, "settings", "--markdown"], tmp_path)
    assert page.stdout == (CHECKOUT / "docs" / "settings.md").read_text()
    assert ran([issuer, "settings"], tmp_path, **NEEDED).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["accounts", "create", "alice"],
        ["accounts", "list"],
        ["accounts", "show", "alice"],
        ["accounts", "rotate-key", "alice"],
        ["accounts", "set-plan", "alice", "basic"],
        ["ca", "list"],
        ["ca", "roll-over"],
        ["plan"],
        ["prefer", "shop.customer.com", "--profile", "classic"],
        ["status", "shop.customer.com"],
        ["edge", "sync", "--once", "--dir", "edge"],
    ],
    ids=" ".join,
)
def test_an_unavailable_redis_is_one_line(issuer: str, tmp_path: Path, arguments: list[str]) -> None:
    found = ran([issuer, *arguments], tmp_path, ISSUER_REDIS_URL=f"redis://{LOOPBACK}:{free_port()}/0", **NEEDED)
    output = found.stdout + found.stderr
    assert found.returncode == 1
    assert output.count("\n") == 1, output
    assert "the service is temporarily unavailable" in output


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_without_its_settings_says_so_and_ends(issuer: str, tmp_path: Path, process: str) -> None:
    found = ran([issuer, "run", process], tmp_path, ISSUER_CNAME_TARGETS=NEEDED["ISSUER_CNAME_TARGETS"])
    assert (found.returncode, found.stdout) == (1, "")
    line = "make one with: issuer new-encryption-key - and keep it, as nothing stored opens without it"
    assert found.stderr == f"ISSUER_ENCRYPTION_KEYS: not set; {line}\n"


@pytest.mark.parametrize("where", ["nothing installed", "not writable"])
def test_a_demo_that_cannot_start_says_so_in_one_line(issuer: str, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    variables = {"PATH": str(tmp_path)} if where == "nothing installed" else {}
    options = [] if where == "nothing installed" else ["--folder", str(tmp_path / "file" / "below")]
    found = ran([issuer, "demo", "--once", *options], tmp_path, **variables)
    assert found.returncode == 1
    assert found.stderr.startswith("Error: ")
    assert found.stderr.count("\n") == 1, found.stderr


@pytest.mark.skipif(not shutil.which("pebble"), reason="Pebble is not installed")
def test_the_demo_runs_outside_the_checkout(issuer: str, tmp_path: Path) -> None:
    found = ran([issuer, "demo", "--once"], tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "seconds from POST to active" in found.stdout
    assert (tmp_path / ".demo" / "encryption-key").exists()
