"""SIGKILL between any two writes of the sync: the directory is always consistent, and the next run completes it."""

import shutil
import stat
from pathlib import Path

import pytest

from issuer.config import Settings
from issuer.domain import Hsts
from issuer.keys import PLACEHOLDER_NAME, verify_bundle
from issuer.ports import Services
from issuer.sandbox import Sandbox
from tests.edge.records import Records, edge_settings
from tests.edge.runs import Run, killed_at
from tests.edge.terminators import Terminator

MOST = 200
KEPT, RENEWED, LEAVING, NEW, GONE = (
    f"{label}.customer.example" for label in ("kept", "renewed", "leaving", "new", "gone")
)
FOREIGN = "foreign.customer.example"


def assert_consistent(path: Path) -> None:
    """A terminator that starts now finds consistent files, and only the owner may read them (F05)."""
    for file in path.rglob("*"):
        allowed = 0o700 if file.is_dir() else 0o600
        assert file.is_symlink() or stat.S_IMODE(file.stat().st_mode) & ~allowed == 0, file
    for link in path.glob("*.pem"):
        if link.is_symlink():
            verify_bundle(link.read_text(), link.name.removesuffix(".pem"))
    crt_list = path / "crt-list.haproxy"
    for line in crt_list.read_text().splitlines() if crt_list.exists() else ():
        assert Path(line.split()[0]).is_file(), line


def assert_done(path: Path, services: Services) -> None:
    expected = {name for name in services.feed.names() if services.feed.edge_version(name)}
    links = {link.name.removesuffix(".pem"): link for link in path.glob("*.pem") if link.is_symlink()}
    assert links.keys() == expected
    for name, link in links.items():
        assert services.store.load(name).domain.certificate.chain in link.read_text()
    assert {line.split()[0] for line in (path / "names.haproxy").read_text().splitlines()} == expected
    assert f"{NEW} max-age=60\n" in (path / "hsts.haproxy").read_text()
    assert links[NEW].readlink().name.endswith(".60.pem")
    verify_bundle((path / "neutral.pem").read_text(), PLACEHOLDER_NAME)
    assert (path / f"{FOREIGN}.pem").read_text() == "somebody else's"
    assert (path / "versions").is_dir()


def prepare(records: Records, path: Path) -> None:
    """Fill a directory, and put a foreign file into it."""
    for name in (KEPT, RENEWED, LEAVING, GONE):
        records.install(name)
    assert Run(records.services, path).is_done
    (path / f"{FOREIGN}.pem").touch(mode=0o600)
    (path / f"{FOREIGN}.pem").write_text("somebody else's")


def change(records: Records) -> None:
    records.install(RENEWED)
    records.withdraw(LEAVING)
    records.install(NEW)
    records.policy(NEW, Hsts(60))


@pytest.mark.parametrize("start", ["changes", "gap", "first"])
def test_f05_killed_between_any_two_writes_and_run_again(
    records: Records, services: Services, redis_url: str, tmp_path: Path, start: str
) -> None:
    path, saved, settings = tmp_path / "edge", tmp_path / "saved", edge_settings(redis_url)
    prepare(records, path)
    change(records)
    if start == "gap":
        services.store._redis.delete("issuer:changes")
    if start == "first":
        for file in [*path.glob("*"), *path.glob("versions/*")]:
            if file.is_symlink() or (file.is_file() and file.name != f"{FOREIGN}.pem"):
                file.unlink()
        shutil.rmtree(path / "versions")
    shutil.copytree(path, saved, symlinks=True)
    for count in range(1, MOST):
        shutil.rmtree(path)
        shutil.copytree(saved, path, symlinks=True)
        was_killed = killed_at(count, settings, path)
        assert_consistent(path)
        assert Run(services, path).is_done
        assert_consistent(path)
        assert_done(path, services)
        if not was_killed:
            break
    assert 20 < count < MOST - 1
    assert Run(services, path).output == []
    assert {f"versions/{file.name}" for file in (path / "versions").iterdir()} == {
        str(link.readlink()) for link in path.glob("*.pem") if link.is_symlink()
    }


def test_killed_between_any_two_haproxy_commands_and_run_again(
    edge_sandbox: Sandbox, edge_redis: str, edge_values: Settings
) -> None:
    records = Records(edge_redis)
    renewed, other, another = (f"{label}.customer.example" for label in ("renewed", "other", "another"))
    terminator = Terminator("haproxy", edge_sandbox, edge_values, [1], 1, root=records.signing.root)
    serials = {renewed: records.install(renewed), other: records.install(other), another: None}
    Run(records.services, terminator.folder)
    terminator.start()
    at = edge_sandbox.folder / "haproxy.sock"
    for count in range(1, MOST):
        records.withdraw(other)
        serials |= {renewed: records.install(renewed), other: None, another: records.install(another)}
        other, another = another, other
        was_killed = killed_at(count, edge_values, terminator.folder, at)
        run = Run(records.services, terminator.folder, haproxy=at)
        assert run.is_done, run.output
        assert {name: terminator.serial(name) for name in serials} == serials
        if not was_killed:
            break
    assert 40 < count < MOST - 1
