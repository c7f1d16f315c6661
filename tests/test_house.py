"""What the repository promises about itself."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from issuer.celery_app import BULK, HOUSEKEEPING, INTERACTIVE, LOOKUP, QUEUES, RENEWAL, create_celery
from issuer.cli.run import PROCESSES, command_line
from issuer.config import ProcessSettings, load_settings, settings_markdown
from issuer.domain import CHAIN
from issuer.keys import new_encryption_key
from issuer.schedule import SCANS
from tests.clocks import with_dates

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("issuer", "web") for path in (ROOT / folder).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES_OF_A_FILE = 300
LINES_OF_A_FUNCTION = 40
ENTRIES_AT_THE_TOP = 31
HASHES = r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+"
LINES_OF_A_LOCKS_HEAD = 2


def procfile() -> dict[str, str]:
    return dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


def queues_of(process: str) -> list[str]:
    command = command_line(process, ProcessSettings())
    return command[command.index("--queues") + 1].split(",")


def test_every_queue_has_a_process_and_every_route_a_queue() -> None:
    named = {name: queues_of(name) for name in ("worker", "renewals")}
    assert named == {"worker": [INTERACTIVE, HOUSEKEEPING], "renewals": [BULK, RENEWAL, LOOKUP]}
    assert {queue for queues in named.values() for queue in queues} == set(QUEUES)
    settings = load_settings(encryption_keys=new_encryption_key(), cname_targets="edge.platform.example")
    celery = create_celery(settings, lambda: None)
    assert sorted(queue.name for queue in celery.conf.task_queues) == sorted(QUEUES)
    routes = {name: route["queue"] for name, route in celery.conf.task_routes.items()}
    scans = {scan.name: LOOKUP if scan.is_slow else HOUSEKEEPING for scan in SCANS}
    assert routes == {step.value: INTERACTIVE for step in CHAIN} | scans
    assert {entry["task"] for entry in celery.conf.beat_schedule.values()} == set(scans)
    ours = {name for name in celery.tasks if not name.startswith("celery.")}
    assert ours == set(routes)


def test_each_queue_has_a_key_of_its_own() -> None:
    settings = load_settings(encryption_keys=new_encryption_key(), cname_targets="edge.platform.example")
    queues = create_celery(settings, lambda: None).conf.task_queues
    assert {(queue.exchange.name, queue.routing_key) for queue in queues} == {(name, name) for name in QUEUES}


def test_the_procfile_runs_web_workers_and_beat() -> None:
    assert procfile() == {name: f"issuer run {name}" for name in ("web", "worker", "renewals", "beat")}
    assert set(procfile()) | {"edge-sync"} == set(PROCESSES)


def test_limits_are_in_order_soft_hard_lease_visibility() -> None:
    settings = load_settings(encryption_keys=new_encryption_key(), cname_targets="e.example", step_seconds=600)
    conf = create_celery(settings, lambda: None).conf
    limits = [
        conf.task_soft_time_limit,
        conf.task_time_limit,
        settings.lease_seconds,
        conf.broker_transport_options["visibility_timeout"],
    ]
    assert limits == sorted(set(limits))


def test_the_page_of_the_settings_is_what_the_generator_prints() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_markdown(), "run make settings"


def test_the_package_has_few_entries_at_its_top() -> None:
    entries = [path.name for path in (ROOT / "issuer").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= ENTRIES_AT_THE_TOP, sorted(entries)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_keep_their_size(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LINES_OF_A_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno + 1 <= LINES_OF_A_FUNCTION, node.name


CALLERS = [path for path in SOURCES if path.is_relative_to(ROOT / "web") or path.parent == ROOT / "issuer" / "cli"]


@pytest.mark.parametrize("path", CALLERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_front_end_and_command_reach_the_outside_by_actions_alone(path: Path) -> None:
    ports = "store|servers|feed|limits|locks|counters|cas|ca_at|resolver|solver|handshake|vault|queue|operators"
    assert not re.search(rf"services(\(\)|\"\])?\.({ports})\b", path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_config_reads_the_environment(path: Path) -> None:
    if path.parent.name != "config":
        assert not re.search(r"os\.environ|getenv", path.read_text())


def pinned(lock: str) -> dict[str, Requirement]:
    """What a lock has, by name. Every line of it is a pin or one of its hashes."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    pins = re.findall(rf"^(\S.*?){HASHES}\n", text, re.MULTILINE)
    assert re.sub(rf"^\S.*?{HASHES}\n", "", text, flags=re.MULTILINE).count("\n") == LINES_OF_A_LOCKS_HEAD
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, pins)}


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", PROJECT["dependencies"]),
        ("requirements-dev.lock", sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"])),
    ],
)
def test_a_lock_pins_with_hashes_what_the_project_asks_for(lock: str, wanted: list[str]) -> None:
    pins = pinned(lock)
    assert all(str(pin.specifier).startswith("==") for pin in pins.values())
    for text in wanted:
        requirement = Requirement(text)
        version = next(iter(pins[canonicalize_name(requirement.name)].specifier)).version
        assert requirement.specifier.contains(version), text


def test_production_installs_the_same_versions_and_no_tool_of_ours() -> None:
    production, all_of_it = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert {name: all_of_it[name].specifier for name in production} == {
        name: pin.specifier for name, pin in production.items()
    }
    assert not {"pytest", "ruff", "mypy", "import-linter", "fakeredis", "honcho"} & set(production)
    assert {"pytest-xdist", "execnet", "setuptools"} <= set(all_of_it) - set(production)


def test_the_second_ca_is_pinned_and_nowhere_among_our_own_dependencies() -> None:
    lines = [line for line in (ROOT / "tests" / "acme2certifier.txt").read_text().splitlines() if line[0] != "#"]
    pins = {canonicalize_name(pin.name): str(pin.specifier) for pin in map(Requirement, lines)}
    assert {"acme2certifier", "gunicorn"} <= set(pins)
    assert all(pin.startswith("==") for pin in pins.values())
    assert "acme2certifier" not in pinned("requirements-dev.lock")
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")]:
        assert not re.search(r"^\s*(import|from) acme2certifier", path.read_text(), re.MULTILINE), path


def test_ci_runs_the_command_of_the_readme_and_allows_no_skip() -> None:
    assert "make test" in (ROOT / "README.md").read_text()
    assert re.search(r"^make test .*--no-skips", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


def test_a_skip_is_a_failure_in_a_parallel_run_too(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text("import pytest\n\ndef test_it():\n    pytest.skip('not today')\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-n1", "--no-skips", f"--rootdir={tmp_path}"]
    ended = subprocess.run([*command, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED, ended.stdout + ended.stderr
    assert "1 skipped" in ended.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from issuer.ca import problems\ndef test_it(): problems.x()", True),
        ("from issuer import keys\n@pytest.mark.parametrize('x', keys.X)\ndef test_it(x): pass", True),
        ("import issuer.presenters\ndef test_it(): issuer.presenters.x()", True),
        ("from issuer.keys import Vault\nX = Vault()\ndef helper(): X\ndef test_it(helper): pass", True),
        ("def test_it(): datetime.fromisoformat(x)", True),
        ("from issuer import keys, names\ndef helper(): keys.x()\ndef test_it(): names.x()", False),
    ],
)
def test_what_has_dates_is_tested_in_another_time_zone_too(tmp_path: Path, text: str, *, expected: bool) -> None:
    file = tmp_path / "test_some.py"
    file.write_text(text)
    assert ("test_it" in with_dates(file)) is expected
    assert re.search(r"^TZ=\S+ make test .*-m clock", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
