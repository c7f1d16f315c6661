"""A real Redis that comes back empty or with other data, and the command that accepts it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_client
from click.testing import CliRunner

from issuer.actions import accounts
from issuer.cli import main
from issuer.config import load_settings
from issuer.domain import Plan
from issuer.ports import Services
from issuer.problem import Problem, ProblemType
from issuer.sandbox import Sandbox, free_port
from issuer.wiring import build_services
from tests.fakes import TARGET, fake_services
from tests.real import ENCRYPTION_KEY
from web.app import create_app


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        yield sandbox


def services_of(port: int, file: Path) -> Services:
    url = f"redis://127.0.0.1:{port}/0"
    settings = load_settings(
        redis_url=url, encryption_keys=ENCRYPTION_KEY, cname_targets=TARGET, identity_file=str(file)
    )
    return build_services(settings)


def readiness(services: Services) -> int:
    with create_app(fake_services(services.store)).test_client() as client:
        return client.get("/readyz").status_code


def test_n42_a_redis_that_ignores_its_snapshot_is_noticed_and_can_be_accepted(
    own: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, file = free_port(), tmp_path / "store-identity"
    own.redis(port=port)
    running = services_of(port, file)
    accounts.create(running, "platform", Plan.HTTPS)
    running.store.require_own()
    former = file.read_text().strip()
    with redis_client.Redis(port=port, decode_responses=True) as admin:
        admin.save()
        folder = Path(admin.config_get("dir")["dir"])
    own.__exit__(None, None, None)
    assert (folder / "dump.rdb").exists()
    shutil.rmtree(folder / "appendonlydir")
    own.redis(port=port)
    started = services_of(port, file)
    assert accounts.list_all(started) == []
    for services in (running, started):
        with pytest.raises(Problem) as raised:
            services.store.require_own()
        assert raised.value.type is ProblemType.FOREIGN_STORE
        assert readiness(services) == 503
    for name, value in started.settings.as_environment().items():
        monkeypatch.setenv(name, value)
    refused = CliRunner().invoke(main, ["store", "adopt", "--instead-of", former[:-1]], catch_exceptions=False)
    assert (refused.exit_code, "is not the identity of a store" in refused.output) == (1, True)
    accepted = CliRunner().invoke(main, ["store", "adopt", "--instead-of", former], catch_exceptions=False)
    assert (accepted.exit_code, file.read_text().strip() in accepted.output) == (0, True)
    assert file.read_text().strip() != former
    for services in (running, started):
        services.store.require_own()
        assert readiness(services) == 200
