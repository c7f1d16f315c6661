"""What is in deploy/ runs what the Procfile runs, with settings that there are."""

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import pytest
from cryptography import x509

from issuer.config import PREFIX, ProcessSettings, Settings, child_environment, describe_settings
from issuer.keys import new_encryption_key, self_signed
from issuer.sandbox import free_port
from issuer.sandbox.processes import REDIS_CONF
from tests.checkout import CHECKOUT
from tests.fakes import fake_services
from tests.test_house import procfile
from web.app import create_app

DEPLOY = CHECKOUT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("issuer-*.service"))
HARDENING = DEPLOY / "systemd" / "issuer-.service.d" / "hardening.conf"
SERVICE = re.compile(r"^  (\w+):\n((?:    .*\n|\n)+)", re.MULTILINE)
SHELL = ["/bin/sh", "-c"]


def unit(path: Path) -> ConfigParser:
    found = ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    found.optionxform = str
    found.read_string(path.read_text())
    return found


def composed() -> dict[str, str]:
    """The services of compose.yaml, as text."""
    services, rest = (DEPLOY / "compose.yaml").read_text().split("\nservices:\n")[1].split("\nconfigs:\n")
    assert rest
    return dict(SERVICE.findall(services))


def command_of(service: str) -> list[str]:
    return json.loads(re.search(r"^    command: (\[.*\])$", composed()[service], re.MULTILINE)[1])


def instruction(word: str) -> str:
    """The last one of its kind in the Dockerfile, on one line."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^{word} +(.*)$", text, re.MULTILINE)[-1]


@pytest.mark.parametrize("name", procfile())
def test_compose_and_units_run_the_lines_of_the_procfile(name: str) -> None:
    assert command_of(name) == procfile()[name].split()
    started = unit(DEPLOY / "systemd" / f"issuer-{name}.service")["Service"]["ExecStart"]
    assert started == f"{' '.join(SHELL)} 'exec {procfile()[name]}'"


def test_there_is_a_unit_for_each_process_and_one_for_the_edge() -> None:
    assert {path.stem for path in UNITS} == {f"issuer-{name}" for name in [*procfile(), "edge-sync"]}
    assert list(composed())[:6] == ["redis", *procfile(), "edge"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_run_what_is_installed_as_nobody_of_importance(path: Path) -> None:
    service = unit(path)["Service"]
    program, *_ = re.search(r"'exec (.*)'$", service["ExecStart"])[1].split()
    assert os.access(Path(sys.executable).parent / program, os.X_OK)
    assert service.get("DynamicUser") == "yes" or service["User"] != "root"
    assert unit(path)["Install"]["WantedBy"] == "multi-user.target"


def test_every_unit_is_hardened_and_comes_back() -> None:
    hardened = unit(HARDENING)["Service"]
    wanted = {
        "Restart": "always",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "EnvironmentFile": "/etc/issuer/environment",
    }
    assert wanted.items() <= dict(hardened).items()
    assert all(path.name.startswith("issuer-") for path in UNITS)


def test_systemd_finds_nothing_wrong() -> None:
    command = ["systemd-analyze", "verify", *map(str, UNITS)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line for line in found.stderr.splitlines() if "issuer-" in line] == []


def test_the_files_of_the_edge_lie_where_its_configurations_look_for_them() -> None:
    service = unit(DEPLOY / "systemd" / "issuer-edge-sync.service")["Service"]
    folder = f"/var/lib/{service['StateDirectory']}"
    assert str(ProcessSettings.model_fields["edge_directory"].default) == folder
    for name in ("nginx.conf", "haproxy.cfg"):
        assert folder in (DEPLOY / name).read_text()


def test_the_demos_redis_is_configured_like_the_one_in_production() -> None:
    assert REDIS_CONF.read_bytes() == (DEPLOY / "redis.conf").read_bytes()


def test_every_setting_that_is_named_there_is_one() -> None:
    known = {setting.variable for setting in describe_settings()}
    for path in [path for path in DEPLOY.rglob("*") if path.is_file()]:
        named = set(re.findall(rf"\b{PREFIX}[A-Z_]+", path.read_text()))
        assert named <= known, path
    composed_of = (DEPLOY / "compose.yaml").read_text()
    for name in re.findall(r"^(\w+)=", (DEPLOY / "try.env").read_text(), re.MULTILINE):
        assert f"${{{name}:" in composed_of, name


def test_the_values_for_trying_are_settings(tmp_path: Path) -> None:
    lines = (DEPLOY / "try.env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line.startswith(PREFIX))
    bundle = tmp_path / "bundle.pem"
    now = dt.datetime.now(dt.UTC)
    alternatives = [x509.DNSName("localhost")]
    bundle.write_text(self_signed("test", alternatives, now, now + dt.timedelta(days=1), is_ca=True)[0])
    given = {name.removeprefix(PREFIX).lower(): value for name, value in values.items()}
    key = new_encryption_key()
    settings = Settings(**given | {"encryption_keys": key, "acme_ca_bundle": str(bundle)})
    assert settings.allow_reserved_names


def test_the_image_runs_web_as_a_user_without_privileges_from_the_lock() -> None:
    assert instruction("USER") == "issuer"
    assert json.loads(instruction("CMD")) == procfile()["web"].split()
    assert "--require-hashes --requirement requirements.lock" in (DEPLOY / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    allowed = re.findall(r"^!(.*)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert sorted(" ".join(copied).split()) == sorted(allowed)
    assert all((CHECKOUT / one).exists() for one in allowed)


def test_the_images_health_check_tells_life_from_death(serve: Callable[..., None]) -> None:
    program, *arguments = json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2])
    port = free_port()

    def exit_code() -> int:
        environment = child_environment({"PORT": str(port)})
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=20).returncode

    assert program == "python"
    assert exit_code() != 0
    serve(create_app(fake_services()), port)
    assert exit_code() == 0
